"""The wire format: documented examples, everything that is no message, and the same in another implementation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocihooks.nri.wire import (
    WireError,
    last_number,
    last_signed,
    last_text,
    number_field,
    part,
    part_field,
    parts,
    split,
    split_as_far_as_possible,
    text_field,
    text_fields,
    text_map,
    texts,
)
from ocihooks.testing.nri import protocol


def test_documented_examples() -> None:
    """The examples of the format's own description come out as there."""
    assert number_field(1, 150) == bytes.fromhex("089601")
    assert text_field(2, "testing") == bytes.fromhex("120774657374696e67")
    assert part_field(3, number_field(1, 150)) == bytes.fromhex("1a03089601")
    assert number_field(1, -2) == bytes.fromhex("08feffffffffffffffff01")
    assert split(bytes.fromhex("089601120774657374696e671a03089601")) == {
        1: [150],
        2: [b"testing"],
        3: [b"\x08\x96\x01"],
    }
    assert last_signed(split(bytes.fromhex("08feffffffffffffffff01")), 1) == -2


def test_missing_fields() -> None:
    """What is not there is empty or 0, and so is not written."""
    found = last_text({}, 1), texts({}, 1), parts({}, 1), part({}, 1), last_number({}, 1), text_map({}, 1)
    assert found == ("", [], [], b"", 0, {})
    assert text_field(1, "") + number_field(1, 0) + text_fields(1, ()) == b""
    assert part_field(1, b"") == b"\x0a\x00"


def test_repetition() -> None:
    """Of a field that is there twice the last value counts, and messages are put together."""
    twice = split(text_field(1, "a") + text_field(1, "b") + part_field(2, b"\x08\x01") + part_field(2, b"\x10\x02"))
    assert last_text(twice, 1) == "b"
    assert split(part(twice, 2)) == {1: [1], 2: [2]}


def test_fields_of_other_kinds() -> None:
    """Numbers of fixed size, which a newer protocol may bring, are skipped."""
    assert split(b"\x09" + bytes(8) + b"\x15" + bytes(4) + text_field(3, "x")) == {3: [b"x"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("0a0561", "it ends 4 bytes before its last field does", id="text-cut-off"),
        pytest.param("0a", "it ends in the middle of a field", id="no-length"),
        pytest.param("08", "it ends in the middle of a field", id="no-number"),
        pytest.param("0880", "it ends in the middle of a field", id="number-cut-off"),
        pytest.param("08" + "80" * 10 + "01", "a number of more than 10 bytes", id="number-too-long"),
        pytest.param("0aff" + "ff" * 8 + "01", "it ends 18446744073709551615 bytes", id="huge-length"),
        pytest.param("0900", "it ends 7 bytes before its last field does", id="fixed-cut-off"),
        pytest.param("0b00", "there is no wire type 3", id="group"),
        pytest.param("0f00", "there is no wire type 7", id="type-7"),
        pytest.param("0001", "there is no field 0", id="field-0"),
    ],
)
def test_no_message(data: str, message: str) -> None:
    """What is no message is refused with the reason."""
    with pytest.raises(WireError, match=message):
        split(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        pytest.param(last_text, number_field(1, 7), "field 1: expected text, found a number", id="text"),
        pytest.param(texts, number_field(1, 7), "field 1: expected text, found a number", id="texts"),
        pytest.param(part, number_field(1, 7), "field 1: expected a message, found a number", id="message"),
        pytest.param(text_map, number_field(1, 7), "field 1: expected a message, found a number", id="map"),
        pytest.param(last_number, text_field(1, "x"), "field 1: expected a number, found bytes", id="number"),
        pytest.param(last_text, b"\x0a\x02\xc3\x28", "field 1 is not UTF-8: invalid continuation byte", id="utf-8"),
        pytest.param(text_map, part_field(1, b"\x0a\x01\xff"), "field 1 is not UTF-8", id="name-in-a-map"),
        pytest.param(
            text_map, part_field(1, b"\x08\x01"), "field 1: expected text, found a number", id="map-of-numbers"
        ),
        pytest.param(text_map, part_field(1, b"\x0a\x05a"), "it ends 4 bytes before", id="map-entry-cut-off"),
    ],
)
def test_wrong_kind(read: object, data: bytes, message: str) -> None:
    """A value of another kind than its field has is refused, and the field is named."""
    assert callable(read)
    with pytest.raises(WireError, match=message):
        read(split(data), 1)


def test_as_far_as_possible() -> None:
    """Of a message that is cut off there is what came before, and what there is of the last text."""
    whole = text_field(1, "first") + text_field(2, "second")
    assert split_as_far_as_possible(whole[:-2]) == {1: [b"first"], 2: [b"seco"]}
    assert split_as_far_as_possible(text_field(1, "first") + b"\x0f") == {1: [b"first"]}


@settings(max_examples=60)
@given(st.dictionaries(st.text(), st.text()), st.lists(st.text()), st.integers(0, (1 << 63) - 1))
def test_other_implementation(entries: dict[str, str], items: list[str], value: int) -> None:
    """What is written here is read there, and the other way round."""
    packed = [text_field(1, name) + text_field(2, text) for name, text in entries.items()]
    ours = b"".join(part_field(6, entry) for entry in packed) + text_fields(7, items) + number_field(300, value)
    there = protocol.parsed(ours)
    assert protocol.texts(there, 7) == items
    assert protocol.one(there, 300) == value
    theirs = split(protocol.mapping(6, entries) + protocol.members(7, items) + protocol.member(300, value))
    assert (text_map(theirs, 6), texts(theirs, 7), last_number(theirs, 300)) == (entries, items, value)
    assert text_map(split(ours), 6) == entries


@settings(max_examples=150)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are a message or no message, and never something worse."""
    try:
        fields = split(data)
    except WireError:
        fields = split_as_far_as_possible(data)
    for number in list(fields)[:5]:
        for read in (last_text, text_map, part, last_number):
            try:
                read(fields, number)
            except WireError:
                continue
