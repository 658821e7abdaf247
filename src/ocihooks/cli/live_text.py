"""Shows to people what an engine tells about a container, and the hooks that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ocihooks.cli.live import Live, injections, present
from ocihooks.cli.options import timestamp
from ocihooks.cli.output import columns
from ocihooks.engines.known import ENGINES
from ocihooks.errors import printable, quoted
from ocihooks.injection import supervised_hook
from ocihooks.records.read import Record, given
from ocihooks.settings import Settings

SHOWN = 120
"""Characters of a container's text that are shown."""

MOST_RECORDS = 5
"""How many records are shown, the newest last."""


def named(live: Live) -> str:
    """The container in a few words."""
    container = live.container
    short = container.id[:12]
    name = f"{container.name}, " if container.name else ""
    return printable(f"{name}{short} of {container.engine}, {container.status}")


def about_live(live: Live) -> Iterator[tuple[str, str]]:
    """What the engine tells: rows of a heading and a text."""
    engine = live.container.engine
    if live.written_s is None:
        yield "config.json", f"none while it does not run; what {engine} tells about the next one stands in for it"
    else:
        yield "config.json", f"{live.container.config}, written {timestamp(live.written_s)}"
    yield "runtime", _runtime(live)
    reads = f"reads {', '.join(live.hooks_dirs)} itself" if live.hooks_dirs else "reads no hooks directories itself"
    yield "engine", f"{engine} {reads}, and hands on {ENGINES[engine].annotations}"


def _runtime(live: Live) -> str:
    if not live.runtime:
        return "not known while it does not run"
    if live.takes_rules:
        front = f" in front of {live.installed.runtime}" if live.installed else ""
        return f"{live.runtime}, the wrapper{front}"
    kind = f"{live.installed.program}, which takes no rules" if live.installed else "not the wrapper"
    return f"{live.runtime}, {kind}"


def history(live: Live, settings: Settings) -> Iterator[str]:
    """The hooks that it has, and the records of when it got which; an empty line behind each."""
    if live.written_s is not None:
        found = present(live.config)
        rows = [("=", stage, rule or "not from a rule", hook_line(entry)) for stage, entry, rule in found]
        yield "what its config.json has (=):" if rows else "its config.json has no hooks"
        yield columns(rows, indent="  ") + "\n" if rows else ""
    records = injections(live, settings)
    if records is None:
        yield "when it got what can't be told: records are for root alone\n"
    elif records:
        yield "when it got what:"
        yield columns([_record_cells(record) for record in records[-MOST_RECORDS:]], indent="  ") + "\n"


def _record_cells(record: Record) -> tuple[str, str, str]:
    return str(record.get("time")), str(record.get("operation")), ", ".join(given(record))


def hook_line(hook: Mapping[str, Any]) -> str:
    """Path and arguments of a hook, without args[0]; those of the hook itself where the supervisor runs it."""
    supervised = supervised_hook(hook)
    shown = supervised or hook
    words = [str(shown["path"]), *(quoted(word, SHOWN) for word in (shown.get("args") or ())[1:])]
    return " ".join([*words, "(supervised)"] if supervised else words)
