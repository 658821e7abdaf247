"""The command ``logs``."""

from __future__ import annotations

import itertools
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import json_option, settings_option, settings_path
from ocihooks.cli.output import coloured, columns, write, write_json
from ocihooks.errors import printable
from ocihooks.execution.words import signal_name
from ocihooks.injection import FILTER_STAGE
from ocihooks.places import records_file
from ocihooks.records.read import Record, Selection, follow, given, is_failure, items, read_records
from ocihooks.settings import read_settings
from ocihooks.spec.stage import STAGES

EXAMPLES = (
    Example(line="ocihooks logs --last-failure", meaning="Why did the last container not start?"),
    Example(line="ocihooks logs --failed --stage createRuntime", meaning="Which hooks kept containers from starting?"),
    Example(line="ocihooks logs --container 3f2a --json", meaning="All about one container, for programs."),
)

RECORD_MEMBERS = {
    "kind": '"injection": a container got something; "run": a supervised hook ran.',
    "time": "When the record was written.",
    "container": "The container's id.",
    "bundle": "Injection: the bundle.",
    "operation": "Injection: create, run or restore.",
    "hooks": "Injection: the hooks of rules.",
    "hooks[].rule": "The rule's file.",
    "hooks[].stage": "The stage; precreate for a filter that ran over the configuration.",
    "injector_files": "Injection: the injector files whose things it got; missing where there are none.",
    "rule": "Run: the rule's file.",
    "stage": "Run: the stage.",
    "outcome": 'Run: "succeeded", "failed", or what on-failure made of a failure: "warned" or "ignored".',
    "message": 'Run: what went wrong; "" if nothing did.',
    "argv": "Run: the command as it was started, templates replaced.",
    "started": "Run: when it was started.",
    "wall_s": "Run: seconds until all was over.",
    "status": "Run: exit status; null where there is none.",
    "signal": "Run: number of the signal that ended it, or null.",
    "timed_out": "Run: whether it passed its timeout.",
    "killed": "Run: how many processes were killed.",
    "left_running": "Run: process ids that were alive when it was over.",
    "stdout": "Run: the end of its standard output.",
    "stderr": "Run: the end of its standard error.",
    "state": "Run: the state as the runtime sent it, a text.",
}

JSON_MEMBERS = {
    "file": "The file with the records, without those that were put aside.",
    "records": "The records, oldest first; those before them are gone.",
    **{f"records[].{name}": meaning for name, meaning in RECORD_MEMBERS.items()},
}


@click.command(
    "logs",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "shown", 1: "there is no such record", 3: "the records can't be read: they are root's alone"},
)
@click.option("--container", metavar="ID", help="Only this container; the beginning of an id is enough.")
@click.option("--rule", metavar="FILE", help="Only this rule, by its path or file name.")
@click.option("--stage", type=click.Choice((FILTER_STAGE, *STAGES)), help="Only this stage.")
@click.option("--failed", is_flag=True, help="Only hooks that failed.")
@click.option("--last-failure", is_flag=True, help="Only the last hook that failed, with all that is known about it.")
@click.option("--follow", "-f", "following", is_flag=True, help="Show what comes, until interrupted.")
@settings_option(must_exist=True)
@json_option
def command(
    *,
    container: str | None,
    rule: str | None,
    stage: str | None,
    failed: bool,
    last_failure: bool,
    following: bool,
    settings_file: str | None,
    as_json: bool,
) -> int:
    """
    Show what containers got, and what became of supervised hooks.

    One line for each record, oldest first. Records are kept while a rule is supervised, or when the settings name a
    file for them. With --follow, --json prints one JSON text on each line.
    """
    if following and last_failure:
        raise click.UsageError("--follow and --last-failure exclude each other")
    path = path_of(settings_file)
    selection = Selection(container=container, rule=rule, stage=stage, failed=failed or last_failure)
    if following:
        return _follow(path, selection, as_json=as_json)
    records = [record for record in read_records(path) if selection.has(record)]
    if last_failure:
        records = records[-1:]
    if as_json:
        write_json({"file": path, "records": records})
    elif records:
        write(details(records[0]) if last_failure else "\n".join(map(line_of, records)))
    else:
        write(f"no such record in {printable(path)}", err=True)
    return 0 if records else 1


def path_of(settings_file: str | None) -> str:
    """The file with the records."""
    settings = read_settings(settings_path(settings_file))
    return settings.records or records_file(os.environ)


def _follow(path: str, selection: Selection, *, as_json: bool) -> int:
    for record in follow(path):
        if selection.has(record):
            write(json.dumps(record) if as_json else line_of(record))
    return 0


def line_of(record: Record) -> str:
    """A record on one line."""
    cells = [(printable(text), is_bad) for text, is_bad in _cells(record)]
    return "  ".join(coloured(text, "red" if is_bad else None) for text, is_bad in cells if text)


def _cells(record: Record) -> Iterator[tuple[str, bool]]:
    """The parts of a line, and whether each is bad news."""
    yield str(record.get("time")), False
    yield str(record.get("container") or "-"), False
    if record["kind"] == "injection":
        yield "got", False
        yield ", ".join(given(record)), False
        return
    yield str(record.get("stage")), False
    yield os.path.basename(str(record.get("rule"))), False
    yield str(record.get("outcome")), is_failure(record)
    yield f"{record.get('wall_s')} s", False
    yield str(record.get("message") or ""), False


def details(record: Record) -> str:
    """All that is known about one run, in paragraphs."""
    rows = [
        ("container", str(record.get("container"))),
        ("rule", str(record.get("rule"))),
        ("stage", str(record.get("stage"))),
        ("command", shlex.join(map(str, items(record, "argv")))),
        ("result", f"{record.get('message')} ({record.get('outcome')})"),
        ("started", f"{record.get('started')}, took {record.get('wall_s')} s"),
        *_ending(record),
        ("state", str(record.get("state")).strip()),
    ]
    streams = ((name, str(record.get(name) or "")) for name in ("stdout", "stderr"))
    blocks = (f"{name}:\n{_indented(text)}" for name, text in streams if text)
    return "\n".join(itertools.chain([columns(rows)], blocks))


def _ending(record: Record) -> Iterable[tuple[str, str]]:
    number: Any = record.get("signal")
    if isinstance(number, int):
        yield "signal", f"{signal_name(number) or number}"
    if record.get("killed"):
        yield "killed", f"{record['killed']} processes"
    if left := items(record, "left_running"):
        yield "left running", ", ".join(map(str, left))


def _indented(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())
