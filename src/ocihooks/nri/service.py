"""
The loop of the plugin: connects to the engine, serves it, hands out metrics, and connects again when the link is lost.

One thread answers everything; rules and settings are read by others.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from ocihooks.errors import OCIHooksError, UnavailableError, UsageError, os_reason, quoted
from ocihooks.nri.errors import LinkError
from ocihooks.nri.link import Link
from ocihooks.nri.metrics import Metrics
from ocihooks.nri.plugin import Plugin
from ocihooks.nri.scrape import Listener

SOCKET = "/var/run/nri/nri.sock"
"""Where engines listen for plugins, unless they were told otherwise."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds before the first attempt to connect again, and the most that they grow to, twice as many each time."""

_TICK_MS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    How the engine is reached, and as whom.

    Attributes:
        path: The engine's socket.
        descriptor: A socket that the engine has connected already when it started us; None: connect to *path*.
        name: The plugin's name.
        index: Its two digits.
    """

    path: str
    descriptor: int | None
    name: str
    index: str


def place_of(environ: dict[str, str], *, path: str, name: str, index: str) -> Place:
    """
    The place for the arguments of the command line, or the one that an engine left in the environment *environ*.

    Raises:
        UsageError: An engine would refuse the name or the index, or the environment holds no descriptor.
    """
    given = environ.get("NRI_PLUGIN_SOCKET")
    if given is None:
        return Place(path=path, descriptor=None, name=_checked_name(name), index=_checked_index(index))
    if not given.isascii() or not given.isdecimal() or not _is_socket(int(given)):
        raise UsageError(
            f"NRI_PLUGIN_SOCKET is {quoted(given, 80)}: expected the number of a descriptor that is a socket",
            hint="only engines set it; run the command without it",
        )
    name, index = environ.get("NRI_PLUGIN_NAME", name), environ.get("NRI_PLUGIN_IDX", index)
    return Place(path="", descriptor=int(given), name=_checked_name(name), index=_checked_index(index))


def _is_socket(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)):
            return True
    except (OSError, OverflowError):
        return False


def _checked_name(name: str) -> str:
    if name and name.isascii() and all(letter.isalnum() or letter in "_.+-" for letter in name):
        return name
    message = f"plugin name {quoted(name, 80)}: expected letters, digits and _ . + - only"
    raise UsageError(message, hint="the default is ocihooks")


def _checked_index(index: str) -> str:
    if len(index) == 2 and index.isascii() and index.isdecimal():
        return index
    message = f"plugin index {quoted(index, 80)}: expected two digits"
    raise UsageError(message, hint="plugins are asked in the order of their indexes")


class Service:
    """
    Serves the engine at *place*.

    Args:
        listener: Hands out the metrics; None: nobody does.
        say: Called with sentences about the link.

    Attributes:
        stopping: Set it to end the service.
    """

    def __init__(
        self, place: Place, plugin: Plugin, metrics: Metrics, *, listener: Listener | None, say: Callable[[str], None]
    ) -> None:
        self.stopping = False
        self._place = place
        self._plugin = plugin
        self._metrics = metrics
        self._listener = listener
        self._say = say
        self._link: Link | None = None
        self._pause_s = FIRST_PAUSE_S
        self._next_attempt = 0.0
        self._last_trouble = ""

    def run(self) -> None:
        """
        Serve until told to stop, or until the engine that started the plugin has gone.

        Raises:
            LinkError: That engine has gone without an announcement, or can't be understood.
        """
        try:
            while not self.stopping:
                self._connect_if_due()
                self._wait()
        finally:
            if self._link is not None:
                self._link.close()

    def _connect_if_due(self) -> None:
        if self._link is not None or time.monotonic() < self._next_attempt:
            return
        try:
            self._link = Link(self._connected(), self._plugin, name=self._place.name, index=self._place.index)
        except OCIHooksError as error:
            self._lose(error)

    def _connected(self) -> socket.socket:
        if self._place.descriptor is not None:
            return socket.socket(fileno=self._place.descriptor)
        connected = socket.socket(socket.AF_UNIX)
        connected.setblocking(False)  # an engine that accepts nobody any more would hold us
        try:
            connected.connect(self._place.path)
        except OSError as error:
            connected.close()
            message = f"no engine can be reached there: {os_reason(error)}"
            raise UnavailableError(message, code="nri_link", file=self._place.path) from None
        return connected

    def _wait(self) -> None:
        """Wait for whatever comes, a tick at most, and serve it."""
        poll = select.poll()
        link, listener = self._link, self._listener
        if link is not None:
            poll.register(link.socket, link.events)
        for descriptor, events in (listener.waits_for if listener else {}).items():
            poll.register(descriptor, events)
        for descriptor, events in poll.poll(_TICK_MS):
            if link is not None and descriptor == link.socket.fileno():
                self._serve(link, events)
            elif listener is not None:
                listener.serve(descriptor, self._metrics.text)
        if listener is not None:
            listener.drop_late()
        if self._link is not None:
            self._serve(self._link, 0)

    def _serve(self, link: Link, events: int) -> None:
        try:
            link.serve(events)
            link.check()
        except LinkError as error:
            self._lose(error)
            return
        if link.lasts:
            self._pause_s, self._last_trouble = FIRST_PAUSE_S, ""

    def _lose(self, error: OCIHooksError) -> None:
        """Give up the link, and try again later, unless the engine itself has started us."""
        announced = self._plugin.shut_down
        self._metrics.connected = False
        self._plugin.begin()
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._place.descriptor is not None:
            self.stopping = True
            if not announced:
                raise error
            return
        if not announced and error.code:
            self._metrics.errors[error.code] += 1
        trouble = str(error)
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            self._say(f"{trouble}; trying again")
        self._next_attempt = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
