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

_LINK = 0o120000


def look(path: str, whole: bool) -> "Seen":
    """How *path* looks now, a link as itself; None where there is nothing. *whole*: with size and times."""
    try:
        status = posix.lstat(path)
    except (OSError, ValueError):
        return None
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    return (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if whole else identity


def snapshot(paths: "Iterable[str]") -> "Snapshot":
    """How all *paths*, what links among them lead to, and the directories above them look now."""
    wholes: dict[str, bool] = {}
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if wholes.get(path):
            continue
        wholes[path] = True
        for above in _ancestors(path):
            wholes.setdefault(above, False)
    for path in list(wholes):
        _follow(path, wholes)
    return tuple((path, whole, look(path, whole)) for path, whole in wholes.items())


def _follow(path: str, wholes: dict[str, bool]) -> None:
    """Add what the link *path* leads to, step by step."""
    whole = wholes[path]
    for _ in range(40):
        try:
            if posix.lstat(path).st_mode & 0o170000 != _LINK:
                return
            target = posix.readlink(path)
        except (OSError, ValueError):
            return
        path = _joined(path.rpartition("/")[0], target)
        wholes[path] = wholes.get(path, False) or whole
        for above in _ancestors(path):
            wholes.setdefault(above, False)


def _joined(directory: str, target: str) -> str:
    return target if target.startswith("/") else f"{directory}/{target}"


def _ancestors(path: str) -> "Iterable[str]":
    while path and path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def unchanged(seen: "Snapshot") -> bool:
    """Whether everything still looks as in *seen*."""
    return all(look(path, whole) == then for path, whole, then in seen)


def youngest_ns(seen: "Snapshot") -> int:
    """The latest time of a content or attribute in *seen*, in nanoseconds since the epoch."""
    return max((max(then[-2:]) for _, whole, then in seen if whole and then), default=0)
