"""
Finding and signalling processes by their place in the tree, for which ``/proc`` is the only source.

On the supervisor's warm path.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterator

    Process = tuple[int, int, int]
else:
    import _signal  # what signal is made of, without enum

_CHILDREN = "/proc/thread-self/children"


def signal_children(number: int) -> bool:
    """
    Send the signal *number* to the process group of each child of this process, which must have a single thread.

    The kernel signals a group at once, so nothing in it can escape by forking. A child keeps its process id until we
    reap it, so the signal can't hit a stranger. What has no child of ours in its group gets one as its parents die.

    Returns:
        Whether there was anybody to signal.
    """
    present = children()
    signalled = set()
    for child in present:
        try:
            group = posix.getpgid(child)
        except ProcessLookupError:
            continue
        target = -group if group > 1 and group != posix.getpgrp() else child
        if target not in signalled:  # a second SIGTERM would run a hook's handler twice
            signalled.add(target)
            send(target, number)
    return bool(present)


def signal_descendants(number: int) -> None:
    """
    Send the signal *number* to each process below this one, however deep.

    One that is not our child may end at any time, and its id be a stranger's then. So each is held by a descriptor,
    and signalled through that if its id is still a descendant's.
    """
    held = {pid: fd for pid in descendants(posix.getpid()) if (fd := _held(pid)) >= 0}
    present = set(descendants(posix.getpid()))
    for pid, fd in held.items():
        try:
            if pid in present:
                _signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        posix.close(fd)


def _held(pid: int) -> int:
    """A descriptor of the process *pid*; negative if it is gone, or no descriptor is to be had."""
    try:
        return posix.pidfd_open(pid)
    except OSError:
        return -1


def signal_session(session: int, number: int) -> bool:
    """Send the signal *number* to each process of *session*; the answer is whether there was any."""
    members = members_of(session)
    for pid in members:
        send(pid, number)
    return bool(members)


def members_of(session: int) -> list[int]:
    """The process ids of all live processes of *session*."""
    return [pid for pid, _, of_session in _processes() if of_session == session]


def send(target: int, number: int) -> None:
    """Signal a process, or a group if *target* is negative; one that is gone or not ours to signal is no error."""
    try:
        posix.kill(target, number)
    except (ProcessLookupError, PermissionError):
        pass


def descendants(ancestor: int) -> list[int]:
    """The process ids of all live processes below *ancestor*."""
    by_parent: dict[int, list[int]] = {}
    for pid, parent, _ in _processes():
        by_parent.setdefault(parent, []).append(pid)
    found = by_parent.pop(ancestor, [])
    for pid in found:
        found += by_parent.pop(pid, [])
    return found


def children() -> list[int]:
    """
    Our children, live or not yet reaped, from a small file where the kernel has it.

    Else all descendants: looking through all of /proc once for each generation would take too long.
    """
    if not proc_is_ours():
        return []
    try:
        listed = posix.open(_CHILDREN, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return descendants(posix.getpid())
    data = b""
    while chunk := posix.read(listed, 1 << 16):
        data += chunk
    posix.close(listed)
    return [int(pid) for pid in data.split()]


def started_at(pid: int) -> int:
    """When the process *pid* was started, in a unit of the kernel's; 0 if there is none. Tells a number used again."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def proc_is_ours() -> bool:
    """Whether ``/proc`` is there and shows our pid namespace; the numbers of another one would mislead."""
    try:
        return posix.readlink("/proc/self") == str(posix.getpid())
    except OSError:
        return False


def _processes() -> "list[Process]":
    """All live processes as (process id, parent, session), zombies left out; none where ``/proc`` is of no use."""
    names = posix.listdir("/proc") if proc_is_ours() else []
    return [process for name in names if name.isdigit() for process in _read(name)]


def _read(name: str) -> "Iterator[Process]":
    """The process *name*, unless it has ended meanwhile. Its command, in brackets, may hold anything, brackets too."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return
    if state not in (b"Z", b"X"):
        yield int(name), int(parent), int(session)
