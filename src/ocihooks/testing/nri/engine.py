"""
An engine that listens for NRI plugins and asks them about containers, one test statement at a time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ocihooks.testing.nri.objects import Given, GivenHook, Pod, PodContainer, creation, given, given_hooks
from ocihooks.testing.nri.protocol import (
    LARGEST,
    PLUGIN,
    PLUGIN_SERVICE,
    REQUEST,
    RESPONSE,
    RUNTIME,
    RUNTIME_SERVICE,
    ProtocolError,
    Reader,
    call,
    chunk,
    framed,
    member,
    members,
    one,
    parsed,
    texts,
)

PATIENCE_S = 60.0
"""How long to wait for an answer. Engines wait for two seconds, but not on machines that are busy with tests."""

VALID_EVENTS = (1 << 13) - 1
"""The events that an engine of NRI 0.8 knows; others fail the registration."""


class CallError(Exception):
    """
    The plugin answered with an error.

    Attributes:
        code: The code of google.rpc.
        message: Its sentence.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class FakeEngine:
    """An engine with its socket in *directory*; use it as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "nri.sock"
        self._links: list[EngineLink] = []
        self._socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        self._socket.listen(8)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            link.close()
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def accept(self, timeout_s: float = PATIENCE_S) -> EngineLink:
        """The next plugin that connects, not registered yet."""
        self._socket.settimeout(timeout_s)
        connected, _ = self._socket.accept()
        self._links.append(EngineLink(connected))
        return self._links[-1]

    def accept_registered(self, *, synchronize: Iterable[tuple[Pod, PodContainer]] = ()) -> EngineLink:
        """The next plugin that connects, registered, configured and synchronized."""
        link = self.accept()
        link.register()
        link.configure()
        link.synchronize(synchronize)
        return link


@dataclass
class EngineLink:
    """
    A plugin's connection, as the engine has it.

    Attributes:
        name: The plugin's name, once it is registered.
        index: Its index.
        pieces: Write in pieces of so many bytes, each by itself; 0: every message at once.
        transcript: All that was sent and received, in order: whether it was sent, and the bytes.
    """

    connected: socket.socket
    name: str = ""
    index: str = ""
    pieces: int = 0
    transcript: list[tuple[bool, bytes]] = field(default_factory=list)
    _pending: bytearray = field(default_factory=bytearray)
    _stream: int = 1
    _readers: dict[int, Reader] = field(default_factory=lambda: {PLUGIN: Reader(), RUNTIME: Reader()})
    _answers: dict[int, bytes] = field(default_factory=dict)
    _calls: list[tuple[int, bytes]] = field(default_factory=list)

    def close(self) -> None:
        """Close the connection, as an engine does that ends or is killed."""
        self.connected.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._note(True, data)
        self.connected.settimeout(PATIENCE_S)
        for at in range(0, len(data), self.pieces or len(data) or 1):
            self.connected.sendall(data[at : at + (self.pieces or len(data))])

    def register(self, *, code: int = 0, reason: str = "") -> None:
        """Take the plugin's registration, and answer it; *code* not 0: refuse it."""
        self._receive_until(lambda: bool(self._calls), 20.0)
        stream, data = self._calls.pop(0)
        fields = parsed(data)
        if (texts(fields, 1), texts(fields, 2)) != ([RUNTIME_SERVICE], ["RegisterPlugin"]) or stream % 2 == 0:
            raise ProtocolError(f"expected RegisterPlugin in an odd stream, found {fields} in {stream}")
        payload = one(fields, 3)
        asked = parsed(payload) if isinstance(payload, bytes) else []
        (self.name,), (self.index,) = texts(asked, 1), texts(asked, 2)
        answer = member(1, member(1, code) + member(2, reason)) if code else member(2, b"")
        self.send(chunk(RUNTIME, framed(stream, RESPONSE, answer)))

    def configure(self, config: str = "", *, engine: str = "containerd", version: str = "v2.1.4") -> int:
        """Configure the plugin; returns the events that it asks for."""
        times = member(4, 5000) + member(5, 2000) + member(6, "v0.10.0")
        answer = parsed(self.call("Configure", member(1, config) + member(2, engine) + member(3, version) + times))
        events = one(answer, 2)
        if not isinstance(events, int) or events & ~VALID_EVENTS:
            raise ProtocolError(f"events {events!r}, of which some are unknown")
        return events

    def synchronize(self, containers: Iterable[tuple[Pod, PodContainer]] = (), *, each: int = 2) -> int:
        """Tell of the containers that there are, so many in each request; returns the number of requests."""
        there = list(containers)
        slices = [there[at : at + each] for at in range(0, len(there), each)] or [[]]
        for number, some in enumerate(slices, 1):
            more = int(number < len(slices))
            pods = members(1, dict.fromkeys(pod.packed() for pod, _ in some))
            packed = pods + members(2, [container.packed(pod) for pod, container in some])
            answer = parsed(self.call("Synchronize", packed + (member(3, more) if more else b"")))
            if one(answer, 2) != more or any(name == 1 for name, _ in answer):
                raise ProtocolError("the plugin does not handle synchronization in parts")
        return len(slices)

    def create(self, container: PodContainer, pod: Pod | None = None) -> dict[str, list[GivenHook]]:
        """The hooks that the plugin gives a new container; raises CallError where it refuses the container."""
        return given_hooks(self.call("CreateContainer", creation(pod or Pod(), container)))

    def adjust(self, container: PodContainer, pod: Pod | None = None) -> Given:
        """As `create`, with all that the plugin gives besides hooks."""
        return given(self.call("CreateContainer", creation(pod or Pod(), container)))

    def shutdown(self) -> None:
        """Announce that the engine ends."""
        self.call("Shutdown", b"")

    def call(self, method: str, payload: bytes, *, service: str = PLUGIN_SERVICE) -> bytes:
        """Call the plugin and wait for its answer, as long as an engine would."""
        return self.result(self.begin(method, payload, service=service))

    def begin(self, method: str, payload: bytes, *, service: str = PLUGIN_SERVICE) -> int:
        """Call the plugin and don't wait; returns the stream."""
        stream = self.next_stream()
        data = call(service, method, payload)
        if len(data) > LARGEST:
            raise ProtocolError("engines send no such request")
        self.send(chunk(PLUGIN, framed(stream, REQUEST, data)))
        return stream

    def next_stream(self) -> int:
        """The stream of the next call, for those who send it themselves."""
        self._stream += 2
        return self._stream - 2

    def result(self, stream: int, timeout_s: float = PATIENCE_S) -> bytes:
        """The answer in *stream*; raises CallError where it is an error, TimeoutError where it comes too late."""
        self._receive_until(lambda: stream in self._answers, timeout_s)
        fields = parsed(self._answers.pop(stream))
        status = one(fields, 1)
        if isinstance(status, bytes):
            (message,) = texts(parsed(status), 2)
            raise CallError(int(one(parsed(status), 1)), message)
        payload = one(fields, 2)
        return payload if isinstance(payload, bytes) else b""

    def wait_closed(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the plugin has closed the connection."""
        self.connected.settimeout(timeout_s)
        while self.connected.recv(1 << 16):
            pass

    def _receive_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            self.connected.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self.connected.recv(1 << 18)
            if not data:
                raise ConnectionResetError("the plugin closed the connection")
            self._note(False, data)
            self._pending += data
            self._read_chunks()

    def _note(self, sent: bool, data: bytes) -> None:
        if self.transcript and self.transcript[-1][0] is sent:
            data = self.transcript.pop()[1] + data
        self.transcript.append((sent, bytes(data)))

    def _read_chunks(self) -> None:
        while len(self._pending) >= 8:
            connection, size = (int.from_bytes(self._pending[at : at + 4], "big") for at in (0, 4))
            if connection not in self._readers or size > LARGEST + 10:
                raise ProtocolError(f"a chunk of {size} bytes for connection {connection}")
            if len(self._pending) < 8 + size:
                return
            self._readers[connection].add(bytes(self._pending[8 : 8 + size]))
            del self._pending[: 8 + size]
            self._read_messages(connection)

    def _read_messages(self, connection: int) -> None:
        while (message := self._readers[connection].message()) is not None:
            stream, kind, data = message
            if (connection, kind) == (PLUGIN, RESPONSE):
                if stream in self._answers or stream >= self._stream:
                    raise ProtocolError(f"an answer that nobody waits for, in stream {stream}")
                self._answers[stream] = data
            elif (connection, kind) == (RUNTIME, REQUEST):
                self._calls.append((stream, data))
            else:
                raise ProtocolError(f"a message of type {kind} on connection {connection}")
