"""
Which run of pytest comes when: several at a time, the longest first, after those that have to be alone.

A row that takes long is split into pieces, so that no lane stays empty while another one works on the last row.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torture.rows import Row

LOGS = "build/torture"
"""Where in the project the output of pytest is kept."""

PART = Path(__file__).with_name("part.py")

LIMIT_S = 1800
"""No piece takes that long, even on a busy machine."""

NO_TESTS = 5
"""pytest's status when there was nothing to run."""

_LOOK_S = 0.05
"""How often the lanes look whether a piece is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """
    One run of pytest: a row, or one of its parts.

    Attributes:
        number: Of the part, from 1.
        count: How many parts the row has.
    """

    row: Row
    number: int = 1
    count: int = 1

    @property
    def name(self) -> str:
        """What its files are called, and what people read."""
        return self.row.key if self.count == 1 else f"{self.row.key}-{self.number}-of-{self.count}"

    def command(self, xml: Path, *, quick: bool) -> list[str]:
        """The run of pytest, with its report in *xml*."""
        program = ["-m", "pytest"] if self.count == 1 else [str(PART), f"{self.number}/{self.count}"]
        options = ["-q", "-n", "0", f"--junitxml={xml}", "-o", "junit_family=xunit1"]
        return [sys.executable, *program, *options, *(["-m", "not slow"] if quick else []), *entries(self.row)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A piece that is over: how long it took, and what kept pytest from running all of it."""

    piece: Piece
    seconds: float
    trouble: str


def entries(row: Row) -> list[str]:
    """The tests of *row* and those of its controls that are not among them."""
    others = [control for control in row.controls if not control.startswith(tuple(f"{test}::" for test in row.tests))]
    return list(dict.fromkeys((*row.tests, *others)))


def pieces(rows: Sequence[Row], seconds: Mapping[str, float], *, split: bool = True) -> list[Piece]:
    """
    The pieces of *rows* in the order in which they begin.

    Args:
        seconds: How long rows took the last time; those that nobody knows come first.
        split: Whether rows come in parts; a single lane gains nothing by that.
    """
    made = [
        Piece(row=row, number=number, count=count)
        for row in rows
        for count in [row.parts if split else 1]
        for number in range(1, count + 1)
    ]
    return sorted(made, key=lambda piece: (not piece.row.alone, -seconds.get(piece.row.key, LIMIT_S) / piece.count))


@dataclass(slots=True, kw_only=True)
class _Running:
    """A piece that has begun."""

    piece: Piece
    process: subprocess.Popen[bytes]
    began: float

    def ended(self, limit_s: float) -> Ended | None:
        """What came of it; None as long as it runs."""
        status, seconds = self.process.poll(), time.monotonic() - self.began
        if status is None and seconds < limit_s:
            return None
        trouble = "" if status in (0, 1, NO_TESTS) else f"pytest ended with status {status}"
        if status is None:
            self.kill()
            trouble = f"killed after {limit_s:.0f} s"
        return Ended(piece=self.piece, seconds=seconds, trouble=trouble)

    def kill(self) -> None:
        """End it with all that it started in its session."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(
    waiting: Sequence[Piece], project: Path, *, lanes: int, quick: bool, limit_s: float = LIMIT_S
) -> Generator[Piece | Ended, None, None]:
    """Run the pieces *lanes* at a time, those that have to be alone one by one; tells who begins and who ends."""
    queue, running = list(waiting), list[_Running]()
    try:
        while queue or running:
            while queue and _may_begin(queue[0], running, lanes):
                running.append(_begin(piece := queue.pop(0), project, quick=quick))
                yield piece
            time.sleep(_LOOK_S)
            for each in tuple(running):
                if (ended := each.ended(limit_s)) is not None:
                    running.remove(each)
                    yield ended
    finally:
        for each in running:
            each.kill()


def _may_begin(piece: Piece, running: Sequence[_Running], lanes: int) -> bool:
    if piece.row.alone or any(each.piece.row.alone for each in running):
        return not running
    return len(running) < lanes


def _begin(piece: Piece, project: Path, *, quick: bool) -> _Running:
    logs = project / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    xml = logs / f"{piece.name}.xml"
    xml.unlink(missing_ok=True)
    with (logs / f"{piece.name}.log").open("wb") as log:
        process = subprocess.Popen(
            piece.command(xml, quick=quick),
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Running(piece=piece, process=process, began=time.monotonic())
