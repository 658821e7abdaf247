"""
Reads files that decide what root runs, and only those that nobody else could have written.

Every directory from the root down is opened in turn and checked on its descriptor, links are followed by hand, so that
what was checked is what is read.
"""

import posix

import ocihooks
from ocihooks.reading import read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FILE_BYTES = 1 << 20
"""Largest rule, static hook or settings file that is read."""

MAX_LINKS = 40

_TYPE, _LINK, _DIRECTORY, _REGULAR, _STICKY = 0o170000, 0o120000, 0o040000, 0o100000, 0o1000


class Trust:
    """
    Who may own, and which groups may write, what root is to run.

    Attributes:
        owners: User ids.
        groups: Group ids that may have write permission; 0 always may.
    """

    __slots__ = ("groups", "owners")

    def __init__(self, owners: "Iterable[int]", groups: "Iterable[int]" = ()) -> None:
        self.owners = frozenset(owners)
        self.groups = frozenset(groups) | {0}


def trust_here(groups: "Iterable[int]" = ()) -> Trust:
    """
    Whom this process has to trust: root; without root's privilege on the host also its own user.

    In a user namespace files of the host's root belong to the overflow uid, which is then trusted, too.
    """
    owners = {0}
    if in_user_namespace():
        owners |= {posix.geteuid(), _overflow_uid()}
    elif posix.geteuid() != 0:
        owners.add(posix.geteuid())
    return Trust(owners, groups)


def in_user_namespace() -> bool:
    """Whether this process runs in a user namespace other than the host's."""
    try:
        fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        return posix.read(fd, 4096).split() != [b"0", b"0", b"4294967295"]
    finally:
        posix.close(fd)


def _overflow_uid() -> int:
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 65534


def read_trusted(path: str, trust: Trust, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """
    The bytes of the regular file at *path*.

    Raises:
        UntrustedError: Somebody else could have written it, a directory above it or a link on the way; or it is no
            regular file, or larger than *limit_bytes*.
        OSError: It can't be opened or read.
    """
    handle = open_trusted(path, trust)
    try:
        status = posix.fstat(handle)
        if status.st_mode & _TYPE != _REGULAR:
            if _is_dev_null(status):
                return b""
            hint = "put a plain file in its place"
            raise ocihooks.errors.UntrustedError("expected a regular file", code="untrusted", file=path, hint=hint)
        fd = posix.open(f"/proc/self/fd/{handle}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY)
    finally:
        posix.close(handle)
    try:
        data = read_whole(fd, status.st_size, limit_bytes)
    finally:
        posix.close(fd)
    if len(data) > limit_bytes:
        message, hint = f"larger than the {limit_bytes} bytes that are read", "look at who wrote so much into it"
        raise ocihooks.errors.UntrustedError(message, code="too_large", file=path, hint=hint)
    return data


def _is_dev_null(status: posix.stat_result) -> bool:
    return status.st_mode & _TYPE == 0o020000 and status.st_rdev == posix.makedev(1, 3)


def check_trusted(path: str, trust: Trust) -> None:
    """
    Raise as `read_trusted` does unless *path*, a program say, exists and can be trusted.
    """
    posix.close(open_trusted(path, trust))


def open_trusted(path: str, trust: Trust) -> int:
    """An O_PATH descriptor of *path*, links followed; raises as `read_trusted` does."""
    if not path.startswith("/"):
        raise ocihooks.errors.UntrustedError(
            f"expected an absolute path, found {ocihooks.errors.quoted(path, 200)}",
            code="untrusted",
            file=path,
            hint="write it from / down",
        )
    return _walk(path, trust)


def _walk(path: str, trust: Trust) -> int:
    """Go from the root directory along *path*, and return the last descriptor; closes all others."""
    current = _root()
    try:
        _check(current, "/", path, trust)
        names, place, links = _names(path), "", 0
        while names:
            name = names.pop(0)
            following = posix.open(name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=current)
            try:
                status = _check(following, f"{place}/{name}", path, trust)
                if status.st_mode & _TYPE != _LINK:
                    current, following = following, current
                    place = f"{place}/{name}"
                    continue
                links += 1
                if links > MAX_LINKS:
                    hint = "name the place that they are to lead to"
                    raise ocihooks.errors.UntrustedError(
                        "too many symbolic links", code="untrusted", file=path, hint=hint
                    )
                target = posix.readlink("", dir_fd=following)
                names = _names(target) + names
            finally:
                posix.close(following)
            if target.startswith("/"):
                place, following = "", _root()
                posix.close(current)
                current = following
    except BaseException:
        posix.close(current)
        raise
    return current


def _root() -> int:
    return posix.open("/", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _check(fd: int, place: str, path: str, trust: Trust) -> posix.stat_result:
    """Raise unless the file, directory or link behind *fd* belongs to somebody trusted and nobody else may write it."""
    status = posix.fstat(fd)
    kind = status.st_mode & _TYPE
    subject = "it" if place == path else "the root directory" if place == "/" else f"{place} on the way to it"
    if status.st_uid not in trust.owners:
        raise ocihooks.errors.UntrustedError(
            f"not used, since {subject} belongs to user {status.st_uid}",
            code="untrusted",
            file=path,
            hint=f"chown {'-h ' if kind == _LINK else ''}root:root {place}",
        )
    if kind == _LINK or _is_dev_null(status):
        return status
    by_group = status.st_mode & 0o020 and status.st_gid not in trust.groups
    by_others = status.st_mode & 0o002
    if (by_group or by_others) and not (kind == _DIRECTORY and status.st_mode & _STICKY):
        who = "everybody" if by_others else f"group {status.st_gid}"
        hint = f"chmod {'o' if by_others else 'g'}-w {place}"
        if not by_others:
            hint += f", or set trusted-groups = [{status.st_gid}]"
        raise ocihooks.errors.UntrustedError(
            f"not used, since {who} may write {subject}", code="untrusted", file=path, hint=hint
        )
    return status


def explained(path: str, error: OSError) -> "ocihooks.errors.UntrustedError":
    """*error*, which `read_trusted` or `check_trusted` raised, as one of ours."""
    hint = f"chmod a+r {path}" if isinstance(error, PermissionError) else "look at what is in its place"
    return ocihooks.errors.UntrustedError(
        f"can't be read: {ocihooks.errors.os_reason(error)}", code="read_failed", file=path, hint=hint
    )
