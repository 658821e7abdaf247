"""The command ``enable``."""

from __future__ import annotations

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.disable import JSON_MEMBERS, as_document
from ocihooks.cli.options import enable_command, json_option, settings_option, settings_path
from ocihooks.cli.output import write, write_json
from ocihooks.cli.run import environment
from ocihooks.wrapper.switch import enable

EXAMPLES = (
    Example(line="ocihooks enable", meaning="End an emergency."),
    Example(
        line="ocihooks enable --settings /etc/container-hooks/config.toml",
        meaning="For wrappers that were installed with other settings.",
    ),
)


@click.command(
    "enable",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "hooks are on", 3: "no permission"},
)
@settings_option(must_exist=False)
@json_option
def command(settings_file: str | None, as_json: bool) -> None:
    """
    Let containers get hooks again.

    Removes the file that "ocihooks disable" wrote beside the settings file. Containers that were started meanwhile stay
    without hooks. Doing it twice is as good as once.
    """
    file = settings_path(settings_file)
    with environment():
        changed = enable(file)
    if as_json:
        write_json(as_document(None, changed=changed))
    else:
        write(as_text(file, changed=changed))


def as_text(settings_file: str, *, changed: bool) -> str:
    """The output for people."""
    done = "hooks are on: containers that start from now on get them" if changed else "hooks were on already"
    return f"{done}\nundo: {enable_command(settings_file, 'disable')}"
