"""
Paths inside a container's root file system: the one module that follows them.

The tree is whatever the author of the image made of it, and a running container may change it while we look. So the
root is opened once, the kernel resolves every path inside of it, and what follows is done by descriptor and name, which
no link can lead elsewhere.
"""

from __future__ import annotations

import errno
import os
import posix
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ocihooks.injector.kernel import IN_ROOT, NO_MAGICLINKS, NO_XDEV, openat2

MOST_LINKS = 40
MOST_TRIES, TRIES_S = 128, 1.0
"""How often, and for how long, a path is tried anew while somebody moves directories on it."""

_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_RESOLVE = IN_ROOT | NO_MAGICLINKS | NO_XDEV


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where a file is or is to be.

    Attributes:
        parent: Descriptor of its directory; it belongs to the `Root`.
        name: Its name there.
    """

    parent: int
    name: str


class Root:
    """
    The root of a container, open until it is closed.

    Its methods raise OSError. Directories that were reached once stay open and are not looked for again.
    """

    __slots__ = ("_directories", "fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = posix.open(path, _DIRECTORY)
        self._directories: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the root and all directories in it."""
        for fd in (*self._directories.values(), self.fd):
            posix.close(fd)
        self._directories.clear()

    def directory(self, path: str) -> int:
        """An O_PATH descriptor, which belongs to the root, of the directory at *path*; links lead inside the root."""
        found = self._directories.get(path)
        if found is None:
            found = self._directories[path] = self._resolved(path)
        return found

    def place(self, path: str) -> Place:
        """Where *path* leads: if it is a link, where that leads, whether anything is there or not."""
        for _ in range(MOST_LINKS):
            above, _, name = path.rstrip("/").rpartition("/")
            if name in ("", ".", ".."):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            parent = self.directory(above)
            target = _link(name, parent)
            if target is None:
                return Place(parent=parent, name=name)
            path = target if target.startswith("/") else f"{above}/{target}"
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def make_directory(self, path: str) -> tuple[Place, ...]:
        """Make the directory at *path* with those above it, and return what was made, the outermost first."""
        made: list[Place] = []
        parent, reached = self.fd, ""
        try:
            for name in filter(None, path.split("/")):
                reached += f"/{name}"
                try:
                    parent = self.directory(reached)
                except FileNotFoundError:
                    posix.mkdir(name, 0o755, dir_fd=parent)
                    made.append(Place(parent=parent, name=name))
                    parent = self.directory(reached)
        except BaseException:
            remove_directories(made)
            raise
        return tuple(made)

    def _resolved(self, path: str) -> int:
        end = time.monotonic() + TRIES_S
        for _ in range(MOST_TRIES):
            try:
                return openat2(self.fd, os.fsencode(path) or b"/", _DIRECTORY, _RESOLVE)
            except BlockingIOError:
                if time.monotonic() > end:
                    break
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.EPERM):
                    return self._walked(path)
                raise
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _walked(self, path: str) -> int:
        """What `_resolved` returns, where the kernel can't resolve inside a root: no link on the way is followed."""
        device = posix.fstat(self.fd).st_dev
        current = posix.open(".", _DIRECTORY, dir_fd=self.fd)
        for name in path.split("/"):
            if name in ("", "."):
                continue
            above = current
            try:
                current = _step(name, above, device)
            finally:
                posix.close(above)
        return current


def remove_directories(places: Sequence[Place]) -> None:
    """Remove what `Root.make_directory` has made, as far as it's empty."""
    for place in reversed(places):
        with suppress(OSError):
            posix.rmdir(place.name, dir_fd=place.parent)


def _step(name: str, above: int, device: int) -> int:
    if name == "..":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    fd = posix.open(name, _DIRECTORY | posix.O_NOFOLLOW, dir_fd=above)
    if posix.fstat(fd).st_dev != device:
        posix.close(fd)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return fd


def _link(name: str, parent: int) -> str | None:
    """Where the link *name* leads; None if it is no link, or not there."""
    try:
        return posix.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
