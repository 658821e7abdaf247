"""
Loses power while files are replaced, and tells what was there afterwards, as JSON.

    python power_losses.py DIRECTORY WHAT COUNT SEED

It needs a mount namespace of its own. The file system is ext4 on a loop device, in the mode in which it may write names
long before data. Power is lost by the ioctl with which such a file system stops at once: in turn with what the journal
has in memory written before, and without.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.engine_places import EnginePlace, make_place

from ocihooks.errors import OCIHooksError
from ocihooks.install.configure import configure
from ocihooks.install.scene import Target
from ocihooks.install.unconfigure import unconfigure
from ocihooks.replace import replace_file

EXT4_IOC_SHUTDOWN = 0x8004587D
WITH_JOURNAL, WITHOUT_JOURNAL = 1, 2

OPTIONS = "loop,noauto_da_alloc,data=writeback"

Report = Callable[[str, int], None]
"""Called with ``begun`` or ``done``, and the number of a version of the file."""


class Disk:
    """An ext4 file system that can lose power; it is mounted while one works with it."""

    def __init__(self, directory: Path) -> None:
        self.image = directory / "image"
        self.root = directory / "disk"
        self.root.mkdir()
        with self.image.open("wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The directory with the file system."""
        subprocess.run(["mount", "-t", "ext4", "-o", OPTIONS, self.image, self.root], check=True)
        try:
            yield self.root
        finally:
            subprocess.run(["umount", self.root], check=True)

    def lose_power(self, how: int) -> None:
        """Stop, and forget what is not on disk."""
        fd = os.open(self.root, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", how))
        os.close(fd)


class Replaced:
    """A file that is replaced again and again, each time by a longer or shorter one."""

    def __init__(self, write: Callable[[Path, bytes], None]) -> None:
        self.write = write

    def prepare(self, root: Path, number: int) -> None:
        """The first version."""
        (root / "file").write_bytes(content(0))

    def work(self, root: Path, report: Report) -> None:
        """Replace it until that is not possible any more."""
        version = 0
        while True:
            version += 1
            report("begun", version)
            self.write(root / "file", content(version))
            report("done", version)

    def look(self, root: Path) -> int | None:
        """Which version is there; None: none."""
        found = (root / "file").read_bytes()
        version = int(found[:8]) if found[:8].isdigit() else -1
        return version if found == content(version) else None


class Configured:
    """daemon.json, which is configured and unconfigured in turn; in some rounds it was not there before."""

    BEFORE = '{\n  "debug": true\n}\n'

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.new = ""

    def prepare(self, root: Path, number: int) -> None:
        """A machine with Docker."""
        for path in root.iterdir():
            shutil.rmtree(path)
        self.files = {} if number % 3 == 0 else {"docker/daemon.json": self.BEFORE}
        with pytest.MonkeyPatch.context() as patch:
            place = make_place(root, patch)
        place.version("docker", "20.10.24")
        for file, text in self.files.items():
            place.write(file, text)
        self.change(root, configure)
        (self.new,) = place.files().values()
        self.change(root, unconfigure)
        assert place.files() == self.files

    @staticmethod
    def change(root: Path, act: Callable[[Target], object]) -> None:
        """Configure or unconfigure."""
        place = EnginePlace(root=root)
        act(place.target("docker", file=str(place.etc / "docker/daemon.json")))

    def work(self, root: Path, report: Report) -> None:
        """Configure in odd versions, and unconfigure in even ones."""
        version = 0
        while True:
            version += 1
            report("begun", version)
            self.change(root, configure if version % 2 else unconfigure)
            report("done", version)

    def look(self, root: Path) -> int | None:
        """0 or 1 for the one or the other; whatever it is, unconfiguring mends and cleans up."""
        place = EnginePlace(root=root)
        found = {file: text for file, text in place.files().items() if "ocihooks-" not in file}
        configured = found == {"docker/daemon.json": self.new}
        if not configured and found != self.files:
            return None
        self.change(root, configure)
        self.change(root, unconfigure)
        return int(configured) if (place.files(), place.litter()) == (self.files, []) else None


def content(version: int) -> bytes:
    """A version of the file."""
    return f"{version:08}".encode() * (600 + version % 5 * 700)


def carefully(file: Path, data: bytes) -> None:
    """As we do it."""
    replace_file(str(file), data)


def carelessly(file: Path, data: bytes) -> None:
    """A new file and a rename, without waiting for the disk."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.rename(file)


SUBJECTS: dict[str, Callable[[], Replaced | Configured]] = {
    "replace": lambda: Replaced(carefully),
    "careless": lambda: Replaced(carelessly),
    "configure": Configured,
}


def worker(subject: Replaced | Configured, root: Path) -> tuple[int, int]:
    """A process that works until it is killed, and what it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        subject.work(root, lambda what, version: void(os.write(writing, f"{what} {version}\n".encode())))
    except (OSError, OCIHooksError):
        pass
    finally:
        os._exit(0)


def void(_: object) -> None:
    """Nothing."""


def lose(disk: Disk, subject: Replaced | Configured, number: int, dice: random.Random) -> str:
    """Lose power once; returns whether the old or the new file was there, or what was wrong."""
    with disk.mounted() as root:
        subject.prepare(root, number)
        os.sync()
        child, told = worker(subject, root)
        text = os.read(told, 1000)
        time.sleep(dice.uniform(0, 0.1))
        disk.lose_power(dice.choice((WITH_JOURNAL, WITHOUT_JOURNAL)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(told, 1 << 16):
            text += more
        os.close(told)
    versions = {what: int(version) for what, version in (line.split() for line in text.decode().splitlines())}
    begun, done = versions["begun"], versions.get("done", 0)
    with disk.mounted() as root:
        found = subject.look(root)
    if found is None:
        return "torn"
    if isinstance(subject, Configured):
        begun, done = begun % 2, done % 2
        return "new" if found == begun else "old" if found == done else "lost"
    return "lost" if not done <= found <= begun else "new" if found == begun else "old"


def main() -> None:
    """Do it so many times."""
    directory, what, count, seed = sys.argv[1:]
    disk, subject, dice = Disk(Path(directory)), SUBJECTS[what](), random.Random(int(seed))
    os.environ["PATH"] = f"{disk.root}/bin:{os.environ['PATH']}"
    print(json.dumps(Counter(lose(disk, subject, number, dice) for number in range(int(count)))))


if __name__ == "__main__":
    main()
