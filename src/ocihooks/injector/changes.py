"""
Changes to a container's root file system that are all made, or none of them.

Every file is first written beside its place, under a name of its own. Then all are renamed, each over what was there,
which keeps a second name until everything is done. No file that the container has is ever opened for writing.
"""

from __future__ import annotations

import errno
import os
import posix
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from ocihooks.injector.rootfs import Place, Root, remove_directories

PREFIX = ".ocihooks-"
"""What the names of files that are not in their place yet, or not any more, begin with."""

MOST_BYTES = 2 << 30
"""Largest file that is copied."""

_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
_NOT_SHARED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(slots=True, kw_only=True)
class _File:
    """
    One file on its way.

    Attributes:
        place: Where it is to be.
        temporary: Its name until then, in the same directory.
        former: The second name of what was there; "": there was nothing, or the file is not in its place yet.
        done: Whether the file is in its place.
    """

    place: Place
    temporary: str
    former: str = ""
    done: bool = False


@dataclass(slots=True)
class Changes:
    """
    Changes to *root*, undone when the ``with`` statement is left with an error.

    Its methods raise OSError.
    """

    root: Root
    _files: list[_File] = field(default_factory=list)
    _directories: list[Place] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._settle()
        else:
            self._undo()

    def make_directory(self, path: str) -> None:
        """Make the directory at *path* and those above it, where they are missing."""
        self._directories += self.root.make_directory(path)

    def add_file(self, path: str, source: int, mode: int) -> None:
        """Write what can be read from *source* beside *path*, with the permission bits *mode*."""
        place = self.root.place(path)
        if _is_directory(place):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        file = _File(place=place, temporary=f"{PREFIX}{posix.urandom(8).hex()}")
        target = posix.open(file.temporary, _NEW, 0o600, dir_fd=place.parent)
        self._files.append(file)
        try:
            copy(source, target)
            posix.fchmod(target, mode)
        finally:
            posix.close(target)

    def put_in_place(self) -> None:
        """Give every file that was added its name."""
        for file in self._files:
            if not file.done:
                _keep_former(file)
                posix.rename(
                    file.temporary, file.place.name, src_dir_fd=file.place.parent, dst_dir_fd=file.place.parent
                )
                file.done = True

    def _settle(self) -> None:
        for file in self._files:
            if file.former:
                _remove(file.former, file.place.parent)

    def _undo(self) -> None:
        for file in reversed(self._files):
            parent, name = file.place.parent, file.place.name
            if not file.done:
                _remove(file.temporary, parent)
            elif not file.former:
                _remove(name, parent)
            with suppress(OSError):
                if file.done and file.former:
                    posix.rename(file.former, name, src_dir_fd=parent, dst_dir_fd=parent)
                elif file.former:
                    posix.unlink(file.former, dir_fd=parent)
        remove_directories(self._directories)


def copy(source: int, target: int) -> None:
    """Append to *target* all that can be read from *source*; the file system shares the content where it can."""
    copied, shared = 0, True
    while copied <= MOST_BYTES:
        try:
            size = posix.copy_file_range(source, target, MOST_BYTES) if shared else _pass_on(source, target)
        except OSError as error:
            if not shared or error.errno not in _NOT_SHARED:
                raise
            size = 0
        if not size and not shared:
            return
        shared = shared and size > 0
        copied += size
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def _pass_on(source: int, target: int) -> int:
    """Read a piece from *source* and write it to *target*."""
    data = posix.read(source, _CHUNK_BYTES)
    view = memoryview(data)
    while view:
        view = view[posix.write(target, view) :]
    return len(data)


def _is_directory(place: Place) -> bool:
    try:
        status = posix.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode)


def _keep_former(file: _File) -> None:
    """Give what is in the place of *file* a second name."""
    parent, former = file.place.parent, f"{PREFIX}{posix.urandom(8).hex()}"
    with suppress(FileNotFoundError):
        posix.link(file.place.name, former, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        file.former = former


def _remove(name: str, parent: int) -> None:
    with suppress(OSError):
        posix.unlink(name, dir_fd=parent)
