"""
The cached file of compiled rules: loaded only if it is trusted, whole, ours and fresh; anything else only costs time.
"""

import marshal
import posix
import sys
from _imp import source_hash
from time import time_ns

from ocihooks.compiled.ruleset import RuleSet
from ocihooks.compiled.sources import unchanged, youngest_ns
from ocihooks.trust import Trust, read_trusted
from ocihooks.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocihooks.compiled.sources import Snapshot

MAGIC = f"ocihooks {__version__} {sys.implementation.cache_tag} 2\n".encode()
"""Format, version and interpreter; a file with another first line is foreign."""

MAX_BYTES = 64 << 20
QUIET_NS = 2_000_000_000
"""How long sources must have been untouched before what was made of them is kept: a file system's times are coarse."""

_HASH_KEY = 0x6F6369686F6F6B73


def load(path: str, identity: "tuple[Any, ...]", owner: int) -> "tuple[RuleSet | None, str]":
    """
    The rules in the cached file *path*, and why they can be used or not, for `ocihooks cache show`.

    Args:
        identity: What else they depend on: settings file, directories, user. Another one's rules are not used.
        owner: The user id that has to own the file.
    """
    try:
        return _load(path, identity, owner)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with a cache, the rules are read from their files)
        return None, f"not usable: {error}"


def _load(path: str, identity: "tuple[Any, ...]", owner: int) -> "tuple[RuleSet | None, str]":
    data = read_trusted(path, Trust((0, owner)), MAX_BYTES)
    start = len(MAGIC)
    body = memoryview(data)[start + 8 :]
    if not data.startswith(MAGIC):
        return None, "written by another version or interpreter"
    if source_hash(_HASH_KEY, body) != data[start : start + 8]:
        return None, "damaged"
    # Only root could have written it, and the hash fits.
    found, youngest, seen, rules = marshal.loads(body)  # noqa: S302
    stale = _staleness(found == identity, youngest, seen)
    return (None, stale) if stale else (RuleSet.from_tuple(marshal.loads(rules)), "fresh")  # noqa: S302


def _staleness(same_identity: bool, youngest: int, seen: "Snapshot") -> str:
    """Why compiled rules can't be used any more; "" where they can."""
    if not same_identity:
        return "made for other settings, directories or users"
    if youngest > time_ns():
        return "a source has a time in the future"
    return "" if unchanged(seen) else "a source changed"


def encode(identity: "tuple[Any, ...]", seen: "Snapshot", rules: RuleSet) -> bytes:
    """The bytes of a cached file; each rule is packed by itself, since most are never looked at."""
    body = marshal.dumps((identity, youngest_ns(seen), seen, marshal.dumps(rules.packed())))
    return MAGIC + source_hash(_HASH_KEY, body) + body


def store(path: str, data: bytes) -> str | None:
    """
    Write the cached file *path*, whole or not at all; its directory is made, for root (or the user) only.

    Returns:
        Why it could not be written, or None. That is no error: the next start reads the rules again.
    """
    directory, _, name = path.rpartition("/")
    temporary = f"{directory}/.{name}.{posix.getpid()}"
    try:
        try:
            posix.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
        fd = posix.open(temporary, flags, 0o600)
    except OSError as error:
        return str(error)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[posix.write(fd, view) :]
        finally:
            posix.close(fd)
        posix.replace(temporary, path)
    except OSError as error:
        posix.unlink(temporary)
        return str(error)
    return None


def is_quiet(seen: "Snapshot", now_ns: int) -> bool:
    """Whether no source was touched within the last two seconds, or has a time in the future."""
    return youngest_ns(seen) <= now_ns - QUIET_NS
