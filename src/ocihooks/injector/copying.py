"""
Copying files of the host into directories of a container's root: one file, or many at once.

Many files are made by two processes. What takes time is making a file, and most of that is the kernel's work, which it
does for two processes side by side.
"""

from __future__ import annotations

import errno
import posix

from ocihooks.errors import OCIHooksError
from ocihooks.injector.worker import Line, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from ocihooks.injector.rootfs import Place

    Source = TypeVar("Source")
    OpenSource = Callable[[Source], tuple[int, int, int]]
    """Gives a descriptor of a regular file, the permission bits of its copy, and its size in bytes."""

    Owner = tuple[int, int] | None

MOST_BYTES = 2 << 30
"""Largest file that is copied."""

MANY = 300
"""So many files are worth another process, which takes as long to start as some fifty files to make."""

_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
_NOT_SHARED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def make_files(files: Sequence[tuple[Place, Source]], open_source: OpenSource[Source], owner: Owner) -> frozenset[int]:
    """
    Make the *files*, each a copy of its source, where nothing is.

    Returns:
        The numbers of those that were not made: each process stops at the first that it can't make.

    Raises:
        RuntimeError: A process has ended before it should; any of the files may have been made.
    """
    count = len(files)
    half = count // 2
    other = _other_process(files[half:], open_source, owner)
    if other is None:
        return frozenset(range(_make(files, open_source, owner), count))
    try:
        made = _make(files[:half], open_source, owner)
        made_by_other = other.hear()
        other.hear()
    finally:
        other.close()
    return frozenset((*range(made, half), *range(half + made_by_other, count)))


def _other_process(
    files: Sequence[tuple[Place, Source]], open_source: OpenSource[Source], owner: Owner
) -> Worker | None:
    """A process that makes *files* with the rights of this one, and tells how many; None where there can be none."""

    def work(line: Line, _is_confined: bool) -> None:
        line.tell(("made", _make(files, open_source, owner)))

    try:
        return Worker(None, work) if len(posix.sched_getaffinity(0)) > 1 else None
    except OSError:  # a container may have as many processes or descriptors as it is allowed
        return None


def _make(files: Sequence[tuple[Place, Source]], open_source: OpenSource[Source], owner: Owner) -> int:
    """Make one file after the other until one can't be made; how many there are."""
    for number, (place, source) in enumerate(files):
        try:
            fd, mode, size_bytes = open_source(source)
            try:
                make_file(place, fd, mode, size_bytes, owner)
            finally:
                posix.close(fd)
        except (OSError, OCIHooksError):
            return number
    return len(files)


def make_file(place: Place, source: int, mode: int, size_bytes: int, owner: Owner) -> None:
    """
    Make a file in *place* with what can be read from *source*; FileExistsError if something is there.

    Args:
        mode: Its permission bits.
        size_bytes: How much that is, see `copy`.
        owner: Its uid and gid; None: those of this process.
    """
    target = posix.open(place.name, _NEW, 0o600, dir_fd=place.parent)
    try:
        copy(source, target, size_bytes)
        if owner:
            posix.fchown(target, *owner)
        posix.fchmod(target, mode)
    except BaseException:
        remove(place.name, place.parent)
        raise
    finally:
        posix.close(target)


def copy(source: int, target: int, size_bytes: int) -> None:
    """
    Append to *target* what can be read from *source*; the file system shares the content where it can.

    Args:
        size_bytes: How much that is; 0: until the end, for the kernel's own files, which have no size.
    """
    copied = 0
    try:
        while copied < size_bytes and (size := posix.copy_file_range(source, target, size_bytes - copied)):
            copied += size
    except OSError as error:
        if copied or error.errno not in _NOT_SHARED:
            raise
    if copied < size_bytes or not size_bytes:
        _pass_on(source, target, MOST_BYTES - copied)


def _pass_on(source: int, target: int, most: int) -> None:
    """Write to *target* all that is left to read from *source*."""
    while data := posix.read(source, _CHUNK_BYTES):
        most -= len(data)
        if most < 0:
            raise OSError(errno.EFBIG, posix.strerror(errno.EFBIG))
        view = memoryview(data)
        while view:
            view = view[posix.write(target, view) :]


def remove(name: str, parent: int) -> None:
    """Remove the file *name* from the directory *parent*, if it can be."""
    try:
        posix.unlink(name, dir_fd=parent)
    except OSError:
        return
