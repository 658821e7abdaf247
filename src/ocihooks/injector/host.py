"""
What the host has of the things that injector files name. It is only looked at, never opened.
"""

from __future__ import annotations

import posix

from ocihooks.errors import os_reason, quoted
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import inside
from ocihooks.injector.forms import is_pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocihooks.injector.files import Entry, InjectorFile

DEVICE, DIRECTORY, FILE = "device", "directory", "regular file"
"""Kinds of things that can go into a container."""

_EXPECTED = {"devices": DEVICE, "directories": DIRECTORY}
_HINTS = {
    "devices": 'name a device that is there, or several by a pattern such as "/dev/dri/*"',
    "directories": "name a directory of the host that is there",
}


_TYPE = 0o170000
_KINDS = {0o100000: (FILE, ""), 0o040000: (DIRECTORY, ""), 0o020000: (DEVICE, "c"), 0o060000: (DEVICE, "b")}


class Node:
    """
    Something on the host, links followed.

    Attributes:
        kind: `DEVICE`, `DIRECTORY` or `FILE`; "": something else.
        mode: Its permission bits.
        type: "c" or "b" for a device, else "".
        major, minor: A device's numbers.
        uid, gid: Its owner.
    """

    __slots__ = ("gid", "kind", "major", "minor", "mode", "type", "uid")

    def __init__(self, status: posix.stat_result) -> None:
        self.kind, self.type = _KINDS.get(status.st_mode & _TYPE, ("", ""))
        self.mode = status.st_mode & 0o7777
        self.major, self.minor = posix.major(status.st_rdev), posix.minor(status.st_rdev)
        self.uid, self.gid = status.st_uid, status.st_gid


class Thing:
    """
    One thing that a container wants; a pattern stands for several.

    Attributes:
        file: The path of the injector file.
        entry: Where the file says so.
        source: The path on the host; "" for a directory that is only made.
        destination: The place in the container, from / down.
        node: What the host has there; None: nothing that can be used, or nothing is needed.
        reason: Why it can't be used; "": it can.
        problem: The same as an error.
    """

    __slots__ = ("destination", "entry", "file", "node", "problem", "reason", "source")

    def __init__(
        self,
        file: str,
        entry: Entry,
        source: str,
        destination: str,
        node: Node | None = None,
        *,
        reason: str = "",
        problem: NotInjectedError | None = None,
    ) -> None:
        self.file = file
        self.entry = entry
        self.source = source
        self.destination = destination
        self.node = node
        self.reason = reason
        self.problem = problem


def things_of(file: InjectorFile) -> tuple[Thing, ...]:
    """What *file* wants, each thing with what the host has of it."""
    return tuple(thing for entry in file.entries for thing in _things(file.file, entry))


def _things(file: str, entry: Entry) -> Iterable[Thing]:
    if entry.kind != "devices" or not is_pattern(entry.source) or not entry.source.startswith("/"):
        return [_thing(file, entry, entry.source, entry.destination)]
    import glob

    found = [_thing(file, entry, path, path) for path in sorted(glob.glob(entry.source))]
    usable = [thing for thing in found if thing.problem is None]
    return usable or [_faulty(file, entry, "no device of the host matches it")]


def _thing(file: str, entry: Entry, source: str, destination: str) -> Thing:
    place = inside(destination)
    if place is None or place == "/":
        return _faulty(file, entry, "it does not lead to a place below the root of the container")
    if not destination.startswith("/") or (source and not source.startswith("/")):
        return _faulty(file, entry, "expected an absolute path")
    if not source:
        return Thing(file, entry, "", place)
    try:
        node = Node(posix.stat(source))
    except (OSError, ValueError) as error:
        return _faulty(file, entry, os_reason(error) if isinstance(error, OSError) else "it holds a NUL character")
    expected = _EXPECTED.get(entry.kind, FILE)
    if node.kind != expected:
        return _faulty(file, entry, f"expected a {expected}, found {_named(node)}")
    return Thing(file, entry, source, place, node)


def _named(node: Node) -> str:
    return f"a {node.kind}" if node.kind else "something else"


def _faulty(file: str, entry: Entry, reason: str) -> Thing:
    path = entry.source or entry.destination
    problem = NotInjectedError(
        f"{quoted(path, 200)} can't be given to the container: {reason}",
        code="not_injected",
        file=file,
        pointer=entry.pointer,
        hint=_HINTS.get(entry.kind, "name a file of the host that is there"),
    )
    return Thing(file, entry, entry.source, entry.destination, reason=reason, problem=problem)
