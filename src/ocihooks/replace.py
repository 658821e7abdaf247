"""
Replaces a file whole: the old one or the new one at every instant, mode, owner, attributes and label kept.

One function for all who change files. It imports what the interpreter has loaded anyway.
"""

import posix

import ocihooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    Signature = tuple[int, int, int, int, int]

_REGULAR = 0o100000

MAX_LINKS = 40
ELOOP = 40  # errno.ELOOP; errno is loaded when something went wrong


def signature(status: posix.stat_result) -> "Signature":
    """What tells one version of a file from another: device, inode, size, and the times of content and attributes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def replace_file(
    path: str,
    data: bytes,
    *,
    expected: "Signature | None" = None,
    durable: bool = True,
    mode: int = 0o644,
    beside: "str | None" = None,
) -> None:
    """
    Replace the content of *path* by *data*, or make the file where there is none.

    A link is followed, and its target replaced.

    Args:
        expected: The version that *data* was made from; another one is not overwritten. None: any.
        durable: Reach the disk before returning, so that a power loss leaves the old file or the new one. The
            wrapper goes without for config.json, which no engine reads again after a power loss.
        mode: Permission bits of a new file; those of an existing one are kept.
        beside: Directory of the same file system for the temporary file; None: that of the file. For directories in
            which somebody reads every file, whatever its name.

    Raises:
        ReplaceError: Nothing was changed, unless the code is ``not_durable``; the error tells why.
    """
    try:
        target = _target(path)
        directory = target.rpartition("/")[0] or ("/" if target.startswith("/") else ".")
        parent = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        if beside is None:
            _replace_in(parent, parent, target, path, data, expected=expected, durable=durable, mode=mode)
            return
        try:
            holder = posix.open(beside, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError as error:
            raise _refused(beside, error) from None
        try:
            _replace_in(parent, holder, target, path, data, expected=expected, durable=durable, mode=mode)
        finally:
            _close(holder)
    finally:
        _close(parent)


def _target(path: str) -> str:
    """What *path* leads to if it is a link, or a link to a link."""
    for _ in range(MAX_LINKS):
        try:
            link = posix.readlink(path)
        except OSError:  # no link, or not there
            return path
        path = link if link.startswith("/") else path[: path.rfind("/") + 1] + link
    raise OSError(ELOOP, "")


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _replace_in(
    parent: int,
    holder: int,
    target: str,
    path: str,
    data: bytes,
    *,
    expected: "Signature | None",
    durable: bool,
    mode: int,
) -> None:
    """Write a temporary file in the directory *holder* and move it into *parent*."""
    name = target.rpartition("/")[2]
    prefix = f".{name}.ocihooks-"
    temporary = f"{prefix}{posix.getpid()}-{posix.urandom(8).hex()}"  # threads and other pid namespaces have their own
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
    try:
        old = _old(parent, name, path, expected)
        fd = posix.open(temporary, flags, 0o600, dir_fd=holder)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        try:
            _fill(fd, data, old, mode, target)
            if durable:
                posix.fsync(fd)
        finally:
            posix.close(fd)
        _old(parent, name, path, expected)
        posix.rename(temporary, name, src_dir_fd=holder, dst_dir_fd=parent)
    except OSError as error:
        _unlink(temporary, holder)
        raise _refused(path, error) from None
    except BaseException:
        _unlink(temporary, holder)
        raise
    sweep(holder, prefix)
    if durable:
        _sync_directory(parent, path)


def _old(parent: int, name: str, path: str, expected: "Signature | None") -> "posix.stat_result | None":
    try:
        status = posix.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if expected is None:
            return None
        raise ocihooks.errors.ReplaceError(
            "was removed meanwhile", code="changed_meanwhile", file=path, hint="try again"
        ) from None
    if status.st_mode & 0o170000 != _REGULAR:
        raise ocihooks.errors.ReplaceError(
            "expected a regular file", code="not_replaced", file=path, hint="move what is there out of the way"
        )
    if expected is not None and signature(status) != expected:
        raise ocihooks.errors.ReplaceError(
            "was changed by somebody else meanwhile", code="changed_meanwhile", file=path, hint="try again"
        )
    return status


def _fill(fd: int, data: bytes, old: "posix.stat_result | None", mode: int, old_path: str) -> None:
    view = memoryview(data)
    while view:
        view = view[posix.write(fd, view) :]
    if old is None:
        posix.fchmod(fd, mode)
        return
    new = posix.fstat(fd)  # a directory with the setgid bit gives it another group than the process has
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        posix.fchown(fd, old.st_uid, old.st_gid)
    posix.fchmod(fd, old.st_mode & 0o7777)
    _copy_attributes(fd, old_path)


def _copy_attributes(fd: int, old_path: str) -> None:
    """Give the file the attributes of the old one, label and access list among them, and no others."""
    wanted = {name: posix.getxattr(old_path, name) for name in _attributes(old_path)}
    inherited = {name: posix.getxattr(fd, name) for name in _attributes(fd)}
    for name in inherited.keys() - wanted.keys():
        posix.removexattr(fd, name)
    for name, value in wanted.items():
        if inherited.get(name) != value:
            posix.setxattr(fd, name, value)


def _attributes(path: "str | int") -> "list[str]":
    try:
        return posix.listxattr(path)
    except OSError:  # the file system has none
        return []


def _close(directory: int) -> None:
    try:
        posix.close(directory)
    except OSError:  # nothing was written through it
        pass


def _unlink(name: str, parent: int) -> None:
    try:
        posix.unlink(name, dir_fd=parent)
    except OSError:
        pass


def sweep(parent: int, prefix: str) -> None:
    """Remove what killed processes left in the directory *parent*: *prefix*, their number, a dash, and anything."""
    try:
        names = posix.listdir(parent) if _exists("/proc/self") else []  # without /proc nobody seems to live
    except OSError:  # the next one may do it
        return
    for name in names:
        process = name[len(prefix) :].partition("-")[0]
        if name.startswith(prefix) and process.isdigit() and not _exists(f"/proc/{process}"):
            _unlink(name, parent)


def _sync_directory(parent: int, path: str) -> None:
    import errno

    try:
        posix.fsync(parent)
    except OSError as error:
        if error.errno == errno.EINVAL:  # the file system has no such thing
            return
        message = f"was replaced, but may be the old one again after a power loss: {ocihooks.errors.os_reason(error)}"
        raise ocihooks.errors.ReplaceError(
            message, code="not_durable", file=path, hint="look at the disk, then do it again"
        ) from None


def _refused(path: str, error: OSError) -> "ocihooks.errors.ReplaceError":
    import errno

    hints = {
        errno.EACCES: "do it as root, or as the owner of its directory",
        errno.EPERM: "look for an immutable attribute with lsattr",
        errno.EBUSY: "something is mounted on the file; unmount it",
        errno.ENOENT: "make its directory",
        errno.ENOTDIR: "name a file whose path leads through directories",
        errno.ELOOP: "name the file that the links are to lead to",
        errno.EROFS: "mount the file system for writing",
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some of the quota",
    }
    return ocihooks.errors.ReplaceError(
        f"can't be replaced: {ocihooks.errors.os_reason(error)}",
        code="not_replaced",
        file=path,
        hint=hints.get(error.errno or 0),
    )
