"""
Writes records: one write for each, without a lock and without waiting for the disk.

Whatever is wrong with the file, nothing that is recorded fails for it. On the warm paths of wrapper and supervisor.
"""

import posix
from _json import encode_basestring_ascii
from time import gmtime, strftime, time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_LIMIT = 1024
"""Characters kept of a text; containers choose some of them."""

FILE_BYTES = 4 << 20
"""When the file has as much, it is put aside and a new one begun."""

KEPT_FILES = 3
"""How many files that were put aside are kept."""

_TYPE, _REGULAR = 0o170000, 0o100000


class Excerpt(str):
    """A text that was cut already, and is written as it is."""

    __slots__ = ()


def append(path: str, kind: str, members: "Mapping[str, object]", *, file_bytes: int = FILE_BYTES) -> None:
    """
    Add a record to the file *path*, which is made where it is missing, for its owner's eyes only.

    Nothing is written if the file is a link, somebody else's, or no plain file.

    Args:
        kind: What is recorded: ``injection`` or ``run``.
        members: Texts, numbers, true, false, None, and lists and dicts of these.
    """
    now = time()
    stamp = f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(now))}.{int(now % 1 * 1000):03}Z"
    line = f"{written({'kind': kind, 'time': stamp, **members})}\n".encode()
    try:
        descriptor = _opened(path)
        try:
            size = posix.fstat(descriptor).st_size + len(line)
            if size > file_bytes and _put_aside(path, descriptor):
                fresh = _opened(path)
                posix.close(descriptor)
                descriptor = fresh
            elif size > 2 * file_bytes:
                return  # who puts it aside was stopped meanwhile
            posix.write(descriptor, line)
        finally:
            posix.close(descriptor)
    except OSError:
        pass  # a full or broken disk is no reason to fail a container


def written(value: object) -> str:
    """*value* as JSON in ASCII, long texts cut."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ",".join([f"{_text(name)}:{written(item)}" for name, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([written(item) for item in value]) + "]"
    return repr(value)


def _text(text: str) -> str:
    if len(text) > TEXT_LIMIT and not isinstance(text, Excerpt):
        text = f"{text[:TEXT_LIMIT]}… ({len(text)} characters)"
    return str(encode_basestring_ascii(text))


def _opened(path: str) -> int:
    """
    The file, open for appending; closed again where it is not ours alone.

    Raises:
        OSError: It can't be opened or made, or is not to be used.
    """
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT
    safely = posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
    try:
        descriptor = posix.open(path, flags | safely, 0o600)
    except FileNotFoundError:
        _make_directory(path.rpartition("/")[0])
        descriptor = posix.open(path, flags | safely, 0o600)
    status = posix.fstat(descriptor)
    ours = status.st_uid == posix.geteuid() and status.st_mode & _TYPE == _REGULAR and status.st_nlink <= 1
    if not ours:
        posix.close(descriptor)
        raise OSError
    if status.st_mode & 0o077:
        posix.fchmod(descriptor, 0o600)
    return descriptor


def _make_directory(directory: str) -> None:
    try:
        posix.mkdir(directory, 0o700)
    except FileExistsError:  # somebody else was faster
        pass


def _put_aside(path: str, descriptor: int) -> bool:
    """
    Give the full file another name, unless somebody else is just doing that; False: keep writing to it.

    The lock is on the file itself and goes with the process that holds it. Files that were put aside before move up,
    but only as far as there is a gap: a process that was killed here may have left one.
    """
    from fcntl import LOCK_EX, LOCK_NB, flock

    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    if not _is_at(path, descriptor):
        return True
    names = [path, *(f"{path}.{number}" for number in range(1, KEPT_FILES + 1))]
    gap = next((number for number, name in enumerate(names) if number and not _exists(name)), KEPT_FILES)
    for number in range(gap, 0, -1):
        posix.rename(names[number - 1], names[number])
    return True


def _is_at(path: str, descriptor: int) -> bool:
    """Whether the file behind *descriptor* still has the name *path*."""
    try:
        named = posix.lstat(path)
    except FileNotFoundError:
        return False
    status = posix.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)


def _exists(path: str) -> bool:
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True
