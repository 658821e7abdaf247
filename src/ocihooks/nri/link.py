"""
One connection to an engine: what comes is taken apart into requests, answers go out without waiting for each other.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

from ocihooks.errors import os_reason, quoted
from ocihooks.nri import ttrpc
from ocihooks.nri.errors import LinkError
from ocihooks.nri.messages import RUNTIME_SERVICE, registration
from ocihooks.nri.mux import PLUGIN, RUNTIME, Demultiplexer, chunks
from ocihooks.nri.plugin import Plugin
from ocihooks.nri.wire import WireError, split

HANDSHAKE_S = 15.0
"""Seconds that an engine may take until it has accepted the plugin; engines themselves give up after five."""

LASTING_S = 5.0
"""Seconds after which a link counts as one that works."""

_READ_BYTES, _READS = 1 << 18, 4
"""How much is read at once, and how often before anything is answered."""

_SOON_BYTES = 200
"""How much may wait for the next answer that needs no thought; ten of these, so that sending costs next to nothing."""

_UNSENT_BYTES = 8 << 20
"""How much may wait for an engine that does not read before nothing more is read from it."""

_REGISTRATION = 1
"""The stream of the one call that the plugin makes."""


class Link:
    """
    The connection *connected* to an engine, which *plugin* serves.

    Args:
        name: Under which the plugin registers.
        index: Two digits that say when it is asked, among all plugins.

    Attributes:
        socket: The connection.
    """

    def __init__(self, connected: socket.socket, plugin: Plugin, *, name: str, index: str) -> None:
        self.socket = connected
        self._plugin = plugin
        self._chunks = Demultiplexer()
        self._messages = {PLUGIN: ttrpc.Messages(), RUNTIME: ttrpc.Messages()}
        self._unsent = bytearray()
        self._since = time.monotonic()
        connected.setblocking(False)
        plugin.begin()
        self._send(
            RUNTIME,
            ttrpc.written(
                _REGISTRATION,
                ttrpc.REQUEST,
                ttrpc.request(RUNTIME_SERVICE, "RegisterPlugin", registration(name, index)),
            ),
        )

    @property
    def events(self) -> int:
        """What to wait for on the socket, as `select.poll` has it."""
        reading = select.POLLIN if len(self._unsent) <= _UNSENT_BYTES else 0
        return reading | (select.POLLOUT if self._unsent else 0)

    @property
    def lasts(self) -> bool:
        """Whether the engine has accepted the plugin and did not think better of it at once."""
        return self._plugin.configured and time.monotonic() > self._since + LASTING_S

    def close(self) -> None:
        """End it."""
        self.socket.close()

    def check(self) -> None:
        """
        See to it that the engine does not keep the plugin waiting.

        Raises:
            LinkError: It does.
        """
        if not self._plugin.configured and time.monotonic() > self._since + HANDSHAKE_S:
            raise LinkError(f"the engine did not accept the plugin within {HANDSHAKE_S:g} seconds", code="nri_link")

    def serve(self, events: int) -> None:
        """
        Read and write what can be, and answer what was asked.

        Raises:
            LinkError: The link is of no use any more.
        """
        if events & select.POLLOUT:
            self._flush()
        if events & ~select.POLLOUT:
            self._answer()

    def _answer(self) -> None:
        """Answer what is asked, first what needs no thought, so that nobody waits for the rules of others."""
        others: list[ttrpc.Message] = []
        try:
            for stream, answer in self._plugin.answered_at_once(self._asked(), others):
                self._unsent += chunks(PLUGIN, ttrpc.written(stream, ttrpc.RESPONSE, answer))
                if len(self._unsent) >= _SOON_BYTES:
                    self._flush()
        finally:  # what was asked before the link was lost is answered nevertheless; it may have been a farewell
            for message in others:
                self._unsent += chunks(
                    PLUGIN, ttrpc.written(message.stream, ttrpc.RESPONSE, self._plugin.answer(message))
                )
                self._flush()
        self._flush()

    def _asked(self) -> Iterator[ttrpc.Message]:
        """The requests that are there by now, or a good part of them."""
        for _ in range(_READS):
            try:
                data = self.socket.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise _lost(error) from None
            if not data:
                raise LinkError("the engine closed the link", code="nri_link")
            for connection, piece in self._chunks.feed(data):
                if connection in self._messages:  # others are nobody's, and engines drop them, too
                    for message in self._messages[connection].feed(piece):
                        if self._is_asked(connection, message):
                            yield message

    def _is_asked(self, connection: int, message: ttrpc.Message) -> bool:
        """Whether *message* is a request; the one answer that the engine owes is taken, and all else is passed over."""
        if connection == RUNTIME and (message.kind, message.stream) == (ttrpc.RESPONSE, _REGISTRATION):
            self._registered(message.data)
        return connection == PLUGIN and message.kind == ttrpc.REQUEST

    @staticmethod
    def _registered(data: bytes) -> None:
        try:
            code, reason = ttrpc.status_of(split(data))
        except WireError as error:
            raise LinkError(
                f"the engine's answer to the registration can't be read: {error}", code="nri_link"
            ) from None
        if code != ttrpc.OK:
            raise LinkError(f"the engine refuses the plugin: {quoted(reason, 300)}", code="nri_link")

    def _send(self, connection: int, message: bytes) -> None:
        self._unsent += chunks(connection, message)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise _lost(error) from None


def _lost(error: OSError) -> LinkError:
    return LinkError(f"the link to the engine is lost: {os_reason(error)}", code="nri_link")
