"""The command ``uninstall``."""

from __future__ import annotations

from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.handlers import state_dir_option, state_dir_path
from ocihooks.cli.install import RECORD_MEMBERS
from ocihooks.cli.options import json_option
from ocihooks.cli.output import columns, write, write_json
from ocihooks.cli.run import environment
from ocihooks.install.install import DEFAULT_NAME, DEFAULT_PREFIX
from ocihooks.install.record import Record, record_file
from ocihooks.install.uninstall import User, prepare_uninstall, uninstall

EXAMPLES = (
    Example(line="ocihooks uninstall --dry-run", meaning="What would be removed, and does a container still need it?"),
    Example(line="ocihooks uninstall", meaning="Take away what a plain install wrote."),
    Example(
        line="ocihooks uninstall --prefix /opt/ocihooks --name ocihooks-audit --force",
        meaning="Take another one away even while its containers run.",
    ),
)

JSON_MEMBERS = {
    "dry_run": "Whether nothing was removed.",
    "pass_through": "Whether a link to the runtime was left in its place, or would be.",
    "users": "Processes that look after running containers of this wrapper.",
    "users[].pid": "Process id.",
    "users[].program": "What it is: conmon or a containerd shim.",
    "users[].container": "Id of the container, as far as known.",
    **{name: meaning for name, meaning in RECORD_MEMBERS.items() if name != "made_directories"},
    "made_directories": "Directories that the installation made; those that are empty go, too.",
}


@click.command(
    "uninstall",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "removed, or with --dry-run: could be removed",
        1: "refused, since running containers or an engine's configuration need it",
        3: "no such installation, changed by somebody else, or no permission",
    },
)
@click.option("--prefix", metavar="DIR", default=DEFAULT_PREFIX, show_default=True, help="As for install.")
@click.option("--name", metavar="NAME", default=DEFAULT_NAME, show_default=True, help="As for install.")
@click.option(
    "--force", is_flag=True, help="Go on although containers need it, and leave a link to the runtime in its place."
)
@state_dir_option
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@json_option
def command(state_dir: str | None, dry_run: bool, as_json: bool, **words: Any) -> None:
    """
    Take an installed wrapper away.

    Removes the program, its files and the directories that the installation made, if they are empty. Engines call the
    runtime again to stop and delete a container, so while running containers were started through the wrapper this
    refuses and names them; --force leaves a link to the real runtime in its place. It refuses, too, while an engine is
    configured to call the wrapper; "ocihooks unconfigure" changes that.
    """
    with environment():
        remove = prepare_uninstall if dry_run else uninstall
        record, users = remove(**words, state_dir=state_dir_path(state_dir))
    if as_json:
        write_json(as_document(record, users, words["prefix"], dry_run=dry_run))
    else:
        write(as_text(record, users, words["prefix"], dry_run=dry_run))


def as_document(record: Record, users: tuple[User, ...], prefix: str, *, dry_run: bool) -> dict[str, Any]:
    """The JSON output."""
    shown = [{"pid": user.pid, "program": user.program, "container": user.container} for user in users]
    about = {"dry_run": dry_run, "pass_through": bool(users), "users": shown}
    return about | record.to_json() | {"record": record_file(prefix, record.name)}


def as_text(record: Record, users: tuple[User, ...], prefix: str, *, dry_run: bool) -> str:
    """The output for people."""
    facts = [*(("file", file) for file in record.files), ("record", record_file(prefix, record.name))]
    facts += [("directory", f"{path} if it is empty") for path in reversed(record.made_directories)] if dry_run else []
    if not users:
        facts.insert(0, ("program", record.script))
    lines = [f"{'would remove' if dry_run else 'removed'} {record.name}", columns(facts, indent="  ")]
    if users:
        lines.append(
            f"{'would leave' if dry_run else 'left'} a link to {record.runtime} at {record.script}, for containers "
            "that still run:"
        )
        lines.append(columns([(user.container, f"{user.program} {user.pid}") for user in users], indent="  "))
        lines.append(f"remove it when they have ended: rm {record.script}")
    return "\n".join(lines)
