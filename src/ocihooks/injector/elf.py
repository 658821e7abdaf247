"""
What files of programs and shared libraries say about themselves.
"""

from __future__ import annotations

import posix
from _struct import error as StructError  # type: ignore[attr-defined]  # noqa: N812
from _struct import unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_HEADERS, _MOST_BYTES, _NAME_BYTES = 256, 1 << 20, 256
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_STRTAB, _DT_SONAME = 0, 5, 14


MAGIC = b"\x7fELF"
"""What these files begin with."""


def is_static(program: int) -> bool:
    """Whether the file behind the descriptor *program* is a program that needs no dynamic linker."""
    try:
        return all(kind != _PT_INTERP for kind, *_ in _ELF(program).parts)
    except (StructError, ValueError, OverflowError, OSError):
        return False


def soname(library: int) -> str:
    """
    The name by which programs ask for the library behind the descriptor *library*, which its file need not have.

    "" where it has none, or none that a file can have.
    """
    try:
        name = _ELF(library).soname()
    except (StructError, ValueError, OverflowError, OSError):
        return ""
    return name if name.isprintable() and "/" not in name and name not in (".", "..") else ""


class _ELF:
    """Such a file: what is said about its parts, and where they are."""

    def __init__(self, fd: int) -> None:
        header = posix.pread(fd, 64, 0)
        if header[:4] != MAGIC or len(header) <= 5:  # the two bytes behind it say how to read the others
            raise ValueError
        self._fd = fd
        self._wide = header[4] == 2
        self._order = "<" if header[5] == 1 else ">"
        (table,) = self._unpack("Q" if self._wide else "I", header, 32 if self._wide else 28)
        size, count = self._unpack("HH", header, 54 if self._wide else 42)
        rows = posix.pread(fd, size * min(count, _MOST_HEADERS), table)
        self.parts = [self._part(rows[start : start + size]) for start in range(0, len(rows), size or 1)]

    def soname(self) -> str:
        """The name; ValueError or struct.error where something does not fit."""
        found: dict[int, int] = {}
        for tag, value in self._dynamic():
            if tag == _DT_NULL:
                break
            found.setdefault(tag, value)
        if _DT_SONAME not in found or _DT_STRTAB not in found:
            return ""
        start = self._offset(found[_DT_STRTAB]) + found[_DT_SONAME]
        name, end, _ = posix.pread(self._fd, _NAME_BYTES, start).partition(b"\0")
        return name.decode() if end else ""

    def _part(self, row: bytes) -> tuple[int, int, int, int]:
        """Kind, place in the file, address and size of a part."""
        if self._wide:
            kind, _, offset, address, _, size = self._unpack("IIQQQQ", row, 0)
        else:
            kind, offset, address, _, size = self._unpack("IIIII", row, 0)
        return kind, offset, address, size

    def _dynamic(self) -> Iterator[tuple[int, int]]:
        form, size = ("QQ", 16) if self._wide else ("II", 8)
        for kind, offset, _, length in self.parts:
            if kind == _PT_DYNAMIC:
                rows = posix.pread(self._fd, min(length, _MOST_BYTES), offset)
                for start in range(0, len(rows) - size + 1, size):
                    tag, value = self._unpack(form, rows, start)
                    yield tag, value

    def _offset(self, address: int) -> int:
        """The place in the file of what is loaded at *address*."""
        for kind, offset, start, size in self.parts:
            if kind == _PT_LOAD and start <= address < start + size:
                return offset + address - start
        raise ValueError

    def _unpack(self, form: str, data: bytes, start: int) -> tuple[int, ...]:
        return unpack_from(self._order + form, data, start)
