"""
The process between the caller and a hook: it starts the hook, sees it end, and kills what has to go.

It's forked for each hook and is the subreaper of all that the hook starts: an orphan becomes the keeper's child,
whatever process group or session it moved to. So nothing gets lost, and a keeper without children proves that the hook
has no descendants. The caller's own children, and its own being a subreaper or not, stay as they are; what may outlive
a hook goes to init when the keeper ends, as if a runtime had run the hook. When the caller dies, the keeper kills.

Caller and keeper talk over two pipes. Orders are single bytes: TERM, KILL, LEAVE; the end of that pipe means KILL.
Reports are lines: ``started PID``, ``failed STEP ERRNO``, ``exited STATUS``, and at last ``done KILLED PID...`` with
the number of processes that our signals ended and those that are still alive.

Only this module and what it imports runs between the fork and the hook, on data that was made before the fork: no lock
of another thread is waited for.
"""

import gc
import posix
import select
import time
from errno import EAGAIN, ENOMEM

from ocihooks.execution.descendants import descendants, send, signal_children, signal_descendants
from ocihooks.execution.exec import set_subreaper
from ocihooks.execution.process import IGNORED_BY_PYTHON, KILL_WITHIN_S, LEAVE, LOOK_DEEPER_EVERY, TERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Iterable
    from typing import NoReturn

    from ocihooks.execution.exec import Exec
else:
    import _signal  # what signal is made of, without enum

_KILL_AGAIN_S = 0.005
"""How long to wait for the death of what was signalled before looking for what came after it."""

_REAP_AT_ONCE = 100


class Descriptors:
    """The keeper's ends of all pipes, each above 2, and the directory that the hook runs in (None: the caller's)."""

    __slots__ = ("directory", "orders", "reports", "stderr", "stdin", "stdout")

    def __init__(
        self, *, stdin: int, stdout: int, stderr: int, orders: int, reports: int, directory: int | None
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.orders = orders
        self.reports = reports
        self.directory = directory

    def all(self) -> set[int]:
        """Those that are open."""
        ends = (self.stdin, self.stdout, self.stderr, self.orders, self.reports, self.directory)
        return {fd for fd in ends if fd is not None}


def keep(execute: "Exec", ends: Descriptors, mask: "Iterable[int]") -> "NoReturn":
    """
    Be the keeper, in a process that was just forked with all signals blocked, and end with it.

    Args:
        mask: The signals that the hook is to have blocked: those that the caller had.
    """
    try:
        gc.disable()
        posix.setsid()
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        set_subreaper(True)
        close_all_but(ends.all())
        _start_and_watch(execute, ends, mask)
    finally:
        posix._exit(0)  # noqa: SLF001  (os._exit is this function)


def _start_and_watch(execute: "Exec", ends: Descriptors, mask: "Iterable[int]") -> None:
    step = "chdir"
    try:
        if ends.directory is not None:
            posix.fchdir(ends.directory)
        step = "exec"
        leader = _spawned(execute, ends, mask) if execute.environ is not None else _forked(execute, ends, mask)
    except OSError as error:
        step = "fork" if error.errno in (EAGAIN, ENOMEM) else step
        _report(ends.reports, f"failed {step} {error.errno}\ndone 0")
        return
    close_all_but({ends.orders, ends.reports})
    _Watch(leader, ends.orders, ends.reports).until_done()


def _spawned(execute: "Exec", ends: Descriptors, mask: "Iterable[int]") -> int:
    """
    Start the hook without copying this process, which would cost most of a millisecond.

    The exec undoes signal handlers and closes all other descriptors. The C library leaves the two signals ignored
    that it keeps to itself, 32 and 33.
    """
    streams = enumerate((ends.stdin, ends.stdout, ends.stderr))
    return posix.posix_spawn(
        execute.program.path,
        execute.program.argv,
        execute.environ or {},
        file_actions=[(posix.POSIX_SPAWN_DUP2, stream, number) for number, stream in streams],
        setsid=True,
        setsigmask=mask,
        setsigdef=IGNORED_BY_PYTHON,
    )


def _forked(execute: "Exec", ends: Descriptors, mask: "Iterable[int]") -> int:
    """Start a hook with an odd environment."""
    leader = posix.fork()
    if leader == 0:
        _become(execute, ends, mask)
    return leader


def _become(execute: "Exec", ends: Descriptors, mask: "Iterable[int]") -> "NoReturn":
    """Turn the process that was forked for it into the hook; all other descriptors close with the exec."""
    try:
        posix.setsid()
        for number, stream in enumerate((ends.stdin, ends.stdout, ends.stderr)):
            posix.dup2(stream, number)
        _default_signals()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        _report(ends.reports, f"failed exec {execute()}")
    finally:
        posix._exit(127)  # noqa: SLF001


def _default_signals() -> None:
    """
    Undo what Python did to the signals: handlers, and the two that it ignores; the caller's other ignored ones stay so.

    The exec would undo the handlers as well, but a signal may come before.
    """
    for number in _signal.valid_signals():
        if callable(_signal.getsignal(number)) or number in IGNORED_BY_PYTHON:
            _signal.signal(number, _signal.SIG_DFL)


def close_all_but(kept: set[int]) -> None:
    """Close every other descriptor: the caller's, and those that its other threads happened to have open."""
    try:
        present = [int(name) for name in posix.listdir("/proc/self/fd")]
    except OSError:
        present = list(range(min(posix.sysconf("SC_OPEN_MAX"), 65536)))
    for fd in present:
        if fd not in kept:
            _close(fd)


def _close(fd: int) -> None:
    try:
        posix.close(fd)
    except OSError:
        pass  # not open, or the one that listed the others


def _report(fd: int, line: str) -> None:
    try:
        posix.write(fd, f"{line}\n".encode())
    except BrokenPipeError:
        pass  # the caller died: the end of the orders says so too


class _Watch:
    """Sees the hook (*leader*) end, reaps all that falls to the keeper, and follows orders."""

    def __init__(self, leader: int, orders: int, reports: int) -> None:
        self.leader = leader
        self.orders = orders
        self.reports = reports
        self.deaths = _wake_up_on_deaths()
        self.poll = select.poll()
        self.poll.register(self.deaths, select.POLLIN)
        self.alone = False
        self.ending = False
        self.killed = 0

    def until_done(self) -> None:
        _report(self.reports, f"started {self.leader}")
        self.poll.register(self.orders, select.POLLIN)
        more = False
        while not self.alone:
            orders = self.wait(0 if more else None)
            more = self.reap()
            if orders and self.obey(posix.read(self.orders, 1)):
                break
        alive = [] if self.alone else descendants(posix.getpid())
        _report(self.reports, " ".join(map(str, ("done", self.killed, *alive))))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until a child dies, an order comes or *seconds* are over; the answer is whether there is an order."""
        ready = [fd for fd, _ in self.poll.poll(None if seconds is None else seconds * 1000)]
        if self.deaths in ready:
            posix.read(self.deaths, 1)
        return self.orders in ready

    def obey(self, order: bytes) -> bool:
        """Follow *order*; True when it was the last."""
        if order == TERM:
            self.ending = True
            signal_children(_signal.SIGTERM)
        elif order != LEAVE:
            self.ending = True
            self.kill()
        return order != TERM

    def kill(self) -> None:
        """Kill and reap until no child is left. Without ``/proc`` only the hook's own group can be signalled."""
        self.poll.unregister(self.orders)
        deadline, rounds = time.monotonic() + KILL_WITHIN_S, 0
        while not self.alone and time.monotonic() < deadline:
            rounds += 1
            if rounds % LOOK_DEEPER_EVERY == 0:
                signal_descendants(_signal.SIGKILL)
            if not signal_children(_signal.SIGKILL):
                send(-self.leader, _signal.SIGKILL)
            if not self.reap():
                self.wait(_KILL_AGAIN_S)

    def reap(self) -> bool:
        """
        Reap children that have ended, but not for ever: they may come faster than that. True: there may be more.

        ``alone`` says afterwards that no child is left, dead or alive.
        """
        for _ in range(_REAP_AT_ONCE):
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                self.alone = True
                return False
            if pid == 0:
                return False
            self.note(pid, posix.waitstatus_to_exitcode(status))
        return True

    def note(self, pid: int, status: int) -> None:
        """Count a child that our signals ended, and report the hook's end."""
        if self.ending and -status in (_signal.SIGKILL, _signal.SIGTERM):
            self.killed += 1
        if pid == self.leader:
            _report(self.reports, f"exited {status}")


def _wake_up_on_deaths() -> int:
    """A descriptor that has something to read when a child has died since it was last read."""
    reader, writer = posix.pipe()
    posix.set_blocking(writer, False)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGCHLD])
    return reader
