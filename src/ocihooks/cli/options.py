"""Options that several commands share, and the settings, directories and kill switch that they stand for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from ocihooks.errors import WARNING, Diagnostic, OCIHooksError, UnavailableError, UsageError, quoted
from ocihooks.settings import DEFAULT_FILE, Settings, default_file, read_settings
from ocihooks.wrapper.switch import Switch, read_switch

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS_DEFAULT = f"{DEFAULT_FILE}; rootless: ~/.config/ocihooks/config.toml if that exists"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")


def settings_option(*, must_exist: bool) -> Callable[[F], F]:
    """The option ``--settings``."""
    return click.option(
        "--settings",
        "settings_file",
        metavar="FILE",
        type=click.Path(exists=must_exist, dir_okay=False, readable=False),
        help="The settings file.",
        show_default=SETTINGS_DEFAULT,
    )


def rules_options(function: F) -> F:
    """The options ``--hooks-dir`` and ``--settings`` of commands that look at rules."""
    with_directories = click.option(
        "--hooks-dir",
        "hooks_dirs",
        metavar="DIR",
        multiple=True,
        type=click.Path(),
        help="A hooks directory in place of those of the settings. Repeat it; later ones override earlier ones.",
    )(function)
    return settings_option(must_exist=True)(with_directories)


def settings_path(given: str | None) -> str:
    """The absolute path of the settings file that counts."""
    return os.path.abspath(given or default_file(os.environ))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """
    What a command looks at.

    Attributes:
        settings_file: The settings file that counts, whether it exists or not.
        settings: What it says, with the hooks directories of the command line.
        switch: The kill switch if it is on.
        problems: What is to be said about the switch.
    """

    settings_file: str
    settings: Settings
    switch: Switch | None
    problems: tuple[Diagnostic, ...]


def read_sources(settings_file: str | None, hooks_dirs: tuple[str, ...]) -> Sources:
    """
    Read the settings and look at the switch.

    Raises:
        SettingsError: The settings are broken.
        UntrustedError: Somebody else could have written them.
    """
    file = settings_path(settings_file)
    switch, problems = look_at_switch(file)
    settings = with_directories(read_settings(file), hooks_dirs)
    return Sources(settings_file=file, settings=settings, switch=switch, problems=problems)


def with_directories(settings: Settings, hooks_dirs: tuple[str, ...]) -> Settings:
    """*settings* with the hooks directories of the command line, if it names any."""
    return replace(settings, hooks_dirs=tuple(map(os.path.abspath, hooks_dirs))) if hooks_dirs else settings


def config_path(bundle: str, name: str = "config.json") -> str:
    """
    The path of a bundle's configuration.

    Raises:
        UsageError: There is no such file.
        UnavailableError: It may not be read.
    """
    path = os.path.join(os.path.abspath(bundle), name)
    if not os.path.exists(path):
        raise UsageError(f"{bundle} is no bundle: it holds no {name}", hint="name the directory that holds it")
    if not os.access(path, os.R_OK):
        hint = None if os.geteuid() == 0 else "run it as root"
        raise UnavailableError("can't be read: access is not allowed", code="read_failed", file=path, hint=hint)
    return path


def look_at_switch(settings_file: str) -> tuple[Switch | None, tuple[Diagnostic, ...]]:
    """The kill switch if it is on, and what is to be said about it."""
    try:
        switch = read_switch(settings_file)
    except OCIHooksError as error:
        return None, error.problems
    if switch is None:
        return None, ()
    reason = f": {quoted(switch.reason, 200)}" if switch.reason else ""
    message = f"hooks are switched off since {timestamp(switch.since)}, all containers start without them{reason}"
    hint = f"switch them on again with {enable_command(settings_file)}"
    return switch, (Diagnostic(message, code="switched_off", severity=WARNING, file=switch.file, hint=hint),)


def enable_command(settings_file: str, command: str = "enable") -> str:
    """How to undo a ``disable`` (or an ``enable``) with these settings."""
    import shlex

    option = "" if settings_file == settings_path(None) else f" --settings {shlex.quote(settings_file)}"
    return f"ocihooks {command}{option}"


def switch_json(switch: Switch | None) -> dict[str, Any] | None:
    """The member ``disabled`` of JSON outputs."""
    if switch is None:
        return None
    return {"file": switch.file, "reason": switch.reason or None, "since": timestamp(switch.since)}


def timestamp(seconds: float) -> str:
    """A time in the form of RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


SWITCH_MEMBERS = {
    "disabled": "The kill switch, null unless it is on.",
    "disabled.file": "The file that is the switch.",
    "disabled.reason": "Why hooks were switched off, or null.",
    "disabled.since": "When, as RFC 3339 in UTC.",
}
"""Documentation of `switch_json`."""

DIAGNOSTIC_MEMBERS = {
    "severity": '"error" or "warning".',
    "code": "Which kind of finding, see diagnostics.md.",
    "file": "The file that it is about, or null.",
    "pointer": "The place: a JSON pointer, a TOML key or line and column, or null.",
    "message": "What is wrong.",
    "hint": "What mends it, or null.",
}


def diagnostic_members(path: str, meaning: str) -> dict[str, str]:
    """Documentation of a list of findings at *path* of a JSON output."""
    return {path: meaning} | {f"{path}[].{name}": text for name, text in DIAGNOSTIC_MEMBERS.items()}


SUPERVISION_MEMBERS = {
    "rules[].supervision": "How its hook is supervised; null: not at all.",
    "rules[].supervision.on_failure": '"fail", "warn" or "ignore".',
    "rules[].supervision.kill_leftovers": "Whether what the hook leaves behind is killed.",
}


def supervision_json(settings: Settings, rule: str) -> dict[str, Any] | None:
    """The member ``supervision`` of a JSON output."""
    how = settings.supervision(rule)
    return None if how is None else {"on_failure": how.on_failure, "kill_leftovers": how.kill_leftovers}
