"""
The launcher's data: the sources of the compiled rules, and when a create surely matches none of them.

The launcher looks at the sources, and tells the wrapper in Python if they are unchanged, by the checksum of this data.
Python need not even start if every rule needs a text that shows in config.json as it is, and none of these texts is
there. The texts come from `ocihooks.compiled.needs`; those that JSON could write in another way make it impossible.

Format, all numbers in the machine's byte order: 16 bytes of magic; a checksum (64 bits) of all that follows; the
number of sources and of texts (32 bits each), where no texts mean that no create is skipped; for each source its kind
(0 missing, 1 identity, 2 whole), device, inode, mode, owner, group, size, time of content and of attributes (64 bits
each), and its path; then the texts. A path or text ends with a NUL; more of them fill the last eight bytes.
"""

from __future__ import annotations

import sys

from ocihooks.injection import FILTER_STAGE, RULE_MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.compiled.ruleset import RuleSet
    from ocihooks.compiled.sources import Seen, Snapshot

MAGIC = b"ocihooks skip 1\0"

_MISSING, _IDENTITY, _WHOLE = range(3)
_64_BITS = (1 << 64) - 1


def texts_of(rules: RuleSet) -> tuple[str, ...] | None:
    """
    The texts of which a container must have one to be given anything, or None where that can't be said.

    Our own mark is always among them: a bundle that is used again may have entries of rules that are gone.
    """
    if rules.refused or rules.static or rules.modifiers or rules.log is not None:
        return None
    if any(FILTER_STAGE in rule[3] for rule in rules.rules):
        return None
    needs = (*rules.needs, *(flag if "=" in flag else f"{flag}=" for flag, _ in rules.injectors))
    if not all(map(_is_written_as_it_is, needs)):
        return None
    return tuple(dict.fromkeys((RULE_MARK, *needs)))


def _is_written_as_it_is(text: str) -> bool:
    """Whether JSON has one way only to write *text*, besides the escapes that the launcher refuses to judge."""
    return bool(text) and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def encode(seen: Snapshot, texts: tuple[str, ...]) -> bytes:
    """The bytes of the launcher's data; without *texts* no create is skipped."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    body = _numbers(4, len(seen), len(texts))
    body += b"".join([_source(whole, then) + path.encode(encoding, errors) + b"\0" for path, whole, then in seen])
    body += b"".join(text.encode() + b"\0" for text in texts)
    body += bytes(-len(body) % 8)
    return MAGIC + _numbers(8, _checksum(body)) + body


def checksum_of(data: bytes) -> int:
    """The checksum in what `encode` gave, by which the launcher tells the wrapper that the sources are unchanged."""
    return int.from_bytes(data[len(MAGIC) : len(MAGIC) + 8], sys.byteorder)


def allows_skipping(data: bytes) -> bool:
    """Whether the launcher's *data* has texts by which it can skip a create."""
    return data.startswith(MAGIC) and len(data) >= 32 and any(data[28:32])


def _source(whole: bool, then: Seen) -> bytes:
    if then is None:
        return _numbers(8, _MISSING, *(0,) * 8)
    mode, inode, device, *others = then
    numbers = (device, inode, mode, *(others[1:] if whole else (*others, 0, 0, 0)))  # the launcher counts no links
    unsigned = (number & _64_BITS for number in numbers)  # times before 1970 are negative
    return _numbers(8, _WHOLE if whole else _IDENTITY, *unsigned)


def _numbers(size: int, *numbers: int) -> bytes:
    """*numbers* as the launcher has them in memory, of *size* bytes each."""
    return b"".join([number.to_bytes(size, sys.byteorder) for number in numbers])


def _checksum(data: bytes) -> int:
    """FNV-1a of *data*, eight bytes at a time, with the upper half mixed into the lower one after each step."""
    total = 14695981039346656037
    for word in memoryview(data).cast("Q"):
        total = (total ^ word) * 1099511628211 & _64_BITS
        total ^= total >> 32
    return total
