"""What tests of the injector share: injector files, accounts of a tree, and old kernels."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocihooks.injector.files import InjectorFile, parse_injector_file
from ocihooks.injector.inject import inject
from ocihooks.injector.target import Target


def injector_file(**members: Any) -> InjectorFile:
    """An injector file with *members*."""
    return parse_injector_file(json.dumps({"activation_flag": "X", **members}).encode(), "f.json")


class Told(list[tuple[str, str]]):
    """Everything that was told."""

    def tell(self, level: str, text: str) -> None:
        """Take a sentence."""
        self.append((level, text))

    def of(self, level: str) -> list[str]:
        """The sentences of a level."""
        return [text for told, text in self if told == level]


def put(root: Path, *files: InjectorFile, told: Told | None = None, **target: Any) -> Told:
    """Put what *files* say into *root*, in the child that does so; what this process was told."""
    told = Told() if told is None else told
    inject(Target(str(root), **target), files, told.tell)
    return told


def everything(top: Path) -> dict[str, tuple[int, int, int, str]]:
    """Every path below *top* with inode, mode, size of devices, and content."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_text("latin-1") if path.is_file() else ""
        found[str(path.relative_to(top))] = (status.st_ino, status.st_mode, status.st_rdev, text)
    return found


def no_such_call(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """What a kernel without openat2 answers."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


class Storm:
    """An openat2 that is not sure, but for one call in *every*, as while somebody moves directories all the time."""

    def __init__(self, real: Any, every: int) -> None:
        self.real = real
        self.every = every
        self.calls = 0

    def __call__(self, directory: int, path: bytes, flags: int, resolve: int) -> int:
        """Answer one call."""
        self.calls += 1
        if self.calls % self.every:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return int(self.real(directory, path, flags, resolve))


def leftovers(root: Path) -> Sequence[str]:
    """Names in *root* that are ours alone."""
    return [name for name in map(str, root.rglob("*")) if ".ocihooks-" in name]
