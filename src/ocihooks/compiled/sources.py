"""
What compiled rules were made from, and whether it is still the same.

Never "newer than": every file and directory, missing ones too, is compared with what it was, by device, inode, size,
mode, owner and both times. Directories above them are compared without times, since other files come and go there.
"""

import posix
from marshal import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    Seen = tuple[int, ...] | None
    Snapshot = tuple[tuple[str, bool, Seen], ...]


def look(path: str, whole: bool) -> "Seen":
    """
    How *path* looks now, a link as itself; None where there is nothing.

    Returns:
        Mode, inode, device, owner and group; *whole*: mode, inode, device, number of links, owner, group, size, time
        of content and of attributes.
    """
    try:
        status = posix.lstat(path)
    except (OSError, ValueError):
        return None
    if whole:
        return (*status[:7], status.st_mtime_ns, status.st_ctime_ns)  # a slice costs less than many names
    return status[:3] + status[4:6]


def sources_unchanged(seen: "Snapshot") -> bool:
    """Whether everything still looks as in *seen*."""
    return all(look(path, whole) == then for path, whole, then in seen)


def pack(seen: "Snapshot") -> bytes:
    """*seen* for `packed_unchanged`. A path with a NUL is left out, since there can never be such a file."""
    can_be = [(path, whole, then) for path, whole, then in seen if "\0" not in path]
    whole, above = ([(path, then) for path, is_whole, then in can_be if is_whole is wanted] for wanted in (True, False))
    names = ["".join(f"{path}\0" for path, _ in part) for part in (whole, above)]
    return dumps((*names, _looks_packed([then for _, then in (*whole, *above)])))


def packed_unchanged(packed: "bytes | memoryview") -> bool:
    """As `sources_unchanged`, of what `pack` gave: bytes are compared, which for many sources costs half as much."""
    whole, above, then = loads(packed)  # noqa: S302  (from a file that only root could have written)
    found = [look(path, True) for path in whole.split("\0")[:-1]]
    found += [look(path, False) for path in above.split("\0")[:-1]]
    return bool(_looks_packed(found) == then)


def _looks_packed(looks: "list[Seen]") -> bytes:
    return dumps(looks, 2)  # a later format would depend on which objects are the same
