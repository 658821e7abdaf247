"""
Which rules stay although a new reading does not have them: those whose files are broken, and briefly those that vanish.

A hook that guards containers must not be dropped because somebody saves its file in two steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ocihooks.errors import WARNING, Diagnostic
from ocihooks.hooksd.directories import Rule, order

if TYPE_CHECKING:
    from ocihooks.hooksd.manager import Snapshot


def kept(before: Iterable[Rule], found: Snapshot) -> tuple[Rule, ...]:
    """
    The rules of *before* that stay until what replaces them can be used.

    A broken file keeps the version that was last active, which then has the file's new problems. A directory that
    can't be listed keeps all its rules and masks.
    """
    now = {rule.name: rule for rule in found.rules}
    answer = []
    for old in before:
        new = now.get(old.name)
        if _place(old, found) in found.unlisted and (new is None or _place(new, found) < _place(old, found)):
            answer.append(old)
        elif new is not None and old.status == "active" and _is_broken(new, found) and old.file in _files(new):
            answer.append(replace(old, problems=(*new.problems, _notice(old, new))))
    return tuple(answer)


def vanished(before: Iterable[Rule], found: Snapshot) -> tuple[Rule, ...]:
    """The active rules of *before* whose file is gone, or that a mask or a missing program takes out."""
    now = {rule.name: rule for rule in found.rules if rule.status == "active"}
    return tuple(
        old
        for old in before
        if old.status == "active" and (old.name not in now or old.file not in _files(now[old.name]))
    )


def with_rules(found: Snapshot, rules: Iterable[Rule]) -> Snapshot:
    """*found* with *rules* in place of those of the same names; the problems of broken files are added."""
    instead = {rule.name: rule for rule in rules}
    merged = {rule.name: rule for rule in found.rules} | instead
    notices = [problem for rule in instead.values() for problem in rule.problems if problem.code == "last_good_kept"]
    return replace(
        found,
        rules=tuple(merged[name] for name in sorted(merged, key=order)),
        problems=tuple(dict.fromkeys((*found.problems, *notices))),
    )


def _files(rule: Rule) -> tuple[str, ...]:
    return rule.file, *rule.overrides


def _is_broken(rule: Rule, found: Snapshot) -> bool:
    return any(problem in found.refused for problem in rule.problems)


def _place(rule: Rule, found: Snapshot) -> int:
    """The index of the rule's directory; the last where one is given twice."""
    places = [i for i, directory in enumerate(found.directories) if os.path.join(directory, rule.name) == rule.file]
    return max(places)


def _notice(old: Rule, new: Rule) -> Diagnostic:
    version = "its last good version" if old.file == new.file else f"the rule of {old.file}"
    message = f"can't be used, so {version} stays in use until it is mended"
    return Diagnostic(message, code="last_good_kept", severity=WARNING, file=new.file)
