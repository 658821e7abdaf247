"""
Roots as a hostile author makes them: something odd in the place of a file, of its directory, or of one above it.

Beside each root is a canary, to which many of them lead.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ocihooks.injector.changes import Changes
from ocihooks.injector.linker_cache import Configuration, uses_cache
from ocihooks.injector.rootfs import Root, look
from ocihooks.injector.undo import _undo_one

PATH = "/a/opt/t"
"""Where a file is to go."""

POSITIONS = {"file": "a/opt/t", "directory": "a/opt", "above": "a"}
"""What is odd: the file, its directory, or the one above that."""

LINKS = {
    "link-to-directory": "CANARY",
    "link-to-file": "CANARY/secret",
    "link-to-nothing": "CANARY/new",
    "link-up": "../../../../../../../../../../CANARY",
    "link-up-to-file": "../canary/secret",
    "link-loop": "LOOP",
    "link-magic-root": "/proc/self/root/CANARY",
    "link-magic-cwd": "/proc/self/cwd",
    "link-magic-fd": "/proc/self/fd/FD",
    "link-chain": "/chain",
    "link-dots": "..",
}


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(place))


OTHERS: dict[str, Callable[[Path, Path], object]] = {
    "fifo": lambda place, _: os.mkfifo(place),
    "device": lambda place, _: os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "socket": lambda place, _: _socket(place),
    "hard-link": lambda place, top: os.link(top / "linked", place),
}

TREES = [(kind, position) for kind in (*LINKS, *OTHERS) for position in POSITIONS]


class Tree:
    """A root and a canary in *top*, watched until the ``with`` statement is left."""

    def __init__(self, top: Path, kind: str, position: str) -> None:
        self.root, self.canary = top / "root", top / "canary"
        (self.canary / "opt").mkdir(parents=True)
        for name in ("secret", "t", "opt/t"):
            (self.canary / name).write_text(f"secret {name}")
        (top / "linked").write_text("of two trees")
        self.descriptor = os.open(self.canary, os.O_PATH)
        place = self.root / POSITIONS[position]
        place.parent.mkdir(parents=True)
        (self.root / "chain").symlink_to("chain2")
        (self.root / "chain2").symlink_to(f"..{self.canary}")
        if kind in LINKS:
            target = LINKS[kind].replace("/CANARY", str(self.canary)).replace("CANARY", str(self.canary))
            place.symlink_to(target.replace("LOOP", place.name).replace("FD", str(self.descriptor)))
        else:
            OTHERS[kind](place, top)
        self._linked = top / "linked"
        self._before = fingerprint(self.canary)
        self._watch = Watch(self.canary)

    def touched(self) -> str:
        """What happened to the canary, or to the content of a file that the root shares with others; "": nothing."""
        status = self._linked.stat()
        shared = self._linked.read_text(), stat.S_IMODE(status.st_mode), status.st_uid
        found = f"{self._watch.events() or ''}{'' if shared == ('of two trees', 0o644, 0) else shared}"
        return found + ("" if fingerprint(self.canary) == self._before else "another fingerprint")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        os.close(self._watch.fd)


def fingerprint(directory: Path) -> str:
    """A hash of everything below a directory: names, kinds, modes, owners, times of change, and contents."""
    digest = hashlib.sha256()
    for path in (directory, *sorted(directory.rglob("*"))):
        status = path.lstat()
        digest.update(repr((str(path), status.st_mode, status.st_uid, status.st_gid, status.st_ctime_ns)).encode())
        digest.update(path.read_bytes() if stat.S_ISREG(status.st_mode) else b"")
    return digest.hexdigest()


class Watch:
    """Everything that happens to a directory and the files in it, as the kernel tells it."""

    EVERYTHING = 0xFFF

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in (directory, *directory.iterdir()):
            if libc.inotify_add_watch(self.fd, os.fsencode(path), self.EVERYTHING) < 0:
                raise OSError(ctypes.get_errno(), "inotify")

    def events(self) -> list[int]:
        """What has happened, as masks."""
        found = []
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            data = b""
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            found.append(mask)
            data = data[16 + length :]
        return found


def _in_place(changes: Changes, add: Callable[[], object]) -> None:
    add()
    changes.put_in_place()


def _file(root: Root) -> None:
    with Changes(root, (0, 0)) as changes, Path(__file__).open("rb") as source:
        _in_place(changes, lambda: changes.add_file(PATH, source.fileno(), 0o755))


def _directory(root: Root) -> None:
    with Changes(root) as changes:
        _in_place(changes, lambda: changes.make_directory(f"{PATH}/new"))


def _deep(root: Root) -> None:
    with Changes(root) as changes:
        _in_place(changes, lambda: changes.make_directory("/a/opt/x/y/z"))


def _mode(root: Root) -> None:
    with Changes(root, (0, 0)) as changes:
        _in_place(changes, lambda: changes.make_directory(PATH, 0o777))


def _link(root: Root) -> None:
    with Changes(root) as changes:
        _in_place(changes, lambda: changes.add_link(PATH, "elsewhere"))


def _device(root: Root) -> None:
    with Changes(root) as changes:
        _in_place(changes, lambda: changes.add_device(PATH, os.makedev(1, 3), stat.S_IFCHR | 0o666, (0, 0)))


def _undo(root: Root) -> None:
    place = look(root.directory("/a/opt"), "t")
    for former in ("", "/"):
        _undo_one(place, former, (0, 0, 0, 0, 0))


def _read(root: Root) -> None:
    said = []
    for read in (lambda: root.read(PATH, 100), lambda: root.names(PATH, 100), lambda: root.names("/a/opt", 100)):
        try:
            said.append(str(read()))
        except OSError:
            continue
    assert "secret" not in str(said), said


def _cache(root: Root) -> None:
    uses_cache(root)
    configuration = Configuration(root)
    configuration._read(PATH)
    configuration._take("include /a/opt/* /a/*/t", PATH)
    assert "secret" not in str(configuration.directories)


OPERATIONS = {
    "file": _file,
    "directory": _directory,
    "deep": _deep,
    "mode": _mode,
    "link": _link,
    "device": _device,
    "undo": _undo,
    "read": _read,
    "cache": _cache,
}
"""What is done in each tree, without Landlock, which would hide mistakes."""
