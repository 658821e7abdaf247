"""The command ``unconfigure``."""

from __future__ import annotations

import os
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.handlers import (
    CHANGE_MEMBERS,
    change_json,
    change_options,
    engine_argument,
    handler_options,
    options_text,
    show_changes,
    state_dir_path,
)
from ocihooks.cli.output import columns, write, write_json
from ocihooks.cli.run import environment
from ocihooks.engines.known import ENGINES
from ocihooks.engines.reloading import reload
from ocihooks.install.scene import HANDLER, Target
from ocihooks.install.unconfigure import Unconfigured, unconfigure
from ocihooks.places import state_directory

EXAMPLES = (
    Example(line="ocihooks unconfigure docker --dry-run", meaning="What would change, and does a container need it?"),
    Example(line="ocihooks unconfigure docker --reload", meaning="Take the handler out, and let dockerd know."),
    Example(
        line="ocihooks unconfigure containerd --name gpu-hooks --force",
        meaning="Another handler, even while its containers run.",
    ),
)

JSON_MEMBERS = {
    **CHANGE_MEMBERS,
    "program": "Path of the wrapper, null where the handler is not there.",
    "uninstalled": "Whether the wrapper is uninstalled, too, since it was installed for this handler.",
    "daemons": "Process ids of daemons that know the handler until they are restarted.",
    "users": "Processes that look after running containers of this wrapper.",
    "users[].pid": "Process id.",
    "users[].program": "What it is: conmon or a containerd shim.",
    "users[].container": "Id of the container, as far as known.",
    "reloaded": "What --reload did, or null.",
}


@click.command(
    "unconfigure",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "taken out, or not there",
        1: "refused: running containers need it, it is not ours, or the configuration can't be changed",
        3: "no permission, or a file that can't be written",
    },
)
@engine_argument
@handler_options
@click.option(
    "--force",
    is_flag=True,
    help="Go on although running containers need the wrapper; if it goes, a link to the runtime stays in its place.",
)
@click.option("--reload", "reloading", is_flag=True, help="Make the running engine use the result.")
@change_options
def command(state_dir: str | None, force: bool, reloading: bool, dry_run: bool, as_json: bool, **words: Any) -> None:
    """
    Take the wrapper out of an engine's configuration.

    Undoes what "ocihooks configure" did: the file gets its former bytes back, or, where somebody else has changed it
    since, loses what is ours and nothing else. A wrapper that was installed for this handler is uninstalled, unless a
    daemon runs that knows the handler until it is restarted. While containers run that were started through the wrapper
    this refuses and names them, since their engine is going to call it.
    """
    with environment():
        target = Target(state_dir=state_dir_path(state_dir), **words)
        done = unconfigure(target, force=force, dry_run=dry_run)
        reloaded = None
        if reloading and not dry_run:
            reloaded = reload(ENGINES[target.engine], done.file, target.name, present=False)
    if as_json:
        write_json(as_document(done, reloaded, dry_run=dry_run))
        return
    write(as_text(done, reloaded, dry_run=dry_run))
    if dry_run:
        show_changes(done.changes)


def as_document(done: Unconfigured, reloaded: str | None, *, dry_run: bool) -> dict[str, Any]:
    """The JSON output."""
    return {
        **change_json(done.target, done.file, done.changes, dry_run=dry_run, changed=done.record is not None),
        "program": None if done.record is None else done.record.program,
        "uninstalled": done.uninstalled,
        "daemons": [daemon.pid for daemon in done.daemons],
        "users": [{"pid": user.pid, "program": user.program, "container": user.container} for user in done.users],
        "reloaded": reloaded,
    }


def as_text(done: Unconfigured, reloaded: str | None, *, dry_run: bool) -> str:
    """The output for people."""
    target, record = done.target, done.record
    if record is None:
        lines = [f"{target.engine} has no handler {target.name}, nothing to be done"]
    else:
        facts = [("handler", target.name)]
        facts += [("file", change.old.path) for change in done.changes if change.is_any]
        facts += [("uninstalled", record.program)] if done.uninstalled else []
        facts += [("restart", f"{target.engine} {daemon.pid}, which knows it until then") for daemon in done.daemons]
        if done.daemons and record.installed is not None:
            options = options_text(HANDLER, None, state_directory(os.environ), record.installed[0])
            facts.append(("then", f"ocihooks uninstall{options} --name {record.installed[1]}"))
        facts += [(user.container, f"still runs ({user.program} {user.pid})") for user in done.users]
        lines = [
            f"{'would take' if dry_run else 'took'} the wrapper out of {target.engine}",
            columns(facts, indent="  "),
        ]
    return "\n".join([*lines, reloaded] if reloaded is not None else lines)
