"""
Running one hook.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks", runtime.md "State".
"""

from __future__ import annotations

import json
import math
import os
import time
from typing import TypedDict

from ocihooks.execution.cancel import HasFileno
from ocihooks.execution.errors import HookCancelledError, HookNotRunnableError, HookTimeoutError
from ocihooks.execution.exec import Exec
from ocihooks.execution.outcome import checked
from ocihooks.execution.program import Program, not_started
from ocihooks.execution.result import HookResult
from ocihooks.execution.run import ChdirError, Run
from ocihooks.execution.spawned import process_for
from ocihooks.spec.hook import Hook
from ocihooks.spec.state import State

Directory = str | os.PathLike[str]

MAX_TIMEOUT_S = 9223372036
"""Runtimes count in 64 bits of nanoseconds: more seconds would overflow and end the hook at once."""


class RunOptions(TypedDict, total=False):
    """What `run_hook` takes by keyword, for functions that run several hooks and pass it on."""

    timeout_s: float | None
    deadline: float | None
    cwd: Directory | None
    cancel: int | HasFileno | None
    capture: bool
    output_limit: int | None
    drain_s: float | None
    kill_grace_s: float
    kill_leftovers: bool


def run_hook(
    hook: Hook,
    state: State | bytes | str,
    *,
    timeout_s: float | None = None,
    deadline: float | None = None,
    cwd: Directory | None = None,
    cancel: int | HasFileno | None = None,
    capture: bool = True,
    output_limit: int | None = None,
    drain_s: float | None = None,
    kill_grace_s: float = 0.0,
    kill_leftovers: bool = False,
) -> HookResult:
    """
    Run *hook* the way a runtime does: exec without a shell, *state* on standard input, in a session of its own.

    After a failure, a timeout or a cancellation the hook and all of its descendants are killed, those included that
    left its process group and session. After success they live on: tracers daemonise on purpose.

    It does nothing to the caller's signals, children or descriptors. A caller with one thread and without children is
    the hook's parent, and the descendants that live on after success may become its children; they are reaped when
    the next hook runs. For any other caller a process that watches the hook is forked, about which Python 3.12 and
    later warn (DeprecationWarning) if there are several threads; it is fine here.

    Args:
        hook: A relative path is looked up from *cwd*. No ``env`` is an empty environment.
        state: A State is sent as JSON; text and bytes are sent as they are, and may be of any size.
        timeout_s: Overrides ``hook.timeout``. None: that one counts, or no limit where it is None too.
        deadline: A time of ``time.monotonic()`` at which the caller gives up, whatever the timeout says.
        cwd: The hook's working directory; None: the caller's.
        cancel: Becomes readable when the run is to end: a `Cancellation`, anything with ``fileno()``, or a descriptor.
        capture: False sends both output streams to ``/dev/null``, and nobody waits for them.
        output_limit: Bytes kept of each output stream, the last ones; None: all.
        drain_s: Seconds to wait for output that descendants hold open when the hook itself has ended; a hook that
            failed is then killed at once. None: wait until they close it or a limit passes.
        kill_grace_s: Seconds between SIGTERM to the hook's process group and SIGKILL to all; 0: SIGKILL at once.
        kill_leftovers: Kill the descendants after success, too.

    Returns:
        What became of it; the status is 0.

    Raises:
        HookNotRunnableError: It was not started: the file is missing or not executable, the timeout is impossible.
        HookFailedError: Its status is not 0, or a signal ended it.
        HookTimeoutError: A limit passed; it has been killed within a second plus *kill_grace_s*.
        HookCancelledError: *cancel* became readable; it has been killed likewise.

    Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
    """
    started = time.monotonic()
    limit = _limit(hook, timeout_s, deadline, started)
    execute = Exec(Program.of(hook))
    data = _as_bytes(state)
    process = process_for(execute, has_directory=cwd is not None)
    with Run(drain_s=drain_s, kill_grace_s=kill_grace_s, kill_leftovers=kill_leftovers, process=process) as run:
        if cancel is not None and run.heed(cancel):
            raise HookCancelledError("not started: its caller had cancelled", hook=hook, code="cancelled")
        try:
            run.start(execute, data, cwd=cwd, capture=capture, output_limit=output_limit)
        except ChdirError as error:
            raise not_started(hook, "chdir", error.number) from error
        except OSError as error:
            raise not_started(hook, "fork", error.errno or 0) from error
        run.follow(limit)
    if run.process.failure is not None:
        raise not_started(hook, *run.process.failure)
    return checked(hook, result_of(run), cancelled=run.cancelled, limit_s=round((limit or started) - started, 3))


def result_of(run: Run) -> HookResult:
    """What is known about a run that is over."""
    stdout, stderr = run.outputs or (None, None)
    return HookResult(
        status=run.process.status,
        wall_s=run.wall_s,
        stdout=bytes(stdout.kept) if stdout else b"",
        stderr=bytes(stderr.kept) if stderr else b"",
        stdout_truncated=stdout is not None and stdout.truncated,
        stderr_truncated=stderr is not None and stderr.truncated,
        timed_out=run.timed_out,
        killed=run.process.killed,
        left_running=run.process.alive,
    )


def _limit(hook: Hook, timeout_s: float | None, deadline: float | None, now: float) -> float | None:
    """The time at which the hook has to be over; None: never."""
    seconds = hook.timeout if timeout_s is None else timeout_s
    if seconds is None and deadline is None:
        return None
    if seconds is not None and not 0 < seconds <= MAX_TIMEOUT_S:
        raise HookNotRunnableError(
            f"not started: its timeout is {seconds}, expected more than 0 and at most {MAX_TIMEOUT_S} seconds",
            hook=hook,
            code="start_failed",
            hint="leave timeout out to let the hook run without a limit",
        )
    if deadline is not None and deadline <= now:
        raise HookTimeoutError("not started: its caller's time was over", hook=hook, code="timeout")
    return min(math.inf if seconds is None else now + seconds, math.inf if deadline is None else deadline)


def _as_bytes(state: State | bytes | str) -> bytes:
    if isinstance(state, State):
        state = json.dumps(state.to_json(), ensure_ascii=False, separators=(",", ":"))
    return state.encode("utf-8", "surrogateescape") if isinstance(state, str) else state
