"""Injector files, and what the injector reads inside of a container's root, which its author has written."""

from __future__ import annotations

import os
import posix
from typing import cast

from fuzz.refusals import refused
from ocihooks.errors import DocumentError
from ocihooks.injector import elf
from ocihooks.injector.files import LISTS, WAYS, inside, parse_injector_file
from ocihooks.injector.linker_cache import MOST_BYTES, MOST_DIRECTORIES, Configuration
from ocihooks.injector.packing import packed
from ocihooks.injector.rootfs import Place, Root

FILE = "/etc/oci-injector-hook/10.json"


def injector(data: bytes) -> str:
    """Refused, or entries that lead somewhere inside of a root."""
    try:
        found = parse_injector_file(data, FILE)
    except DocumentError as error:
        return refused(error, FILE)
    assert found.flag
    assert found.way in WAYS
    assert packed(found)
    for entry in found.entries:
        assert entry.kind in LISTS
        assert "\0" not in entry.source + entry.destination
        place = inside(entry.destination)
        assert place is None or (place.startswith("/") and "/../" not in f"{place}/")
    return f"{len(found.entries)} entries"


class OneFile:
    """A root in which a configuration of the dynamic linker includes itself, whatever it names."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def place(self, path: str) -> Place:
        """There is such a file."""
        return Place(0, path, os.stat_result([0] * 10))

    def read(self, path: str, limit_bytes: int) -> bytes:  # noqa: ARG002
        """The file."""
        return self.data[:limit_bytes]

    def forget(self) -> None:
        """Nothing is kept."""

    def names(self, path: str, most: int) -> list[str]:  # noqa: ARG002
        """There are three files in each directory."""
        return ["a.conf", "b.conf", ".hidden"]


def linker(data: bytes) -> str:
    """A bounded list of absolute paths, one a line, however files include each other."""
    found = Configuration(cast(Root, OneFile(data[:MOST_BYTES])))
    assert len(found.directories) <= MOST_DIRECTORIES + 1
    lines = found.text.decode("utf-8", "surrogateescape").split("\n")
    assert lines.pop() == ""
    assert lines == found.directories
    assert all(line.startswith("/") and "\0" not in line for line in lines)
    assert all(line.isprintable() for line in found.unread), found.unread
    return f"{len(lines)} directories"


def library(data: bytes) -> str:
    """The name of a library is none, or one that a file in a directory can have."""
    fd = posix.memfd_create("library", posix.MFD_CLOEXEC)
    try:
        posix.write(fd, data)
        name = elf.soname(fd)
        static = elf.is_static(fd)
    finally:
        posix.close(fd)
    assert "/" not in name
    assert name not in (".", "..")
    assert name.isprintable()
    return f"{'static' if static else 'dynamic'}, {'named' if name else 'unnamed'}"
