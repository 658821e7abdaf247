"""
A hook as a child of its caller, which costs no process besides.

The caller becomes the subreaper of what the hook starts until the hook is over, so an orphan becomes its child,
whatever process group or session it moved to. That works only for a caller whose children are all the hook's: one
thread, no children of its own, nobody else who waits for children. For all others `HookProcess` forks a keeper.

The hook itself is reaped last: its number is that of its session, too, and nobody else's until then.

Two things are left to do while a hook takes its time. Orphans that have ended are reaped, so that a hook can't fill the
process table. And a guard is forked, which kills the hook when the caller is killed.
"""

import posix
import time
from errno import EAGAIN, ENOMEM

from ocihooks.execution.descendants import (
    children,
    descendants,
    proc_is_ours,
    send,
    signal_children,
    signal_descendants,
    signal_session,
    started_at,
)
from ocihooks.execution.exec import is_subreaper, set_subreaper
from ocihooks.execution.output import pipe
from ocihooks.execution.process import (
    IGNORED_BY_PYTHON,
    KILL_WITHIN_S,
    LEAVE,
    LOOK_DEEPER_EVERY,
    TERM,
    HookProcess,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from ocihooks.execution.exec import Exec
else:
    import _signal  # what signal is made of, without enum

_LOOK_AFTER_S, _LOOK_AT_LEAST_S = 0.01, 1.0
"""When to look after a run for the first time, and how far apart later looks are at most."""

_KILL_AGAIN_S, _KILL_AT_MOST_S = 0.001, 5.0
_GUARD_KILLS_WITHIN_S = 1.0
_ANY_CHILD, _REAP_AT_ONCE = -1, 100
_LOOK = posix.WEXITED | posix.WNOHANG | posix.WNOWAIT
_ALL = _signal.valid_signals()
_ONE_THREAD = 3
"""Links of the directory of threads: itself, its parent, and one for each thread."""

_DESCRIPTORS = "/proc/self/fd"

_left: set[tuple[int, int]] = set()
"""Children that hooks left behind on purpose, as process id and time of the start; they are reaped when hooks run."""


def process_for(execute: "Exec", *, has_directory: bool) -> HookProcess:
    """The process for one run: spawned, if this process has nothing else to wait for, and a keeper's otherwise."""
    try:
        if not has_directory and execute.environ is not None and _is_alone():
            return SpawnedHook(_inheritable())
    except OSError:  # /proc is missing or not for us to read, or there are no descriptors to be had
        pass
    return HookProcess()


def _is_alone() -> bool:
    """Whether every child that this process has in the next time is the hook's."""
    threads = posix.stat("/proc/self/task").st_nlink
    if threads != _ONE_THREAD or _signal.getsignal(_signal.SIGCHLD) != _signal.SIG_DFL:
        return False
    if _left:
        _reap_left()
    return proc_is_ours() and not _has_children()


def _has_children() -> bool:
    """Whether this process has a child, live or not yet reaped; the list in ``/proc`` may leave one out that ends."""
    try:
        posix.waitid(posix.P_ALL, 0, _LOOK)
    except ChildProcessError:
        return False
    return True


def _reap_left() -> None:
    """Reap what hooks had left behind and is no more; somebody else may have done so, and the number be another's."""
    for pid, started in tuple(_left):
        try:
            is_over = started_at(pid) != started or posix.waitpid(pid, posix.WNOHANG)[0] != 0
        except ChildProcessError:
            is_over = True
        if is_over:
            _left.discard((pid, started))


def _inheritable() -> list[int]:
    """The descriptors that a child would get besides the three standard ones."""
    count = posix.stat(_DESCRIPTORS).st_size  # how many are open; 0 before Linux 6.2
    try:
        posix.get_inheritable(count - 1)
        return [fd for fd in range(count) if posix.get_inheritable(fd) and fd > 2]
    except OSError:  # there are gaps, or it was 0; listing them takes twice as long
        pass
    return [fd for fd in map(int, posix.listdir(_DESCRIPTORS)) if fd > 2 and _is_inheritable(fd)]


def _is_inheritable(fd: int) -> bool:
    try:
        return posix.get_inheritable(fd)
    except OSError:  # the one that listed the others
        return False


class SpawnedHook(HookProcess):
    """
    A hook whose parent is this process; the `Stream` is its pidfd. What else it has is as under a keeper.

    Args:
        inheritable: The descriptors that the hook must not have.
    """

    has_keeper = False

    def __init__(self, inheritable: "list[int]") -> None:
        super().__init__()
        self._inheritable = inheritable
        self._guard: int | None = None
        self._was_subreaper: bool | None = None
        self._ending = False
        self._look_at = time.monotonic() + _LOOK_AFTER_S
        self._look_again_s = _LOOK_AFTER_S

    def start(self, execute: "Exec", *, stdin: int, stdout: int, stderr: int, directory: int | None) -> None:
        """Start the hook in the caller's directory, which *directory* must not change; the descriptors stay open."""
        del directory
        spare = posix.dup(stdin)  # makes sure that there is a descriptor for the pidfd
        try:
            self._was_subreaper = is_subreaper()
            set_subreaper(True)
            self.pid = self._spawned(execute, (stdin, stdout, stderr))
        except OSError as error:
            step = "fork" if error.errno in (EAGAIN, ENOMEM) else "exec"
            self.failure = step, error.errno or 0
            self.exited = self.finished = True
        finally:
            posix.close(spare)
        if self.pid is not None:
            self.fd = posix.pidfd_open(self.pid)

    def _spawned(self, execute: "Exec", streams: "tuple[int, int, int]") -> int:
        actions: list[tuple[int, ...]] = [(posix.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams)]
        actions += [(posix.POSIX_SPAWN_CLOSE, fd) for fd in self._inheritable]
        return posix.posix_spawn(
            execute.program.path,
            execute.program.argv,
            execute.environ or {},
            file_actions=actions,
            setsid=True,
            setsigdef=IGNORED_BY_PYTHON,
        )

    def ready(self) -> bool:
        """Note how the hook ended, without reaping it."""
        try:
            ended = posix.waitid(posix.P_PID, self.pid or 0, _LOOK)
        except ChildProcessError:  # somebody else has reaped it
            ended = None
        if ended is not None:
            code = ended.si_status
            self._note_end(ended.si_pid, code if ended.si_code == posix.CLD_EXITED else -code)
        self.exited = True
        return True

    def look_after(self) -> float:
        """Do what a long run needs; the answer is after how many seconds to look again."""
        now = time.monotonic()
        if now >= self._look_at:
            if self._guard is None:
                self._fork_guard()
            found = self._reap_children()
            self._look_again_s = _LOOK_AFTER_S if found else min(self._look_again_s * 2, _LOOK_AT_LEAST_S)
            self._look_at = now + self._look_again_s
        return self._look_at - now

    def order(self, order: bytes) -> None:
        """Do at once what a keeper is told to do."""
        self._dismiss_guard()
        self._ending = order != LEAVE
        if order == TERM:
            signal_children(_signal.SIGTERM)
            return
        # A signal's handler may have raised before the process id was noted; but all children are the hook's.
        if self._was_subreaper is not None and not self.finished:
            if self._ending:
                self._kill()
            if not self._reap_all():
                self._note_alive()
        self.finished = True

    def _kill(self) -> None:
        """Kill and reap for as long as that gets anywhere, which on a busy machine may take a while."""
        now = time.monotonic()
        give_up, last, rounds, killed = now + KILL_WITHIN_S, now + _KILL_AT_MOST_S, 0, self.killed
        while not self._reap_all() and now < min(give_up, last):
            rounds += 1
            signal_children(_signal.SIGKILL)
            if rounds % LOOK_DEEPER_EVERY == 0:
                signal_descendants(_signal.SIGKILL)
            time.sleep(_KILL_AGAIN_S)
            now = time.monotonic()
            if self.killed > killed:
                give_up, killed = now + KILL_WITHIN_S, self.killed

    def _note_alive(self) -> None:
        self.alive = tuple(descendants(posix.getpid()))
        _left.update((pid, started_at(pid)) for pid in children())

    def release(self) -> None:
        """End the hook unless that was done; be a subreaper or not as before."""
        try:
            if not self.finished:
                self.order(b"")
        finally:
            self._dismiss_guard()
            self.close()
            if self._was_subreaper is False:
                set_subreaper(False)

    def _reap_children(self) -> bool:
        """Reap children that have ended, but for the hook and its guard; the answer is whether there was one."""
        return sum(1 for child in children() if child not in (self._guard, self.pid) and self._reap_child(child)) > 0

    def _reap_all(self) -> bool:
        """Reap all children that have ended, once there is no guard; the answer is whether none is left."""
        for _ in range(_REAP_AT_ONCE):
            reaped = self._reap_child(_ANY_CHILD)
            if not reaped:
                return reaped is None
        return False

    def _reap_child(self, child: int) -> bool | None:
        """Reap *child* if it has ended, and note that unless it was noted before. None: there is no such child."""
        try:
            pid, status = posix.waitpid(child, posix.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return False
        if pid != self.pid or self.status is None:
            self._note_end(pid, posix.waitstatus_to_exitcode(status))
        return True

    def _note_end(self, pid: int, code: int) -> None:
        """Note what ended the child *pid*, and how the hook ended."""
        if self._ending and -code in (_signal.SIGKILL, _signal.SIGTERM):
            self.killed += 1
        if pid == self.pid:
            self.status, self.exited = code, True

    def _fork_guard(self) -> None:
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ALL)
        try:
            self._guard = self._forked_guard()
        except OSError:  # neither descriptors nor processes to be had
            self._guard = -1
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def _forked_guard(self) -> int:
        orders, self._orders = pipe()
        try:
            pid = posix.fork()
            if pid == 0:
                guard(self.pid or 0, orders)
            return pid
        finally:
            posix.close(orders)

    def _dismiss_guard(self) -> None:
        """End the guard, which would take the end of its pipe for the caller's."""
        if self._guard is not None and self._guard > 0:
            send(self._guard, _signal.SIGKILL)
            try:
                posix.waitpid(self._guard, 0)
            except ChildProcessError:  # somebody else did
                pass
        self._guard = None
        if self._orders >= 0:
            posix.close(self._orders)
            self._orders = -1


def guard(leader: int, orders: int) -> "NoReturn":
    """
    Be the guard of the hook *leader*, in a process that was just forked with all signals blocked, and end with it.

    When the pipe ends the caller is gone, and the hook's tree and its session are killed. What had left both, and
    whose parents were over, is out of reach.
    """
    try:
        import gc

        from ocihooks.execution.keeper import close_all_but

        gc.disable()
        posix.setsid()
        close_all_but({orders})
        posix.read(orders, 1)
        for pid in descendants(leader):
            send(pid, _signal.SIGKILL)
        deadline = time.monotonic() + _GUARD_KILLS_WITHIN_S
        while signal_session(leader, _signal.SIGKILL) and time.monotonic() < deadline:
            time.sleep(_KILL_AGAIN_S)
    finally:
        posix._exit(0)  # noqa: SLF001  (os._exit is this function)
