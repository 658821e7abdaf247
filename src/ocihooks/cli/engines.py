"""The command ``engines``."""

from __future__ import annotations

from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.handlers import state_dir_option, state_dir_path
from ocihooks.cli.options import DIAGNOSTIC_MEMBERS, json_option
from ocihooks.cli.output import remark, table, write, write_json
from ocihooks.cli.run import environment
from ocihooks.engines.programs import version_text
from ocihooks.install.discovery import Discovered, discover

EXAMPLES = (
    Example(line="ocihooks engines", meaning="Which engines are here, and do their containers get hooks?"),
    Example(line="ocihooks engines --json", meaning="The same for programs."),
)

ENGINE_MEMBERS = {
    "engines": "All engines that ocihooks knows.",
    "engines[].name": "Its name, as configure takes it.",
    "engines[].program": "Path of its program, null where it is not on this machine.",
    "engines[].version": "The program's version, null where unknown.",
    "engines[].running": "Process ids of its daemon; Podman and Buildah have none.",
    "engines[].config": "Its main configuration file, whether it exists or not.",
    "engines[].files": "The configuration files that it reads.",
    "engines[].config_version": "Version of the main file's format, null where it has none or can't be read.",
    "engines[].handlers": "Its handlers.",
    "engines[].handlers[].name": "Name.",
    "engines[].handlers[].program": "Path of what it starts, null where that is missing.",
    "engines[].handlers[].default": "Whether it is the default.",
    "engines[].handlers[].wrapper": "Whether it is a wrapper of ocihooks.",
    "engines[].reads_hooks_dirs": "Whether it reads hooks directories itself, without the wrapper.",
    "engines[].hooks_dirs": "Those that it reads: as configured, or its own defaults.",
    "engines[].problem": "Why its configuration can't be told, or null.",
    **{f"engines[].problem.{name}": meaning for name, meaning in DIAGNOSTIC_MEMBERS.items()},
}
"""Documentation of a list of `as_document`."""


@click.command(
    "engines",
    cls=Command,
    examples=EXAMPLES,
    json_members=ENGINE_MEMBERS,
    statuses={0: "told", 1: "told, but the configuration of an engine can't be understood"},
)
@state_dir_option
@json_option
def command(state_dir: str | None, as_json: bool) -> None:
    """
    Show the container engines of this machine.

    For each: its program and version, its configuration, whether it runs, whether it starts containers through
    the wrapper, and whether it reads hooks directories itself and so needs no wrapper for plain rules.
    """
    with environment():
        found = discover(state_dir_path(state_dir))
    if as_json:
        write_json({"engines": [as_document(one) for one in found]})
    else:
        write(as_text(found))
        remark(problem for one in found for problem in one.problems)
    if any(one.problems for one in found):
        click.get_current_context().exit(1)


def as_document(one: Discovered) -> dict[str, Any]:
    """One engine for the JSON output."""
    return {
        "name": one.name,
        "program": one.program,
        "version": version_text(one.version) or None,
        "running": list(one.running),
        "config": one.file,
        "files": list(one.files),
        "config_version": one.config_version,
        "handlers": [
            {
                "name": handler.name,
                "program": handler.program,
                "default": handler.name == one.default,
                "wrapper": handler.name in one.ours,
            }
            for handler in one.handlers
        ],
        "reads_hooks_dirs": one.native_hooks,
        "hooks_dirs": list(one.hooks_dirs),
        "problem": one.problems[0].to_json() if one.problems else None,
    }


def as_text(found: tuple[Discovered, ...]) -> str:
    """The output for people."""
    headers = ("engine", "version", "running", "configuration", "wrapper", "reads hooks directories")
    return table(headers, [_row(one) for one in found])


def _row(one: Discovered) -> tuple[str, ...]:
    version = version_text(one.version) or ("unknown" if one.program else "not installed")
    running = ", ".join(map(str, one.running)) or ("no" if one.has_daemon else "")
    number = f" (version {one.config_version})" if one.config_version and one.file in one.files else ""
    config = f"{one.file}{number}{'' if one.file in one.files else ' (not there)'}"
    wrapper = ", ".join(f"{name} (default)" if name == one.default else name for name in one.ours) or "no"
    native = "itself, no wrapper needed" if one.native_hooks else "no"
    return (one.name, version, running, config, wrapper, native)
