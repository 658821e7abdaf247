"""How deep the document of an engine may be nested."""

from __future__ import annotations

from typing import Any

MOST_LEVELS = 100
"""More than any engine's configuration has, and few enough for functions that call themselves level by level."""


def is_too_deep(document: Any) -> bool:
    """Whether *document* has tables or arrays within each other beyond `MOST_LEVELS`."""
    level = [document]
    for _ in range(MOST_LEVELS):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    """The tables and arrays in *value*."""
    items = value.values() if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, (dict, list))]
