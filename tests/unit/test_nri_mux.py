"""Chunks and calls: in pieces of any size, too large, and as the Go programs can read them."""

from __future__ import annotations

import pytest

from ocihooks.nri import ttrpc
from ocihooks.nri.errors import LinkError
from ocihooks.nri.mux import MAX_CHUNK_BYTES, PLUGIN, RUNTIME, Demultiplexer, chunks
from ocihooks.nri.wire import WireError, split
from ocihooks.testing.nri.protocol import Reader, call, chunk, framed


def by_connection(pieces: list[bytes]) -> dict[int, bytes]:
    demultiplexer = Demultiplexer()
    found: dict[int, bytes] = {}
    for piece in pieces:
        for connection, data in demultiplexer.feed(piece):
            found[connection] = found.get(connection, b"") + data
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 1000])
def test_pieces(size: int) -> None:
    """However the bytes arrive, each connection gets its own, empty chunks included."""
    data = chunk(1, b"ab") + chunk(2, b"") + chunk(7, b"x" * 30) + chunk(1, b"cd")
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert by_connection(pieces) == {1: b"abcd", 7: b"x" * 30}


def test_largest_chunk() -> None:
    """A chunk may be as large as the largest message with its header, and no larger."""
    assert by_connection([chunk(1, b"", MAX_CHUNK_BYTES) + b"x"]) == {1: b"x"}
    with pytest.raises(LinkError, match="the engine sent a chunk of 4194315 bytes, more than the 4194314"):
        by_connection([chunk(1, b"", MAX_CHUNK_BYTES + 1)])


@pytest.mark.parametrize("size", [0, 1, 4085, 4086, 4087, 5000, 8182, 8183, 1 << 20, 4 << 20])
def test_as_go_reads_it(size: int) -> None:
    """A message of any size comes in chunks for which its reader has room, also behind other messages."""
    demultiplexer, reader = Demultiplexer(), Reader()
    sent = [framed(1, 2, b"a"), ttrpc.written(3, ttrpc.RESPONSE, b"x" * size), framed(5, 2, b"b")]
    for message in sent:
        data = chunks(PLUGIN, message)
        at = 0
        while at < len(data):
            length = int.from_bytes(data[at + 4 : at + 8], "big")
            reader.add(data[at + 8 : at + 8 + length])
            at += 8 + length
        assert b"".join(piece for _, piece in demultiplexer.feed(data)) == message
    assert [reader.message() for _ in sent] == [(1, 2, b"a"), (3, 2, b"x" * size), (5, 2, b"b")]


def test_go_reader_refuses() -> None:
    """The control: one chunk for all of a message of 5,000 bytes is what an engine would drop the plugin for."""
    reader = Reader()
    reader.add(framed(1, 2, b"x" * 5000))
    with pytest.raises(AssertionError, match="a chunk of 5010 bytes where there is room for 4096"):
        reader.message()


@pytest.mark.parametrize("size", [1, 3, 10, 11, 4096])
def test_messages_in_pieces(size: int) -> None:
    """Messages are put together from pieces of any size."""
    data = framed(1, 1, b"one") + framed(3, 1, b"") + framed(5, 2, b"x" * 5000)
    messages = ttrpc.Messages()
    found = [m for at in range(0, len(data), size) for m in messages.feed(data[at : at + size])]
    assert [(m.stream, m.kind, m.data) for m in found] == [(1, 1, b"one"), (3, 1, b""), (5, 2, b"x" * 5000)]
    assert not any(m.too_large for m in found)


@pytest.mark.parametrize("size", [1000, 65537, 1 << 20])
def test_too_large(size: int) -> None:
    """Of a message that is too large there is the beginning, and the next message is found behind it."""
    data = framed(1, 1, b"x" * (ttrpc.MAX_BYTES + 1)) + framed(3, 1, b"next")
    messages = ttrpc.Messages()
    found = [m for at in range(0, len(data), size) for m in messages.feed(data[at : at + size])]
    assert [(m.stream, len(m.data), m.too_large) for m in found] == [(1, ttrpc.KEPT_BYTES, True), (3, 4, False)]
    assert not messages._pending


def test_calls() -> None:
    """A request is read with all that engines add to it, however its fields are ordered."""
    data = call("pkg.Service", "Method", b"\x0a\x01x")
    assert ttrpc.call_of(data) == ttrpc.Call("pkg.Service", "Method", b"\x0a\x01x")
    beginning = ttrpc.beginning_of("pkg.Service", "Method")
    assert data.startswith(beginning)
    assert not call("pkg.Service", "Methods", b"").startswith(beginning)
    assert data.startswith(ttrpc.request("pkg.Service", "Method", b"\x0a\x01x"))
    assert ttrpc.payload_so_far(beginning + b"\x05ab") == b"ab"
    with pytest.raises(WireError):
        ttrpc.call_of(b"\xff")


def test_answers() -> None:
    """An answer has a payload, or code and reason."""
    assert ttrpc.status_of(split(ttrpc.response(b""))) == (ttrpc.OK, "")
    assert ttrpc.status_of(split(ttrpc.failure(ttrpc.UNIMPLEMENTED, "no"))) == (12, "no")


def test_unknown_connection() -> None:
    """Connections that nobody serves do not mix with the two that there are."""
    assert {PLUGIN, RUNTIME} == {1, 2}
    assert by_connection([chunk(0, b"reserved") + chunk(99, b"new") + chunk(PLUGIN, b"ours")])[PLUGIN] == b"ours"
