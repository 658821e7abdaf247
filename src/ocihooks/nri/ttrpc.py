"""
Calls on a connection: messages with a header, requests, and responses.

Protocol: containerd/ttrpc, PROTOCOL.md and request.proto; only calls with one request and one response.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from ocihooks.nri.wire import (
    Fields,
    last_signed,
    last_text,
    number_field,
    part,
    part_field,
    split,
    split_as_far_as_possible,
    text_field,
)

REQUEST, RESPONSE = 1, 2
"""Types of messages; there are others, which belong to calls that NRI does not make."""

MAX_BYTES = 4 << 20
"""The largest message, its header aside."""

KEPT_BYTES = 64 << 10
"""How much of a larger message is kept, to tell what it was about."""

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED = 0, 3, 8, 9, 12
"""Codes of a response."""

_HEADER = struct.Struct(">IIBB")


class Message(NamedTuple):
    """
    A message, or the beginning of one that is too large.

    Attributes:
        stream: Which call it belongs to.
        kind: Its type.
        data: What is behind the header; of a message that is too large at most `KEPT_BYTES`.
        size: How much the sender announced.
    """

    stream: int
    kind: int
    data: bytes
    size: int

    @property
    def too_large(self) -> bool:
        """Whether nobody may send so much."""
        return self.size > MAX_BYTES


class Messages:
    """Puts the messages of one connection together, from pieces of any size."""

    def __init__(self) -> None:
        self._pending = b""
        self._unwanted = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole with *data*; of those that are too large the rest is dropped when it comes."""
        if self._unwanted:
            dropped = min(self._unwanted, len(data))
            self._unwanted -= dropped
            data = data[dropped:]
        data = self._pending + data if self._pending else data
        messages, at = [], 0
        while len(data) - at >= _HEADER.size:
            size, stream, kind, _ = _HEADER.unpack_from(data, at)
            start = at + _HEADER.size
            end = start + (size if size <= MAX_BYTES else KEPT_BYTES)
            if end > len(data):
                break
            messages.append(Message(stream, kind, data[start:end], size))
            at = end
            if size > MAX_BYTES:
                self._unwanted = max(0, start + size - len(data))
                at = min(start + size, len(data))
        self._pending = data[at:]
        return messages


def written(stream: int, kind: int, data: bytes) -> bytes:
    """A message as it is sent."""
    return _HEADER.pack(len(data), stream, kind, 0) + data


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request.

    Attributes:
        service: The service that is called.
        method: The method of that service.
        payload: The message that the method takes.
    """

    service: str
    method: str
    payload: bytes


def call_of(data: bytes) -> Call:
    """
    The request in a message of type `REQUEST`; its timeout and metadata are left out.

    Raises:
        WireError: It is none.
    """
    fields = split(data)
    return Call(last_text(fields, 1), last_text(fields, 2), part(fields, 3))


def beginning_of(service: str, method: str) -> bytes:
    """How requests for a method begin, up to the size of the payload, when their fields come in the usual order."""
    return text_field(1, service) + text_field(2, method) + b"\x1a"


def payload_so_far(data: bytes) -> bytes:
    """What there is of the payload of a request that is cut off."""
    found = split_as_far_as_possible(data).get(3, [b""])[-1]
    return found if isinstance(found, bytes) else b""


def request(service: str, method: str, payload: bytes) -> bytes:
    """What a request holds."""
    return text_field(1, service) + text_field(2, method) + part_field(3, payload)


def response(payload: bytes) -> bytes:
    """What the response to a request that could be served holds."""
    return part_field(2, payload)


def failure(code: int, message: str) -> bytes:
    """What the response to a request that could not be served holds."""
    return part_field(1, number_field(1, code) + text_field(2, message))


def status_of(fields: Fields) -> tuple[int, str]:
    """
    Code and message of a response.

    Raises:
        WireError: It is none.
    """
    status = split(part(fields, 1))
    return last_signed(status, 1), last_text(status, 2)
