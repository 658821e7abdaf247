"""The command ``disable``."""

from __future__ import annotations

from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import SWITCH_MEMBERS, enable_command, json_option, settings_option, settings_path
from ocihooks.cli.options import switch_json as as_json_member
from ocihooks.cli.output import write, write_json
from ocihooks.cli.run import environment
from ocihooks.errors import quoted
from ocihooks.wrapper.switch import Switch, disable, read_switch

EXAMPLES = (
    Example(line="ocihooks disable", meaning="Let containers start whatever is wrong with rules or hooks."),
    Example(
        line='ocihooks disable --reason "the audit hook hangs, ticket 4711"',
        meaning="Say why; list, check and explain show it.",
    ),
)

JSON_MEMBERS = {"changed": "Whether anything was to be done.", **SWITCH_MEMBERS}


@click.command(
    "disable",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "hooks are off", 3: "no permission, or a directory that others could write"},
)
@settings_option(must_exist=False)
@click.option("--reason", metavar="TEXT", default="", help="One line that says why, shown wherever it matters.")
@json_option
def command(settings_file: str | None, reason: str, as_json: bool) -> None:
    """
    Let all containers start without hooks.

    The kill switch: a file named "disabled" beside the settings file. While it lies there, the wrapper adds nothing,
    reads no rule and becomes the real runtime at once. Containers that run already keep their hooks. Doing it twice is
    as good as once.
    """
    file = settings_path(settings_file)
    with environment():
        changed = disable(file, reason)
        switch = read_switch(file)
    if as_json:
        write_json(as_document(switch, changed=changed))
    else:
        write(as_text(switch, file, changed=changed))


def as_document(switch: Switch | None, *, changed: bool) -> dict[str, Any]:
    """The JSON output, that of ``enable``, too."""
    return {"changed": changed, "disabled": as_json_member(switch)}


def as_text(switch: Switch | None, settings_file: str, *, changed: bool) -> str:
    """The output for people."""
    lines = ["hooks are off: all containers start without them" if changed else "hooks were off already"]
    if switch is not None:
        lines.append(f"switch: {switch.file}")
        lines += [f"reason: {quoted(switch.reason)}"] if switch.reason else []
    return "\n".join([*lines, f"undo: {enable_command(settings_file)}"])
