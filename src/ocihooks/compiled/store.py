"""
Writes the cached file of compiled rules, which `ocihooks.compiled.load` reads.
"""

from __future__ import annotations

import itertools
import marshal
import posix
from _imp import source_hash

from ocihooks.compiled.load import HASH_KEY, MAGIC
from ocihooks.compiled.ruleset import MEMBERS
from ocihooks.compiled.search import EXACT
from ocihooks.compiled.snapshot import youngest_ns
from ocihooks.compiled.sources import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocihooks.compiled.ruleset import RuleSet
    from ocihooks.compiled.sources import Snapshot

QUIET_NS = 2_000_000_000
"""How long sources must have been untouched before what was made of them is kept: a file system's times are coarse."""


def encode(identity: tuple[Any, ...], seen: Snapshot, rules: RuleSet, checksum: int = 0) -> bytes:
    """The bytes of a cached file."""
    value, packed = pack_rules(rules)
    return encode_value(identity, seen, value, checksum, packed)


def pack_rules(rules: RuleSet) -> tuple[tuple[Any, ...], bytes]:
    """The members of *rules* as the cached file has them, with what finds the rules there; and the rules themselves."""
    parts = [marshal.dumps(rule) for rule in rules.rules]
    ends = itertools.accumulate(map(len, parts))
    index = [source_hash(HASH_KEY, part) + end.to_bytes(4, "little") for part, end in zip(parts, ends, strict=True)]
    members = {name: getattr(rules, name) for name in MEMBERS}
    return tuple((members | {"needs": _needs(rules), "rules": b"".join(index)}).values()), b"".join(parts)


def _needs(rules: RuleSet) -> tuple[str, tuple[tuple[int, str], ...]]:
    """
    Lines of an annotation's key and the number of a rule that needs it, and the numbers and needs of the other rules.

    One text is searched once for each annotation of a container, however many rules there are.
    """
    keys = [needed_key(rule[4]) for rule in rules.rules]
    keyed = {number: key for number, key in enumerate(keys) if key is not None and not {"\t", "\n"} & {*key}}
    others = tuple((number, need) for number, need in enumerate(rules.needs) if number not in keyed)
    return "\n" + "".join(f"{key}\t{number}\n" for number, key in keyed.items()), others


def needed_key(when: tuple[Any, ...]) -> str | None:
    """The key of an annotation that every container has that meets the compiled conditions *when*; None: not known."""
    any_of, _, _, annotations, _ = when
    exact = [text for ((kind, text), _), _ in annotations or () if kind == EXACT]
    return exact[0] if exact and not any_of else None


def encode_value(
    identity: tuple[Any, ...], seen: Snapshot, value: Any, checksum: int = 0, packed: bytes = b""
) -> bytes:
    """
    The bytes of a cached file with any value that can be marshalled.

    Args:
        checksum: That of the launcher's data about the same sources; 0: there is none.
        packed: What only few calls read of it.
    """
    sources = pack(seen)
    body = marshal.dumps((identity, youngest_ns(seen), checksum, source_hash(HASH_KEY, sources), len(sources), value))
    return b"".join((MAGIC, source_hash(HASH_KEY, body), len(body).to_bytes(8, "little"), body, sources, packed))


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


def is_quiet(seen: Snapshot, now_ns: int) -> bool:
    """Whether no source was touched within the last two seconds, or has a time in the future."""
    return youngest_ns(seen) <= now_ns - QUIET_NS
