"""
The wire format of protocol buffers, as far as the messages of NRI need it: numbers, texts, and messages in messages.

Reading is strict about lengths and about UTF-8, and leaves out nothing: what a field means is the caller's to know, and
fields that it does not know are skipped by not asking for them.

Format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Fields = Mapping[int, list[int | bytes]]
"""What a message holds: for each field by its number all values in order, ints, or the bytes of texts and messages."""

_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MAX_NUMBER_BYTES = 10
_64_BITS = (1 << 64) - 1

NOT_FOUND = (0, 0)
"""Where a field is that a message does not have: there is a tag before any."""


class WireError(ValueError):
    """Bytes that are no message; the text says why."""


def split(data: bytes) -> Fields:
    """
    The fields of the message *data*; numbers of fixed size are left out, since no message here has any.

    Raises:
        WireError: A length does not fit, or there is something that is no field.
    """
    fields: dict[int, list[int | bytes]] = {}
    try:
        missing = _split_into(fields, data)
    except IndexError:
        raise WireError("it ends in the middle of a field") from None
    if missing:
        raise WireError(f"it ends {missing} bytes before its last field does")
    if 0 in fields:
        raise WireError("there is no field 0")
    return fields


def split_as_far_as_possible(data: bytes) -> Fields:
    """The fields of *data* up to the first fault, and what there is of a last one that is cut off."""
    fields: dict[int, list[int | bytes]] = {}
    try:
        _split_into(fields, data)
    except (IndexError, WireError):
        pass
    return fields


def _split_into(fields: dict[int, list[int | bytes]], data: bytes) -> int:
    """Put the fields of *data* into *fields*, and return how many bytes of the last one are missing."""
    at, end, last = 0, len(data), -1
    value: int | bytes
    while at < end:
        tag, size = data[at], data[at + 1]
        if tag & 0x87 == _BYTES and size < 128:  # nearly all fields are of this kind, and have to be quick
            at += 2 + size
            value = data[at - size : at]
        else:
            tag, at = number_at(data, at)
            kind = tag & 7
            if kind == _BYTES:
                size, at = number_at(data, at)
                value = data[at : at + size]
                at += size
            elif kind == _NUMBER:
                value, at = number_at(data, at)
            else:
                at += _fixed_size(kind)
                continue
        if tag != last:  # values of a repeated field stand behind each other
            add, last = fields.setdefault(tag >> 3, []).append, tag
        add(value)
    return at - end


def number_at(data: bytes, at: int) -> tuple[int, int]:
    """
    The number that begins at *at*, and where it ends.

    Raises:
        WireError: It has more bytes than a number can have.
        IndexError: *data* ends before it does.
    """
    value = shift = 0
    for place in range(at, at + _MAX_NUMBER_BYTES):
        byte = data[place]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _64_BITS, place + 1
        shift += 7
    raise WireError(f"a number of more than {_MAX_NUMBER_BYTES} bytes")


def found_field(data: bytes, at: int, end: int, number: int) -> tuple[int, int]:
    """
    Where the first text or message in field *number* of the message between *at* and *end* is; `NOT_FOUND`: nowhere.

    Raises:
        WireError: There is something that is no field on the way to it, or none that a message here has.
        IndexError: The data ends before.
    """
    wanted = number << 3 | _BYTES
    while at < end:
        tag, size = data[at], data[at + 1]
        if tag & 0x87 == _BYTES and size < 128 and tag != wanted:  # as in `_split_into`
            at += 2 + size
            continue
        tag, at = number_at(data, at)
        size, at = number_at(data, at)
        if tag & 7 == _BYTES:
            if tag == wanted:
                return at, at + size
            at += size
        elif tag & 7 != _NUMBER:
            raise WireError(f"there is no wire type {tag & 7}")
    return NOT_FOUND


def _fixed_size(kind: int) -> int:
    if kind == _EIGHT_BYTES:
        return 8
    if kind == _FOUR_BYTES:
        return 4
    raise WireError(f"there is no wire type {kind}")


def last_text(fields: Fields, number: int) -> str:
    """
    The text in field *number*: the last one, as for every field that is not repeated; "" where there is none.

    Raises:
        WireError: It is a number, or no UTF-8.
    """
    return _text(fields[number][-1], number) if number in fields else ""


def texts(fields: Fields, number: int) -> list[str]:
    """The texts in the repeated field *number*; raises as `last_text`."""
    return [_text(value, number) for value in fields.get(number, ())]


def _text(value: int | bytes, number: int) -> str:
    if isinstance(value, int):
        raise WireError(f"field {number}: expected text, found a number")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"field {number} is not UTF-8: {error.reason}") from None


def parts(fields: Fields, number: int) -> list[bytes]:
    """
    The messages in the repeated field *number*.

    Raises:
        WireError: One of them is a number.
    """
    found = []
    for value in fields.get(number, ()):
        if isinstance(value, int):
            raise WireError(f"field {number}: expected a message, found a number")
        found.append(value)
    return found


def part(fields: Fields, number: int) -> bytes:
    """The message in field *number*, empty where there is none; one that came in several parts is put together."""
    return b"".join(parts(fields, number))


def last_number(fields: Fields, number: int) -> int:
    """
    The number in field *number*, 0 where there is none; raises WireError where it is a text or a message.
    """
    value = fields[number][-1] if number in fields else 0
    if isinstance(value, bytes):
        raise WireError(f"field {number}: expected a number, found bytes")
    return value


def last_signed(fields: Fields, number: int) -> int:
    """As `last_number`, for fields whose numbers may be negative."""
    value = last_number(fields, number)
    return value - _64_BITS - 1 if value >> 63 else value


def text_map(fields: Fields, number: int) -> dict[str, str]:
    """The map from texts to texts in field *number*; raises as `last_text`."""
    found = {}
    for entry in parts(fields, number):
        try:
            # Nearly all entries are two short texts behind each other.
            middle = 2 + entry[1]
            if entry[0] == 0x0A and entry[middle] == 0x12 and middle + 2 + entry[middle + 1] == len(entry) < 130:
                found[entry[2:middle].decode()] = entry[middle + 2 :].decode()
                continue
        except (IndexError, UnicodeDecodeError):
            pass
        members = split(entry)
        name, value = (members.get(field, [b""])[-1] for field in (1, 2))
        found[_text(name, number)] = _text(value, number)
    return found


def number_bytes(value: int) -> bytes:
    """A number as it is written; negative ones as 64 bits."""
    if 0 <= value < 128:
        return bytes((value,))
    value &= _64_BITS
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number; nothing for 0, which is what a missing field means."""
    return number_bytes(number << 3) + number_bytes(value) if value else b""


def part_field(number: int, value: bytes) -> bytes:
    """A field that holds a message, also an empty one."""
    size = len(value)
    if size < 128 and number < 16:
        return bytes((number << 3 | _BYTES, size)) + value
    return number_bytes(number << 3 | _BYTES) + number_bytes(size) + value


def text_field(number: int, value: str) -> bytes:
    """A field that holds a text; nothing for "", which is what a missing field means."""
    return part_field(number, value.encode()) if value else b""


def text_fields(number: int, values: Iterable[str]) -> bytes:
    """A repeated field of texts, also empty ones."""
    return b"".join(part_field(number, value.encode()) for value in values)
