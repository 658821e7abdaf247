"""Every rule file of the hooks directories with what became of it, and every static hook file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ocihooks.errors import Diagnostic, OCIHooksError, quoted
from ocihooks.hooksd.config import When
from ocihooks.hooksd.directories import Rule
from ocihooks.settings import Settings
from ocihooks.wrapper.rules import load_rules
from ocihooks.wrapper.static import read_static_hooks
from ocihooks.wrapper.usable import injectable_problems

Status = Literal["active", "overridden", "masked", "invalid", "missing program", "unusable"]
"""
What became of a rule file: it counts; another file of the same name counts; it is empty and takes others out; it can't
be read; its program is missing; its program or timeout can't be used.
"""


_DEFAULTS = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One rule file.

    Attributes:
        order: When it runs, from 1; None for files that are overridden.
        name: File name.
        file: Path.
        status: See `Status`.
        rule: What it says; None where it is overridden.
        problems: What is wrong with it.
        overridden_by: The file that counts in its place, or None.
    """

    order: int | None
    name: str
    file: str
    status: Status
    rule: Rule | None = None
    problems: tuple[Diagnostic, ...] = ()
    overridden_by: str | None = None


def look(settings: Settings) -> tuple[tuple[Rule, ...], tuple[Diagnostic, ...]]:
    """
    The rules as the wrapper sees them, and what is wrong with the directories, whatever the policy.

    That the default directories are missing is not worth a word.
    """
    loaded = load_rules(replace(settings, on_invalid="warn", rules={}))
    of_rules = {problem for rule in loaded.rules for problem in rule.problems}
    others = [problem for problem in loaded.tolerated if problem not in of_rules]
    asked_for = settings.hooks_dirs != _DEFAULTS.hooks_dirs
    return loaded.rules, tuple(problem for problem in others if asked_for or problem.code != "missing_directory")


def entries(rules: tuple[Rule, ...], settings: Settings) -> Iterator[Entry]:
    """Every rule file in the order in which rules run, each followed by those that it overrides."""
    for number, rule in enumerate(rules, 1):
        yield entry(number, rule, settings)
        for file in rule.overrides:
            yield Entry(order=None, name=rule.name, file=file, status="overridden", overridden_by=rule.file)


def entry(number: int, rule: Rule, settings: Settings) -> Entry:
    """The entry of a rule that counts."""
    status: Status = rule.status
    problems: tuple[Diagnostic, ...] = ()
    if rule.config is not None:
        problems = injectable_problems(rule, settings.trust())
        if problems:
            missing = any(problem.code in ("missing_program", "unreachable_program") for problem in problems)
            status = "missing program" if missing else "unusable"
    return Entry(
        order=number, name=rule.name, file=rule.file, status=status, rule=rule, problems=(*problems, *rule.problems)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEntry:
    """
    One static hook file.

    Attributes:
        file: Path.
        stages: How many hooks it has for each stage.
        problems: What is wrong with it; it can't be used then.
    """

    file: str
    stages: dict[str, int]
    problems: tuple[Diagnostic, ...] = ()

    @property
    def status(self) -> str:
        """``active`` or ``invalid``."""
        return "invalid" if self.problems else "active"


def static_entries(settings: Settings) -> Iterator[StaticEntry]:
    """Every static hook file, in the order of the settings."""
    for file in settings.static_hooks:
        try:
            hooks = read_static_hooks(file, settings.trust())
        except OCIHooksError as error:
            yield StaticEntry(file=file, stages={}, problems=error.problems)
        else:
            yield StaticEntry(file=file, stages={stage: len(items) for stage, items in hooks.items() if items})


def conditions_text(when: When) -> str:
    """The conditions in one line, patterns as JSON shows them."""
    parts = []
    if when.always is not None:
        parts.append("always" if when.always else "never")
    if when.has_bind_mounts is not None:
        parts.append("bind mounts" if when.has_bind_mounts else "bind mounts: false")
    parts += [f"annotation {quoted(key.source)} = {quoted(value.source)}" for key, value in when.annotations or ()]
    if when.commands:
        commands = " or ".join(quoted(pattern.source) for pattern in when.commands)
        parts.append(f"command {commands if len(when.commands) == 1 else f'({commands})'}")
    return (" or " if when.any_of else " and ").join(parts) or "no condition"


def when_json(when: When) -> dict[str, Any]:
    """The conditions for JSON outputs, with ``anyOf`` for rules of schema 0.1.0."""
    return when.to_json() | {"anyOf": when.any_of}
