"""
The report: docs/torture.json, which a run adds to, and docs/torture.md, which is made from it.

``python -m torture.report`` makes the page anew when only the words of a row have changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torture.outcome import NOT_RUN, Outcome
from torture.rows import ROWS

DATA, PAGE = "docs/torture.json", "docs/torture.md"
"""The two files in the project."""

QUICK = " \\*"
"""What a row's name ends with where ``make test`` does it too."""

HEAD = """\
# Torture: what was tried at full amounts

`make torture` runs the tests below at full amounts and writes this page, and the same as data into `docs/torture.json`.
`make torture ROWS="random-kill races"` runs some rows only and keeps what is known of the others.
Three rows, or parts of them, run at a time; `LANES=1` or another number changes that.
Rows that compare times, and those that need all processors themselves, run alone.
The seconds are those of all parts of a row together.
Rows marked \\* are part of every `make test` too, at small amounts.

A control is the same attack on something careless, in the same run: it has to succeed there, or it shows nothing.
[Security](explanation/security.md) says what the rows are about and where the limits are.

## What came of it

A commit with `+` had changes that were not committed yet.

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What is known of a row.

    Attributes:
        outcome: What came of it.
        commit: Of which commit.
        versions: On what, by name.
    """

    outcome: Outcome
    commit: str
    versions: Mapping[str, str]


def read_entries(project: Path) -> dict[str, Entry]:
    """What is known, by the rows' keys."""
    file = project / DATA
    if not file.exists():
        return {}
    return {item["key"]: _entry(item) for item in json.loads(file.read_text(encoding="utf-8"))["rows"]}


def _entry(item: dict[str, Any]) -> Entry:
    names = {field.name for field in fields(Outcome)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in item.items() if name in names
    }
    return Entry(outcome=Outcome(**values), commit=item["commit"], versions=item["versions"])


def data(entries: Mapping[str, Entry]) -> str:
    """The text of docs/torture.json: rows in the order of the table, others left out."""
    known = [entries[row.key] for row in ROWS if row.key in entries]
    rows = [asdict(entry.outcome) | {"commit": entry.commit, "versions": dict(entry.versions)} for entry in known]
    return json.dumps({"rows": rows}, indent=2, ensure_ascii=False) + "\n"


def page(entries: Mapping[str, Entry]) -> str:
    """The text of docs/torture.md."""
    known = {row.key: entries[row.key] for row in ROWS if row.key in entries}
    return HEAD + "".join(
        [
            *_table(("row", "amount", "result", "control", "seconds", "commit"), _results(known)),
            *_list("What failed", [text for entry in known.values() for text in entry.outcome.problems]),
            *_list("What was left out", [text for entry in known.values() for text in entry.outcome.left_out]),
            "\n## What is asked for\n\n",
            *_table(("row", "what is tried", "amount", "what has to come of it", "tests"), _asked()),
            *_list("What it ran on", _versions(known.values())),
        ]
    )


def _results(entries: Mapping[str, Entry]) -> Iterator[tuple[str, ...]]:
    for row in ROWS:
        entry = entries.get(row.key)
        if entry is None:
            yield row.key, "", NOT_RUN, "", "", ""
        else:
            found = entry.outcome
            yield row.key, found.amount, found.result, found.control, f"{found.seconds:.0f}", entry.commit


def _asked() -> Iterator[tuple[str, ...]]:
    for row in ROWS:
        tests = ", ".join(f"`{test}`" for test in dict.fromkeys((*row.tests, *row.controls)))
        yield row.key + QUICK * row.quick, row.title, row.asked, row.passes, tests


def _versions(entries: Iterable[Entry]) -> list[str]:
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        for name, version in entry.versions.items():
            found.setdefault(name, {})[version] = None
    return [f"{name} {', '.join(versions)}" for name, versions in found.items()]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for cells in (head, ("---",) * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _list(heading: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"\n## {heading}\n\n"
        yield from (f"- {line}\n" for line in lines)


def add(project: Path, entry: Entry) -> None:
    """Add a row's entry to both files, or put it in the place of an older one."""
    write(project, read_entries(project) | {entry.outcome.key: entry})


def write(project: Path, entries: Mapping[str, Entry]) -> None:
    """Write both files."""
    (project / DATA).write_text(data(entries), encoding="utf-8")
    (project / PAGE).write_text(page(entries), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[1], read_entries(Path(__file__).parents[1]))
