"""
A hook between its start and the last byte of its output: what is waited for how long, and what is killed when.

On the supervisor's warm path.
"""

import posix
import time

from ocihooks.execution.output import Capture, Ends, Feed, Pump, above_standard
from ocihooks.execution.process import KILL, KILL_WITHIN_S, LEAVE, TERM, HookProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    import signal as _signal
    from collections.abc import Callable, Collection
    from typing import Self

    from ocihooks.execution.cancel import CancelWatch, HasFileno
    from ocihooks.execution.exec import Exec

    Directory = str | os.PathLike[str]
else:
    import _signal  # what signal is made of, without enum

DRAIN_AFTER_KILL_S = 0.2

_ANSWER_WITHIN_S = 0.1
"""How much longer than its own work the keeper may take before we go on without it."""

_LEAVE_WITHIN_S = 1.0
"""Time for a keeper to list what lives on; there's no hurry as after a timeout, but it may have been stopped."""


class ChdirError(Exception):
    """The working directory can't be opened."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Run:
    """
    One run; a context that leaves no zombie and no descriptor behind, and after an exception no process.

    The arguments are those of `run_hook`, and two more.

    Args:
        process: The hook, which is not started yet; None: one with a keeper.
        limit_ends_drain: Whether a limit that passes while the output of a hook that succeeded is waited for only ends
            that waiting; else the hook is late.

    Attributes:
        process: The hook.
        outputs: What is kept of standard output and standard error; empty where nothing is captured.
        timed_out: Whether a limit ended the run.
        cancelled: Whether the caller did.
        wall_s: Seconds that the run took, once it is through.
    """

    def __init__(
        self,
        *,
        drain_s: float | None,
        kill_grace_s: float,
        kill_leftovers: bool,
        process: "HookProcess | None" = None,
        limit_ends_drain: bool = False,
    ) -> None:
        self._drain_s = drain_s
        self._kill_grace_s = kill_grace_s
        self._kill_leftovers = kill_leftovers
        self._limit_ends_drain = limit_ends_drain
        self._pump = Pump()
        self.outputs: list[Capture] = []
        self._cancel: CancelWatch | None = None
        self._killing = False
        self._started = time.monotonic()
        self.wall_s = 0.0
        self.process = process or HookProcess()
        self._writes = self.process.has_keeper
        self.timed_out = False
        self.cancelled = False

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self._pump.close_all()
        self.process.release()

    def heed(self, cancel: "int | HasFileno") -> bool:
        """Let *cancel* end the run; True when it wants that already."""
        from ocihooks.execution.cancel import CancelWatch

        self._cancel = CancelWatch(cancel)
        self._pump.add(self._cancel)
        return self._cancel.is_ready()

    def start(
        self,
        execute: "Exec",
        data: bytes,
        *,
        cwd: "Directory | None",
        capture: bool,
        output_limit: int | None,
    ) -> None:
        """
        Start the program, with *data* on its way to standard input.

        Raises:
            ChdirError: The directory can't be opened.
            OSError: There are no processes or descriptors to be had.
        """
        ends = Ends()
        try:
            self.process.start(
                execute,
                directory=None if cwd is None else ends.lend(_open_directory(cwd)),
                stdin=ends.reader(),
                stdout=ends.writer() if capture else ends.lend(_null()),
                stderr=ends.writer() if capture else ends.lend(_null()),
            )
            self._attend(ends, data, output_limit)
        finally:
            ends.close()

    def _attend(self, ends: "Ends", data: bytes, limit: int | None) -> None:
        """Make streams of our ends; done before the start, it would delay the hook."""
        (feed, *captured), ends.kept = ends.kept, []
        self.outputs = [Capture(fd, limit) for fd in captured]
        for output in self.outputs:
            self._pump.add(output)
        stream = Feed(feed, data)
        if stream.ready():  # as it is for any state of usual size, unless the hook itself has filled the pipe
            stream.close()
        else:
            self._writes = True
            self._pump.add(stream)
        if self.process.fd >= 0:
            self._pump.add(self.process)

    def follow(self, limit: float | None) -> None:
        """See the run through to its end; *limit* is the time at which it has to be over, or None."""
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _PIPE_SIGNAL) if self._writes else None
        try:
            complete = self._until(self._has_exited, limit) and self._await_output(limit)
            self.cancelled = not complete and self._is_unwanted()
            self.timed_out = not complete and not self.cancelled
            if complete and self.process.status == 0 and not self._kill_leftovers:
                self._dismiss(LEAVE, within_s=_LEAVE_WITHIN_S)
            else:
                self._kill()
        finally:
            if before is not None:
                _let_sigpipe_come(before)
        self.wall_s = time.monotonic() - self._started

    def _await_output(self, limit: float | None) -> bool:
        """Wait for an ended hook's output as long as is wanted; False if the limit passed or the caller cancelled."""
        started = self.process.failure is None and not self.process.lost
        if not started or self._kill_leftovers or (self._drain_s is not None and self.process.status != 0):
            return True
        drained = None if self._drain_s is None else time.monotonic() + self._drain_s
        if drained is None or (limit is not None and limit < drained and not self._limit_ends_drain):
            return self._until(self._is_silent, limit)
        return self._until(self._is_silent, _sooner(limit, drained)) or not self._is_unwanted()

    def _kill(self) -> None:
        """End the hook and all of its descendants, and read what they had written."""
        self._killing = True
        if self._kill_grace_s and not self.process.exited:
            self.process.order(TERM)
            self._until(self._has_exited, time.monotonic() + self._kill_grace_s)
        self._dismiss(KILL, within_s=KILL_WITHIN_S + _ANSWER_WITHIN_S)
        self._until(self._is_silent, time.monotonic() + DRAIN_AFTER_KILL_S)

    def _dismiss(self, order: bytes, *, within_s: float) -> None:
        """Give the keeper its last order, and do without it if it does not follow."""
        self.process.order(order)
        if not self._until(lambda: self.process.finished, time.monotonic() + within_s) or self.process.lost:
            self.process.abandon()

    def _until(self, done: "Callable[[], bool]", deadline: float | None) -> bool:
        """Let the streams work until *done*; False at the *deadline*, or if the caller cancels before the kill."""
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or (self._is_unwanted() and not self._killing):
                return False
            self._pump.wait(_sooner(left, self.process.look_after()))
        return True

    def _has_exited(self) -> bool:
        return self.process.exited

    def _is_unwanted(self) -> bool:
        return self._cancel is not None and self._cancel.requested

    def _is_silent(self) -> bool:
        return not self._pump.has(*self.outputs)


def _sooner(one: float | None, other: float | None) -> float | None:
    return min(one, other) if one is not None and other is not None else one if other is None else other


def _open_directory(path: "Directory") -> int:
    try:
        return above_standard(posix.open(path, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC))
    except OSError as error:
        raise ChdirError(error.errno or 0) from error


def _null() -> int:
    return above_standard(posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC))


_PIPE_SIGNAL = {_signal.SIGPIPE}


def _let_sigpipe_come(before: "Collection[int]") -> None:
    """
    Go back to the signal mask *before* a run.

    Writing to a hook that doesn't read is an error to be handled here, even if the caller lets SIGPIPE kill it; so the
    signal was blocked meanwhile, and what came of it is taken away.
    """
    if _signal.SIGPIPE not in before:
        _signal.sigtimedwait(_PIPE_SIGNAL, 0)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
