"""
The protocol as an engine sees it: messages in calls in chunks.

What is read is read as the Go programs read it: through a buffer of 4096 bytes, chunk by chunk, at most 256 of which
may wait; whatever they would refuse is a `ProtocolError`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

PLUGIN, RUNTIME = 1, 2
REQUEST, RESPONSE = 1, 2
BUFFER, QUEUE, LARGEST = 4096, 256, 4 << 20

PLUGIN_SERVICE = "nri.pkg.api.v1alpha1.Plugin"
RUNTIME_SERVICE = "nri.pkg.api.v1alpha1.Runtime"


class ProtocolError(AssertionError):
    """The plugin did something for which an engine would drop it."""


def number(value: int) -> bytes:
    """A varint."""
    low, rest = value & 127, value >> 7
    return bytes([low]) if not rest else bytes([low | 128]) + number(rest)


def member(field: int, value: int | str | bytes) -> bytes:
    """A field: a number, or a text or message with its length."""
    if isinstance(value, int):
        return number(field * 8) + number(value % (1 << 64))
    data = value.encode() if isinstance(value, str) else value
    return number(field * 8 + 2) + number(len(data)) + data


def members(field: int, values: Iterable[str | bytes]) -> bytes:
    """A repeated field."""
    return b"".join(member(field, value) for value in values)


def mapping(field: int, values: Mapping[str, str]) -> bytes:
    """A map."""
    return members(field, [member(1, name) + member(2, value) for name, value in values.items()])


def parsed(data: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a message in order."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag % 8 == 0:
            value, at = _varint(data, at)
            found.append((tag // 8, value))
        elif tag % 8 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ProtocolError("a field reaches beyond its message")
            found.append((tag // 8, data[at : at + size]))
            at += size
        else:
            raise ProtocolError(f"no message of NRI has a field of wire type {tag % 8}")
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value += (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ProtocolError("a number without an end")


def texts(fields: Iterable[tuple[int, int | bytes]], field: int) -> list[str]:
    """The texts in a repeated field."""
    return [value.decode() for value in messages(fields, field)]


def messages(fields: Iterable[tuple[int, int | bytes]], field: int) -> list[bytes]:
    """The messages in a repeated field."""
    found = []
    for name, value in fields:
        if name == field:
            if isinstance(value, int):
                raise ProtocolError(f"field {field} is a number")
            found.append(value)
    return found


def one(fields: Iterable[tuple[int, int | bytes]], field: int) -> int | bytes:
    """The value of a field that is not repeated; 0 where there is none."""
    found = [value for name, value in fields if name == field]
    if len(found) > 1:
        raise ProtocolError(f"field {field} is there {len(found)} times")
    return found[0] if found else 0


def call(service: str, method: str, payload: bytes, *, timeout_ns: int = 2_000_000_000) -> bytes:
    """A request, with its timeout and a word of metadata."""
    metadata = member(1, "trace") + member(2, "0af7651916cd43dd8448eb211c80319c")
    return member(1, service) + member(2, method) + member(3, payload) + member(4, timeout_ns) + member(5, metadata)


def framed(stream: int, kind: int, data: bytes) -> bytes:
    """A message of ttrpc."""
    return len(data).to_bytes(4, "big") + stream.to_bytes(4, "big") + bytes([kind, 0]) + data


def chunk(connection: int, data: bytes, size: int | None = None) -> bytes:
    """A chunk; *size* makes its header lie."""
    return connection.to_bytes(4, "big") + (len(data) if size is None else size).to_bytes(4, "big") + data


class Reader:
    """The messages of one connection, taken from its chunks as bufio and ttrpc of the Go programs take them."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._buffer = b""

    def add(self, data: bytes) -> None:
        """Queue a chunk."""
        if len(self._chunks) == QUEUE:
            raise ProtocolError("the queue of chunks is full")
        self._chunks.append(data)

    def message(self) -> tuple[int, int, bytes] | None:
        """Stream, type and data of the next message; None while it is not all there."""
        held, buffer = list(self._chunks), self._buffer
        header = self._take(10)
        data = None
        if header is not None:
            size = int.from_bytes(header[:4], "big")
            if size > LARGEST:
                raise ProtocolError(f"a message of {size} bytes")
            data = self._take(size)
        if header is None or data is None:
            self._chunks, self._buffer = deque(held), buffer
            return None
        if header[9]:
            raise ProtocolError(f"flags {header[9]}")
        return int.from_bytes(header[4:8], "big"), header[8], data

    def _take(self, wanted: int) -> bytes | None:
        """As io.ReadFull on a bufio.Reader: large reads go past the buffer, others fill it with one chunk."""
        taken = b""
        while len(taken) < wanted:
            missing = wanted - len(taken)
            if self._buffer:
                taken, self._buffer = taken + self._buffer[:missing], self._buffer[missing:]
            elif not self._chunks:
                return None
            else:
                room = max(missing, BUFFER)
                piece = self._chunks.popleft()
                if len(piece) > room:
                    raise ProtocolError(f"a chunk of {len(piece)} bytes where there is room for {room}")
                self._buffer = piece
        return taken
