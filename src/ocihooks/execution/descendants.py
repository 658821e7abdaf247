"""Finding and signalling processes by their place in the tree, for which ``/proc`` is the only source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple


class Process(NamedTuple):
    """A live process and its place; all numbers are process ids."""

    pid: int
    parent: int
    group: int
    session: int


def processes() -> list[Process]:
    """
    All live processes, zombies left out.

    Empty where ``/proc`` is missing or shows another pid namespace than ours, whose numbers would mislead.
    """
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return []
        names = os.listdir("/proc")
    except OSError:
        return []
    return [process for name in names if name.isdigit() for process in _read(name)]


def _read(name: str) -> Iterator[Process]:
    """The process *name*, unless it has ended meanwhile. Its command, in brackets, may hold anything, brackets too."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            state, *numbers = file.read().rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return
    if state not in (b"Z", b"X"):
        parent, group, session = map(int, numbers)
        yield Process(int(name), parent, group, session)


def descendants(ancestor: int) -> list[Process]:
    """All live processes below *ancestor*."""
    by_parent: dict[int, list[Process]] = {}
    for process in processes():
        by_parent.setdefault(process.parent, []).append(process)
    found = by_parent.pop(ancestor, [])
    for process in found:
        found += by_parent.pop(process.pid, [])
    return found


def signal_children(number: int) -> bool:
    """
    Send the signal *number* to the process group of each child of this process.

    The kernel signals a group at once, so nothing in it can escape by forking. A child keeps its process id until we
    reap it, so the signal can't hit a stranger. What has no child of ours in its group gets one as its parents die.

    Returns:
        Whether there was anybody to signal.
    """
    own = os.getpid()
    children = [process for process in processes() if process.parent == own]
    for child in children:
        is_own = child.group > 1 and child.group != os.getpgrp()
        send(-child.group if is_own else child.pid, number)
    return bool(children)


def signal_session(session: int, number: int) -> bool:
    """Send the signal *number* to each process of *session*; the answer is whether there was any."""
    members = [process for process in processes() if process.session == session]
    for process in members:
        send(process.pid, number)
    return bool(members)


def send(target: int, number: int) -> None:
    """Signal a process, or a group if *target* is negative; one that is gone or not ours to signal is no error."""
    try:
        os.kill(target, number)
    except (ProcessLookupError, PermissionError):
        pass
