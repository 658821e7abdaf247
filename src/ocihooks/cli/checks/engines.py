"""Checks what engines are configured to do: handlers that lead nowhere, rules that reach nobody."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ocihooks.engines.engine import Handler
from ocihooks.engines.programs import running
from ocihooks.engines.records import EngineRecord
from ocihooks.errors import ERROR, WARNING, Diagnostic, quoted
from ocihooks.hooksd.directories import Rule
from ocihooks.install.discovery import Discovered
from ocihooks.spec.stage import STAGES

_PROGRAM_KEYS = ("path", "runtime_path", "paths", "options")
"""Where the entries of handlers name their programs."""

_STRICT_READERS = {"crio": "does not start", "buildah": "runs nothing"}
"""Engines that read rules themselves and know no stages but those of the runtime-spec; what they do about others."""

_BUILT_IN_DIRS = ("buildah",)
"""Engines that don't let anybody name the directories that they read."""


def engine_findings(found: Iterable[Discovered], records: Sequence[EngineRecord]) -> Iterator[Diagnostic]:
    """Everything about the configurations of engines."""
    for one in found:
        yield from one.problems
        own = [record for record in records if record.engine == one.name and record.file == one.file]
        for handler in one.handlers:
            yield from _dead(one, handler, any(record.name == handler.name for record in own))
        if not one.problems:
            yield from (_lost(record) for record in own if record.name not in {each.name for each in one.handlers})


def _dead(one: Discovered, handler: Handler, is_ours: bool) -> Iterator[Diagnostic]:
    """A handler whose program is missing; that forbids to start containers if it is the default."""
    if handler.program is not None or (handler.built_in and handler.name != one.default):
        return
    program = _program(handler.entry)
    hint = f"ocihooks install, or ocihooks unconfigure {one.name} --name {handler.name}" if is_ours else None
    yield Diagnostic(
        f"handler {quoted(handler.name, 80)} of {one.name} starts {program}, which is not there",
        code="dead_handler",
        severity=ERROR if is_ours or handler.name == one.default else WARNING,
        file=one.file,
        hint=hint or "install that program, or take the handler out",
    )


def _program(entry: Any) -> str:
    """The program that the entry of a handler names."""
    for name in _PROGRAM_KEYS:
        value = entry.get(name)
        if isinstance(value, dict):
            value = value.get("BinaryName")
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str) and value:
            return quoted(value, 200)
    return "a program"


def _lost(record: EngineRecord) -> Diagnostic:
    name = f" --name {record.name}"
    return Diagnostic(
        f"{record.engine} was configured with handler {quoted(record.name, 80)}, which is not there any more",
        code="lost_handler",
        severity=WARNING,
        file=record.file,
        hint=f"ocihooks configure {record.engine}{name} puts it back, ocihooks unconfigure {record.engine}{name} "
        "forgets it",
    )


def reach_findings(found: Sequence[Discovered], rules: Sequence[Rule]) -> Iterator[Diagnostic]:
    """Rules that are in nobody's reach, and those that an engine which reads rules itself does not read."""
    active = [rule for rule in rules if rule.status == "active"]
    here = [one for one in found if one.program]
    if active and here and not any(one.ours or _reads(one, active) for one in here) and not _has_plugin():
        names = ", ".join(one.name for one in here)
        yield Diagnostic(
            f"rules reach no container of {names}: none of them starts the wrapper, none reads these directories",
            code="unreached_rules",
            severity=WARNING,
            file=os.path.dirname(active[-1].file),
            hint=f"ocihooks configure {here[0].name} --default",
        )
    for one in here:
        if one.hooks_dirs and one.default not in one.ours:
            yield from _unread(one, active)
        if one.name in _STRICT_READERS:
            yield from _unknown_stages(one, active)


def _reads(one: Discovered, rules: Sequence[Rule]) -> bool:
    return any(os.path.dirname(rule.file) in one.hooks_dirs for rule in rules)


def _has_plugin() -> bool:
    """Whether "ocihooks nri" runs, which gives an engine's containers their hooks without the wrapper."""
    lines = (words for _, words in running())
    return any(os.path.basename(one) == "ocihooks" and two == "nri" for words in lines for one, two in pairwise(words))


def _unread(one: Discovered, rules: Sequence[Rule]) -> Iterator[Diagnostic]:
    places = dict.fromkeys(os.path.dirname(rule.file) for rule in rules)
    otherwise = "" if one.name in _BUILT_IN_DIRS else f", or name the directory in {one.file}"
    for directory in places:
        if not _reads_itself(one, directory):
            yield Diagnostic(
                f"{one.name} does not read these rules itself, only those in {', '.join(one.hooks_dirs)}",
                code="unread_rules",
                severity=WARNING,
                file=directory,
                hint=f"ocihooks configure {one.name} --default{otherwise}",
            )


def _unknown_stages(one: Discovered, rules: Sequence[Rule]) -> Iterator[Diagnostic]:
    for rule in rules:
        unknown = [stage for stage in rule.stages if stage not in STAGES]
        if unknown and _reads_itself(one, os.path.dirname(rule.file)):
            yield Diagnostic(
                f"{one.name} reads this rule itself, and {_STRICT_READERS[one.name]}, "
                f"since it does not know the stage {quoted(unknown[0], 40)}",
                code="engine_stage",
                severity=WARNING,
                file=rule.file,
                hint=f"move it to a directory that {one.name} does not read, and that hooks-dirs of the settings adds",
            )


def _reads_itself(one: Discovered, directory: str) -> bool:
    return os.path.realpath(directory) in map(os.path.realpath, one.hooks_dirs)
