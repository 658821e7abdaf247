"""
Replaces a file whole: the old one or the new one at every instant, mode, owner, attributes and label kept.

One function for all who change files. It imports what the interpreter has loaded anyway.
"""

import os

from ocihooks.errors import ReplaceError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    Signature = tuple[int, int, int, int, int]

_REGULAR = 0o100000


def signature(status: os.stat_result) -> "Signature":
    """What tells one version of a file from another: device, inode, size, and the times of content and attributes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def replace_file(
    path: str, data: bytes, *, expected: "Signature | None" = None, durable: bool = True, mode: int = 0o644
) -> None:
    """
    Replace the content of *path* by *data*, or make the file where there is none.

    A link is followed, and its target replaced.

    Args:
        expected: The version that *data* was made from; another one is not overwritten. None: any.
        durable: Reach the disk before returning, so that a power loss leaves the old file or the new one. The
            wrapper goes without for config.json, which no engine reads again after a power loss.
        mode: Permission bits of a new file; those of an existing one are kept.

    Raises:
        ReplaceError: Nothing was changed; the error tells why.
    """
    target = os.path.realpath(path)
    directory, name = os.path.split(target)
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        _replace_in(parent, name, path, data, expected=expected, durable=durable, mode=mode)
    finally:
        os.close(parent)


def _replace_in(
    parent: int, name: str, path: str, data: bytes, *, expected: "Signature | None", durable: bool, mode: int
) -> None:
    prefix = f".{name}.ocihooks-"
    temporary = f"{prefix}{os.getpid()}"
    try:
        old = _old(parent, name, path, expected)
        fd = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent
        )
    except FileExistsError:
        os.unlink(temporary, dir_fd=parent)  # left by a process of the same number that was killed
        return _replace_in(parent, name, path, data, expected=expected, durable=durable, mode=mode)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        try:
            _fill(fd, data, old, mode, f"/proc/self/fd/{parent}/{name}")
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        _old(parent, name, path, expected)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        _unlink(temporary, parent)
        raise _refused(path, error) from None
    except BaseException:
        _unlink(temporary, parent)
        raise
    if durable:
        os.fsync(parent)
    _sweep(parent, prefix)
    return None


def _old(parent: int, name: str, path: str, expected: "Signature | None") -> "os.stat_result | None":
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if expected is None:
            return None
        raise ReplaceError("was removed meanwhile", code="changed_meanwhile", file=path, hint="try again") from None
    if status.st_mode & 0o170000 != _REGULAR:
        raise ReplaceError("expected a regular file", code="not_replaced", file=path)
    if expected is not None and signature(status) != expected:
        raise ReplaceError(
            "was changed by somebody else meanwhile", code="changed_meanwhile", file=path, hint="try again"
        )
    return status


def _fill(fd: int, data: bytes, old: "os.stat_result | None", mode: int, old_path: str) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    if old is None:
        os.fchmod(fd, mode)
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, old.st_mode & 0o7777)
    for name in _attributes(old_path):
        os.setxattr(fd, name, os.getxattr(old_path, name))


def _attributes(path: str) -> "list[str]":
    try:
        return os.listxattr(path)
    except OSError:  # the file system has none
        return []


def _unlink(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:
        pass


def _sweep(parent: int, prefix: str) -> None:
    """Remove what killed processes left; their numbers are in the names."""
    for name in os.listdir(parent):
        if name.startswith(prefix) and not os.path.exists(f"/proc/{name[len(prefix) :]}"):
            _unlink(name, parent)


def _refused(path: str, error: OSError) -> ReplaceError:
    import errno

    hints = {
        errno.EBUSY: "something is mounted on the file; unmount it",
        errno.EROFS: "the file system is mounted read-only",
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some of the quota",
    }
    return ReplaceError(
        f"can't be replaced: {os_reason(error)}", code="not_replaced", file=path, hint=hints.get(error.errno or 0)
    )
