"""
How the sources of compiled rules look, to be compared with how they look later.
"""

from __future__ import annotations

import posix

from ocihooks.compiled.sources import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocihooks.compiled.sources import Seen, Snapshot

_MAX_LINKS = 40


def snapshot(paths: Iterable[str]) -> Snapshot:
    """How all *paths*, what links on the way lead to, and the directories above all of these look now."""
    looks: dict[str, tuple[bool, Seen]] = {}
    waiting = [(path, True, 0) for path in paths]
    while waiting:
        path, whole, links = waiting.pop()
        if path in looks and (looks[path][0] or not whole):
            continue
        seen = look(path, whole)
        looks[path] = whole, seen
        if path != "/":
            waiting.append((path.rpartition("/")[0] or "/", False, links))
        if seen and seen[0] & 0o170000 == 0o120000 and links < _MAX_LINKS:
            waiting += [(target, whole, links + 1) for target in _target(path)]
    return tuple([(path, whole, seen) for path, (whole, seen) in looks.items()])


def _target(path: str) -> tuple[str, ...]:
    """Where the link *path* leads to; nothing where it has gone meanwhile."""
    try:
        target = posix.readlink(path)
    except OSError:
        return ()
    return (target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}",)


def youngest_ns(seen: Snapshot) -> int:
    """The latest time of a content or attribute in *seen*, in nanoseconds since the epoch."""
    return max([max(then[-2:]) for _, whole, then in seen if whole and then], default=0)
