"""
The text that a container must have somewhere for a rule to match: the cheapest way not to look at a rule.

A need is never too strict: where it isn't surely right it is empty, which every container meets. Needs are found when
rules are compiled; the wrapper asks only ``need in texts``.
"""

from __future__ import annotations

from ocihooks.compiled.plain import compile_pattern
from ocihooks.compiled.search import RE2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocihooks.compiled.search import CompiledPattern
    from ocihooks.hooksd.config import When

_QUANTIFIERS = "*?{"
_SPECIAL = frozenset("\\.+*?()|[]{}^$")


def need_of(when: When) -> str:
    """
    A text that is part of an annotation's key or value, or of the command, of every container that *when* matches.

    Commands count only as the one condition of a rule, since they are skipped for containers without a process.
    """
    if when.any_of:
        return _need_of_any(when)
    found = [needed(compile_pattern(pattern.source)) for pair in when.annotations or () for pattern in pair]
    if not found and _only_commands(when):
        found = [_common(needed(compile_pattern(pattern.source)) for pattern in when.commands or ())]
    return max(found, key=len, default="")


def _need_of_any(when: When) -> str:
    """One met condition is enough here, so there is a need only if there is only one condition."""
    if when.always or when.has_bind_mounts:
        return ""
    if when.annotations and not when.commands and len(when.annotations) == 1:
        return max((needed(compile_pattern(pattern.source)) for pattern in when.annotations[0]), key=len)
    if when.commands and not when.annotations:
        return _common(needed(compile_pattern(pattern.source)) for pattern in when.commands)
    return ""


def _only_commands(when: When) -> bool:
    return bool(when.commands) and not when.annotations and when.always is None and when.has_bind_mounts is None


def _common(needs: Iterable[str]) -> str:
    """A text that is part of each of *needs*: the shortest of them if it is, else nothing."""
    found = list(needs)
    shortest = min(found, key=len, default="")
    return shortest if all(shortest in need for need in found) else ""


def needed(pattern: CompiledPattern) -> str:
    """A text that is part of every text in which *pattern* is found."""
    kind, text = pattern
    return text if kind != RE2 else _leading_literal(text)


def _leading_literal(source: str) -> str:
    r"""
    The text at the beginning of a pattern, up to its first special character: ``com.`` of ``^com\.[a-z]+``.

    Patterns with flags, or with alternatives outside of parentheses, have none.
    """
    if "(?" in source or "\\Q" in source or _has_alternatives(source):
        return ""
    rest = source.removeprefix("^")
    letters: list[str] = []
    at = 0
    while at < len(rest):
        letter, size = rest[at], 1
        if letter == "\\" and rest[at + 1 : at + 2] in _SPECIAL and at + 1 < len(rest):
            letter, size = rest[at + 1], 2
        elif letter in _SPECIAL:
            break
        if rest[at + size : at + size + 1] in tuple(_QUANTIFIERS):
            break  # this letter may be absent
        letters.append(letter)
        at += size
    return "".join(letters)


def _has_alternatives(source: str) -> bool:
    """Whether ``|`` may stand outside of parentheses; classes and escapes with a ``|`` count, to be sure."""
    depth = 0
    escaped = False
    for letter in source:
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "|" and (depth <= 0 or "[" in source):
            return True
        if letter == "[" and ("(" in source or "|" in source):
            return True  # a bracket may hide parentheses
    return False
