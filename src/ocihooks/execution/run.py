"""A hook between its start and the last byte of its output: what is waited for how long, and what is killed when."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from ocihooks.execution.cancel import CancelWatch, HasFileno
from ocihooks.execution.keeper import KILL, KILL_WITHIN_S, LEAVE, TERM, Exec
from ocihooks.execution.output import Capture, Feed, Pump, above_standard, pipe
from ocihooks.execution.process import HookProcess
from ocihooks.execution.result import HookResult

DRAIN_AFTER_KILL_S = 0.2

_ANSWER_WITHIN_S = 0.1
"""How much longer than its own work the keeper may take before we go on without it."""

_LEAVE_WITHIN_S = 1.0
"""Time for a keeper to list what lives on; there's no hurry as after a timeout, but it may have been stopped."""

Directory = str | os.PathLike[str]


class ChdirError(Exception):
    """The working directory can't be opened."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Run:
    """
    One run; a context that leaves no zombie and no descriptor behind, and after an exception no process.

    The arguments are those of `run_hook`.

    Attributes:
        process: The hook.
        timed_out: Whether a limit ended the run.
        cancelled: Whether the caller did.
    """

    def __init__(self, *, drain_s: float | None, kill_grace_s: float, kill_leftovers: bool) -> None:
        self._drain_s = drain_s
        self._kill_grace_s = kill_grace_s
        self._kill_leftovers = kill_leftovers
        self._pump = Pump()
        self._outputs: list[Capture] = []
        self._cancel: CancelWatch | None = None
        self._killing = False
        self._started = time.monotonic()
        self._wall_s = 0.0
        self.process = HookProcess()
        self.timed_out = False
        self.cancelled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pump.close_all()
        self.process.release()

    def heed(self, cancel: int | HasFileno) -> bool:
        """Let *cancel* end the run; True when it wants that already."""
        self._cancel = CancelWatch(cancel)
        self._pump.add(self._cancel)
        return self._cancel.is_ready()

    def start(
        self,
        execute: Exec,
        data: bytes,
        *,
        cwd: Directory | None,
        capture: bool,
        output_limit: int | None,
    ) -> None:
        """
        Start the program, with *data* on its way to standard input.

        Raises:
            ChdirError: The directory can't be opened.
            OSError: There are no processes or descriptors to be had.
        """
        with ExitStack() as hooks_ends:

            def lent(fd: int) -> int:
                hooks_ends.callback(os.close, fd)
                return fd

            self.process.start(
                execute,
                directory=None if cwd is None else lent(_open_directory(cwd)),
                stdin=lent(self._feed(data)),
                stdout=lent(self._capture(output_limit) if capture else _null()),
                stderr=lent(self._capture(output_limit) if capture else _null()),
            )
        self._pump.add(self.process)

    def _feed(self, data: bytes) -> int:
        reader, writer = pipe()
        self._pump.add(Feed(writer, data))
        return reader

    def _capture(self, limit: int | None) -> int:
        reader, writer = pipe()
        self._outputs.append(Capture(reader, limit))
        self._pump.add(self._outputs[-1])
        return writer

    def follow(self, limit: float | None) -> None:
        """See the run through to its end; *limit* is the time at which it has to be over, or None."""
        with _no_sigpipe():
            complete = self._until(self._has_exited, limit) and self._await_output(limit)
            self.cancelled = not complete and self._is_unwanted()
            self.timed_out = not complete and not self.cancelled
            if complete and self.process.status == 0 and not self._kill_leftovers:
                self._dismiss(LEAVE, within_s=_LEAVE_WITHIN_S)
            else:
                self._kill()
        self._wall_s = time.monotonic() - self._started

    def _await_output(self, limit: float | None) -> bool:
        """Wait for an ended hook's output as long as is wanted; False if the limit passed or the caller cancelled."""
        started = self.process.failure is None and not self.process.lost
        if not started or self._kill_leftovers or (self._drain_s is not None and self.process.status != 0):
            return True
        drained = None if self._drain_s is None else time.monotonic() + self._drain_s
        if drained is None or (limit is not None and limit < drained):
            return self._until(self._is_silent, limit)
        return self._until(self._is_silent, drained) or not self._is_unwanted()

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

    def _until(self, done: Callable[[], bool], deadline: float | None) -> bool:
        """Let the streams work until *done*; False at the *deadline*, or if the caller cancels before the kill."""
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or (self._is_unwanted() and not self._killing):
                return False
            self._pump.wait(left)
        return True

    def _has_exited(self) -> bool:
        return self.process.exited

    def _is_unwanted(self) -> bool:
        return self._cancel is not None and self._cancel.requested

    def _is_silent(self) -> bool:
        return not self._pump.has(*self._outputs)

    def result(self) -> HookResult:
        """What is known about the run."""
        stdout, stderr = self._outputs or (None, None)
        return HookResult(
            status=self.process.status,
            wall_s=self._wall_s,
            stdout=bytes(stdout.kept) if stdout else b"",
            stderr=bytes(stderr.kept) if stderr else b"",
            stdout_truncated=stdout is not None and stdout.truncated,
            stderr_truncated=stderr is not None and stderr.truncated,
            timed_out=self.timed_out,
            killed=self.process.killed,
            left_running=self.process.alive,
        )


def _open_directory(path: Directory) -> int:
    try:
        return above_standard(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise ChdirError(error.errno or 0) from error


def _null() -> int:
    return above_standard(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))


@contextmanager
def _no_sigpipe() -> Iterator[None]:
    """Writing to a hook that doesn't read is an error to be handled here, even if the caller lets SIGPIPE kill it."""
    pipe_signal = {signal.SIGPIPE}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, pipe_signal)
    try:
        yield
    finally:
        if signal.SIGPIPE not in before:
            signal.sigtimedwait(pipe_signal, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
