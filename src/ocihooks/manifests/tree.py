"""
Looks at the tree of a root file system, which is whatever its author made of it.

Paths are followed by `ocihooks.injector.rootfs`, inside the root and never through a link. Only regular files are
opened, so that no FIFO makes anybody wait and no device is touched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posix
from collections.abc import Iterator

from ocihooks.errors import OCIHooksError
from ocihooks.injector.rootfs import Place, Root, look
from ocihooks.manifests.manifest import Entry

MOST_ENTRIES = 1_000_000
MOST_DEPTH = 256

_KINDS = {
    0o100000: "file",
    0o040000: "directory",
    0o120000: "link",
    0o010000: "fifo",
    0o140000: "socket",
    0o020000: "character device",
    0o060000: "block device",
}
_CHUNK = 1 << 20
_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY | posix.O_NONBLOCK
_CAPABILITIES = "security.capability"


class Tree:
    """
    The tree below the directory *path* of the host. No descriptor stays open between two calls.

    Its methods raise OSError.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def top(self) -> Entry:
        """The root itself."""
        with Root(self._path) as root:
            return _entry(root.fd, None)

    def entry(self, directory: str, name: str) -> Entry | None:
        """What stands under a name in a directory, its content not read; None: nothing."""
        with Root(self._path) as root:
            place = look(root.directory(directory), name)
            return _at(place, None) if place.status is not None else None

    def names(self, directory: str, most: int) -> list[str]:
        """The names in a directory, sorted, at most so many."""
        with Root(self._path) as root:
            return sorted(root.names(directory, most))

    def whole(self, path: str, size: int | None) -> Entry:
        """What stands at *path*, with the sum of its content if it is a file of this size; None: of any size."""
        with Root(self._path) as root:
            return _at(root.name(path), size, read=True)


def walk(path: str) -> Iterator[tuple[str, Entry]]:
    """
    Everything in the tree below *path*, a directory before what is in it, names sorted.

    Raises:
        OSError: It can't be read.
        OCIHooksError: It is too deep or has too many entries.
    """
    tree = Tree(path)
    yield "/", tree.top()
    waiting, count = [""], 1
    while waiting:
        above = waiting.pop()
        if above.count("/") > MOST_DEPTH:
            raise OCIHooksError(f"directories are nested deeper than {MOST_DEPTH}", file=f"{path}{above}")
        inner = []
        for name in tree.names(above, MOST_ENTRIES):
            count += 1
            if count > MOST_ENTRIES:
                raise OCIHooksError(f"it has more than {MOST_ENTRIES} entries", file=path)
            entry = tree.whole(f"{above}/{name}", None)
            yield f"{above}/{name}", entry
            if entry.kind == "directory":
                inner.append(f"{above}/{name}")
        waiting += reversed(inner)


def _at(place: Place, size: int | None, *, read: bool = False) -> Entry:
    handle = posix.open(place.name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=place.parent)
    try:
        return _entry(handle, size, read=read)
    finally:
        posix.close(handle)


def _entry(handle: int, size: int | None, *, read: bool = False) -> Entry:
    """The entry of what is behind an O_PATH descriptor."""
    status = posix.fstat(handle)
    kind = _KINDS[status.st_mode & 0o170000]
    mode = f"{status.st_mode & 0o7777:04o}"
    if kind == "file":
        wanted = read and size in (None, status.st_size)
        total, there = _content(handle, status.st_size) if wanted else ("", status.st_size)
        held = _capabilities(handle)
        return Entry(
            kind=kind, mode=mode, uid=status.st_uid, gid=status.st_gid, size=there, sha256=total, capabilities=held
        )
    target = posix.readlink("", dir_fd=handle) if kind == "link" else None
    device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if kind.endswith(" device") else None
    return Entry(kind=kind, mode=mode, uid=status.st_uid, gid=status.st_gid, target=target, device=device)


def _content(handle: int, size: int) -> tuple[str, int]:
    """The sum of a file's content and its size; it is never read further than a byte beyond its present end."""
    found, seen = hashlib.sha256(), 0
    fd = posix.open(f"/proc/self/fd/{handle}", _READ)
    try:
        while seen <= size and (piece := posix.read(fd, min(_CHUNK, size + 1 - seen))):
            found.update(piece)
            seen += len(piece)
    finally:
        posix.close(fd)
    return found.hexdigest(), seen


def _capabilities(handle: int) -> str | None:
    try:
        return os.getxattr(f"/proc/self/fd/{handle}", _CAPABILITIES).hex()
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise
