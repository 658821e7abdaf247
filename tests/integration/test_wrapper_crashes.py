"""
The wrapper killed, or refused by the system, at every system call that touches a file of ours or of the bundle.

config.json is the old or the new one, whole, at every instant; the next start works and leaves nothing behind. Three
ways lead through a create, and each is looked at: with compiled rules ("warm"), without ("cold"), and by the launcher
alone, which skips a container that matches nothing ("skipped"). The launcher's own calls come before those of Python,
so one way runs in that form, one in the other; the rest of the product, and every error at every call, is marked slow.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest
from tests.integration.wrappers import PROGRAM, Wrapper, install_wrapper, litter

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install.launcher import is_built
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
INTERRUPTED = "EINTR"
"""After this error a call is made again where the kernel could give it; no message is promised."""


Record = Callable[[str, object], None]

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
        skipped: Whether the launcher starts the runtime without the wrapper in Python.
        points: The system calls of one create that touch a file of ours.
    """

    directory: Path
    wrapper: Wrapper
    bundle: MadeBundle
    old: bytes
    new: bytes
    cold: bool
    skipped: bool
    points: tuple[Point, ...] = ()

    def reset(self) -> None:
        """Make config.json the engine's again."""
        self.bundle.config_path.unlink()
        self.bundle.config_path.write_bytes(self.old)
        if self.cold:
            for file in (self.wrapper.directory / "cache").glob("*.rules*"):
                file.unlink()

    def writing(self) -> list[Point]:
        """The points that write."""
        return [point for point in self.points if point.name in WRITING or "O_CREAT" in point.text]

    def litter_in_the_cache(self) -> list[str]:
        """What lies beside the compiled rules."""
        cache = self.wrapper.directory / "cache"
        return [path.name for path in cache.iterdir() if path.name.startswith(".")] if cache.exists() else []

    def content(self) -> bytes:
        """config.json as it is at present."""
        return self.bundle.config_path.read_bytes()

    def create(self, action: str = "", point: Point | None = None) -> subprocess.CompletedProcess[str]:
        """Create a container; *action* is what strace shall do at *point*."""
        return create(self.wrapper, self.bundle, [] if point is None else meeting(point, action))


def meeting(point: Point, action: str) -> list[str]:
    """strace with *action* for one call; the others are not even written down, which saves a quarter of the time."""
    chosen = ["-e", f"trace={point.name}", "-e", f"inject={point.name}:{action}:when={point.number}"]
    return ["strace", "-o", "/dev/null", *chosen]


def create(wrapper: Wrapper, bundle: MadeBundle, under: list[str]) -> subprocess.CompletedProcess[str]:
    """Create a container with the words *under* in front."""
    words = [str(wrapper.script), "create", "--bundle", str(bundle.directory), "c1"]
    return subprocess.run([*under, *words], capture_output=True, text=True, check=False, timeout=60)


WAYS = [
    "warm-launcher",
    "cold-script",
    "skipped-launcher",
    pytest.param("warm-script", marks=pytest.mark.slow),
    pytest.param("cold-launcher", marks=pytest.mark.slow),
]
KILLS = 70
"""How often a create is killed at random on each of three ways."""


def only(*ways: object) -> pytest.MarkDecorator:
    """Run a test on these ways only."""
    return pytest.mark.parametrize("traced", list(ways), indirect=True)


@pytest.fixture(scope="module", params=WAYS)
def traced(
    request: pytest.FixtureRequest,
    public_directory: Path,
    rootfs: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Scene:
    """A scene in which one create has been traced."""
    if shutil.which("strace") is None:
        unavailable(UnavailableError("strace: not found on PATH", hint="apt-get install strace"))
    way, _, form = str(request.param).partition("-")
    if form == "launcher" and not is_built():
        unavailable(UnavailableError("the package was built without the launcher", hint="apt-get install gcc"))
    directory = public_directory / f"crashes-{request.param}"
    directory.mkdir(mode=0o755)
    runtime = directory / "nothing-runc"
    runtime.write_text("#!/bin/sh\necho started\n")
    runtime.chmod(0o755)
    wrapper = install_wrapper(directory / "w", runtime, launcher=form == "launcher")
    for name in ("a", "b"):
        command = "none" if way == "skipped" else "true"
        wrapper.write_rule(f"{name}.json", hook={"path": "/bin/cat"}, when={"commands": [command]})
    bundle = make_bundle(directory / "b", rootfs=rootfs)
    old = bundle.config_path.read_bytes()
    time.sleep(2.1)  # rules that were written a moment ago are not kept compiled
    for _ in range(2):
        bundle.write_config(old)
        assert create(wrapper, bundle, []).stdout == "started\n"
    new = bundle.config_path.read_bytes()
    assert (new == old) == (way == "skipped")
    scene = Scene(
        directory=directory,
        wrapper=wrapper,
        bundle=bundle,
        old=old,
        new=new,
        cold=way == "cold",
        skipped=way == "skipped",
    )
    scene.reset()
    trace = directory / "trace"
    assert create(wrapper, bundle, ["strace", "-y", "-s", "0", "-o", str(trace)]).stdout == "started\n"
    text = trace.read_text()
    assert (f"{PROGRAM}.call" in text) != scene.skipped  # what Python loads, and the launcher never looks at
    return replace(scene, points=tuple(points_in(text, scene)))


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
    script = scene.wrapper.python_script
    read = (script, script.with_suffix(".start")) if script.suffix else (script,)  # the launcher starts either form
    program = (*(f"{file}{end}" for file in read for end in '>"'), f'{scene.wrapper.script}"')
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


@only("warm-launcher", "cold-script", pytest.param("warm-script", marks=pytest.mark.slow))
def test_killed_anywhere(scene: Scene, record_property: Record) -> None:
    """Killed at any system call: config.json is the old or the new one, and the next start repairs and cleans up."""
    seen = set()
    points = scene.writing() if scene.cold else scene.points
    record_property("amount", f"{len(points)} kills")
    for point in points:
        scene.reset()
        killed = scene.create("signal=KILL", point)
        content = scene.content()
        assert content in (scene.old, scene.new), point
        assert killed.stdout == "", point
        seen.add((killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), content == scene.new))
        assert scene.create().stdout == "started\n", point
        assert scene.content() == scene.new, point
        assert litter(scene.bundle) == [], point
        assert scene.litter_in_the_cache() == [], point
    assert (True, False) in seen
    assert scene.cold or (True, True) in seen


@pytest.mark.slow
@only("warm-launcher", "warm-script", "cold-script")
def test_killed_at_random(scene: Scene, record_property: Record) -> None:
    """Killed at any time, also within a call: the same."""
    dice, began = random.Random(1), time.monotonic()
    scene.create()
    longest = time.monotonic() - began
    outcomes = Counter[bool]()
    words = [str(scene.wrapper.script), "create", "--bundle", str(scene.bundle.directory), "c1"]
    for number in range(KILLS):
        scene.reset()
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
            time.sleep(dice.uniform(0, longest))
            process.kill()
        content = scene.content()
        assert content in (scene.old, scene.new), number
        outcomes[content == scene.new] += 1
    assert scene.create().stdout == "started\n"
    assert scene.content() == scene.new
    assert litter(scene.bundle) == []
    assert scene.litter_in_the_cache() == []
    assert outcomes[False] > 0
    record_property("amount", f"{KILLS} kills")


@only("skipped-launcher")
def test_killed_while_skipping(scene: Scene, record_property: Record) -> None:
    """The launcher killed at any system call has changed nothing, and is in no next one's way."""
    assert len(scene.points) > 15
    record_property("amount", f"{len(scene.points)} kills")
    for point in scene.points:
        killed = scene.create("signal=KILL", point)
        assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), point
        assert (killed.stdout, scene.content(), litter(scene.bundle)) == ("", scene.old, []), point
    assert scene.create().stdout == "started\n"


@only("skipped-launcher")
def test_refused_while_skipping(scene: Scene, record_property: Record) -> None:
    """Whatever the launcher is refused, the wrapper in Python comes to the same end: nothing to add, a start."""
    record_property("amount", f"{len(scene.points)} refused calls")
    errors = [*ERRORS, INTERRUPTED]
    for index, point in enumerate(scene.points):
        call = scene.create(f"error={errors[index % len(errors)]}", point)
        assert (call.returncode, call.stdout, call.stderr) == (0, "started\n", ""), point
        assert (scene.content(), litter(scene.bundle)) == (scene.old, []), point


@only("warm-launcher", "cold-script", pytest.param("cold-launcher", marks=pytest.mark.slow))
def test_refused_anywhere(scene: Scene, record_property: Record) -> None:
    """Refused at any system call: the new config.json and a start, or the old one, nothing beside it, and a message."""
    errors = [*ERRORS, INTERRUPTED]
    outcomes = [refused_at(scene, point, errors[index % len(errors)]) for index, point in enumerate(refusable(scene))]
    assert {"started", "refused"} <= set(outcomes)
    assert len(outcomes) > 20
    record_property("amount", f"{len(outcomes)} refused calls")


@pytest.mark.slow
@only("warm-launcher", "warm-script", "cold-script", "skipped-launcher")
@pytest.mark.parametrize("error", [*ERRORS, INTERRUPTED])
def test_refused_anywhere_by_every_error(scene: Scene, error: str, record_property: Record) -> None:
    """The same for every error at every call."""
    points = refusable(scene)
    record_property("amount", f"{len(points)} refused calls")
    outcomes = {refused_at(scene, point, error) for point in points}
    assert "started" in outcomes


def refusable(scene: Scene) -> list[Point]:
    """The calls to refuse: all; while rules are read anew, which takes long, those that open, list or write."""
    return [point for point in scene.points if not scene.cold or point.name in ("openat", "getdents64", *WRITING)]


def refused_at(scene: Scene, point: Point, error: str) -> str:
    """How a create ends that is refused at *point*."""
    scene.reset()
    call = scene.create(f"error={error}", point)
    return outcome(scene, call, f"{error} {point}")


@only("warm-launcher", pytest.param("warm-script", marks=pytest.mark.slow))
@pytest.mark.parametrize("error", ERRORS)
def test_refused_while_writing(scene: Scene, error: str, record_property: Record) -> None:
    """Whatever the system says while config.json is written, the message has the file and the words for it."""
    written = [point for point in scene.writing() if str(scene.bundle.directory) in point.text]
    record_property("amount", f"{len(written)} refused calls")
    assert [point.name for point in written if "O_CREAT" in point.text] == ["openat"]
    assert {"write", "fchmod"} <= {point.name for point in written}
    assert {point.name for point in written} & {"rename", "renameat", "renameat2"}
    for point in written:
        scene.reset()
        call = scene.create(f"error={error}", point)
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


@only("warm-launcher", "warm-script")
@pytest.mark.parametrize("limit", [0, 1000], ids=["at-once", "after-a-part"])
def test_file_size_limit(scene: Scene, limit: int) -> None:
    """A limit on the size of files, whose signal CPython ignores: the old config.json and a message."""
    call = create(scene.wrapper, scene.bundle, ["prlimit", f"--fsize={limit}"])
    assert outcome(scene, call, "fsize") == "refused"
    assert "file too large" in call.stderr


@only("warm-launcher", "warm-script")
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
