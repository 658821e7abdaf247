"""What ``configure``, ``unconfigure`` and ``verify`` share: which engine, which handler, and how changes are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ocihooks.cli.options import json_option
from ocihooks.cli.output import coloured, write
from ocihooks.engines.files import Change
from ocihooks.engines.known import ENGINES
from ocihooks.install.install import DEFAULT_PREFIX
from ocihooks.install.scene import HANDLER, Target
from ocihooks.places import STATE_DIR, state_directory

F = TypeVar("F", bound=Callable[..., Any])

engine_argument = click.argument("engine", type=click.Choice(tuple(ENGINES)))

state_dir_option = click.option(
    "--state-dir",
    metavar="DIR",
    help="Where backups and undo records are kept.",
    show_default=f"{STATE_DIR}; rootless: ~/.local/state/ocihooks",
)

prefix_option = click.option(
    "--prefix",
    metavar="DIR",
    default=DEFAULT_PREFIX,
    show_default=True,
    help="Below which wrappers are installed.",
)


def handler_options(function: F) -> F:
    """The options that say which handler of which configuration."""
    with_config = click.option(
        "--config",
        "file",
        metavar="FILE",
        help="The engine's main configuration file.",
        show_default="the engine's own",
    )(function)
    return click.option(
        "--name", metavar="NAME", default=HANDLER, show_default=True, help="The handler: the engine's name for it."
    )(with_config)


def change_options(function: F) -> F:
    """The options of commands that change a configuration, behind their own."""
    dry_run_option = click.option(
        "--dry-run", is_flag=True, help="Check everything and show the change as a diff; write nothing."
    )
    return prefix_option(state_dir_option(dry_run_option(json_option(function))))


def state_dir_path(given: str | None) -> str:
    """The directory of backups and undo records that counts."""
    return given or state_directory(os.environ)


CHANGE_MEMBERS = {
    "dry_run": "Whether nothing was written.",
    "changed": "Whether anything was to be done.",
    "engine": "The engine.",
    "name": "The handler.",
    "config": "The engine's main configuration file.",
    "files": "The files that change.",
    "files[].file": "Path.",
    "files[].diff": "The change as a unified diff.",
}
"""Documentation of `change_json`."""


def change_json(
    target: Target, file: str, changes: Sequence[Change], *, dry_run: bool, changed: bool
) -> dict[str, Any]:
    """The first members of a JSON output about a change."""
    return {
        "dry_run": dry_run,
        "changed": changed,
        "engine": target.engine,
        "name": target.name,
        "config": file,
        "files": [{"file": change.old.path, "diff": change.difference()} for change in changes if change.is_any],
    }


def show_changes(changes: Sequence[Change]) -> None:
    """Print *changes* as diffs, coloured on terminals."""
    for change in changes:
        for line in change.difference().splitlines():
            colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
            write(coloured(line, colour))


def options_text(name: str, file: str | None, state_dir: str, prefix: str) -> str:
    """The options with which another command finds the same handler, those that are as by default left out."""
    chosen = [
        ("--name", name, HANDLER),
        ("--config", file or "", ""),
        ("--state-dir", state_dir, state_directory(os.environ)),
        ("--prefix", prefix, DEFAULT_PREFIX),
    ]
    return "".join(f" {option} {value}" for option, value, default in chosen if value != default)
