"""
What compiled rules were made from, and whether it is still the same.

Never "newer than": every file and directory, missing ones too, is compared with what it was, by device, inode, size,
mode, owner and both times. Directories above them are compared without times, since other files come and go there.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    Seen = tuple[int, ...] | None
    Snapshot = tuple[tuple[str, bool, Seen], ...]


def look(path: str, whole: bool) -> "Seen":
    """How *path* looks now, a link as itself; None where there is nothing. *whole*: with size and times."""
    try:
        status = posix.lstat(path)
    except (OSError, ValueError):
        return None
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    return (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns) if whole else identity


def sources_unchanged(seen: "Snapshot") -> bool:
    """Whether everything still looks as in *seen*."""
    return all(look(path, whole) == then for path, whole, then in seen)
