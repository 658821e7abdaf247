"""
The manifest of a root file system: what stands at each path, as JSON with one line for each.

A path with bytes that are not UTF-8 is written with surrogate escapes, as Python has such names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ocihooks.errors import DocumentError, quoted

VERSION = 1
LIMIT_BYTES = 256 << 20
"""Largest manifest that is read: enough for a million files."""

KINDS = ("file", "directory", "link", "fifo", "socket", "character device", "block device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What stands at a path.

    Attributes:
        kind: One of `KINDS`.
        mode: Permissions with setuid, setgid and sticky bit, in octal digits.
        uid: Owner.
        gid: Group.
        size: Of a file, in bytes.
        sha256: Of a file's content, in hexadecimal digits; "" where it was not read.
        target: Of a link.
        device: Of a device, as ``MAJOR:MINOR``.
        capabilities: Of a file that has some, the attribute in hexadecimal digits.
    """

    kind: str
    mode: str
    uid: int
    gid: int
    size: int | None = None
    sha256: str | None = None
    target: str | None = None
    device: str | None = None
    capabilities: str | None = None


MEMBERS: Mapping[str, str] = {
    "kind": "its kind",
    "mode": "its mode",
    "uid": "its owner",
    "gid": "its group",
    "size": "its size",
    "sha256": "its content",
    "target": "where it leads to",
    "device": "its device",
    "capabilities": "its capabilities",
}
"""The members of an entry in the words of messages, in the order in which they are compared."""

_REQUIRED = ("kind", "mode", "uid", "gid")
_NUMBERS = ("uid", "gid", "size")


def write_manifest(entries: Iterable[tuple[str, Entry]]) -> Iterator[str]:
    """The lines of a manifest; *entries* are in the order of `ocihooks.manifests.tree.walk`."""
    yield f'{{"version": {VERSION}, "entries": {{'
    before = ""
    for path, entry in entries:
        members = {name: value for name, value in asdict(entry).items() if value is not None}
        if before:
            yield f"{before},"
        before = f"{json.dumps(path)}: {json.dumps(members)}"
    yield before
    yield "}}"


def read_manifest(data: bytes, file: str) -> dict[str, Entry]:
    """
    The entries of a manifest by path.

    Raises:
        DocumentError: It is something else.
    """
    try:
        document = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"not JSON: {error}", code="json_syntax", file=file, hint=_HINT) from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise _not_a_manifest("/version", f"expected {VERSION}", file)
    entries = document.get("entries")
    if not isinstance(entries, dict) or "/" not in entries:
        raise _not_a_manifest("/entries", "expected an object with an entry for /", file)
    return {path: _entry(path, members, file) for path, members in entries.items()}


_HINT = 'write it with "ocihooks manifest make"'


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _not_a_manifest(pointer: str, message: str, file: str) -> DocumentError:
    return DocumentError(f"not a manifest: {message}", code="not_a_manifest", file=file, pointer=pointer, hint=_HINT)


def _entry(path: str, members: Any, file: str) -> Entry:
    pointer = f"/entries/{quoted(path, 200)}"
    parts = path.split("/")
    if parts[0] or (path != "/" and any(part in ("", ".", "..") for part in parts[1:])):
        raise _not_a_manifest(pointer, "expected a path from / down", file)
    if not isinstance(members, dict) or not set(_REQUIRED) <= members.keys() <= {one.name for one in fields(Entry)}:
        raise _not_a_manifest(pointer, f"expected an object with {', '.join(_REQUIRED)}", file)
    for name, value in members.items():
        if type(value) is not (int if name in _NUMBERS else str) or (name == "kind" and value not in KINDS):
            raise _not_a_manifest(f"{pointer}/{name}", f"found {quoted(value, 80)}", file)
    return Entry(**members)
