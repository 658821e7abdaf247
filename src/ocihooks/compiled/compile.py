"""
Compiles rules and settings into the form that the wrapper loads. Only the cold path comes here.
"""

from __future__ import annotations

from ocihooks.compiled.needs import need_of
from ocihooks.compiled.plain import compile_pattern
from ocihooks.compiled.ruleset import RuleSet
from ocihooks.injection import supervision
from ocihooks.places import SETTINGS_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ocihooks.errors import Diagnostic
    from ocihooks.hooksd.config import When
    from ocihooks.hooksd.directories import Rule
    from ocihooks.hooksd.patterns import Pattern
    from ocihooks.injector.files import InjectorFile
    from ocihooks.settings import Settings


def compile_rules(
    rules: Sequence[Rule],
    settings: Settings,
    static: Sequence[tuple[str, str]],
    injectors: Sequence[InjectorFile] = (),
    *,
    refused: Iterable[Diagnostic] = (),
    tolerated: Iterable[Diagnostic] = (),
    records: str = "",
) -> RuleSet:
    """
    The compiled form of *rules* under *settings*; those that can't match any container are left out.

    Args:
        rules: In the order in which they run.
        static: Static hook files: (file, JSON text of its hooks object).
        injectors: Injector files.
        refused: Findings that forbid to create a container.
        tolerated: Findings that the log tells.
        records: The file for records where the settings name none and a rule is supervised; "": none.
    """
    trust = settings.trust()
    supervised = any(settings.supervision(name) for name in (*[rule.name for rule in rules], *settings.modifiers))
    records = settings.records or (records if supervised else "")
    kept = [rule for rule in rules if rule.config is not None and _can_match(rule.when)]
    return RuleSet(
        rules=tuple(_rule(rule, settings, records) for rule in kept),
        needs=tuple(need_of(rule.when) for rule in kept),
        static=tuple(static),
        hooks_dirs=(*settings.hooks_dirs, settings.file or SETTINGS_FILE),
        injector_dir=settings.injector_dir or "",
        injectors=tuple([_packed(file) for file in injectors]),
        modifiers=tuple(_modifier(word, settings, records) for word in settings.modifiers),
        prepend=settings.position == "prepend",
        records=records,
        refused=_members(refused),
        sandbox=settings.sandbox,
        default_timeout=settings.default_timeout,
        log=settings.log,
        trusted_owners=tuple(sorted(trust.owners)),
        trusted_groups=tuple(sorted(trust.groups)),
        warnings=_members(tolerated),
    )


def _packed(file: InjectorFile) -> tuple[str, bytes]:
    from ocihooks.injector.packing import packed

    return file.flag, packed(file)


def _members(problems: Iterable[Diagnostic]) -> tuple[tuple[str | None, ...], ...]:
    return tuple(tuple(problem.to_json().values()) for problem in problems)


def _can_match(when: When) -> bool:
    """Whether there is a container that *when* matches, or can't be decided for."""
    conditions = (when.always, when.has_bind_mounts, when.annotations or None, when.commands or None)
    if all(condition is None for condition in conditions):
        return False
    return when.any_of or (when.always is not False and when.has_bind_mounts is not False)


def _rule(rule: Rule, settings: Settings, records: str) -> tuple[Any, ...]:
    hook = rule.hook
    timeout = settings.default_timeout if hook.timeout is None else hook.timeout
    return (
        rule.name,
        rule.file,
        settings.policy(rule.name),
        rule.stages,
        _when(rule.when),
        (hook.path, hook.args, hook.env, timeout, _supervision(rule, settings, timeout, records)),
    )


def _supervision(rule: Rule, settings: Settings, timeout: int | None, records: str) -> tuple[str, ...] | None:
    """The supervisor's words for the hook of *rule*; None where it is not supervised."""
    how = settings.supervision(rule.name)
    if how is None:
        return None
    return supervision(timeout=timeout, on_failure=how.on_failure, kill_leftovers=how.kill_leftovers, records=records)


def _modifier(word: str, settings: Settings, records: str) -> tuple[str, str, tuple[str, bool, str] | None]:
    """A modifier with its mark and how its hooks are supervised."""
    how = settings.supervision(word)
    return word, _mark(word, settings), (how.on_failure, how.kill_leftovers, records) if how else None


def marks(settings: Settings) -> tuple[str, ...]:
    """
    What stands for the rule's file in the hooks that each modifier adds.

    A mark lies in the settings file as a rule lies in a hooks directory, so such entries are known as ours.
    """
    return tuple(_mark(word, settings) for word in settings.modifiers)


def _mark(word: str, settings: Settings) -> str:
    return f"{settings.file or SETTINGS_FILE}/{word.rpartition('/')[2]}"


def _when(when: When) -> tuple[Any, ...]:
    annotations = None
    if when.annotations is not None:
        annotations = tuple((_pattern(key), _pattern(value)) for key, value in when.annotations)
    commands = None if when.commands is None else tuple(_pattern(pattern) for pattern in when.commands)
    return when.any_of, when.always, when.has_bind_mounts, annotations, commands


def _pattern(pattern: Pattern) -> tuple[Any, str]:
    return compile_pattern(pattern.source), pattern.source
