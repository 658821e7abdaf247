"""
The chunks that carry several connections over one socket.

Each chunk is the id of a connection, a size, and as many bytes of that connection, which is a stream: neither sender
nor receiver has to cut it where calls begin or end.

Protocol: containerd/nri, pkg/net/multiplex.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ocihooks.nri.errors import LinkError

PLUGIN, RUNTIME = 1, 2
"""Connections by what is served on them: the engine calls the plugin on the first, the plugin calls on the second."""

MAX_CHUNK_BYTES = (4 << 20) + 10

_HEADER = struct.Struct(">II")

_FIRST_BYTES = 4096
"""
The most bytes of a message that its first chunk may have.

An engine reads through a buffer of this size, and takes a chunk whole or gives up the link; what is left of a larger
message it reads into a place of just that size, so all of that is the second chunk.
"""


class Demultiplexer:
    """Takes what comes from the socket apart, in pieces of any size."""

    def __init__(self) -> None:
        self._header = b""
        self._connection = 0
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """
        The connections and their bytes in *data*; a chunk is not waited for to be whole.

        Raises:
            LinkError: A chunk is larger than any can be.
        """
        at = 0
        while at < len(data):
            if not self._missing and not self._header and len(data) - at >= _HEADER.size:
                self._begin(data[at : at + _HEADER.size])
                at += _HEADER.size
            elif not self._missing:
                wanted = _HEADER.size - len(self._header)
                self._header += data[at : at + wanted]
                at += wanted
                if len(self._header) == _HEADER.size:
                    self._begin(self._header)
            else:
                piece = data[at : at + self._missing]
                self._missing -= len(piece)
                at += len(piece)
                yield self._connection, piece

    def _begin(self, header: bytes) -> None:
        self._connection, self._missing = _HEADER.unpack(header)
        self._header = b""
        if self._missing > MAX_CHUNK_BYTES:
            message = (
                f"the engine sent a chunk of {self._missing} bytes, more than the {MAX_CHUNK_BYTES} that are allowed"
            )
            raise LinkError(message, code="nri_link")


def chunks(connection: int, message: bytes) -> bytes:
    """*message* in the chunks in which an engine can read it."""
    if len(message) <= _FIRST_BYTES:
        return _HEADER.pack(connection, len(message)) + message
    first, rest = message[:_FIRST_BYTES], message[_FIRST_BYTES:]
    return _HEADER.pack(connection, len(first)) + first + _HEADER.pack(connection, len(rest)) + rest
