"""What a filter changed in a configuration, as a unified diff of both documents pretty-printed with sorted members."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from ocihooks.document import dumps

MAX_LINES = 5000
"""Changed parts with more lines than that are only counted: finding the smallest difference would take too long."""


def difference(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """The lines of the diff, without line ends; none if the documents say the same. Numbers are compared as texts."""
    old, new = _pretty(before), _pretty(after)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    if max(len(old), len(new)) - head - tail > MAX_LINES:
        counted = f"{len(old) - head - tail} lines became {len(new) - head - tail}, too many to compare"
        return ("--- before", "+++ after", f"@@ from line {head + 1}: {counted} @@")
    return tuple(difflib.unified_diff(old, new, "before", "after", lineterm=""))


def _common(one: list[str], other: list[str]) -> int:
    """How many lines are equal from the start."""
    pairs = zip(one, other, strict=False)
    return next((index for index, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


class _Part(NamedTuple):
    """Something still to be printed: *value*, or only its closing bracket."""

    depth: int
    head: str
    value: Any
    tail: str


def _pretty(document: dict[str, Any]) -> list[str]:
    """A line per value, ASCII only. Without recursion: a configuration may nest deeper than the interpreter."""
    lines = []
    todo = [_Part(0, "", document, "")]
    while todo:
        depth, head, value, tail = todo.pop()
        if value and isinstance(value, (dict, list)):
            brackets = "{}" if isinstance(value, dict) else "[]"
            todo.append(_Part(depth, brackets[1], None, tail))
            todo += _inner(value, depth + 1)
            lines.append(f"{'  ' * depth}{head}{brackets[0]}")
        else:
            text = head if head in ("}", "]") else f"{head}{dumps(value)}"
            lines.append(f"{'  ' * depth}{text}{tail}")
    return lines


def _inner(value: dict[str, Any] | list[Any], depth: int) -> list[_Part]:
    """The members or items of *value*, last first."""
    if isinstance(value, dict):
        parts = [_Part(depth, f"{dumps(name)}: ", item, ",") for name, item in sorted(value.items())]
    else:
        parts = [_Part(depth, "", item, ",") for item in value]
    parts[-1] = parts[-1]._replace(tail="")
    return parts[::-1]
