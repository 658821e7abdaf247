"""What is known about a hook that ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HookResult:
    """
    How a hook ended, what it wrote, what it cost and what is left of it.

    Attributes:
        status: Exit status; negative: killed by that signal; None: unknown, since the hook hangs in the kernel or
            killed the process that watched it.
        wall_s: Seconds from the start until the hook had ended and its output was complete, or given up.
        stdout: What it wrote there; the end of it where a limit was set and passed. Empty when nothing was captured.
        stderr: The same for standard error.
        stdout_truncated: Whether the beginning of *stdout* is missing.
        stderr_truncated: Whether the beginning of *stderr* is missing.
        timed_out: Whether a limit passed before the hook had ended or its output was complete.
        killed: How many processes were ended by our signals, the hook itself included.
        left_running: Process ids of descendants that were alive when the run was over: meant to live on after
            success, beyond our reach after a kill.
    """

    status: int | None
    wall_s: float
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    timed_out: bool = False
    killed: int = 0
    left_running: tuple[int, ...] = ()
