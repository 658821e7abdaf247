"""Options that describe a container which does not exist, and the configuration that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ocihooks.cli.explanation import made_up
from ocihooks.document import Config
from ocihooks.errors import UsageError, quoted

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_COMMAND = "/bin/sh"
BIND_MOUNT = ("/made-up", "/made-up")

_OPTIONS = (
    click.option(
        "--annotation", "annotations", metavar="KEY=VALUE", multiple=True, help="Give the container one. Repeat."
    ),
    click.option(
        "--command",
        "program",
        metavar="PATH",
        help="The container's command, its args[0].",
        show_default=DEFAULT_COMMAND,
    ),
    click.option("--no-process", is_flag=True, help="A container without a process."),
    click.option(
        "--mount", "mounts", metavar="SOURCE:DEST", multiple=True, help="Give the container a bind mount. Repeat."
    ),
    click.option("--bind-mount", is_flag=True, help="Give it a bind mount, no matter which."),
)


def made_up_options(function: F) -> F:
    """The options of a made-up container, for a command that takes them as one mapping."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def is_described(words: Mapping[str, Any]) -> bool:
    """Whether any of the options was given."""
    return any(value not in (None, False, ()) for value in words.values())


def described(words: Mapping[str, Any]) -> Config:
    """
    The configuration that the options stand for.

    Raises:
        UsageError: They make no sense.
    """
    if words["no_process"] and words["program"] is not None:
        raise UsageError("--no-process and --command contradict each other", hint="leave out one of them")
    command = None if words["no_process"] else words["program"] if words["program"] is not None else DEFAULT_COMMAND
    places = [*map(_mount, words["mounts"]), *([BIND_MOUNT] if words["bind_mount"] else [])]
    return made_up(annotations=dict(map(_annotation, words["annotations"])), command=command, mounts=places)


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--annotation {quoted(text, 200)}: expected KEY=VALUE", hint="the value may be empty")
    return key, value


def _mount(text: str) -> tuple[str, str]:
    source, _, destination = text.partition(":")
    if not source or not destination.startswith("/"):
        hint = "both parts are paths, the second one is that in the container"
        raise UsageError(f"--mount {quoted(text, 200)}: expected SOURCE:DEST with an absolute DEST", hint=hint)
    return source, destination
