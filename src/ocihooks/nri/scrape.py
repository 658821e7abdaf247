"""
Hands the metrics to Prometheus: HTTP as far as that needs it, on a Unix socket or the loopback interface only.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from ocihooks.errors import UnavailableError, UsageError, os_reason, quoted

REQUEST_BYTES = 8192
"""Longest request that is read."""

CLIENTS = 16
"""How many may ask at the same time; others wait."""

PATIENCE_S = 5.0
"""Seconds that a client may take for one request and its answer."""

_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Why somebody can't be accepted though they are still there."""

_PAUSE_S = 0.5
"""Seconds until the next attempt then."""

_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """
    Where metrics are to be had.

    Attributes:
        path: Path of a Unix socket; "": none.
        host: An address of the loopback interface.
        port: The port there; 0: any.
    """

    path: str = ""
    host: str = ""
    port: int = 0


def address_of(text: str) -> Address:
    """
    The address in the words of a command line: ``unix:/PATH`` or ``127.0.0.1:PORT``.

    Raises:
        UsageError: It is something else, such as an address that others can reach.
    """
    if text.startswith("unix:/") and "\0" not in text:
        return Address(path=text.removeprefix("unix:"))
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host in _LOOPBACK and port.isascii() and port.isdecimal() and int(port) < 1 << 16:
        return Address(host=host, port=int(port))
    raise UsageError(
        f"metrics can't be served at {quoted(text, 200)}: expected unix:/PATH, 127.0.0.1:PORT or [::1]:PORT",
        hint="they are for this machine only; let an agent of your monitoring hand them on",
    )


class Client:
    """Somebody who asks for metrics."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.deadline = time.monotonic() + PATIENCE_S
        self._request = b""
        self._answer = b""

    @property
    def events(self) -> int:
        """What to wait for on the socket."""
        return select.POLLOUT if self._answer else select.POLLIN

    def serve(self, text: Callable[[], str]) -> bool:
        """Go on with the request or the answer, which has *text*; False: it is over."""
        try:
            if not self._answer:
                data = self.socket.recv(REQUEST_BYTES)
                self._request += data
                if not data or len(self._request) > REQUEST_BYTES:
                    return False
                if b"\r\n\r\n" not in self._request and b"\n\n" not in self._request:
                    return True
                self._answer = _answer(self._request, text())
            self._answer = self._answer[self.socket.send(self._answer) :]
            return bool(self._answer)
        except BlockingIOError:
            return True
        except OSError:
            return False


def _answer(request: bytes, text: str) -> bytes:
    line = request.partition(b"\n")[0].split()
    method, path = (line[0], line[1].partition(b"?")[0]) if len(line) > 1 else (b"", b"")
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", "only GET\n")
    if path != b"/metrics":
        return _response("404 Not Found", "metrics are at /metrics\n")
    answer = _response("200 OK", text)
    return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _response(status: str, text: str) -> bytes:
    body = text.encode()
    kind = "text/plain; version=0.0.4; charset=utf-8"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


class Listener:
    """
    Accepts those who ask for metrics, at *address*.

    Attributes:
        socket: Where they come from.
        clients: Those who are being served, by descriptor.

    Raises:
        UnavailableError: The address can't be used.
    """

    def __init__(self, address: Address) -> None:
        self._path = address.path
        self.clients: dict[int, Client] = {}
        self._pause_until = 0.0
        try:
            self.socket = _bound(address)
        except OSError as error:
            place = address.path or f"{address.host}:{address.port}"
            raise UnavailableError(f"metrics can't be served there: {os_reason(error)}", file=place) from None
        self.socket.setblocking(False)

    def close(self) -> None:
        """End it, and take its socket file away."""
        for client in self.clients.values():
            client.socket.close()
        self.socket.close()
        if self._path:
            _unlink(self._path)

    @property
    def waits_for(self) -> dict[int, int]:
        """The descriptors to wait for, each with the events."""
        full = len(self.clients) >= CLIENTS or time.monotonic() < self._pause_until
        listening = {} if full else {self.socket.fileno(): select.POLLIN}
        return listening | {number: client.events for number, client in self.clients.items()}

    def serve(self, descriptor: int, text: Callable[[], str]) -> None:
        """Go on with the one behind *descriptor*, who gets *text*, which is made for whole requests only."""
        if descriptor == self.socket.fileno():
            self._accept()
        elif not self.clients[descriptor].serve(text):
            self.clients.pop(descriptor).socket.close()

    def _accept(self) -> None:
        try:
            connected, _ = self.socket.accept()
        except OSError as error:
            if error.errno in _SCARCE:  # they would come again at once, and wait where they are
                self._pause_until = time.monotonic() + _PAUSE_S
            return  # else it has gone again
        self.clients[connected.fileno()] = Client(connected)

    def drop_late(self) -> None:
        """Let go of those who take too long."""
        now = time.monotonic()
        for number in [number for number, client in self.clients.items() if now > client.deadline]:
            self.clients.pop(number).socket.close()


def _bound(address: Address) -> socket.socket:
    if not address.path:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family, backlog=CLIENTS)
    _remove_stale(address.path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        former = os.umask(0o177)
        try:
            listening.bind(address.path)
        finally:
            os.umask(former)
        listening.listen(CLIENTS)
    except OSError:
        listening.close()
        raise
    return listening


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more; anything else stays, and then there is an error on binding."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as trial:
            trial.connect(path)
    except ConnectionRefusedError:
        _unlink(path)
    except OSError:
        pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
