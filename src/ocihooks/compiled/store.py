"""
The cached file of compiled rules: loaded only if it is trusted, whole, ours and fresh; anything else only costs time.
"""

import marshal
import posix
import sys
from _imp import source_hash
from time import time_ns

from ocihooks.compiled.ruleset import RuleSet
from ocihooks.compiled.sources import sources_unchanged, youngest_ns
from ocihooks.trust import Trust, read_trusted
from ocihooks.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocihooks.compiled.sources import Snapshot

MAGIC = f"ocihooks {__version__} {sys.implementation.cache_tag} 3\n".encode()
"""
Format, version and interpreter; a file with another first line is foreign.

Behind it: the hash of the values' part, its size in eight bytes, that part, and the snapshot of their sources. The
snapshot is left unread when the launcher has looked at the sources: with many rules that is most of the work.
"""

MAX_BYTES = 64 << 20
QUIET_NS = 2_000_000_000
"""How long sources must have been untouched before what was made of them is kept: a file system's times are coarse."""

_HASH_KEY = 0x6F6369686F6F6B73


def load(path: str, identity: "tuple[Any, ...]", owner: int, unchanged: int = 0) -> "tuple[RuleSet | None, str]":
    """
    The rules in the cached file *path*, and why they can be used or not, for `ocihooks cache show`.

    Args:
        identity: What else they depend on: settings file, directories, user. Another one's rules are not used.
        owner: The user id that has to own the file.
        unchanged: Checksum of the launcher's data whose sources it found unchanged; 0: it didn't look.
    """
    try:
        value, why = _load(path, identity, owner, unchanged)
        return (RuleSet.from_tuple(value) if why == "fresh" else None), why
    except Exception as error:  # noqa: BLE001  (whatever is wrong with a cache, the rules are read from their files)
        return None, f"not usable: {error}"


def load_value(path: str, identity: "tuple[Any, ...]", owner: int) -> "tuple[Any, bool]":
    """As `load`, for what `encode_value` wrote: the value, which may be stale or None, and whether it is fresh."""
    try:
        value, why = _load(path, identity, owner, 0)
        return value, why == "fresh"
    except Exception:  # noqa: BLE001  (whatever is wrong with a cache, what it holds is read from its sources)
        return None, False


def _load(path: str, identity: "tuple[Any, ...]", owner: int, unchanged: int) -> "tuple[Any, str]":
    data = memoryview(read_trusted(path, Trust((0, owner)), MAX_BYTES))
    start = len(MAGIC)
    if data[:start] != MAGIC:
        return None, "written by another version or interpreter"
    end = start + 16 + int.from_bytes(data[start + 8 : start + 16], "little")
    body = data[start + 16 : end]
    if source_hash(_HASH_KEY, body) != data[start : start + 8]:
        return None, "damaged"
    # Only root could have written it, and the hash fits.
    found, youngest, checksum, seen_hash, value = marshal.loads(body)  # noqa: S302
    if found != identity:
        return value, "made for other settings, directories or users"
    if youngest > time_ns():
        return value, "a source has a time in the future"
    if not unchanged or unchanged != checksum:
        if source_hash(_HASH_KEY, data[end:]) != seen_hash:
            return None, "damaged"
        if not sources_unchanged(marshal.loads(data[end:])):  # noqa: S302
            return value, "a source changed"
    return value, "fresh"


def encode(identity: "tuple[Any, ...]", seen: "Snapshot", rules: RuleSet, checksum: int = 0) -> bytes:
    """The bytes of a cached file; each rule is packed by itself, since most are never looked at."""
    return encode_value(identity, seen, rules.packed(), checksum)


def encode_value(identity: "tuple[Any, ...]", seen: "Snapshot", value: object, checksum: int = 0) -> bytes:
    """
    The bytes of a cached file with any value that can be marshalled.

    Args:
        checksum: That of the launcher's data about the same sources; 0: there is none.
    """
    sources = marshal.dumps(seen)
    body = marshal.dumps((identity, youngest_ns(seen), checksum, source_hash(_HASH_KEY, sources), value))
    return b"".join((MAGIC, source_hash(_HASH_KEY, body), len(body).to_bytes(8, "little"), body, sources))


def store(path: str, data: bytes) -> str | None:
    """
    Write the cached file *path*, whole or not at all; its directory is made, for root (or the user) only.

    Returns:
        Why it could not be written, or None. That is no error: the next start reads the rules again.
    """
    directory, _, name = path.rpartition("/")
    prefix = f".{name}.ocihooks-"
    temporary = f"{directory}/{prefix}{posix.getpid()}-{posix.urandom(8).hex()}"
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
        _discard(temporary)
        return str(error)
    _sweep(directory, prefix)
    return None


def _discard(temporary: str) -> None:
    try:
        posix.unlink(temporary)
    except OSError:  # somebody cleared the directory, or it can't be written any more
        pass


def _sweep(directory: str, prefix: str) -> None:
    """Remove what killed processes left, in a directory where nobody but the owner of the rules writes."""
    from ocihooks.replace import sweep

    try:
        fd = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        sweep(fd, prefix)
    finally:
        posix.close(fd)


def is_quiet(seen: "Snapshot", now_ns: int) -> bool:
    """Whether no source was touched within the last two seconds, or has a time in the future."""
    return youngest_ns(seen) <= now_ns - QUIET_NS
