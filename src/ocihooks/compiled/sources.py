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
    there = [(path, then) for path, whole, then in can_be if whole and then]
    others = [(path, whole, then or ()) for path, whole, then in can_be if not (whole and then)]
    looks = [hash((*then[:3], then[6], then[7] // 10**9, then[8])) for _, then in there]
    known = hash((*looks, *[then for _, _, then in others]))
    paths = b"".join(path.encode(errors="surrogateescape") + b"\0" for path, _ in there)
    return dumps((paths, [(path, whole) for path, whole, _ in others], known))


def packed_unchanged(packed: "bytes | memoryview") -> bool:
    """
    As `sources_unchanged`, of what `pack` gave, which for many sources costs far less.

    What was seen is known by a hash of 64 bits, which for numbers is the same in every process. Links, owner and group
    of whole sources are not asked for, and the time of content in seconds: none of them changes without the time of the
    attributes, which is compared to the nanosecond.
    """
    there, others, known = loads(packed)  # noqa: S302  (from a file that only root could have written)
    statuses = map(posix.lstat, there.split(b"\0")[:-1])
    try:
        looks = [hash((s[0], s[1], s[2], s[6], s[8], s.st_ctime_ns)) for s in statuses]
    except OSError:
        return False
    return bool(hash((*looks, *[look(path, whole) or () for path, whole in others])) == known)
