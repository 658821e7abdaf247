"""
What compiled rules were made from, and whether it is still the same.

Never "newer than": every file and directory, missing ones too, is compared with what it was, by device, inode, size,
mode, owner and both times. Directories above them are compared without times, since other files come and go there.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Seen = tuple[int, ...] | None
    Snapshot = tuple[tuple[str, bool, Seen], ...]

_MAX_LINKS = 40


def look(path: str, whole: bool) -> "Seen":
    """How *path* looks now, a link as itself; None where there is nothing. *whole*: with size and times."""
    try:
        status = posix.lstat(path)
    except (OSError, ValueError):
        return None
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    return (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if whole else identity


def snapshot(paths: "Iterable[str]") -> "Snapshot":
    """How all *paths*, what links on the way lead to, and the directories above all of these look now."""
    wholes: dict[str, bool] = {}
    waiting = [(path, True, 0) for path in paths]
    while waiting:
        path, whole, links = waiting.pop()
        if path in wholes and (wholes[path] or not whole):
            continue
        wholes[path] = whole
        if path != "/":
            waiting.append((path.rpartition("/")[0] or "/", False, links))
        target = _target(path)
        if target is not None and links < _MAX_LINKS:
            waiting.append((target, whole, links + 1))
    return tuple((path, whole, look(path, whole)) for path, whole in wholes.items())


def _target(path: str) -> str | None:
    """Where the link *path* leads to; None where there is none."""
    try:
        target = posix.readlink(path)
    except (OSError, ValueError):
        return None
    return target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"


def sources_unchanged(seen: "Snapshot") -> bool:
    """Whether everything still looks as in *seen*."""
    return all(look(path, whole) == then for path, whole, then in seen)


def youngest_ns(seen: "Snapshot") -> int:
    """The latest time of a content or attribute in *seen*, in nanoseconds since the epoch."""
    return max((max(then[-2:]) for _, whole, then in seen if whole and then), default=0)
