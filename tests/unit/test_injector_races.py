"""
While somebody exchanges directories of the root for links to the host, nothing is changed where the links lead.

All but the last attack are made without Landlock, which would hide mistakes. The control is a program that looks at a
path and then uses it; it has to be caught by the same attack.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.injecting import Storm, no_such_call

from ocihooks.injector import rootfs
from ocihooks.injector.changes import Changes
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.kernel import openat2
from ocihooks.injector.refresh import prepared
from ocihooks.injector.rootfs import Root, look
from ocihooks.injector.undo import _undo_one
from ocihooks.injector.worker import Line, Worker

Act = Callable[[Path, Path], None]

EXCHANGE = """
import ctypes, os, sys
libc, root, count = ctypes.CDLL(None), sys.argv[1].encode(), 0
while os.getppid() == int(sys.argv[2]):
    for _ in range(100):
        libc.renameat2(-100, root + b"/opt", -100, root + b"/evil", 2)
        count += 1
    os.pwrite(1, b"%d\\n" % count, 0)
"""

CONTROL_S = 5
"""The naive have to be caught within so many seconds."""


def copy(root: Path, source: Path) -> None:
    """Make a directory, and put a file and a link into another one."""
    with Root(str(root)) as opened, Changes(opened, (0, 0)) as made, source.open("rb") as stream:
        made.make_directory("/opt/d", 0o700)
        made.add_file("/opt/t", stream.fileno(), 0o755)
        made.add_link("/opt/l", "t")
        made.put_in_place()


def make_node(root: Path, source: Path) -> None:
    """Make a device node with a mode and an owner."""
    with Root(str(root)) as opened, Changes(opened) as made:
        made.add_device("/opt/n", os.makedev(1, 3), stat.S_IFCHR | 0o666, (3, 3))
        made.put_in_place()


def take_back(root: Path, source: Path) -> None:
    """Put a file there and fail, so that it is unlinked, or what was there is renamed."""
    with Root(str(root)) as opened, Changes(opened) as made, source.open("rb") as stream:
        made.add_file("/opt/t", stream.fileno(), 0o755)
        made.put_in_place()
        raise InterruptedError


def undo(root: Path, source: Path) -> None:
    """Remove what somebody else's record names."""
    with Root(str(root)) as opened:
        place = look(opened.directory("/opt"), "keep")
        if place.status is not None:
            raise AssertionError("the canary can be seen")
        _undo_one(place, "keep", (0, 0, 0, 0, 0))


def read(root: Path, source: Path) -> None:
    """Read a file of the image."""
    with Root(str(root)) as opened:
        assert opened.read("/opt/keep", 100) == b"never"


def naive(root: Path, source: Path) -> None:
    """What the careful would not do: look at the path, then use it."""
    target = root / "opt/t"
    if os.path.realpath(target.parent).startswith(str(root)):
        target.write_bytes(source.read_bytes())


def naive_under_landlock(root: Path, source: Path) -> None:
    """The same, by a worker."""

    def work(line: Line, is_confined: bool) -> None:
        if not is_confined:
            raise ValueError("no Landlock")
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                naive(root, source)
            except OSError:
                continue

    with Root(str(root)) as opened:
        child = Worker((opened.fd,), work)
        try:
            child.hear()
        finally:
            child.close()


class Attack:
    """
    What came of an attack.

    Attributes:
        escapes: How often something appeared in the canary, or went from it.
        runs: How often the attacked ran.
        exchanges: How often directory and link were exchanged meanwhile.
    """

    def __init__(self, root: Path, act: Act, limit_s: float, enough: int = 1) -> None:
        self.canary = root.parent / "canary"
        self.canary.mkdir()
        (self.canary / "keep").write_text("secret")
        (root / "opt").mkdir()
        (root / "evil").symlink_to(self.canary)
        self.source = root.parent / "t"
        self.source.write_text("new")
        self.escapes = self.runs = self.exchanges = 0
        with (root.parent / "count").open("w+") as count:
            words = [sys.executable, "-c", EXCHANGE, str(root), str(os.getpid())]
            attacker = subprocess.Popen(words, stdout=count)
            try:
                self._run(root, act, limit_s, enough)
            finally:
                attacker.kill()
                attacker.wait()
            count.seek(0)
            self.exchanges = int((count.read().split() or ["0"])[0])

    def _run(self, root: Path, act: Act, limit_s: float, enough: int) -> None:
        end = time.monotonic() + limit_s
        while time.monotonic() < end and self.escapes < enough:
            self.runs += 1
            try:
                act(root, self.source)
            except OSError:
                pass
            self._look()

    def _look(self) -> None:
        names = os.listdir(self.canary)
        if names != ["keep"]:
            self.escapes += 1
            for name in names:
                path = self.canary / name
                path.rmdir() if path.is_dir() else path.unlink()
            (self.canary / "keep").write_text("secret")

    def __str__(self) -> str:
        return f"{self.escapes} escapes in {self.runs} runs, {self.exchanges} exchanges"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def held(root: Path, act: Act, seconds: float) -> None:
    """Attack, report, and see that nothing escaped."""
    attack = Attack(root, act, seconds)
    print(f"{act.__name__}: {attack}")
    assert attack.escapes == 0, str(attack)
    assert attack.runs > seconds * 5, str(attack)
    assert attack.exchanges > (200_000 if seconds >= 60 else 200 * seconds), str(attack)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
SHORT, FULL = 0.4, 60


@needs_root
@pytest.mark.parametrize("seconds", [SHORT, pytest.param(FULL, marks=pytest.mark.slow)], ids=["short", "full"])
@pytest.mark.parametrize("act", [copy, make_node, take_back, undo, read], ids=lambda act: act.__name__)
def test_races(root: Path, act: Act, seconds: float) -> None:
    """Nothing is made, changed, removed or read where the links lead."""
    held(root, act, seconds)


@needs_root
@pytest.mark.parametrize("seconds", [SHORT, pytest.param(20, marks=pytest.mark.slow)], ids=["short", "full"])
@pytest.mark.parametrize("kernel", ["without-openat2", "never-sure"])
def test_races_on_other_kernels(root: Path, kernel: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the kernel can't resolve inside a root, or says most of the time that it is not sure."""
    other: Any = no_such_call if kernel == "without-openat2" else Storm(openat2, 5)
    monkeypatch.setattr(rootfs, "openat2", other)
    held(root, copy, seconds)


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [20])
def test_races_of_the_linker_cache(root: Path, seconds: float) -> None:
    """The same while /etc and a directory with libraries are exchanged under the host's ldconfig."""
    (root / "etc").symlink_to("opt")
    (root / "lib").symlink_to("opt")
    (root / "lib64").mkdir()
    (root / "lib64/ld-linux-x86-64.so.2").write_text("x")

    def refresh(root: Path, source: Path) -> None:
        with Root(str(root)) as opened:
            made = prepared(opened, lambda level, text: None)
            if made is None:
                raise FileNotFoundError
            try:
                with Changes(opened) as changes:
                    if made.make(str(root), opened):
                        made.add(changes)
                        changes.put_in_place()
            finally:
                made.close()

    def tolerant(root: Path, source: Path) -> None:
        try:
            refresh(root, source)
        except NotInjectedError:
            return

    attack = Attack(root, tolerant, seconds)
    print(attack)
    assert (attack.escapes, attack.runs > 20, attack.exchanges > 2000) == (0, True, True), str(attack)


@needs_root
@pytest.mark.parametrize("seconds", [1, pytest.param(20, marks=pytest.mark.slow)], ids=["short", "full"])
def test_naive_under_landlock(root: Path, seconds: float) -> None:
    """Even somebody who looks at a path and then uses it can't escape from the worker."""
    try:
        attack = Attack(root, naive_under_landlock, seconds)
    except RuntimeError as error:
        pytest.skip(str(error))
    assert (attack.escapes, attack.exchanges > 100) == (0, True), str(attack)


def test_the_naive_escape(root: Path) -> None:
    """The same attack gets somebody who looks at a path and then uses it to write outside."""
    attack = Attack(root, naive, CONTROL_S)
    assert attack.escapes >= 1, str(attack)
