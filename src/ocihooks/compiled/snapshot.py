"""
How the sources of compiled rules look, to be compared with how they look later.
"""

from __future__ import annotations

import posix
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ocihooks.compiled.sources import look

if TYPE_CHECKING:
    from ocihooks.compiled.sources import Snapshot

_MAX_LINKS = 40


def snapshot(paths: Iterable[str]) -> Snapshot:
    """How all *paths*, what links on the way lead to, and the directories above all of these look now."""
    wholes: dict[str, bool] = {}
    waiting = [(path, True, 0) for path in paths]
    while waiting:
        path, whole, links = waiting.pop()
        if path in wholes and (wholes[path] or not whole):
            continue
        wholes[path] = whole
        if path != "/":
            waiting.append((path.rpartition("/")[0] or "/", False, links))
        target = _target(path)
        if target is not None and links < _MAX_LINKS:
            waiting.append((target, whole, links + 1))
    return tuple((path, whole, look(path, whole)) for path, whole in wholes.items())


def _target(path: str) -> str | None:
    """Where the link *path* leads to; None where there is none."""
    try:
        target = posix.readlink(path)
    except (OSError, ValueError):
        return None
    return target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"


def youngest_ns(seen: Snapshot) -> int:
    """The latest time of a content or attribute in *seen*, in nanoseconds since the epoch."""
    return max((max(then[-2:]) for _, whole, then in seen if whole and then), default=0)
