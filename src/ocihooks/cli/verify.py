"""The command ``verify``."""

from __future__ import annotations

from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.handlers import engine_argument, handler_options, prefix_option, state_dir_option, state_dir_path
from ocihooks.cli.options import json_option
from ocihooks.cli.output import columns, write, write_json
from ocihooks.cli.run import environment
from ocihooks.engines.programs import version_text
from ocihooks.errors import quoted
from ocihooks.install.scene import Target
from ocihooks.install.verify import Verified, verify

EXAMPLES = (
    Example(line="ocihooks verify docker", meaning="Do Docker's containers get hooks?"),
    Example(
        line="ocihooks verify containerd --name gpu-hooks --address /run/containerd/containerd.sock",
        meaning="Another handler, of the daemon behind this socket.",
    ),
)

JSON_MEMBERS = {
    "proved": "Whether the hook ran, and ran once.",
    "engine": "The engine.",
    "version": "The engine's version, or null.",
    "name": "The handler.",
    "program": "Path of the wrapper.",
    "runtime": "Path of the runtime behind it.",
    "way": "How the container was run.",
    "hooks_dir": "The directory that the rule was in.",
    "states": "What the hook read on its standard input, each time that it ran.",
    "seconds": "How long the container took.",
}


@click.command(
    "verify",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "proved: the hook ran",
        1: "the container ran without the hook, or the handler is not ours",
        3: "the container can't be run, or no permission",
    },
)
@engine_argument
@handler_options
@click.option(
    "--address",
    metavar="SOCKET",
    help="Where the daemon of Docker or containerd listens.",
    show_default="as its configuration or command line says",
)
@prefix_option
@state_dir_option
@json_option
def command(state_dir: str | None, address: str | None, as_json: bool, **words: Any) -> None:
    """
    Prove that an engine's containers get hooks.

    Puts a rule into a hooks directory that matches one throw-away container only, runs that container through the
    handler, looks whether the hook ran, and removes everything. The container has one tiny program, no network
    and no image from anywhere.
    """
    with environment():
        found = verify(Target(state_dir=state_dir_path(state_dir), **words), address)
    write_json(as_document(found)) if as_json else write(as_text(found))
    if not found.proved:
        click.get_current_context().exit(1)


def as_document(found: Verified) -> dict[str, Any]:
    """The JSON output."""
    return {
        "proved": found.proved,
        "engine": found.target.engine,
        "version": version_text(found.version) or None,
        "name": found.target.name,
        "program": found.program,
        "runtime": found.runtime,
        "way": found.way,
        "hooks_dir": found.hooks_dir,
        "states": list(found.states),
        "seconds": round(found.seconds, 3),
    }


def as_text(found: Verified) -> str:
    """The output for people."""
    name = found.target.engine
    if found.proved:
        lines = [f"proved: a container of {name} got its hook"]
    elif found.states:
        lines = [f"not as it should be: the container of {name} got its hook {len(found.states)} times"]
    else:
        lines = [f"not proved: the container of {name} ran, but its hook did not"]
    facts = [
        ("engine", f"{name} {version_text(found.version)}".rstrip()),
        ("handler", f"{found.target.name} ({found.program})"),
        ("runtime", found.runtime),
        ("run by", found.way),
        ("rule in", found.hooks_dir),
        *(("hook ran", f"for container {quoted(state.get('id'), 64)}") for state in found.states),
        ("took", f"{found.seconds:.1f} s"),
    ]
    return "\n".join([*lines, columns(facts, indent="  ")])
