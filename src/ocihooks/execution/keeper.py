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

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from ocihooks.execution.descendants import descendants, send, signal_children
from ocihooks.execution.program import Program

TERM, KILL, LEAVE = b"t", b"k", b"l"

KILL_WITHIN_S = 0.5
"""How long the keeper tries to end everything before it reports what is left: processes that hang in the kernel."""

_KILL_AGAIN_S = 0.005
"""How long to wait for the death of what was signalled before looking for what came after it."""

_REAP_AT_ONCE = 100

_PR_SET_CHILD_SUBREAPER = 36

_LIBC = ctypes.CDLL(None, use_errno=True)
_EXECVE, _PRCTL = _LIBC.execve, _LIBC.prctl


class Exec:
    """An execve ready to be called, with its arguments in C; unlike ``os.execve`` it takes any environment."""

    def __init__(self, program: Program) -> None:
        self._path = program.path
        self._argv = (ctypes.c_char_p * (len(program.argv) + 1))(*program.argv)
        self._env = (ctypes.c_char_p * (len(program.env) + 1))(*program.env)

    def __call__(self) -> int:
        """Become the program; return only on failure, with the number of the error."""
        _EXECVE(self._path, self._argv, self._env)
        return ctypes.get_errno()


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """The keeper's ends of all pipes, each above 2, and the directory that the hook runs in (None: the caller's)."""

    stdin: int
    stdout: int
    stderr: int
    orders: int
    reports: int
    directory: int | None

    def all(self) -> set[int]:
        """Those that are open."""
        ends = (self.stdin, self.stdout, self.stderr, self.orders, self.reports, self.directory)
        return {fd for fd in ends if fd is not None}


def keep(execute: Exec, ends: Descriptors, mask: Iterable[int]) -> NoReturn:
    """
    Be the keeper, in a process that was just forked with all signals blocked, and end with it.

    Args:
        mask: The signals that the hook is to have blocked: those that the caller had.
    """
    try:
        gc.disable()
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _close_all_but(ends.all())
        _start_and_watch(execute, ends, mask)
    finally:
        os._exit(0)


def _start_and_watch(execute: Exec, ends: Descriptors, mask: Iterable[int]) -> None:
    try:
        leader = os.fork()
    except OSError as error:
        _report(ends.reports, f"failed fork {error.errno}\ndone 0")
        return
    if leader == 0:
        _become(execute, ends, mask)
    _close_all_but({ends.orders, ends.reports})
    _Watch(leader, ends.orders, ends.reports).until_done()


def _become(execute: Exec, ends: Descriptors, mask: Iterable[int]) -> NoReturn:
    """Turn the process that was forked for it into the hook; all other descriptors close with the exec."""
    try:
        os.setsid()
        for number, stream in enumerate((ends.stdin, ends.stdout, ends.stderr)):
            os.dup2(stream, number)
        if ends.directory is not None:
            os.fchdir(ends.directory)
        _default_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _report(ends.reports, f"failed exec {execute()}")
    except OSError as error:
        _report(ends.reports, f"failed chdir {error.errno}")
    finally:
        os._exit(127)


def _default_signals() -> None:
    """
    Undo what Python did to the signals: handlers, and the two that it ignores; the caller's other ignored ones stay so.

    The exec would undo the handlers as well, but a signal may come before.
    """
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)


def _close_all_but(kept: set[int]) -> None:
    """Close every other descriptor: the caller's, and those that its other threads happened to have open."""
    try:
        present = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        present = list(range(min(os.sysconf("SC_OPEN_MAX"), 65536)))
    for fd in present:
        if fd not in kept:
            _close(fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # not open, or the one that listed the others


def _report(fd: int, line: str) -> None:
    try:
        os.write(fd, f"{line}\n".encode())
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
            if orders and self.obey(os.read(self.orders, 1)):
                break
        alive = [] if self.alone else descendants(os.getpid())
        _report(self.reports, " ".join(map(str, ("done", self.killed, *alive))))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until a child dies, an order comes or *seconds* are over; the answer is whether there is an order."""
        ready = [fd for fd, _ in self.poll.poll(None if seconds is None else seconds * 1000)]
        if self.deaths in ready:
            os.read(self.deaths, 1)
        return self.orders in ready

    def obey(self, order: bytes) -> bool:
        """Follow *order*; True when it was the last."""
        if order == TERM:
            self.ending = True
            signal_children(signal.SIGTERM)
        elif order != LEAVE:
            self.ending = True
            self.kill()
        return order != TERM

    def kill(self) -> None:
        """Kill and reap until no child is left. Without ``/proc`` only the hook's own group can be signalled."""
        self.poll.unregister(self.orders)
        deadline = time.monotonic() + KILL_WITHIN_S
        while not self.alone and time.monotonic() < deadline:
            if not signal_children(signal.SIGKILL):
                send(-self.leader, signal.SIGKILL)
            if not self.reap():
                self.wait(_KILL_AGAIN_S)

    def reap(self) -> bool:
        """
        Reap children that have ended, but not for ever: they may come faster than that. True: there may be more.

        ``alone`` says afterwards that no child is left, dead or alive.
        """
        for _ in range(_REAP_AT_ONCE):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.alone = True
                return False
            if pid == 0:
                return False
            self.note(pid, os.waitstatus_to_exitcode(status))
        return True

    def note(self, pid: int, status: int) -> None:
        """Count a child that our signals ended, and report the hook's end."""
        if self.ending and -status in (signal.SIGKILL, signal.SIGTERM):
            self.killed += 1
        if pid == self.leader:
            _report(self.reports, f"exited {status}")


def _wake_up_on_deaths() -> int:
    """A descriptor that has something to read when a child has died since it was last read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    return reader
