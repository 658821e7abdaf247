"""
Runs rows at full amounts and adds what came of them to the report: ``python -m torture.run [--row KEY...]``.

Each row is one run of pytest, whose output is kept in build/torture; no row stops the next one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from torture import machine
from torture.outcome import FAILED, HELD, NOT_RUN, Outcome, outcome_of, read_cases
from torture.report import Entry, add
from torture.rows import ROWS, Row

PROJECT = Path(__file__).parents[1]
LOGS = "build/torture"
"""Where in the project the output of pytest is kept."""

LIMIT_S = 1800
"""No row takes that long, even on a busy machine."""

NO_TESTS = 5
"""pytest's status when there was nothing to run."""


def main(words: Sequence[str] | None = None, table: Sequence[Row] = ROWS, project: Path = PROJECT) -> int:
    """Do what the command line says; the exit status is 0 if all rows held, 1 if not, and 2 if it makes no sense."""
    options = _parser(table).parse_args(words)
    keys = [key for chosen in options.row for key in chosen]
    rows = [row for row in table if (row.key in keys or not keys) and (row.quick or not options.quick)]
    if options.list:
        return _list(rows)
    if options.dry_run:
        return _dry_run(rows, quick=options.quick)
    results = [outcome.result for outcome in _run_all(rows, project, quick=options.quick)]
    return 0 if set(results) <= {HELD} else 1


def _parser(table: Sequence[Row]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torture.run", description="Run the rows of docs/torture.md.")
    keys = [row.key for row in table]
    parser.add_argument(
        "--row", nargs="+", action="append", default=[], choices=keys, metavar="KEY", help="these rows only"
    )
    parser.add_argument("--list", action="store_true", help="say what the rows are, and run none")
    parser.add_argument("--dry-run", action="store_true", help="say which commands would run")
    parser.add_argument(
        "--quick", action="store_true", help="the rows of make test, at its small amounts; the report stays as it is"
    )
    return parser


def _list(rows: list[Row]) -> int:
    width = max((len(row.key) for row in rows), default=0)
    for row in rows:
        print(f"{row.key:{width}}  {row.title} ({row.asked})")
    return 0


def _dry_run(rows: list[Row], *, quick: bool) -> int:
    for row in rows:
        print(" ".join(command(row, Path("REPORT"), quick=quick)))
    return 0


def command(row: Row, xml: Path, *, quick: bool) -> list[str]:
    """The run of pytest that is *row*, with its report in *xml*."""
    options = [
        "-q",
        "-n",
        "0",
        f"--junitxml={xml}",
        "-o",
        "junit_family=xunit1",
        *(["-m", "not slow"] if quick else []),
    ]
    return [sys.executable, "-m", "pytest", *options, *entries(row)]


def entries(row: Row) -> list[str]:
    """The tests of *row* and those of its controls that are not among them."""
    others = [control for control in row.controls if not control.startswith(tuple(f"{test}::" for test in row.tests))]
    return list(dict.fromkeys((*row.tests, *others)))


def _run_all(rows: list[Row], project: Path, *, quick: bool) -> Iterator[Outcome]:
    versions, began = machine.versions(), time.monotonic()
    for number, row in enumerate(rows, 1):
        print(f"{number:2}/{len(rows)} {row.key}: {row.title} ({row.asked})", flush=True)
        outcome = run_row(row, project, quick=quick)
        _tell(outcome)
        if not quick:
            add(project, Entry(outcome=outcome, commit=machine.commit(), versions=versions))
        yield outcome
    print(f"{len(rows)} rows in {time.monotonic() - began:.0f} s")


def run_row(row: Row, project: Path, *, quick: bool, limit_s: float = LIMIT_S) -> Outcome:
    """Run one row of *project*."""
    logs, began = project / LOGS, time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    xml = logs / f"{row.key}.xml"
    xml.unlink(missing_ok=True)
    with (logs / f"{row.key}.log").open("wb") as log:
        pytest = subprocess.Popen(
            command(row, xml, quick=quick),
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        trouble = _finish(pytest, limit_s)
    cases = read_cases(xml) if xml.exists() else []
    return outcome_of(row, cases, round(time.monotonic() - began, 1), trouble)


def _finish(process: subprocess.Popen[bytes], limit_s: float) -> str:
    """Wait for pytest; what went wrong with itself, or ""."""
    try:
        status = process.wait(limit_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return f"killed after {limit_s:.0f} s"
    return "" if status in (0, 1, NO_TESTS) else f"pytest ended with status {status}"


def _tell(outcome: Outcome) -> None:
    control = f"; control: {outcome.control}" if outcome.control else ""
    print(f"      {outcome.result} in {outcome.seconds:.0f} s: {outcome.amount}{control}", flush=True)
    for text in (*outcome.problems, *(outcome.left_out if outcome.result == NOT_RUN else ())):
        print(f"      {text}")
    if outcome.result == FAILED:
        print(f"      all of it: {LOGS}/{outcome.key}.log", flush=True)


if __name__ == "__main__":
    sys.exit(main())
