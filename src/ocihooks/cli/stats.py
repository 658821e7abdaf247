"""The command ``stats``."""

from __future__ import annotations

import os

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.logs import path_of
from ocihooks.cli.options import json_option, settings_option
from ocihooks.cli.output import table, write, write_json
from ocihooks.errors import printable
from ocihooks.records.read import read_records
from ocihooks.records.statistics import Statistics, statistics

EXAMPLES = (
    Example(line="ocihooks stats", meaning="Which hooks cost most, and which fail?"),
    Example(
        line="ocihooks stats --json | jq -r '.hooks[] | select(.failures > 0) | .rule'",
        meaning="The rules whose hooks have failed.",
    ),
)

JSON_MEMBERS = {
    "file": "The file with the records, without those that were put aside.",
    "hooks": "One for each rule and stage, by rule and stage.",
    "hooks[].rule": "The rule's file.",
    "hooks[].stage": "The stage.",
    "hooks[].count": "How many runs are recorded.",
    "hooks[].failures": "How many of them failed, ignored failures included.",
    "hooks[].p50_s": "Half of the runs took at most as many seconds.",
    "hooks[].p95_s": "95 of 100 runs took at most as many seconds.",
    "hooks[].max_s": "All runs took at most as many seconds.",
}


@click.command(
    "stats",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "shown", 1: "no run is recorded", 3: "the records can't be read: they are root's alone"},
)
@settings_option(must_exist=True)
@json_option
def command(settings_file: str | None, as_json: bool) -> int:
    """
    Show how often supervised hooks ran and failed, and how long they took.

    One line for each rule and stage. Only what is still in the records is counted.
    """
    path = path_of(settings_file)
    found = statistics(read_records(path))
    if as_json:
        write_json({"file": path, "hooks": [entry.to_json() for entry in found]})
    elif found:
        write(table(("RULE", "STAGE", "RUNS", "FAILED", "P50", "P95", "MAX"), [_cells(entry) for entry in found]))
    else:
        write(f"no run is recorded in {printable(path)}", err=True)
    return 0 if found else 1


def _cells(entry: Statistics) -> tuple[str, ...]:
    times = (f"{seconds:.3f} s" for seconds in (entry.p50_s, entry.p95_s, entry.max_s))
    return os.path.basename(entry.rule), entry.stage, str(entry.count), str(entry.failures), *times
