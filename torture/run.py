"""
Runs rows at full amounts and adds what came of them to the report: ``python -m torture.run [--row KEY...]``.

Three rows, or parts of one, run at a time; the output of pytest is kept in build/torture; no row stops the next one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from torture import machine
from torture.lanes import LOGS, Ended, Piece, pieces, run
from torture.outcome import FAILED, HELD, NOT_RUN, Outcome, outcome_of, read_cases
from torture.report import Entry, add, read_entries
from torture.rows import ROWS, Row

PROJECT = Path(__file__).parents[1]

LANES = 3
"""How many pieces run at a time unless somebody says: one more than two processors, since some tests wait."""


def main(words: Sequence[str] | None = None, table: Sequence[Row] = ROWS, project: Path = PROJECT) -> int:
    """Do what the command line says; the exit status is 0 if all rows held, 1 if not, and 2 if it makes no sense."""
    options = _parser(table).parse_args(words)
    keys = [key for chosen in options.row for key in chosen]
    rows = [row for row in table if (row.key in keys or not keys) and (row.quick or not options.quick)]
    if options.list:
        return _list(rows)
    plan = _plan(rows, project, split=options.jobs > 1 and not options.quick)
    if options.dry_run:
        return _dry_run(plan, quick=options.quick)
    results = {outcome.result for outcome in _run_all(plan, project, lanes=options.jobs, quick=options.quick)}
    return 0 if results <= {HELD} else 1


def _parser(table: Sequence[Row]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torture.run", description="Run the rows of docs/torture.md.")
    keys = [row.key for row in table]
    parser.add_argument(
        "--row", nargs="+", action="append", default=[], choices=keys, metavar="KEY", help="these rows only"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 65),
        default=LANES,
        metavar="N",
        help=f"how many rows, or parts of rows, run at a time: {LANES} unless given",
    )
    parser.add_argument("--list", action="store_true", help="say what the rows are, and run none")
    parser.add_argument("--dry-run", action="store_true", help="say which commands would run")
    parser.add_argument(
        "--quick", action="store_true", help="the rows of make test, at its small amounts; the report stays as it is"
    )
    return parser


def _list(rows: Sequence[Row]) -> int:
    width = max((len(row.key) for row in rows), default=0)
    for row in rows:
        print(f"{row.key:{width}}  {row.title} ({row.asked})")
    return 0


def _plan(rows: Sequence[Row], project: Path, *, split: bool) -> list[Piece]:
    known = {key: entry.outcome.seconds for key, entry in read_entries(project).items()}
    return pieces(rows, known, split=split)


def _dry_run(plan: Sequence[Piece], *, quick: bool) -> int:
    for piece in plan:
        print(" ".join(piece.command(Path("REPORT"), quick=quick)))
    return 0


def _run_all(plan: Sequence[Piece], project: Path, *, lanes: int, quick: bool) -> Iterator[Outcome]:
    versions, commit, began = machine.versions(), machine.commit(), time.monotonic()
    rows = len({piece.row.key for piece in plan})
    for number, outcome in enumerate(_outcomes(plan, project, lanes=lanes, quick=quick), 1):
        print(f"{number:2}/{rows} ", end="")
        _tell(outcome, next(piece.row for piece in plan if piece.row.key == outcome.key))
        if not quick:
            add(project, Entry(outcome=outcome, commit=still(commit), versions=versions))
        yield outcome
    print(f"{rows} rows in {time.monotonic() - began:.0f} s")


def still(commit: str) -> str:
    """The commit at which the run began, with ``+`` when files are no longer those of it."""
    return commit if machine.commit() == commit else f"{commit.rstrip('+')}+"


def _outcomes(plan: Sequence[Piece], project: Path, *, lanes: int, quick: bool) -> Iterator[Outcome]:
    """What came of each row, as soon as all of its pieces are over."""
    over: dict[str, list[Ended]] = {}
    began = time.monotonic()
    with closing(run(plan, project, lanes=lanes, quick=quick)) as events:
        for event in events:
            if isinstance(event, Piece):
                print(f"      {time.monotonic() - began:4.0f} s: {event.name} begins", flush=True)
                continue
            ended = over.setdefault(event.piece.row.key, [])
            ended.append(event)
            if len(ended) == event.piece.count:
                yield merged(ended, project)


def merged(ended: Sequence[Ended], project: Path) -> Outcome:
    """What came of a row, from all of its pieces."""
    reports = [project / LOGS / f"{each.piece.name}.xml" for each in ended]
    cases = [case for report in reports if report.exists() for case in read_cases(report)]
    trouble = [f"{each.piece.name}: {each.trouble}" for each in ended if each.trouble]
    return outcome_of(ended[0].piece.row, cases, round(sum(each.seconds for each in ended), 1), trouble)


def _tell(outcome: Outcome, row: Row) -> None:
    print(f"{row.key}: {row.title} ({row.asked})")
    control = f"; control: {outcome.control}" if outcome.control else ""
    print(f"      {outcome.result} in {outcome.seconds:.0f} s: {outcome.amount}{control}", flush=True)
    for text in (*outcome.problems, *(outcome.left_out if outcome.result == NOT_RUN else ())):
        print(f"      {text}")
    if outcome.result == FAILED:
        print(f"      all of it: {LOGS}/{outcome.key}*.log", flush=True)


if __name__ == "__main__":
    sys.exit(main())
