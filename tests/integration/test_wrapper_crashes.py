"""
The wrapper killed, or refused by the system, at every system call that touches a file of ours or of the bundle.

config.json is the old or the new one, whole, at every instant; the next start works and leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest
from tests.integration.wrappers import PROGRAM, Wrapper, install_wrapper, litter

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.bundles import MadeBundle, make_bundle

# errno, and the words in which a message tells it.
ERRORS = {
    "EIO": "input/output error",
    "ENOSPC": "no space left on device",
    "EACCES": "access is not allowed",
    "EMFILE": "too many open files",
    "ENOMEM": "cannot allocate memory",
    "EROFS": "read-only file system",
    "EDQUOT": "disk quota exceeded",
}


WRITING = ("write", "mkdir", "rename", "renameat", "renameat2", "unlink", "unlinkat", "fchmod", "fchown", "setxattr")

CALLS = (
    "openat",
    "read",
    "newfstatat",
    "fstat",
    "getdents64",
    "readlink",
    "readlinkat",
    "fsync",
    "flistxattr",
    *WRITING,
)
"""What reads or writes files or their attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The *number*-th call of a system call, and the call as strace shows it."""

    name: str
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    A wrapper in front of a runtime that does nothing.

    Attributes:
        old: config.json as an engine writes it.
        new: As the wrapper leaves it.
        cold: Whether there are no compiled rules yet when a container is created.
        points: The system calls of one create that touch a file of ours.
    """

    directory: Path
    wrapper: Wrapper
    bundle: MadeBundle
    old: bytes
    new: bytes
    cold: bool
    points: tuple[Point, ...] = ()

    def reset(self) -> None:
        """Make config.json the engine's again."""
        self.bundle.config_path.unlink()
        self.bundle.config_path.write_bytes(self.old)
        if self.cold:
            shutil.rmtree(self.wrapper.directory / "cache", ignore_errors=True)

    def writing(self) -> list[Point]:
        """The points that write."""
        return [point for point in self.points if point.name in WRITING or "O_CREAT" in point.text]

    def content(self) -> bytes:
        """config.json as it is at present."""
        return self.bundle.config_path.read_bytes()

    def create(self, inject: str | None = None) -> subprocess.CompletedProcess[str]:
        """Create a container; *inject* is what strace shall do."""
        return create(self.wrapper, self.bundle, [] if inject is None else tracing(inject))


def tracing(inject: str, output: str = "/dev/null") -> list[str]:
    """strace with one expression."""
    return ["strace", "-y", "-s", "0", "-o", output, "-e", inject]


def create(wrapper: Wrapper, bundle: MadeBundle, under: list[str]) -> subprocess.CompletedProcess[str]:
    """Create a container with the words *under* in front."""
    words = [str(wrapper.script), "create", "--bundle", str(bundle.directory), "c1"]
    return subprocess.run([*under, *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module", params=["warm", "cold"])
def traced(
    request: pytest.FixtureRequest,
    public_directory: Path,
    rootfs: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Scene:
    """A scene in which one create has been traced."""
    if shutil.which("strace") is None:
        unavailable(UnavailableError("strace: not found on PATH", hint="apt-get install strace"))
    directory = public_directory / f"crashes-{request.param}"
    directory.mkdir(mode=0o755)
    runtime = directory / "nothing-runc"
    runtime.write_text("#!/bin/sh\necho started\n")
    runtime.chmod(0o755)
    wrapper = install_wrapper(directory / "w", runtime)
    for name in ("a", "b"):
        wrapper.write_rule(f"{name}.json", hook={"path": "/bin/cat"}, when={"commands": ["true"]})
    bundle = make_bundle(directory / "b", rootfs=rootfs)
    old = bundle.config_path.read_bytes()
    time.sleep(2.1)  # rules that were written a moment ago are not kept compiled
    for _ in range(2):
        bundle.write_config(old)
        assert create(wrapper, bundle, []).stdout == "started\n"
    new = bundle.config_path.read_bytes()
    scene = Scene(directory=directory, wrapper=wrapper, bundle=bundle, old=old, new=new, cold=request.param == "cold")
    scene.reset()
    trace = directory / "trace"
    assert create(wrapper, bundle, tracing("trace=all", str(trace))).stdout == "started\n"
    return replace(scene, points=tuple(points_in(trace.read_text(), scene)))


@pytest.fixture
def scene(traced: Scene) -> Scene:
    """The scene as it is before a create."""
    traced.reset()
    return traced


def points_in(trace: str, scene: Scene) -> Iterator[Point]:
    """
    The calls in *trace* that touch a file of the scene, up to the start of the runtime.

    Those by which the interpreter reads its program are left out: what it says when it can't is its own.
    """
    numbers: dict[str, int] = {}
    program = (f"{scene.wrapper.python_script}>", f'{scene.wrapper.python_script}"', f'{scene.wrapper.script}"')
    for line in trace.splitlines():
        called = re.match(r"(\w+)\((.*)", line)
        if called is None:
            continue
        name, text = called.groups()
        if name == "execve" and f'"{scene.wrapper.runtime}"' in text:
            return
        numbers[name] = numbers.get(name, 0) + 1
        if str(scene.directory) in text and name in CALLS and not any(word in text for word in program):
            yield Point(name=name, number=numbers[name], text=text)


def test_killed_anywhere(scene: Scene) -> None:
    """Killed at any system call: config.json is the old or the new one, and the next start repairs and cleans up."""
    seen = set()
    for point in scene.writing() if scene.cold else scene.points:
        scene.reset()
        killed = scene.create(f"inject={point.name}:signal=KILL:when={point.number}")
        content = scene.content()
        assert content in (scene.old, scene.new), point
        assert killed.stdout == "", point
        seen.add((killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), content == scene.new))
        assert scene.create().stdout == "started\n", point
        assert scene.content() == scene.new, point
        assert litter(scene.bundle) == [], point
    assert (True, False) in seen
    assert scene.cold or (True, True) in seen


def test_refused_anywhere(scene: Scene) -> None:
    """Refused at any system call: the new config.json and a start, or the old one, nothing beside it, and a message."""
    names = list(ERRORS)
    outcomes = []
    points = [point for point in scene.points if not scene.cold or point.name in ("openat", "getdents64", *WRITING)]
    for index, point in enumerate(points):
        scene.reset()
        error = names[index % len(names)]
        call = scene.create(f"inject={point.name}:error={error}:when={point.number}")
        outcomes.append(outcome(scene, call, f"{error} {point}"))
    assert {"started", "refused"} <= set(outcomes)
    assert len(outcomes) > 20


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("traced", ["warm"], indirect=True)
def test_refused_while_writing(scene: Scene, error: str) -> None:
    """Whatever the system says while config.json is written, the message has the file and the words for it."""
    written = [point for point in scene.writing() if str(scene.bundle.directory) in point.text]
    assert [point.name for point in written if "O_CREAT" in point.text] == ["openat"]
    assert {"write", "fchmod"} <= {point.name for point in written}
    assert {point.name for point in written} & {"rename", "renameat", "renameat2"}
    for point in written:
        scene.reset()
        call = scene.create(f"inject={point.name}:error={error}:when={point.number}")
        assert outcome(scene, call, str(point)) == "refused", point
        assert str(scene.bundle.config_path) in call.stderr, point
        assert ERRORS[error] in call.stderr, point


def outcome(scene: Scene, call: subprocess.CompletedProcess[str], about: str) -> str:
    """How a call ended, which has to be one of the good ways."""
    content = scene.content()
    assert litter(scene.bundle) == [], about
    assert "Traceback" not in call.stderr, (about, call)
    if call.returncode == 0:
        assert (call.stdout, call.stderr) == ("started\n", ""), about
        assert content == scene.new, about
        return "started"
    assert call.returncode == 1, (about, call)
    assert call.stdout == "", about
    assert content == scene.old, about
    lines = call.stderr.splitlines()
    assert lines, (about, call)
    assert lines[0].startswith(f"{PROGRAM}: "), (about, call)
    assert lines[0].endswith("container not created"), (about, call)
    assert all(line.startswith((f"{PROGRAM}: ", "hint: ")) for line in lines), (about, call)
    assert "internal error" not in call.stderr, (about, call)
    return "refused"


@pytest.mark.parametrize("traced", ["warm"], indirect=True)
@pytest.mark.parametrize("limit", [0, 1000], ids=["at-once", "after-a-part"])
def test_file_size_limit(scene: Scene, limit: int) -> None:
    """A limit on the size of files, whose signal CPython ignores: the old config.json and a message."""
    call = create(scene.wrapper, scene.bundle, ["prlimit", f"--fsize={limit}"])
    assert outcome(scene, call, "fsize") == "refused"
    assert "file too large" in call.stderr


@pytest.mark.parametrize("traced", ["warm"], indirect=True)
def test_full_file_system(scene: Scene) -> None:
    """A bundle on a full file system: the old config.json and a message that says so."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    script = (
        'mount -t tmpfs -o size=64k,mode=700 none "$1" && cp "$2" "$1/config.json" &&'
        ' { cat /dev/zero > "$1/fill" 2>/dev/null; "$3" create --bundle "$1" c1; echo $?; cmp "$1/config.json" "$2";'
        ' ls -A "$1"; }'
    )
    saved = scene.directory / "saved.json"
    saved.write_bytes(scene.old)
    words = [str(scene.bundle.directory), str(saved), str(scene.wrapper.script)]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]
    call = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert call.stdout.split() == ["1", "config.json", "fill"], call
    assert "no space left on device" in call.stderr
    assert "hint: free some space" in call.stderr
