"""The messages of the CRI client, without an engine; and engines that say what they can't do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engines.cri import CRI, entries, field, message, parse, read_varint, text, varint

from ocihooks.errors import UnavailableError
from ocihooks.testing.engines.buildah import Buildah
from ocihooks.testing.engines.containerd import Ctr

NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)


@given(NUMBERS)
def test_numbers(number: int) -> None:
    """A number is read as it was written, and no byte behind it is."""
    encoded = varint(number)
    assert read_varint(encoded + b"\xff", 0) == (number, len(encoded))


@given(st.lists(st.tuples(st.integers(1, 2000), st.one_of(NUMBERS.filter(bool), st.binary(min_size=1)))))
def test_messages(fields: list[tuple[int, int | bytes]]) -> None:
    """A message has the fields that were put in, repeated ones in their order."""
    expected: dict[int, list[int | bytes]] = {}
    for number, value in fields:
        expected.setdefault(number, []).append(value)
    assert parse(message(*fields)) == expected


def test_known_bytes() -> None:
    """The encoding is that of protobuf's own documentation."""
    assert field(1, 150) == b"\x08\x96\x01"
    assert field(2, "testing") == b"\x12\x07testing"
    assert message((1, 0), (2, ""), (3, b"")) == b""


def test_maps_and_texts() -> None:
    """A map is a repeated message of key and value; a text that is not there is empty."""
    fields = parse(message(*entries(7, {"a": "1", "b": "2"})))
    assert [(text(entry, 1), text(entry, 2)) for entry in map(parse, fields[7])] == [("a", "1"), ("b", "2")]
    assert text(fields, 1) == ""


@pytest.mark.parametrize(
    ("kind", "operation"), [(Buildah, "pause"), (Buildah, "exec"), (CRI, "pause"), (CRI, "restart")]
)
def test_lacking_operations(kind: type[Buildah | CRI], operation: str) -> None:
    """An engine that has no such operation says so."""
    with pytest.raises(UnavailableError, match=f"{kind.name} has no {operation} web"):
        getattr(kind.__new__(kind), operation)("web")


def test_ctr_has_no_default() -> None:
    """ctr can't be told a default runtime."""
    with pytest.raises(UnavailableError, match="has no default runtime"):
        Ctr.__new__(Ctr).use("/bin/true", default=True)
