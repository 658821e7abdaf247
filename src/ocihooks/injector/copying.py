"""
Copying files of the host into directories of a container's root: one file, or many at once.

Many files are made by two processes. What takes time is making a file, and most of that is the kernel's work, which it
does for two processes side by side.
"""

from __future__ import annotations

import errno
import posix

from ocihooks.errors import OCIHooksError
from ocihooks.injector.kernel import library_call
from ocihooks.injector.worker import Line, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from mmap import mmap
    from typing import TypeVar

    Source = TypeVar("Source")
    OpenSource = Callable[[Source], tuple[int, int, int]]
    """Gives a descriptor of a regular file, the permission bits of its copy, and its size in bytes."""

    File = tuple[int, str, Source]
    """The descriptor of a directory, the name that the file is to have there, and what it is a copy of."""

    Owner = tuple[int, int] | None

MOST_BYTES = 2 << 30
"""Largest file that is copied."""

MANY = 300
"""So many files are worth another process, which takes as long to start as some fifty files to make."""

LARGE_BYTES = 1 << 20
"""From this size on a file is worth mapping it."""

MAPPED_BYTES = 16 << 20
"""How much of a file is mapped at once."""

_FICLONE = 0x40049409
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
_USUAL_BITS = 0o777
_CHUNK_BYTES = 1 << 20
_NOT_SHARED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def make_files(files: Sequence[File[Source]], open_source: OpenSource[Source], owner: Owner) -> frozenset[int]:
    """
    Make the *files*, each a copy of its source, where nothing is; two processes do so if there are many.

    Returns:
        The numbers of those that were not made: each process stops at the first that it can't make.

    Raises:
        RuntimeError: A process has ended before it should; any of the files may have been made.
    """
    count = len(files)
    half = count // 2
    other = _other_process(files[half:], open_source, owner) if count >= MANY else None
    if other is None:
        return frozenset(range(_make(files, open_source, owner), count))
    try:
        made = _make(files[:half], open_source, owner)
        made_by_other = other.hear()
        other.hear()
    finally:
        other.close()
    return frozenset((*range(made, half), *range(half + made_by_other, count)))


def _other_process(files: Sequence[File[Source]], open_source: OpenSource[Source], owner: Owner) -> Worker | None:
    """A process that makes *files* with the rights of this one, and tells how many; None where there can be none."""

    def work(line: Line, _is_confined: bool) -> None:
        line.tell(("made", _make(files, open_source, owner)))

    try:
        return Worker(None, work) if len(posix.sched_getaffinity(0)) > 1 else None
    except OSError:  # a container may have as many processes or descriptors as it is allowed
        return None


def _make(files: Sequence[File[Source]], open_source: OpenSource[Source], owner: Owner) -> int:
    """Make one file after the other until one can't be made; how many there are."""
    before = posix.umask(0)
    try:
        return _make_exactly(files, open_source, owner)
    finally:
        posix.umask(before)


def _make_exactly(files: Sequence[File[Source]], open_source: OpenSource[Source], owner: Owner) -> int:
    """What `_make` does, in a process without umask."""
    last, exact_bits, number = -1, -1, 0
    try:
        for parent, name, source in files:
            if parent != last:
                last, exact_bits = parent, _USUAL_BITS if owner is None and _gives_no_rights(parent) else -1
            fd, mode, size_bytes = open_source(source)
            try:
                if mode <= exact_bits and 0 < size_bytes < LARGE_BYTES:
                    _make_small_file(parent, name, fd, mode, size_bytes)
                else:
                    make_file(parent, name, fd, mode, size_bytes, owner=owner)
            finally:
                posix.close(fd)
            number += 1
    except (OSError, OCIHooksError):
        return number
    return number


def _gives_no_rights(directory: int) -> bool:
    """Whether new files in *directory* get the permission bits that they are made with, and no others of its own."""
    try:
        posix.getxattr(f"/proc/self/fd/{directory}", "system.posix_acl_default")
    except OSError as error:
        return error.errno in (errno.ENODATA, errno.EOPNOTSUPP)
    return False


def _make_small_file(parent: int, name: str, source: int, mode: int, size_bytes: int) -> None:
    """
    What `make_file` does, where a new file gets the bits that it is made with, in the fewest steps.

    Setting the bits later takes the file system longer than writing a small file.
    """
    target = posix.open(name, _NEW, mode, dir_fd=parent)
    try:
        try:
            copied = posix.copy_file_range(source, target, size_bytes)
        except OSError as error:
            if error.errno not in _NOT_SHARED:
                raise
            copied = 0
        if copied < size_bytes:
            _pass_on(source, target, MOST_BYTES - copied)
    except BaseException:
        remove(name, parent)
        raise
    finally:
        posix.close(target)


def make_file(parent: int, name: str, source: int, mode: int, size_bytes: int, *, owner: Owner) -> None:
    """
    Make the file *name* in *parent* with what can be read from *source*; FileExistsError if something is there.

    Args:
        mode: Its permission bits.
        size_bytes: How much that is, see `copy`.
        owner: Its uid and gid; None: those of this process.
    """
    target = posix.open(name, _NEW, 0o600, dir_fd=parent)
    try:
        copy(source, target, size_bytes)
        if owner:
            posix.fchown(target, *owner)
        posix.fchmod(target, mode)
    except BaseException:
        remove(name, parent)
        raise
    finally:
        posix.close(target)


def copy(source: int, target: int, size_bytes: int) -> None:
    """
    Write to the empty file *target* what *source* has; the file system shares the content where it can.

    Args:
        size_bytes: How much that is; 0: until the end, for the kernel's own files, which have no size.
    """
    copied = (_copy_small if size_bytes < LARGE_BYTES else _copy_large)(source, target, size_bytes)
    if copied < size_bytes or not size_bytes:
        _pass_on(source, target, MOST_BYTES - copied)


def _copy_small(source: int, target: int, size_bytes: int) -> int:
    """How much could be copied by the kernel itself."""
    copied = 0
    try:
        while copied < size_bytes and (size := posix.copy_file_range(source, target, size_bytes - copied)):
            copied += size
    except OSError as error:
        if copied or error.errno not in _NOT_SHARED:
            raise
    return copied


def _copy_large(source: int, target: int, size_bytes: int) -> int:
    """How much could be copied at the least cost."""
    try:
        library_call("ioctl", target, _FICLONE, source)
    except OSError:  # the content can't be shared; whatever else is wrong is told when it is copied
        copied = _copy_mapped(source, target, size_bytes)
        posix.lseek(source, copied, 0)
        return copied
    return size_bytes


def _copy_mapped(source: int, target: int, size_bytes: int) -> int:
    """
    How much could be written of what is mapped of *source*, which costs a sixth less than what the kernel does itself.

    Nobody but the kernel reads what is mapped. So when *source* becomes shorter there is an error, and no signal.
    """
    copied = 0
    while copied < size_bytes:
        length = min(MAPPED_BYTES, size_bytes - copied)
        try:
            mapped = _mapped(source, copied, length)
        except (OSError, ValueError):  # such files can't be mapped, or it is shorter by now
            return copied
        try:
            while length:
                written = posix.write(target, memoryview(mapped)[-length:])
                copied, length = copied + written, length - written
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise
            return copied
        finally:
            mapped.close()
    return copied


def _mapped(source: int, offset: int, length: int) -> mmap:
    from mmap import MAP_POPULATE, MAP_SHARED, PROT_READ, mmap

    return mmap(source, length, MAP_SHARED | MAP_POPULATE, PROT_READ, offset=offset)


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
