"""
A container of an engine, as ``explain`` shows it: what its runtime got, whether rules reach it, what it got and when.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from ocihooks.cli.options import Sources, config_path, read_sources, timestamp
from ocihooks.document import Config, parse_config, read_config
from ocihooks.engines.engine import Configuration
from ocihooks.engines.files import read_config_file
from ocihooks.engines.known import ENGINES
from ocihooks.engines.live import LiveContainer
from ocihooks.engines.live_any import FINDERS, find
from ocihooks.engines.programs import find_program
from ocihooks.errors import OCIHooksError, UsageError, quoted
from ocihooks.injection import STAGES, rule_of
from ocihooks.install.discovery import is_ours
from ocihooks.install.install import DEFAULT_NAME
from ocihooks.install.record import Record as Installed
from ocihooks.install.record import read_record
from ocihooks.places import records_file
from ocihooks.records.read import Record, read_records
from ocihooks.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """
    A container of an engine.

    Attributes:
        container: What the engine tells.
        config: Its configuration: what the runtime got, or what the engine is going to make the next one from.
        written_s: When config.json was written, in seconds since 1970; None where there is none.
        runtime: What the engine starts for it, a path where that is known; "" where nothing is known.
        is_wrapper: Whether that is a program of ours.
        installed: The record of its installation; None where there is none that can be read.
        hooks_dirs: The hooks directories that the engine itself reads.
    """

    container: LiveContainer
    config: Config
    written_s: float | None
    runtime: str
    is_wrapper: bool
    installed: Installed | None
    hooks_dirs: tuple[str, ...]

    @property
    def takes_rules(self) -> bool:
        """Whether what the engine starts is the wrapper that adds the hooks of rules."""
        return self.is_wrapper and (self.installed is None or self.installed.program == DEFAULT_NAME)

    @property
    def is_reached(self) -> bool:
        """Whether rules reach it, through the wrapper, the engine itself or a plugin, as far as that is known."""
        has_ours = any(rule for _, _, rule in present(self.config))
        return self.takes_rules or bool(self.hooks_dirs) or not self.runtime or has_ours

    def sources(self, settings_file: str | None, hooks_dirs: tuple[str, ...]) -> Sources:
        """The settings and directories that count for it, unless the command line names others; raises as they do."""
        if settings_file or hooks_dirs:
            return read_sources(settings_file, hooks_dirs)
        if self.takes_rules and self.installed:
            return read_sources(self.installed.settings or None, self.installed.hooks_dirs)
        return read_sources(None, () if self.takes_rules else self.hooks_dirs)


def look_at(name: str, engine: str | None, address: str | None, settings_file: str | None) -> Live:
    """
    The container *name*.

    Args:
        engine: Whose it is; None: that of any engine that answers.
        address: The engine's socket; None: where its client looks for it.
        settings_file: The settings that name the records, which know containers that have been removed.

    Raises:
        UsageError: There is none, or there are several.
        UnavailableError: An engine or the container's configuration can't be asked.
        DocumentError: Its configuration is none that the wrapper takes.
    """
    try:
        container = find(name, engine, address)
    except UsageError as error:
        raise _gone(name, error, settings_file) from None
    config, written_s = _configuration_of(container)
    engines_own = _configuration_of_engine(container.engine)
    runtime = _runtime(container, engines_own)
    return Live(
        container=container,
        config=config,
        written_s=written_s,
        runtime=runtime,
        is_wrapper=runtime.startswith("/") and is_ours(runtime),
        installed=_installed(runtime),
        hooks_dirs=engines_own.hooks_dirs if engines_own else (),
    )


def _configuration_of(container: LiveContainer) -> tuple[Config, float | None]:
    if container.config is None:
        label = f"{container.engine} container {container.id[:12]}"
        return parse_config(json.dumps(container.made_from).encode(), label), None
    try:
        written_s = os.stat(container.config).st_mtime
    except FileNotFoundError:
        message = f"{container.engine} container {quoted(container.id[:12])} has just gone"
        raise UsageError(message, code="no_container", hint="look for it again") from None
    return read_config(config_path(os.path.dirname(container.config))), written_s


def _configuration_of_engine(name: str) -> Configuration | None:
    """The engine's configuration at its usual place; None where it can't be understood."""
    engine = ENGINES[name]
    try:
        return engine.read(engine.default_file(os.environ), (), read_config_file)
    except OCIHooksError:  # "ocihooks engines" tells what is wrong with it
        return None


def _runtime(container: LiveContainer, engines_own: Configuration | None) -> str:
    if not container.runtime or container.runtime.startswith("/"):
        return container.runtime
    handler = engines_own.handlers.get(container.runtime) if engines_own else None
    return (handler.program if handler else None) or find_program(container.runtime) or container.runtime


def _installed(program: str) -> Installed | None:
    """The record of the installed wrapper *program*: its place is known from that of the program."""
    directory, name = os.path.split(program)
    try:
        return read_record(os.path.dirname(directory), name) if directory else None
    except OCIHooksError:
        return None


def _gone(name: str, error: UsageError, settings_file: str | None) -> UsageError:
    """*error*, or that the container has been removed, where the records know it."""
    if error.code != "no_container":
        return error
    try:
        records = read_records(records_path(read_sources(settings_file, ()).settings))
        known = [record for record in records if str(record.get("container") or "").startswith(name)]
    except (OSError, OCIHooksError):
        return error
    if not known:
        return error
    container = str(known[-1]["container"])
    hint = f'run "ocihooks logs --container {container[:12]}" for what it got'
    return UsageError(f"container {quoted(container[:12])} has been removed", code="no_container", hint=hint)


def records_path(settings: Settings) -> str:
    """The file with the records."""
    return settings.records or records_file(os.environ)


def injections(live: Live, settings: Settings) -> list[Record] | None:
    """The records of what the container got, oldest first; None where records can't be read."""
    try:
        found = list(read_records(records_path(settings)))
    except OSError:
        return None
    return [one for one in found if one["kind"] == "injection" and one.get("container") == live.container.id]


def present(config: Config) -> Iterator[tuple[str, Mapping[str, Any], str | None]]:
    """The hooks of *config*: stage, entry, and the rule that it comes from; None for what is not ours."""
    for stage in STAGES:
        for entry in (config.hooks or {}).get(stage) or ():
            yield stage, entry, rule_of(entry)


LIVE_MEMBERS = {
    "live": "What the engine tells about the container; null for bundles and made-up containers.",
    "live.engine": "The engine.",
    "live.id": "The whole id.",
    "live.name": "The name; null where it has none.",
    "live.status": "In the engine's word.",
    "live.config": "Path of the config.json that its runtime got; null where there is none while it does not run.",
    "live.written": "When that was written, as RFC 3339 in UTC, or null.",
    "live.runtime": "What the engine starts for it; null where it does not say.",
    "live.wrapper": "Whether that is the wrapper, so that rules reach the container.",
    "live.hooks_dirs": "The hooks directories that the engine itself reads.",
    "live.hooks": "The hooks that config.json has.",
    "live.hooks[].stage": "The stage.",
    "live.hooks[].rule": "The file of the rule that it comes from; null for one that is not ours.",
    "live.hooks[].path": "The program.",
    "live.injections": "The records of what it got, oldest first; null where they can't be read.",
    "live.injections[].time": "When.",
    "live.injections[].operation": "create, run or restore.",
    "live.injections[].hooks": "The hooks of rules.",
    "live.injections[].hooks[].rule": "The rule's file.",
    "live.injections[].hooks[].stage": "The stage; precreate for a filter that ran over the configuration.",
    "live.injections[].injector_files": "The injector files whose things it got; null where there are none.",
}
"""Documentation of `live_json`."""


def live_json(live: Live, settings: Settings) -> dict[str, Any]:
    """The member ``live`` of the JSON output."""
    container, records = live.container, injections(live, settings)
    wanted = ("time", "operation", "hooks", "injector_files")
    return {
        "engine": container.engine,
        "id": container.id,
        "name": container.name or None,
        "status": container.status,
        "config": container.config,
        "written": None if live.written_s is None else timestamp(live.written_s),
        "runtime": live.runtime or None,
        "wrapper": live.takes_rules,
        "hooks_dirs": live.hooks_dirs,
        "hooks": [{"stage": stage, "rule": rule, "path": entry["path"]} for stage, entry, rule in present(live.config)],
        "injections": None if records is None else [{name: one.get(name) for name in wanted} for one in records],
    }


engine_option = click.option(
    "--engine", type=click.Choice(tuple(FINDERS)), help="Whose container it is.", show_default="any that answers"
)

address_option = click.option(
    "--address", metavar="SOCKET", help="Where the engine listens.", show_default="where its own client looks"
)
