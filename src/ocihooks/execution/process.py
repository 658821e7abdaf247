"""
A started hook as the caller sees it: the other end of its keeper's pipes.

On the supervisor's warm path.
"""

import posix
import select
import time

from ocihooks.execution.descendants import members_of, send, signal_session, started_at
from ocihooks.execution.output import Stream, pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from ocihooks.execution.exec import Exec
    from ocihooks.execution.keeper import Descriptors
else:
    import _signal  # what signal is made of, without enum

TERM, KILL, LEAVE = b"t", b"k", b"l"
"""The orders."""

KILL_WITHIN_S = 0.5
"""How long to try to end everything before telling what is left: processes that hang in the kernel."""

LOOK_DEEPER_EVERY = 8
"""
In so many attempts all descendants are killed once, and not only children, whose own become ours only when they die.

On a busy machine that takes a moment for each generation, and a hook may have many.
"""

IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)

_LOOK_AGAIN_S = 0.005

_GONE_WITHIN_S, _GONE_WITHOUT_KEEPER_S = 0.15, 0.7
"""How long to wait for the end of what was killed; longer where no time went into waiting for the keeper."""


class HookProcess(Stream):
    """
    A hook under its keeper, whose reports are the `Stream`. Whoever made it has to `release` it.

    Attributes:
        failure: Step and errno, where the program could not be started.
        pid: The hook's process id, None until it is known.
        exited: Whether it has ended.
        status: How, negative: by that signal; None: it has not, or nobody knows.
        finished: Whether the keeper has nothing more to do; ``killed`` and ``alive`` are final then.
        lost: Whether the keeper was killed, or does not do what it should.
        has_keeper: Whether orders are written to a pipe, at whose other end nobody may be left.
    """

    has_keeper = True

    def __init__(self) -> None:
        super().__init__(-1)
        self._orders = -1
        self._keeper: int | None = None
        self._leaving = False
        self._reaped_at: float | None = None
        self._text = b""
        self.failure: tuple[str, int] | None = None
        self.pid: int | None = None
        self.status: int | None = None
        self.exited = self.finished = self.lost = False
        self.killed = 0
        self.alive: tuple[int, ...] = ()

    def release(self) -> None:
        """End the orders, upon which a keeper that is still there kills the hook; reap the keeper."""
        self.close()
        if self._orders >= 0:
            posix.close(self._orders)
        if self._keeper is not None:
            self._reap(self._keeper)

    def _reap(self, keeper: int) -> None:
        """Wait until *keeper* has ended, which is a matter of milliseconds unless it hangs."""
        try:
            if not _ends(keeper, within_s=1.0):
                self.abandon()
            posix.waitpid(keeper, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # the caller ignores SIGCHLD or reaps all children itself

    def start(self, execute: "Exec", *, stdin: int, stdout: int, stderr: int, directory: int | None) -> None:
        """
        Fork the keeper; the descriptors are the hook's, and stay the caller's to close.

        Raises:
            OSError: There are no processes or descriptors to be had.
        """
        from ocihooks.execution.keeper import Descriptors

        orders, self._orders = pipe()
        try:
            self.fd, reports = pipe()
            try:
                ends = Descriptors(
                    stdin=stdin, stdout=stdout, stderr=stderr, orders=orders, reports=reports, directory=directory
                )
                self._fork_keeper(execute, ends)
            finally:
                posix.close(reports)
        finally:
            posix.close(orders)

    def _fork_keeper(self, execute: "Exec", ends: "Descriptors") -> None:
        """Signals wait until the keeper's process id is noted, and never reach Python code in the keeper."""
        from ocihooks.execution.keeper import keep

        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            self._keeper = posix.fork()
            if self._keeper == 0:
                keep(execute, ends, mask)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def look_after(self) -> float | None:
        """Called while the hook runs; the answer is after how many seconds it wants to be called again, None: never."""
        return None

    def order(self, order: bytes) -> None:
        """Tell the keeper what to do, unless it's through."""
        self._leaving = order == LEAVE
        if not self.finished:
            try:
                posix.write(self._orders, order)
            except BrokenPipeError:
                pass  # its last report says why

    def ready(self) -> bool:
        """Take in what the keeper reports; True after the last."""
        data = posix.read(self.fd, 4096)
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            self._note(*line.split())
        if not data and not self.finished:
            self.exited = self.finished = self.lost = True
        return self.finished

    def _note(self, word: bytes, *values: bytes) -> None:
        match word:
            case b"started":
                self.pid = int(values[0])
            case b"failed":
                self.failure = (values[0].decode(), int(values[1]))
                self.exited = True
            case b"exited":
                self.status = int(values[0])
                self.exited = True
                self._reaped_at = time.clock_gettime(time.CLOCK_BOOTTIME)
            case _:
                self.killed = int(values[0])
                self.alive = tuple(map(int, values[1:]))
                self.finished = True

    def abandon(self) -> None:
        """
        Do without a keeper that is lost or hangs.

        Unless the hook's descendants were to live on, its session is killed, which is all that can be found then.
        """
        if self._keeper is not None and not self.lost:
            send(self._keeper, _signal.SIGKILL)
        was_lost = self.lost
        self.exited = self.finished = self.lost = True
        deadline = time.monotonic() + (_GONE_WITHOUT_KEEPER_S if was_lost else _GONE_WITHIN_S)
        session = self.pid if not self._leaving and self._has_session() else None
        while session and signal_session(session, _signal.SIGKILL) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _has_session(self) -> bool:
        """
        Whether the hook's number surely is that of its session still.

        Once the hook was reaped and its session is empty, a stranger may get the number. It has not, as long as
        somebody of the session is older than that.
        """
        if self._reaped_at is None or self.pid is None:
            return True
        ticks = self._reaped_at * posix.sysconf("SC_CLK_TCK")
        return any(0 < started_at(member) < ticks - 1 for member in members_of(self.pid))


def _ends(pid: int, within_s: float) -> bool:
    """Whether our child *pid* ends in that time; it is not reaped."""
    try:
        pidfd = posix.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:  # there are no descriptors to be had
        return _is_seen_to_end(pid, within_s)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(within_s * 1000))
    finally:
        posix.close(pidfd)


def _is_seen_to_end(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while posix.waitid(posix.P_PID, pid, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_AGAIN_S)
    return True
