"""The how-tos about engines: every command of ours that they show is one that the program understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ocihooks.cli.group import cli

PAGES = Path(__file__).parents[2] / "docs/how-to"

LINES = [
    (page.name, line)
    for page in sorted(PAGES.glob("*.md"))
    if page.name in ("docker.md", "containerd.md", "cri-o.md", "podman-and-buildah.md")
    for line in re.findall(r"^# (ocihooks .*)$", page.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_command(page: str, line: str) -> None:
    """The command and its options exist, and the page undoes what it configures."""
    _, name, *words = shlex.split(line)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = command.make_context(name, list(words))
    if name == "configure":
        assert (page, f"ocihooks unconfigure {context.params['engine']}") in [
            (other, one.partition(" --")[0]) for other, one in LINES
        ]


def test_all_pages() -> None:
    """Each of the pages shows commands."""
    assert len({page for page, _ in LINES}) == 4
