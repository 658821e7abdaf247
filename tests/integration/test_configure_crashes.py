"""
`configure` and `unconfigure` killed, or refused by the system, at every system call that touches a file of theirs.

The engine's files are the old or the new ones, whole, at every instant; the next one repairs and cleans up.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tests.unit.engine_places import CASES, EnginePlace, make_place, read_case, set_up

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install.configure import configure
from ocihooks.install.scene import Target
from ocihooks.install.unconfigure import unconfigure

ERRORS = {
    "EIO": "input/output error",
    "ENOSPC": "no space left on device",
    "EACCES": "access is not allowed",
    "EROFS": "read-only file system",
    "EDQUOT": "disk quota exceeded",
    "ENOMEM": "cannot allocate memory",
    "EMFILE": "too many open files",
}
"""errno, and the words in which a message tells it."""

Record = Callable[[str, object], None]

WRITING = (
    *("write", "pwrite64", "mkdir", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "ftruncate"),
    *("fchmod", "chmod", "fchown", "fsync", "flock", "setxattr"),
)

READING = ("openat", "read", "newfstatat", "fstat", "getdents64", "readlink", "access")

NO_PROGRAM = "is no program that can be executed"
"""What is said of a wrapper that can't be looked at, whatever the cause."""

PROGRAM = "from ocihooks.cli import main; main()"

SCENES = {"docker": "usual-default", "containerd": "2-version-3"}
"""One file that changes, and two of which one is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    An engine and one of the two commands.

    Attributes:
        place: The machine.
        target: The handler.
        command: ``configure`` or ``unconfigure``.
        before: The engine's files before the command.
        after: And after it.
        points: The system calls of the command that write, by name and number.
    """

    place: EnginePlace
    target: Target
    command: str
    before: dict[str, str]
    after: dict[str, str]

    def reset(self) -> None:
        """Make everything as it is before the command."""
        unconfigure(self.target)
        if self.command == "unconfigure":
            configure(self.target)
        else:
            shutil.rmtree(self.place.root / "state")
        assert self.place.files() == self.before

    def run(self, *under: str) -> subprocess.CompletedProcess[str]:
        """Run the command with the words *under* in front."""
        words = [self.command, self.target.engine, "--config", str(self.target.file)]
        words += ["--state-dir", self.target.state_dir]
        if self.command == "configure":
            words += ["--path", str(self.target.program), *(["--default"] if self.target.default else [])]
        python = [sys.executable, "-I", "-B", "-c", PROGRAM]
        return subprocess.run([*under, *python, *words], capture_output=True, text=True, check=False, timeout=120)

    def finish(self) -> None:
        """Do what the command is for."""
        if self.command == "configure":
            configure(self.target)
        else:
            unconfigure(self.target)

    def litter(self) -> list[str]:
        """Files that neither an engine nor we would know."""
        return [file for file in self.place.files() if "ocihooks-" in file.rpartition("/")[2] or file.startswith(".")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A system call of one run.

    Attributes:
        number: Which one it is among those of its name, and, where there is a path, among those that name it.
        path: What it looks at, or the directory; at how many others we look hangs on what runs on this machine.
        text: All of it.
    """

    name: str
    number: int
    path: str
    text: str

    def met_by(self, action: str) -> tuple[str, ...]:
        """strace with *action* for this call."""
        only = ("-P", self.path) if self.path else ()
        return tracing(f"trace={self.name}", "-e", f"inject={self.name}:{action}:when={self.number}", *only)


def tracing(expression: str, *options: str) -> tuple[str, ...]:
    """strace with one expression, for the command but not for the programs that it asks for their versions."""
    return ("strace", "-o", "/dev/null", *options, "-e", expression)


@pytest.fixture(
    params=[
        pytest.param(f"{command}-{engine}", marks=[pytest.mark.slow] if engine != "docker" else [])
        for engine in SCENES
        for command in ("configure", "unconfigure")
    ]
)
def scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Scene:
    """Each engine and each command."""
    if shutil.which("strace") is None:
        unavailable(UnavailableError("strace: not found on PATH", hint="apt-get install strace"))
    command, _, engine = request.param.partition("-")
    case = read_case(CASES / engine / SCENES[engine])
    place = make_place(tmp_path, monkeypatch)
    target = set_up(place, case)
    if command == "unconfigure":
        configure(target)
        return Scene(place=place, target=target, command=command, before=dict(case.after), after=dict(case.before))
    return Scene(place=place, target=target, command=command, before=dict(case.before), after=dict(case.after))


def writing_calls(scene: Scene) -> list[Call]:
    """The calls of one run that write or make files of the place."""
    return [call for call in calls_of(scene) if call.name in WRITING or "O_CREAT" in call.text]


def reading_calls(scene: Scene) -> list[Call]:
    """Of the calls of one run that look at files of the place, the first of each name and path."""
    found = [call for call in calls_of(scene) if call.name in READING and "O_CREAT" not in call.text]
    return list({(call.name, call.path): call for call in reversed(found)}.values())


def calls_of(scene: Scene) -> list[Call]:
    """The calls of one run that have to do with files of the place."""
    trace = scene.place.root / "trace"
    scene.reset()
    assert scene.run(*tracing("trace=file,desc", "-y", "-s", "0", "-o", str(trace))).returncode == 0
    assert scene.place.files() == scene.after
    return list(_calls(trace.read_text(), str(scene.place.root)))


def _calls(trace: str, directory: str) -> Iterator[Call]:
    numbers: Counter[tuple[str, str]] = Counter()
    for name, text in re.findall(r"^(\w+)\((.*)", trace, re.MULTILINE):
        paths = _named(text) if name in READING else ("",)
        numbers.update((name, path) for path in paths)
        if directory in text:
            yield Call(name=name, number=numbers[name, paths[0]], path=paths[0], text=text)


def _named(text: str) -> tuple[str, ...]:
    """The paths in a call: the directory, unless it is the working directory, and the name; or the file's."""
    match = re.match(r'(?:\d+<(.*?)>|AT_FDCWD\S*), "(.*?)"', text) or re.match(r'\d+<(.*?)>|"(.*?)"', text)
    return tuple(path for path in match.groups() if path) if match else ("",)


def test_killed_while_writing(scene: Scene, record_property: Record) -> None:
    """Killed at any call that writes: each file is the old or the new one, and the next run repairs and cleans up."""
    seen = set()
    calls = writing_calls(scene)
    record_property("amount", f"{len(calls)} kills")
    for call in calls:
        scene.reset()
        killed = scene.run(*call.met_by("signal=KILL"))
        assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (call, killed)
        files = scene.place.files()
        for file, content in files.items():
            assert file in scene.litter() or content in (scene.before.get(file), scene.after.get(file)), (file, call)
        seen.add({file: files[file] for file in files if file not in scene.litter()} == scene.after)
        scene.finish()
        assert scene.place.files() == scene.after, call
        if scene.command == "unconfigure":
            assert scene.place.litter() == []
    assert seen == {True, False}


@pytest.mark.slow
def test_refused_while_writing(scene: Scene, record_property: Record) -> None:
    """Refused at any call that writes: old files, nothing beside them, and a message that names file and cause."""
    calls = writing_calls(scene)
    outcomes = Counter(refused_at(scene, call, list(ERRORS)[index % len(ERRORS)]) for index, call in enumerate(calls))
    assert outcomes["refused"] > 5
    record_property("amount", f"{len(calls)} refused calls")


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["configure-docker", "unconfigure-docker"], indirect=True)
def test_refused_while_reading(scene: Scene, record_property: Record) -> None:
    """The same at any call that looks at something."""
    calls = reading_calls(scene)
    outcomes = Counter(refused_at(scene, call, list(ERRORS)[index % len(ERRORS)]) for index, call in enumerate(calls))
    assert outcomes["refused"] > 5
    record_property("amount", f"{len(calls)} refused calls")


def refused_at(scene: Scene, call: Call, error: str) -> str:
    """How the command ends whose *call* is refused, which has to be one of the good ways."""
    scene.reset()
    done = scene.run(*call.met_by(f"error={error}"))
    about = (error, call, done.stderr)
    assert "Traceback" not in done.stderr, about
    assert "internal error" not in done.stderr, about
    assert scene.litter() == [], about
    if done.returncode == 0:  # what can be done without, such as giving a lock a name
        assert scene.place.files() == scene.after, about
        return "done"
    assert done.stderr.startswith(f"ocihooks: {scene.place.root}"), about
    assert ERRORS[error] in done.stderr or NO_PROGRAM in done.stderr, about
    if "may be the old one again after a power loss" not in done.stderr:
        unwanted = {file for file, content in scene.place.files().items() if content != scene.before.get(file)}
        assert unwanted == set() or scene.place.files() == scene.after, about
    scene.finish()
    assert scene.place.files() == scene.after, about
    return "refused"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_full_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full file system the old file stays, nothing is left beside it, and the message says so."""
    place = make_place(tmp_path, monkeypatch)
    place.version("docker", "20.10.24")
    script = (
        'mount -t tmpfs -o size=64k none "$1" && echo "{}" > "$1/daemon.json" &&'
        ' { cat /dev/zero > "$1/fill" 2>/dev/null; shift; "$@"; echo $?; cat "$0/daemon.json"; ls -A "$0"; }'
    )
    words = ["configure", "docker", "--config", f"{place.etc}/daemon.json", "--path", str(place.wrapper)]
    words += ["--state-dir", f"{place.root}/state"]
    python = [sys.executable, "-I", "-c", PROGRAM]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(place.etc), str(place.etc)]
    call = subprocess.run([*command, *python, *words], capture_output=True, text=True, check=False, timeout=60)
    assert call.stdout.split() == ["3", "{}", "daemon.json", "fill"], call
    assert "no space left on device" in call.stderr
    assert "hint: free some space" in call.stderr
    assert place.litter() == []
