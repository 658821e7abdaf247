"""``container-hooks-ctk install``: copies the three programs to where the others look for them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ocihooks.document import read_file
from ocihooks.engines.files import sync_directory
from ocihooks.errors import DocumentError, ReplaceError, UnavailableError, UsageError, os_reason
from ocihooks.replace import replace_file

TARGET = "/usr/bin"
PROGRAMS = ("container-hooks-runtime", "container-hooks", "container-hooks-ctk")
"""In the order in which they come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """
    A program that is to be copied.

    Attributes:
        source: Where it is.
        target: Where it goes.
        data: Its bytes.
        mode: Permission bits of the copy.
    """

    source: str
    target: str
    data: bytes
    mode: int

    @property
    def prepared(self) -> str:
        """Where the copy is until all of them are complete."""
        directory, name = os.path.split(self.target)
        return os.path.join(directory, f".{name}.new")


def install_programs(root: str, target: str = TARGET) -> tuple[Copy, ...]:
    """
    Copy the programs from the directory *root* to *target*, and return those that were copied.

    All of them are read, and written beside their places, before the first one gets there. A link in the place of one
    is replaced; a program that already is in its place stays.

    Raises:
        UsageError: No directory is named.
        UnavailableError: A program can't be read.
        ReplaceError: A program can't be written.
    """
    if not root:
        raise UsageError("--toolkit-root: expected a directory", hint="name the one that has the three programs")
    copies = tuple(_copies(root, target))
    try:
        for copy in copies:
            _remove(copy.prepared)
            replace_file(copy.prepared, copy.data, mode=copy.mode)
        for copy in copies:
            _move(copy)
        sync_directory(target)
    finally:
        for copy in copies:
            _remove(copy.prepared)
    return copies


def _copies(root: str, target: str) -> Iterator[Copy]:
    for name in PROGRAMS:
        source, goal = os.path.join(root, name), os.path.join(target, name)
        if os.path.exists(source) and os.path.exists(goal) and os.path.samefile(source, goal):
            continue
        data, mode = _read(source)
        yield Copy(source=source, target=goal, data=data, mode=mode)


def _read(source: str) -> tuple[bytes, int]:
    try:
        data, _ = read_file(source)
        mode = stat.S_IMODE(os.stat(source).st_mode) & 0o755  # only its owner may write what root is going to run
    except DocumentError as error:
        hint = "name the directory that has the three programs with --toolkit-root"
        raise UnavailableError(error.message, code="missing_program", file=source, hint=hint) from None
    return data, mode if mode & 0o100 else mode | (mode & 0o444) >> 2


def _move(copy: Copy) -> None:
    try:
        os.rename(copy.prepared, copy.target)
    except OSError as error:
        hint = "move what is there out of the way"
        message = f"can't be replaced: {os_reason(error)}"
        raise ReplaceError(message, code="not_replaced", file=copy.target, hint=hint) from None


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
