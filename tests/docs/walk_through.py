"""
A document's console blocks as one walk through a machine, which is made of private parts so that nothing is left.

The commands run as they stand, in one shell, in a mount namespace with its own /opt, /run, /usr/local,
/var/lib, /var/log, hooks directories and home; or on a private host with an engine, which has some of them already.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import PROJECT, Block, blocks, line_of
from tests.docs.packages import Packages

from ocihooks.testing.engines.host import PrivateHost

PACKAGES_DIR = Path("/usr/share/containers/oci/hooks.d")

ASKS_FOR_STATUS = "echo $?"

_MARK = "walk-through-step"
_HEREDOC = re.compile(r"<<'(\w+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    A command of a console block.

    Attributes:
        block: Where it stands.
        command: What is typed, without the prompt; may have several lines.
        output: The lines that the block shows; None where it shows none, so that anything may come.
    """

    block: Block
    command: str
    output: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step: its exit status, and what it printed on both streams."""

    status: int
    output: str


def steps(document: Path, remark: str, *, before: str | None = None) -> list[Step]:
    """The commands of those console blocks of *document* that have the *remark*, and stand before the line *before*."""
    end = line_of(document, before) if before else None
    chosen = (block for block in blocks(document) if block.remark == remark and (end is None or block.line < end))
    return [step for block in chosen for step in _steps(block)]


def _steps(block: Block) -> Iterator[Step]:
    waiting = block.text.splitlines()
    prompt = block.text[:2]
    assert prompt in ("# ", "$ "), f"{block}: expected a prompt, found {prompt!r}"
    while waiting:
        line = waiting.pop(0)
        command = [line[2:]]
        if match := _HEREDOC.search(line):
            while command[-1] != match[1]:
                command.append(waiting.pop(0))
        output: list[str] = []
        while waiting and not waiting[0].startswith(prompt):
            output.append(waiting.pop(0))
        yield Step(block=block, command="\n".join(command), output=tuple(output) or None)


def matches(shown: Sequence[str], output: str) -> bool:
    """Whether *output* is what a block shows: a line of three dots is any lines, three dots in a line are any text."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*?".join(map(re.escape, line.split("..."))) + r"\n" for line in shown
    )
    return re.fullmatch(pattern, output) is not None


def follow(walk: Sequence[Step], machine: Machine) -> None:
    """Do all steps: each succeeds, unless the next one asks for the status, and prints what its page shows."""
    may_fail = [*(step.command == ASKS_FOR_STATUS for step in walk[1:]), False]
    for step, outcome, allowed in zip(walk, machine.do([step.command for step in walk]), may_fail, strict=True):
        told = f"{step.block}: {step.command}\nstatus {outcome.status}, printed:\n{outcome.output}"
        assert allowed or outcome.status == 0, told
        assert step.output is None or matches(step.output, outcome.output), told


class Machine:
    """
    This machine with private parts below *directory*, as it is before anything of ours was installed.

    Programs and libraries are the real ones.

    Args:
        host: Where the commands run, which keeps what is mounted for them; None: in a mount namespace of their own,
            which ends with them.
        opt: What is in its /opt at first; None: nothing.
        timeout_s: How long commands may take in all.
    """

    def __init__(
        self,
        directory: Path,
        packages: Packages,
        host: PrivateHost | None = None,
        opt: Path | None = None,
        *,
        timeout_s: float = 300,
    ) -> None:
        self.directory = directory
        self._packages = packages
        self._host = host
        self._is_mounted = False
        self._timeout_s = timeout_s
        if opt is not None:
            shutil.copytree(opt, directory / "opt", symlinks=True)
        for name in ("etc", "home", "opt", "packages", "real-etc", "usr-local/bin", "usr-local/sbin"):
            (directory / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        for entry in Path("/etc").iterdir():
            if entry.name not in ("container-hooks", "containers", "oci-add-hooks", "ocihooks"):
                (directory / "etc" / entry.name).symlink_to(directory / "real-etc" / entry.name)

    def do(self, commands: Sequence[str]) -> list[Outcome]:
        """Do all *commands* in one shell; one that fails does not keep the next one from being done."""
        script = self.directory / "script"
        script.write_text(self._script(commands))
        argv = ["bash", str(script)]
        done = subprocess.run(
            self._host.command(argv) if self._host else ["unshare", "--mount", "--propagation", "private", *argv],
            check=False,
            capture_output=True,
            text=True,
            timeout=self._timeout_s,
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
        )
        _, *parts = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
        assert len(parts) == 2 * len(commands) + 2, f"not all steps were done:\n{done.stdout}{done.stderr}"
        self._is_mounted = self._host is not None
        outputs, statuses = parts[1:-1:2], parts[2::2]
        return [Outcome(status=int(status), output=text) for text, status in zip(outputs, statuses, strict=True)]

    def left_over(self) -> list[Path]:
        """The files that commands have left."""
        places = ("etc/containers", "home", "opt", "usr-local")
        return [path for place in places for path in sorted((self.directory / place).rglob("*")) if not path.is_dir()]

    def _script(self, commands: Sequence[str]) -> str:
        """Mount the private parts or give up; then do each command, with a mark and its status behind it."""
        lines = ["set -e", *self._mounts(), "set +e", "cd", f"echo {_MARK} 0"]
        for command in commands:
            lines += ["{", command, "} 2>&1", "status=$?"]
            if "-m venv" in command:
                lines.append(f"cp -a {self._packages.site}/. /opt/ocihooks/lib/python*/site-packages/ || status=99")
            lines += [f"echo {_MARK} $status", "(exit $status)"]
        return "\n".join(lines) + "\n"

    def _mounts(self) -> Iterator[str]:
        own, empty = {"usr-local": "/usr/local", "opt": "/opt"}, ["/var/log"]
        if PACKAGES_DIR.is_dir():
            own["packages"] = str(PACKAGES_DIR)
        directory = shlex.quote(str(self.directory))
        if self._is_mounted:
            return
        if self._host is None:  # a private host has these of its own
            own["etc"] = "/etc"
            empty += ["/run", "/var/lib"]
            yield f"mount --rbind /etc {directory}/real-etc"
        yield from (f"mount --bind {directory}/{name} {place}" for name, place in own.items())
        yield from (f"mount -t tmpfs -o mode=755 tmpfs {place}" for place in empty)

    def _environment(self) -> dict[str, str]:
        interpreter = f"{sys.base_prefix}/bin"
        return {
            "PATH": f"/usr/local/sbin:/usr/local/bin:{interpreter}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self._packages.wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }


def files_of(host: PrivateHost) -> dict[Path, bytes]:
    """What engines, rules, settings and backups have there, but for locks, which nobody takes away."""
    etc = ("docker", "containerd", "containers", "crio", "ocihooks")
    places = (*(host.etc / name for name in etc), *(host.var_lib / name for name in ("ocihooks", "rancher")))
    found = (path for place in places for path in place.rglob("*"))
    return {path: path.read_bytes() for path in found if path.is_file() and path.suffix != ".lock"}


def _first_steps() -> list[Step]:
    """The first steps of the tutorial, without those that fill /opt."""
    tutorial = PROJECT / "docs/tutorial/first-hook-on-docker.md"
    walk = steps(tutorial, "run", before="## Step 4: Tell Docker")
    return [step for step in walk if not step.command.startswith(("python3 -m venv", "/opt/ocihooks/bin/pip"))]


FIRST_STEPS = _first_steps()
"""What other pages ask for, where the package is in /opt already: a hook and a rule."""
