"""Findings about file names in hooks directories: near misses, letter case, numbers of different width."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ocihooks.errors import WARNING, Diagnostic, quoted
from ocihooks.hooksd.directories import Rule, order
from ocihooks.hooksd.readers import SUFFIX

_SWITCHED_OFF = (".disabled", ".off")
"""Endings by which administrators take a file out on purpose."""


def name_findings(rules: Iterable[Rule], directories: Iterable[str]) -> Iterator[Diagnostic]:
    """Everything about the names of *rules* and of what lies beside them in *directories*."""
    found = tuple(rules)
    for directory in directories:
        yield from near_misses(directory)
    yield from same_letters(found)
    yield from mixed_widths(found)


def near_misses(directory: str) -> Iterator[Diagnostic]:
    """Files that look like rules but are not read, since their names do not end in ``.json``."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:  # reported where the directory is read
        return
    for name in names:
        if is_near_miss(name):
            yield near_miss(os.path.join(directory, name))


def is_near_miss(name: str) -> bool:
    """Whether somebody may take a file of this name for a rule."""
    lowered = name.lower()
    return not name.endswith(SUFFIX) and SUFFIX in lowered and not lowered.endswith(_SWITCHED_OFF)


def near_miss(file: str) -> Diagnostic:
    """The finding about a near miss."""
    name = os.path.basename(file)
    hint = f"rename it so that it ends in {SUFFIX}, or move it elsewhere"
    message = f"is not read: the name {quoted(name, 200)} does not end in {quoted(SUFFIX)}"
    return Diagnostic(message, code="near_miss_name", severity=WARNING, file=file, hint=hint)


def same_letters(rules: Iterable[Rule]) -> Iterator[Diagnostic]:
    """Rules whose names differ in letter case only: neither overrides the other."""
    for first, second in pairwise(sorted(rules, key=lambda rule: order(rule.name))):
        if order(first.name)[0] == order(second.name)[0]:
            message = f"differs from {first.file} in letter case only, so neither overrides the other"
            hint = "give both the same name if one is to override, else names that nobody confuses"
            yield Diagnostic(message, code="same_letters", severity=WARNING, file=second.file, hint=hint)


def mixed_widths(rules: Iterable[Rule]) -> Iterator[Diagnostic]:
    """The first pair of rules that run in another order than the numbers in front of their names suggest."""
    for first, second in pairwise(sorted(rules, key=lambda rule: order(rule.name))):
        before, after = _number(first.name), _number(second.name)
        if before and after and int(before) > int(after):
            message = f"runs behind {first.name}, since names are compared as text, not as numbers"
            hint = f"write the number as {after.zfill(len(before))}, with as many digits as the others"
            yield Diagnostic(message, code="mixed_widths", severity=WARNING, file=second.file, hint=hint)
            return


def _number(name: str) -> str:
    found = re.match(r"[0-9]{1,18}(?![0-9])", name)
    return found[0] if found else ""
