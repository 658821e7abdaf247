"""
Commands that teach: besides its options each has examples, exit statuses and the members of its JSON output.

`--help`, docs/reference/cli.md and the tests all read these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

STATUSES: Mapping[int, str] = {
    0: "done, or nothing found",
    1: "findings, or no match",
    2: "wrong usage",
    3: "the environment: no runtime, no permission",
}
"""What every command's exit status means; commands say it in their own words."""

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""How click treats the program and each command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """
    A command line that can be typed as it stands.

    Attributes:
        line: The command.
        meaning: What it is for, one sentence.
    """

    line: str
    meaning: str


class Command(click.Command):
    """
    A command with what its help and its reference tell besides the options.

    Attributes:
        examples: In the order from simple to special.
        statuses: Exit statuses in the command's own words; those it leaves out are as in `STATUSES`.
        json_members: Path of each member of its ``--json`` output, such as ``rules[].name``, with its meaning.
    """

    def __init__(
        self,
        *args: Any,
        examples: tuple[Example, ...] = (),
        statuses: Mapping[int, str] | None = None,
        json_members: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **{"context_settings": SETTINGS, **kwargs})
        self.examples = examples
        self.statuses = {**STATUSES, **(statuses or {})}
        self.json_members = dict(json_members or {})

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write examples and exit statuses behind the options."""
        write_examples(formatter, self.examples)
        write_statuses(formatter, self.statuses)


def write_examples(formatter: click.HelpFormatter, examples: tuple[Example, ...]) -> None:
    """Write the section of examples, each command on a line that is never wrapped."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write_text(f"# {example.meaning}")
            formatter.write(f"{'':{formatter.current_indent}}{example.line}\n")


def write_statuses(formatter: click.HelpFormatter, statuses: Mapping[int, str]) -> None:
    """Write the section of exit statuses."""
    with formatter.section("Exit status"):
        formatter.write_dl([(str(status), meaning) for status, meaning in statuses.items()])
