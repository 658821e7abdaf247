"""
The cached file of compiled rules: loaded only if it is trusted, whole, ours and fresh; anything else only costs time.
"""

import marshal
import sys
from _imp import source_hash
from time import time_ns

import ocihooks
from ocihooks.compiled.sources import packed_unchanged
from ocihooks.trust import Trust, read_trusted
from ocihooks.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocihooks.compiled.ruleset import RuleSet


MAGIC = f"ocihooks {__version__} {sys.implementation.cache_tag} 10\n".encode()
"""
Format, version and interpreter; a file with another first line is foreign.

Behind it: the hash of the values' part, its size in eight bytes, that part, the snapshot of their sources, and the
rules. The snapshot is left unread when the launcher has looked at the sources, and a rule unless a container may match
it: with many rules that is most of the work.
"""

MAX_BYTES = 64 << 20
HASH_KEY = 0x6F6369686F6F6B73
ENTRY_BYTES = 12
"""Size of what stands in the values' part for each rule: its hash, and where it ends among the rules, in four bytes."""


def load(path: str, identity: "tuple[Any, ...]", owner: int, unchanged: int = 0) -> "tuple[RuleSet | None, str]":
    """
    The rules in the cached file *path*, and why they can be used or not, for `ocihooks cache show`.

    Args:
        identity: What else they depend on: settings file, directories, user. Another one's rules are not used.
        owner: The user id that has to own the file.
        unchanged: Checksum of the launcher's data whose sources it found unchanged; 0: it didn't look.
    """
    from ocihooks.compiled.ruleset import MEMBERS, RuleSet

    try:
        value, why, packed = _load(path, identity, owner, unchanged)
        if why != "fresh":
            return None, why
        members = dict(zip(MEMBERS, value, strict=True))
        index, (keys, needs) = members["rules"], members["needs"]
        if int.from_bytes(index[-4:], "little") != len(packed):
            return None, "damaged"
        members["rules"] = members["needs"] = ()
        return RuleSet((index, packed, keys, needs), **members), why
    except Exception as error:  # noqa: BLE001  (whatever is wrong with a cache, the rules are read from their files)
        return None, f"not usable: {error}"


def load_value(path: str, identity: "tuple[Any, ...]", owner: int) -> "tuple[Any, bool]":
    """As `load`, for what `encode_value` wrote: the value, which may be stale or None, and whether it is fresh."""
    try:
        value, why, _ = _load(path, identity, owner, 0)
        return value, why == "fresh"
    except Exception:  # noqa: BLE001  (whatever is wrong with a cache, what it holds is read from its sources)
        return None, False


def rule_at(number: int, index: bytes, packed: memoryview) -> "Any":
    """
    One of the rules *packed*, found by the *index* over them.

    Raises:
        DamagedError: It is not the rule that was written.
    """
    entry = index[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES]
    start = index[number * ENTRY_BYTES - 4 : number * ENTRY_BYTES] if number else b""
    rule = packed[int.from_bytes(start, "little") : int.from_bytes(entry[8:], "little")]
    if source_hash(HASH_KEY, rule) != entry[:8]:
        raise ocihooks.errors.DamagedError
    return marshal.loads(rule)  # noqa: S302  (only root could have written it, and the hash fits)


def _load(path: str, identity: "tuple[Any, ...]", owner: int, unchanged: int) -> "tuple[Any, str, memoryview]":
    try:
        data = memoryview(read_trusted(path, Trust((0, owner)), MAX_BYTES))
    except ocihooks.errors.UntrustedError:
        data = memoryview(_read_in_namespace(path, owner))
    start = len(MAGIC)
    if data[:start] != MAGIC:
        return None, "written by another version or interpreter", data
    end = start + 16 + int.from_bytes(data[start + 8 : start + 16], "little")
    body = data[start + 16 : end]
    if source_hash(HASH_KEY, body) != data[start : start + 8]:
        return None, "damaged", data
    # Only root could have written it, and the hash fits.
    found, youngest, checksum, seen_hash, seen_bytes, value = marshal.loads(body)  # noqa: S302
    seen, packed = data[end : end + seen_bytes], data[end + seen_bytes :]
    if found != identity:
        return value, "made for other settings, directories or users", packed
    if youngest > time_ns():
        return value, "a source has a time in the future", packed
    told = unchanged != 0 and unchanged == checksum
    return value, "fresh" if told else _staleness(seen, seen_hash), packed


def _read_in_namespace(path: str, owner: int) -> bytes:
    """
    As `read_trusted`, where directories above the file may be nobody's, as those of root are in a user namespace.

    The file itself has to be the owner's, since its bytes are believed; one that is too large ends early, as damaged.
    """
    import posix

    from ocihooks.trust import open_trusted, trust_here

    handle = open_trusted(path, trust_here())
    try:
        status = posix.fstat(handle)
        if status.st_uid != owner or status.st_mode & 0o170000 != 0o100000:
            message, hint = f"expected a regular file of user {owner}", f"rm {path}"
            raise ocihooks.errors.UntrustedError(message, code="untrusted", file=path, hint=hint)
        with open(f"/proc/self/fd/{handle}", "rb", buffering=0) as stream:
            return stream.read(min(status.st_size, MAX_BYTES))
    finally:
        posix.close(handle)


def _staleness(seen: memoryview, seen_hash: bytes) -> str:
    """Whether the sources still look as in the snapshot *seen*: "fresh", or why not."""
    if source_hash(HASH_KEY, seen) != seen_hash:
        return "damaged"
    return "fresh" if packed_unchanged(seen) else "a source changed"
