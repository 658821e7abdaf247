"""
The launcher and the C programs that its tests use, built once per test process, and installations of it.

Test modules take the fixtures by assignment: ``builds = launcher_programs.builds``.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import pytest

from ocihooks.compiled.skip import encode
from ocihooks.compiled.snapshot import snapshot
from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install import launcher

ROOT = Path(__file__).parents[2]
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DEBUGGING = ("-std=c11", "-O1", "-g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """
    Compiled programs.

    Attributes:
        launcher: As the build hook makes it.
        plain: The same, not optimised and linked dynamically, for tools that look into it.
        driver: Calls the launcher's main many times in one process; see launcher/testing/driver.c.
        surroundings: Writes down what a process inherits; see launcher/testing/surroundings.c.
    """

    launcher: Path
    plain: Path
    driver: Path
    surroundings: Path


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[OCIHooksError], NoReturn]) -> Builds:
    """All programs without sanitizers."""
    try:
        return _builds(tmp_path_factory.getbasetemp())
    except UnavailableError as error:
        unavailable(error)


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[OCIHooksError], NoReturn]) -> Path:
    """The driver with AddressSanitizer and UndefinedBehaviorSanitizer."""
    try:
        return _sanitized(tmp_path_factory.getbasetemp())
    except UnavailableError as error:
        unavailable(error)


@functools.cache
def _builds(directory: Path) -> Builds:
    flags = tuple(runpy.run_path(str(ROOT / "hatch_build.py"))["FLAGS"])
    source, testing = ROOT / "launcher" / "launcher.c", ROOT / "launcher" / "testing"
    return Builds(
        launcher=_compiled(source, directory / "ocihooks-launcher", (*flags, "-static"), flags),
        plain=_compiled(source, directory / "launcher-plain", DEBUGGING),
        driver=_compiled(testing / "driver.c", directory / "launcher-driver", ("-std=c11", "-O2")),
        surroundings=_compiled(
            testing / "surroundings.c", directory / "surroundings", (*DEBUGGING, "-static"), DEBUGGING
        ),
    )


@functools.cache
def _sanitized(directory: Path) -> Path:
    driver = ROOT / "launcher" / "testing" / "driver.c"
    return _compiled(driver, directory / "launcher-driver-sanitized", (*DEBUGGING, *SANITIZERS))


def _compiled(source: Path, program: Path, *attempts: Sequence[str]) -> Path:
    """Compile *source* with the first of the lists of flags that works."""
    compiler = os.environ.get("CC", "").split() or [shutil.which("cc") or ""]
    if not shutil.which(compiler[0]):
        raise UnavailableError("there is no C compiler", hint="apt-get install gcc libc6-dev")
    said = ""
    for flags in attempts:
        command = [*compiler, *flags, "-o", str(program), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return program
        said = said or done.stderr
    if "-fsanitize" in " ".join(attempts[0]) and "cannot find" in said:
        raise UnavailableError(f"the compiler has no sanitizers: {said}", hint="apt-get install libasan8 libubsan1")
    raise AssertionError(said)


def patched(program: Path, **settings: str) -> bytes:
    """*program* with *settings*, which are those of `launcher_for`."""
    with mock.patch.object(launcher, "PROGRAM", str(program)):
        return launcher.launcher_for(**settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """
    What a call of the launcher led to.

    Attributes:
        program: "runtime", "python", or None where neither ran.
        words: Its words, without its name.
        facts: What it inherited, as surroundings.c writes it; without words, process and parent.
    """

    program: str | None
    words: tuple[bytes, ...]
    facts: tuple[str, ...]
    status: int
    stderr: str


class Installed:
    """The launcher in a directory of its own, in front of two programs that write down how they were started."""

    def __init__(self, program: Path, surroundings: Path, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.launcher = directory / "ocihooks-runtime"
        self.runtime = directory / "runtime"
        self.python = directory / "python"
        self.script = directory / "script.py"
        self.data = directory / "skip"
        for recorder in (self.runtime, self.python):
            shutil.copy(surroundings, recorder)
        self.install(program)

    def install(self, program: Path, **changed: str) -> None:
        """Write *program* with our paths, some of them perhaps *changed*."""
        paths = {"runtime": self.runtime, "python": self.python, "script": self.script, "data": self.data}
        settings = {name: str(path) for name, path in paths.items()} | {"name": "ocihooks-runtime"} | changed
        self.launcher.unlink(missing_ok=True)
        self.launcher.write_bytes(patched(program, **settings))
        self.launcher.chmod(0o755)

    def call(self, *words: str | bytes, before: Sequence[str] = (), **options: Any) -> Ran:
        """Run the launcher with *words*; *before* are words in front of its path."""
        seen = {name: self.directory / f"{name}.seen" for name in ("runtime", "python")}
        for file in seen.values():
            file.unlink(missing_ok=True)
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} | options
        options.setdefault("env", {"PATH": os.environ["PATH"]})
        process = subprocess.Popen([*before, str(self.launcher), *words], **options)
        _, stderr = process.communicate(timeout=60)
        names = [name for name, file in seen.items() if file.exists()]
        assert len(names) < 2, "both programs ran"
        facts = seen[names[0]].read_text().splitlines() if names else []
        if facts and not before:
            assert f"process {process.pid}" in facts
        return Ran(
            program=names[0] if names else None,
            words=tuple(bytes.fromhex(fact[5:]) for fact in facts if fact.startswith("word "))[1:],
            facts=tuple(fact for fact in facts if fact.partition(" ")[0] not in ("word", "process", "parent")),
            status=process.returncode,
            stderr=os.fsdecode(stderr or b""),
        )


def make_config(**members: Any) -> bytes:
    """A config.json with one command, as compact JSON."""
    config = {"ociVersion": "1.0.2", "process": {"args": ["sh"], "cwd": "/"}, "root": {"path": "rootfs"}, **members}
    return json.dumps(config, separators=(",", ":"), ensure_ascii=False).encode()


class Bundle:
    """A bundle, the data that lets a create in it be skipped, and the words of that create."""

    def __init__(self, directory: Path, data: Path, texts: Sequence[str] = ("com.example.gpu",)) -> None:
        self.path = directory / "bundle"
        self.config = self.path / "config.json"
        self.rules = directory / "hooks.d"
        self.data = data
        self.path.mkdir()
        self.rules.mkdir()
        self.config.write_bytes(make_config(annotations={"org.example": "nothing"}))
        (self.rules / "10.json").write_text("{}")
        self.sources: tuple[str, ...] = (str(self.rules), str(self.rules / "10.json"), str(self.rules / "missing"))
        self.texts = tuple(texts)
        self.store()

    def store(self) -> None:
        """Write the data anew."""
        self.data.unlink(missing_ok=True)
        self.data.write_bytes(self.encoded())
        self.data.chmod(0o600)

    def encoded(self) -> bytes:
        """The data as it should be now."""
        return encode(snapshot(self.sources), self.texts)

    @property
    def create(self) -> tuple[str, ...]:
        """The words of a create."""
        return "create", "--bundle", str(self.path), "id"


@dataclass(frozen=True, slots=True)
class Case:
    """
    One call for the driver.

    Attributes:
        words: Without the program's name.
        files: Files to write before.
        failing: Which programs can't be started: 1 the runtime, 2 the interpreter.
    """

    words: Sequence[str | bytes]
    files: Mapping[Path, bytes] = field(default_factory=dict)
    failing: int = 0

    def encoded(self) -> bytes:
        """As the driver reads it."""
        words = [b"ocihooks-runtime", *map(os.fsencode, self.words)]
        files = b"".join(_block(os.fsencode(path)) + _block(content) for path, content in self.files.items())
        head = struct.pack("=II", self.failing, len(self.files))
        return head + files + struct.pack("=I", len(words)) + b"".join(map(_block, words))


def _block(content: bytes) -> bytes:
    return struct.pack("=I", len(content)) + content


def confined(command: list[str]) -> list[str]:
    """*command* so that it can write in the temporary directory only, since random words may name any file as log."""
    if os.geteuid() != 0:
        return command
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"'
    namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    return [*namespace, tempfile.gettempdir(), *command]


def answers(driver: Path, cases: Sequence[Case], *, data: Path | str = "") -> str:
    """What the launcher does in each case: a letter for each, see launcher/testing/driver.c."""
    stream = b"".join(case.encoded() for case in cases)
    command = [str(driver), "/fake/runtime", "/fake/python", "/fake/script.py", str(data), "ocihooks-runtime"]
    environment = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=0", "UBSAN_OPTIONS": "abort_on_error=1"}
    done = subprocess.run(
        confined(command), input=stream, capture_output=True, env=environment, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    assert len(done.stdout) == len(cases)
    return done.stdout.decode()


@pytest.fixture
def installed(builds: Builds, tmp_path: Path) -> Installed:
    """The launcher, installed."""
    return Installed(builds.launcher, builds.surroundings, tmp_path / "installed")


@pytest.fixture
def bundle(installed: Installed, tmp_path: Path) -> Bundle:
    """A bundle whose create the installed launcher may skip."""
    return Bundle(tmp_path, installed.data)
