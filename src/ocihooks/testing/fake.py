"""
Write fake runtimes for tests: executable scripts that simulate containers, record their calls, and answer as told.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ocihooks.errors import UnavailableError
from ocihooks.testing import fake_runtime

# bash only notes what Python would change when it starts, and leaves everything else as it is: -p reads no start-up
# file and no functions from the environment, exec -c hands on no variables of bash's own.
_SCRIPT = """\
#!{bash} -p
# A fake OCI runtime; see ocihooks.testing.fake.
while read -r name value; do
  [ "$name" != SigIgn: ] || ignored=$value
done < /proc/$$/status
mapfile -d '' -t environment < /proc/$$/environ
exec -c {python} -I -S {program} {from_script} {settings} \\
  "$ignored" "${{#environment[@]}}" "${{environment[@]}}" "$0" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    How a fake runtime ends a call that it shall not simulate.

    Attributes:
        signal: Die by this signal after printing; None: exit with *exit_status*.
    """

    exit_status: int = 0
    stdout: str = ""
    stderr: str = ""
    signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """
    A call of a fake runtime, as the kernel handed it over. Bytes that are no UTF-8 are lone surrogates in all texts.

    Attributes:
        argv: The path by which the script was started, and the arguments.
        environment: ``NAME=value`` entries in their order, also doubles and odd ones.
        cwd: Working directory.
        descriptors: What lies behind each open descriptor above 2, as /proc tells it.
        ignored_signals: Names such as ``SIGPIPE``.
        blocked_signals: Names; SIGCHLD is never among them.
        umask: Octal text such as ``0022``.
        pid: Process id of the call.
        parent_pid: Process id of its parent.
        stdin: Standard input to its end; None where that was not asked for.
        config_sha256: Hash of the bundle's config.json on create and run; None where there was none.
        config: Its text; None where there was none or that was not asked for.
    """

    argv: tuple[str, ...]
    environment: tuple[str, ...]
    cwd: str
    descriptors: Mapping[int, str]
    ignored_signals: tuple[str, ...]
    blocked_signals: tuple[str, ...]
    umask: str
    pid: int
    parent_pid: int
    stdin: str | None = None
    config_sha256: str | None = None
    config: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRuntime:
    """
    A fake runtime that ``write_fake_runtime`` wrote.

    Attributes:
        path: The executable script.
        state_directory: Where it keeps containers when a call has no ``--root``.
        record: The file that it appends to on each call; None: it records nothing.
    """

    path: Path
    state_directory: Path
    record: Path | None = field(default=None)

    def calls(self) -> tuple[RecordedCall, ...]:
        """All calls up to now, in order."""
        if self.record is None or not self.record.exists():
            return ()
        return tuple(_read_call(line) for line in self.record.read_text().splitlines())


def write_fake_runtime(
    path: str | os.PathLike[str],
    *,
    state_directory: str | os.PathLike[str] | None = None,
    record: str | os.PathLike[str] | None = None,
    read_stdin: bool = False,
    copy_config: bool = False,
    answers: Mapping[str, Answer] | None = None,
    python: str | os.PathLike[str] = sys.executable,
) -> FakeRuntime:
    """
    Write an executable script that behaves like a runtime; an existing file is overwritten.

    Containers are simulated (see ``ocihooks.testing.simulator``): hooks run for real, programs do not.

    Args:
        path: The script; its directory must exist.
        state_directory: Where containers are kept when a call has no ``--root``; None: beside the script.
        record: File that gets a line for each call, read by ``FakeRuntime.calls``; None: don't record.
        read_stdin: Record standard input, too. The fake runtime then reads it to its end before anything else.
        copy_config: Record the text of config.json on create and run, not only its hash.
        answers: Operations that shall not be simulated, and how they end; ``*`` stands for all that are not named.
        python: Interpreter, 3.11 or later, that whoever calls the script can execute.

    Raises:
        UnavailableError: There is no bash, which the script needs to see what Python changes when it starts.
    """
    bash = shutil.which("bash")
    if bash is None:
        raise UnavailableError("bash: not found on PATH", code="missing_program", hint="apt-get install bash")
    script = Path(path).absolute()
    fake = FakeRuntime(
        path=script,
        state_directory=Path(state_directory or f"{script}.state").absolute(),
        record=None if record is None else Path(record).absolute(),
    )
    settings = {
        "state_directory": str(fake.state_directory),
        "record": None if fake.record is None else str(fake.record),
        "read_stdin": read_stdin,
        "copy_config": copy_config,
        "answers": {operation: asdict(answer) for operation, answer in (answers or {}).items()},
    }
    text = _SCRIPT.format(
        bash=bash,
        python=shlex.quote(os.fspath(python)),
        program=shlex.quote(os.path.abspath(fake_runtime.__file__)),
        from_script=fake_runtime.FROM_SCRIPT,
        settings=shlex.quote(json.dumps(settings)),
    )
    script.write_text(text)
    script.chmod(0o755)
    return fake


def _read_call(line: str) -> RecordedCall:
    members = json.loads(line)
    for name in ("argv", "environment", "ignored_signals", "blocked_signals"):
        members[name] = tuple(members[name])
    members["descriptors"] = {int(number): target for number, target in members["descriptors"].items()}
    return RecordedCall(**members)
