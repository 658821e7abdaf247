"""
Compiled rules for a process that stays: unpacked once, patterns compiled once, programs looked at now and then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ocihooks.compiled.ruleset import MEMBERS, CompiledRuleView, RuleSet
from ocihooks.compiled.search import RE2
from ocihooks.compiled.store import needed_key
from ocihooks.hooksd.patterns import Pattern

if TYPE_CHECKING:
    from ocihooks.hooksd.matching import Container

_SOUND_S = 1.0
"""Seconds for which a program that was found sound is not looked at again."""


class HeldRules(RuleSet):
    """Rules that are unpacked once, and whose patterns are compiled once, since they decide for many containers."""

    __slots__ = ("_by_key", "_others", "_sound", "_sound_until", "_views", "asks_for_args", "asks_for_mounts")

    asks_for_args: bool
    """Whether a rule depends on what a container runs, and so can't be decided where that is not told."""

    asks_for_mounts: bool
    """Whether a rule depends on the mounts of a container."""

    def __init__(self, rules: RuleSet) -> None:
        super().__init__(**{name: getattr(rules, name) for name in MEMBERS})
        self._views = tuple(map(_unpacked, rules.rules))
        keys = [needed_key(rule[4]) for rule in self.rules]
        self._by_key: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            if key is not None:
                self._by_key.setdefault(key, []).append(index)
        self._others = [index for index, key in enumerate(keys) if key is None]
        self._sound: set[str] = set()
        self._sound_until = 0.0
        self.asks_for_args = any(view.when.commands is not None for view in self._views)
        self.asks_for_mounts = any(view.when.has_bind_mounts is not None for view in self._views)

    def candidates(self, container: Container) -> list[CompiledRuleView]:
        """The rules that may match *container*, in order; no other rule matches it or fails for it."""
        if container.args is not None and not container.args:
            return list(self._views)
        annotations = container.annotations
        found = [index for key in annotations if key in self._by_key for index in self._by_key[key]]
        if self._others:
            texts = "\n".join((*annotations, *annotations.values(), *(container.args or ())[:1]))
            found += [index for index in self._others if self.needs[index] in texts]
        return [self._views[index] for index in sorted(found)]

    def sound(self) -> set[str]:
        """Programs of hooks that were found sound within the last second."""
        now = time.monotonic()
        if now > self._sound_until:
            self._sound, self._sound_until = set(), now + _SOUND_S
        return self._sound


def _unpacked(rule: Any) -> CompiledRuleView:
    view = CompiledRuleView(rule)
    _, _, _, annotations, commands = rule[4]
    when: Any = view.when
    if annotations is not None:
        when.annotations = [
            (_held(key, search), _held(value, other))
            for (key, value), (search, other) in zip(annotations, when.annotations, strict=True)
        ]
    if commands is not None:
        when.commands = [_held(pattern, search) for pattern, search in zip(commands, when.commands, strict=True)]
    return view


def _held(compiled: Any, search: Any) -> Any:
    (kind, _), source = compiled
    return Pattern(source) if kind == RE2 else search
