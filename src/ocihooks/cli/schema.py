"""The command ``schema``."""

from __future__ import annotations

import os

import click

import ocihooks
from ocihooks.cli.command import Command, Example
from ocihooks.cli.output import write
from ocihooks.hooksd.config import VERSION

VERSIONS = (VERSION, "0.1.0")

EXAMPLES = (
    Example(line="ocihooks schema > rule.schema.json", meaning="For an editor that completes and checks rule files."),
    Example(line="ocihooks schema 0.1.0", meaning="For the older, flat form."),
)


@click.command("schema", cls=Command, examples=EXAMPLES, statuses={0: "printed"})
@click.argument("version", type=click.Choice(VERSIONS), default=VERSION)
def command(version: str) -> None:
    """
    Print the JSON schema of rule files.

    It takes what readers of the format take, and says what each member means. What a schema can't tell, such as whether
    a pattern is valid or a program is there, "ocihooks check" does.
    """
    write(schema_text(version).rstrip("\n"))


def schema_text(version: str) -> str:
    """The JSON schema of rule files of this *version*, as the package holds it."""
    name = os.path.join(os.path.dirname(os.path.abspath(ocihooks.__file__)), "schemas", f"rule-{version}.json")
    with open(name, encoding="utf-8") as stream:
        return stream.read()
