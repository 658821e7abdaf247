"""
Races for a root: somebody exchanges what is in it for links to the host, while somebody else changes the root.

Each kind of change has a careful form, which is the injector's, and a naive one, which looks at a path and then uses
it. All but one are made without Landlock, which would hide mistakes. As a program it runs one race: ``python racing.py
ROOT KIND FORM KERNEL SECONDS LEAST``.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.unit.injecting import Storm, no_such_call

from ocihooks.injector import rootfs
from ocihooks.injector.changes import PREFIX, Changes
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.kernel import openat2
from ocihooks.injector.linker_cache import PROGRAMS
from ocihooks.injector.refresh import prepared
from ocihooks.injector.rootfs import NotInPlaceError, Root, look
from ocihooks.injector.undo import _undo_one
from ocihooks.injector.worker import Line, Worker

Act = Callable[[Path, Path], bool | None]
"""What is attacked: gets the root and a file to copy; True: it has seen what is none of its business."""

ATTACKER = """
import ctypes, os, sys
libc, root, parent, prefix = ctypes.CDLL(None), sys.argv[1], int(sys.argv[2]), sys.argv[3]
outside = os.open(root, os.O_RDONLY)
name, inside, exchange = sys.argv[4].encode(), os.open(root + "/opt", os.O_RDONLY), libc.renameat2
exchange.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
exchanges = of_temporaries = 0
while os.getppid() == parent:
    for _ in range(20):
        for _ in range(10):
            exchanges += not exchange(outside, b"opt", outside, b"evil", 2)
            exchanges += not exchange(inside, name, inside, b"link", 2)
        for found in os.listdir(inside):
            if found.startswith(prefix):
                of_temporaries += not exchange(inside, found.encode(), inside, b"link", 2)
    os.pwrite(1, b"%d %d\\n" % (exchanges, of_temporaries), 0)
"""
"""Exchanges the directory for a link to the canary, and what is in it for another one, known names or not."""

SECRET = "secret"


def copy(root: Path, source: Path) -> None:
    """Put a file into a directory."""
    with Root(str(root)) as opened, Changes(opened, (0, 0)) as made, source.open("rb") as stream:
        made.add_file("/opt/t", stream.fileno(), 0o755)
        made.put_in_place()


def make_directory(root: Path, source: Path) -> None:
    """Make a directory in another one."""
    with Root(str(root)) as opened, Changes(opened, (3, 3)) as made:
        made.make_directory("/opt/d")
        made.put_in_place()


def copy_many(root: Path, source: Path) -> None:
    """Put files into a new directory, each half by another process."""

    def opened_source(path: Path) -> tuple[int, int, int]:
        return os.open(path, os.O_RDONLY), 0o755, 3

    with Root(str(root)) as opened, Changes(opened, (3, 3)) as made:
        made.make_directory("/opt/d")
        places = [opened.hidden_place(f"/opt/d/{name}") for name in ("keep", "m", "n", "o")]
        made.add_files([(place.parent, place.name, source) for place in places if place is not None], opened_source)
        made.put_in_place()


def make_link(root: Path, source: Path) -> None:
    """Make a link with an owner."""
    with Root(str(root)) as opened, Changes(opened, (3, 3)) as made:
        made.add_link("/opt/t", "anything")
        made.put_in_place()


def make_node(root: Path, source: Path) -> None:
    """Make a device node with a mode and an owner."""
    with Root(str(root)) as opened, Changes(opened) as made:
        made.add_device("/opt/t", os.makedev(1, 3), stat.S_IFCHR | 0o666, (3, 3))
        made.put_in_place()


def set_mode(root: Path, source: Path) -> None:
    """Make a directory with permission bits of its own."""
    with Root(str(root)) as opened, Changes(opened, (3, 3)) as made:
        made.make_directory("/opt/m", 0o777)
        made.put_in_place()


def take_back(root: Path, source: Path) -> None:
    """Put a file there and fail, so that it is unlinked, or what was there is renamed."""
    with Root(str(root)) as opened, Changes(opened) as made, source.open("rb") as stream:
        made.add_file("/opt/keep", stream.fileno(), 0o755)
        made.put_in_place()
        raise InterruptedError


def undo(root: Path, source: Path) -> bool:
    """Remove what somebody else's record names; whether the canary could be seen."""
    with Root(str(root)) as opened:
        place = look(opened.directory("/opt"), "keep")
        _undo_one(place, "keep", (0, 0, 0, 0, 0))
        return place.status is not None and place.status.st_size == len(SECRET)


def read(root: Path, source: Path) -> bool:
    """Read a file of the image; whether it was the canary."""
    with Root(str(root)) as opened:
        return opened.read("/opt/keep", 100) == SECRET.encode()


def refresh(root: Path, source: Path) -> None:
    """Have the host's ldconfig look at a directory with libraries, and put its cache into another one."""
    with Root(str(root)) as opened:
        made = prepared(opened, lambda level, text: None)
        if made is None:
            return
        try:
            with Changes(opened) as changes:
                if made.make(str(root), opened):
                    made.add(changes)
                    changes.put_in_place()
        except NotInjectedError:
            return
        finally:
            made.close()


def checked(root: Path, name: str) -> Path:
    """The path of *name*, once its directory was found to be in the root: what the naive do."""
    path = root / "opt" / name
    if not os.path.realpath(path.parent).startswith(str(root)):
        raise PermissionError
    return path


def naive_copy(root: Path, source: Path) -> None:
    """Look, then write."""
    checked(root, "t").write_bytes(source.read_bytes())


def naive_make_directory(root: Path, source: Path) -> None:
    """Look, then make a directory."""
    os.makedirs(checked(root, "d"))


def naive_copy_many(root: Path, source: Path) -> None:
    """Look, then make a directory and write into it."""
    path = checked(root, "d")
    path.mkdir(exist_ok=True)
    for name in ("keep", "n"):
        (path / name).write_bytes(source.read_bytes())


def naive_make_link(root: Path, source: Path) -> None:
    """Look, then make a link."""
    checked(root, "t").symlink_to("anything")


def naive_make_node(root: Path, source: Path) -> None:
    """Look, then make a node."""
    os.mknod(checked(root, "t"), stat.S_IFCHR | 0o666, os.makedev(1, 3))


def naive_set_mode(root: Path, source: Path) -> None:
    """Look, then set the mode."""
    path = checked(root, "m")
    path.mkdir(exist_ok=True)
    path.chmod(0o777)


def naive_take_back(root: Path, source: Path) -> None:
    """Look, then remove."""
    checked(root, "keep").unlink()


def naive_undo(root: Path, source: Path) -> None:
    """Look, then give back what was replaced."""
    checked(root, "keep").rename(root / "former")


def naive_read(root: Path, source: Path) -> bool:
    """Look, then read."""
    return checked(root, "keep").read_text() == SECRET


def naive_refresh(root: Path, source: Path) -> None:
    """Look, then have ldconfig write its cache there."""
    cache = checked(root, "ld.so.cache")
    program = next(filter(os.path.exists, PROGRAMS))
    words = [program, "-X", "-f", "/dev/null", "-C", str(cache), str(root / "lib64")]
    subprocess.run(words, stderr=subprocess.DEVNULL, check=False)


def naive_under_landlock(root: Path, source: Path) -> None:
    """Look, then write, by a worker."""

    def work(line: Line, is_confined: bool) -> None:
        if not is_confined:
            raise ValueError("no Landlock")
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                naive_copy(root, source)
            except OSError:
                continue

    with Root(str(root)) as opened:
        child = Worker((opened.fd,), work)
        try:
            child.hear()
        finally:
            child.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    A kind of change.

    Attributes:
        name: What somebody might exchange in the directory.
        form: "careful" and "naive", and who does it so.
    """

    name: str
    form: Mapping[str, Act]


KINDS = {
    "copy": Kind(name="t", form={"careful": copy, "naive": naive_copy}),
    "copy-many": Kind(name="d", form={"careful": copy_many, "naive": naive_copy_many}),
    "mkdir": Kind(name="d", form={"careful": make_directory, "naive": naive_make_directory}),
    "link": Kind(name="t", form={"careful": make_link, "naive": naive_make_link}),
    "mknod": Kind(name="t", form={"careful": make_node, "naive": naive_make_node}),
    "chmod": Kind(name="m", form={"careful": set_mode, "naive": naive_set_mode}),
    "unlink": Kind(name="keep", form={"careful": take_back, "naive": naive_take_back}),
    "undo": Kind(name="keep", form={"careful": undo, "naive": naive_undo}),
    "read": Kind(name="keep", form={"careful": read, "naive": naive_read}),
    "ldconfig": Kind(name="ld.so.cache", form={"careful": refresh, "naive": naive_refresh}),
    "landlock": Kind(name="t", form={"careful": naive_under_landlock, "naive": naive_copy}),
}
"""Every kind of change; under Landlock even the naive are careful."""

KERNELS: dict[str, Any] = {"openat2": openat2, "without-openat2": no_such_call, "never-sure": Storm(openat2, 5)}
"""How the kernel resolves paths in a root: as ours does, not at all, or only one time in five."""


def make_attacked(root: Path) -> Path:
    """Fill the empty *root*, and put a canary beside it, to which links in it lead; returns the canary."""
    canary = root.parent / "canary"
    make_canary(canary)
    (root / "opt").mkdir()
    (root / "evil").symlink_to(canary)
    for name in ("etc", "lib"):
        (root / name).symlink_to("opt")
    (root / "lib64").mkdir()
    (root / "lib64/ld-linux-x86-64.so.2").write_text("x")
    return canary


def make_canary(canary: Path) -> None:
    """A directory with a file, and with a directory."""
    canary.mkdir()
    (canary / "keep").write_text(SECRET)
    (canary / "m").mkdir(mode=0o700)


def seen(canary: Path) -> list[tuple[int, ...]]:
    """All that can be told about the canary without reading it: any change of it shows in the times of the inodes."""
    paths = (canary, *(canary / name for name in sorted(os.listdir(canary))))
    found = map(os.lstat, paths)
    return [(one.st_ino, one.st_mode, one.st_uid, one.st_gid, one.st_size, one.st_ctime_ns) for one in found]


class Attack:
    """
    What came of an attack.

    Attributes:
        escapes: How often the canary was changed or seen.
        runs: How often the attacked ran.
        exchanges: How often the attacker exchanged something meanwhile, *of_temporaries* aside.
        of_temporaries: How often that was a file that was not in its place yet.
    """

    def __init__(self, root: Path, kind: str, form: str, limit_s: float, *, least: int = 0, enough: int = 0) -> None:
        """
        Attack for *limit_s*, or until there are *enough* escapes.

        Where the machine is so busy that there were less than *least* exchanges, or with a naive form escapes, it goes
        on until there are as many, for at most four times as long.
        """
        self._counted = "exchanges" if form == "careful" else "escapes"
        self.canary = make_attacked(root)
        self.source = root.parent / "t"
        self.source.write_text("new")
        self.escapes = self.runs = self.exchanges = self.of_temporaries = 0
        self._inside = os.open(root / "opt", os.O_RDONLY)
        self._tidy()
        with (root.parent / "count").open("w+") as self._count:
            words = [sys.executable, "-c", ATTACKER, str(root), str(os.getpid()), PREFIX, KINDS[kind].name]
            attacker = subprocess.Popen(words, stdout=self._count)
            try:
                while attacker.poll() is None and not self.exchanges:
                    self._read_count()
                for round_s, wanted in ((limit_s, float("inf")), (4 * limit_s, least)):
                    self._run(root, KINDS[kind].form[form], round_s, enough, wanted)
            finally:
                attacker.kill()
                attacker.wait()
                os.close(self._inside)
            self._read_count()

    def _run(self, root: Path, act: Act, limit_s: float, enough: int, wanted: float) -> None:
        end, before = time.monotonic() + limit_s, seen(self.canary)
        while time.monotonic() < end and not 0 < enough <= self.escapes and getattr(self, self._counted) < wanted:
            self.runs += 1
            escaped: bool | None = False
            try:
                escaped = act(root, self.source)
            except (OSError, NotInPlaceError):
                pass
            if escaped or seen(self.canary) != before:
                self.escapes += 1
                remove(self.canary)
                make_canary(self.canary)
                before = seen(self.canary)
            self._tidy()
            self._read_count()

    def _read_count(self) -> None:
        words = os.pread(self._count.fileno(), 100, 0).split() or (0, 0)
        self.exchanges, self.of_temporaries = map(int, words)

    def _tidy(self) -> None:
        """Let nothing but a link to the canary's file be in the directory, wherever that is now."""
        for name in os.listdir(self._inside):
            for take_away in (os.unlink, os.rmdir):
                try:
                    take_away(name, dir_fd=self._inside)
                    break
                except OSError:  # of the other kind, or exchanged meanwhile
                    continue
        try:
            os.symlink(self.canary / "keep", "link", dir_fd=self._inside)
        except FileExistsError:
            pass

    def __str__(self) -> str:
        return f"{self.escapes} escapes in {self.runs} runs, {self.exchanges} + {self.of_temporaries} exchanges"


def remove(canary: Path) -> None:
    """Remove the canary with all that somebody has put into it."""
    for path in sorted(canary.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    canary.rmdir()


def main() -> None:
    """Run one race, and print what came of it."""
    root, kind, form, kernel, seconds, least = sys.argv[1:]
    vars(rootfs)["openat2"] = KERNELS[kernel]
    attack = Attack(Path(root), kind, form, float(seconds), least=int(least))
    print(json.dumps([attack.escapes, attack.runs, attack.exchanges, attack.of_temporaries]))


if __name__ == "__main__":
    main()
