"""
Reads records back, oldest first, also while others write them.

A process that is killed in the middle of a write leaves the beginning of a line, and the next line follows it directly.
So a line that can't be read is read again from the last place in it where a record begins, which no text inside of a
record can look like, since quotes in texts are escaped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ocihooks.records.append import KEPT_FILES

Record = dict[str, Any]

BEGINNING = b'{"kind":"'
LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    Which records are wanted; None: all.

    Attributes:
        container: An id or the beginning of one.
        rule: A rule's file, or its name.
        stage: One of the six names, or precreate for filters.
        failed: Only hooks that failed, and whose failure counts.
    """

    container: str | None = None
    rule: str | None = None
    stage: str | None = None
    failed: bool = False

    def has(self, record: Record) -> bool:
        """Whether *record* is wanted."""
        if self.failed and not is_failure(record):
            return False
        if self.container is not None and not str(record.get("container") or "").startswith(self.container):
            return False
        return (self.rule is None and self.stage is None) or any(map(self._is_wanted, hooks_of(record)))

    def _is_wanted(self, hook: tuple[str, str]) -> bool:
        rule, stage = hook
        return self.rule in (None, rule, os.path.basename(rule)) and self.stage in (None, stage)


def hooks_of(record: Record) -> list[tuple[str, str]]:
    """The hooks that a record is about, each as the rule's file and the stage."""
    hooks = items(record, "hooks") if record["kind"] == "injection" else [record]
    return [(str(hook.get("rule")), str(hook.get("stage"))) for hook in hooks if isinstance(hook, dict)]


def items(record: Record, name: str) -> list[Any]:
    """The array *name* of a record; empty where it has none."""
    value = record.get(name)
    return value if isinstance(value, list) else []


def given(record: Record) -> list[str]:
    """What a container got by an injection: hooks and injector files, each as a word for what it is and a file name."""
    things = [(stage, rule) for rule, stage in hooks_of(record)]
    things += [("injector", str(file)) for file in items(record, "injector_files")]
    return [f"{kind} {os.path.basename(file)}" for kind, file in things] or ["hooks of modifiers"]


def is_failure(record: Record) -> bool:
    """Whether a record tells of a hook that failed, and nobody had asked to ignore that."""
    return record.get("outcome") in ("failed", "warned")


def read_records(path: str) -> Iterator[Record]:
    """
    The records of *path* and of the files that were put aside; none where there are no files.

    Raises:
        OSError: A file can't be read.
    """
    for name in [*(f"{path}.{number}" for number in range(KEPT_FILES, 0, -1)), path]:
        try:
            with open(name, "rb") as stream:
                for line in stream:
                    yield from parsed(line)
        except FileNotFoundError:
            continue


def follow(path: str, wait: Callable[[float], None] = time.sleep) -> Iterator[Record]:
    """
    The records that come after this call, as they come; never ends.

    Args:
        wait: Called between two looks with the seconds to wait.
    """
    tail = _Tail(path, at_end=True)
    try:
        while True:
            lines = tail.lines()
            for line in lines:
                yield from parsed(line)
            if not lines:
                wait(LOOK_AGAIN_S)
    finally:
        tail.close()


class _Tail:
    """The end of a file that grows, and goes on under its name when it has been put aside."""

    def __init__(self, path: str, *, at_end: bool) -> None:
        self.path = path
        self.rest = b""
        self.descriptor = self.open()
        if at_end and self.descriptor is not None:
            os.lseek(self.descriptor, 0, os.SEEK_END)

    def open(self) -> int | None:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None

    def lines(self) -> list[bytes]:
        """The whole lines that have come; the new file is begun when the old one has nothing more."""
        replaced = self.is_replaced()
        self.begin_again_where_it_was_cut()
        data = b""
        while self.descriptor is not None and (chunk := os.read(self.descriptor, 1 << 16)):
            data += chunk
        *lines, self.rest = (self.rest + data).split(b"\n")
        if replaced:
            self.close()
            self.descriptor = self.open()
        return lines

    def begin_again_where_it_was_cut(self) -> None:
        """Go to the beginning of a file that is shorter than what was read of it: somebody has emptied it."""
        if self.descriptor is None:
            return
        if os.fstat(self.descriptor).st_size < os.lseek(self.descriptor, 0, os.SEEK_CUR):
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            self.rest = b""

    def is_replaced(self) -> bool:
        """Whether another file, or the first one, has the name now. Asked before reading, so that nothing is missed."""
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return self.descriptor is None or not os.path.samestat(named, os.fstat(self.descriptor))

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def parsed(line: bytes) -> Iterator[Record]:
    """The record in *line*; none where it is empty or only a piece."""
    for start in (0, line.rfind(BEGINNING)):
        try:
            record = json.loads(line[max(start, 0) :])
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and "kind" in record:
            yield record
            return
