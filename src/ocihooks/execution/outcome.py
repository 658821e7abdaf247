"""From what is known about a run to the caller's result or the error that says it in a sentence."""

from __future__ import annotations

import signal

from ocihooks.errors import quoted
from ocihooks.execution.errors import HookCancelledError, HookFailedError, HookTimeoutError
from ocihooks.execution.program import command_line
from ocihooks.execution.result import HookResult
from ocihooks.spec.hook import Hook

_LAST_LINES = 5
_LAST_CHARACTERS = 600


def checked(hook: Hook, result: HookResult, *, cancelled: bool, limit_s: float) -> HookResult:
    """
    *result*, if the hook succeeded within its limit.

    Args:
        limit_s: The seconds that the hook had, if it timed out.

    Raises:
        HookTimeoutError, HookCancelledError, HookFailedError: It did not.
    """
    command = quoted(list(command_line(hook)), 200)
    rest = _leftovers(result) + last_words(result.stderr)
    if result.timed_out:
        text = f"{command} {_too_late(result, limit_s)}{rest}"
        raise HookTimeoutError(text, hook=hook, result=result, code="timeout", hint=_TIMEOUT_HINT)
    if cancelled:
        text = f"{command} was cancelled by its caller and killed{rest}"
        raise HookCancelledError(text, hook=hook, result=result, code="cancelled")
    if result.status == 0:
        return result
    code = "signal" if (result.status or 0) < 0 else "exit_status"
    raise HookFailedError(f"{command} {ending(result.status)}{rest}", hook=hook, result=result, code=code)


_TIMEOUT_HINT = "raise the hook's timeout, or find out with strace what it waits for"


def ending(status: int | None) -> str:
    """How a program ended, as the second half of a sentence."""
    if status is None:
        return "ended in an unknown way: the process that watched it was killed"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _too_late(result: HookResult, limit_s: float) -> str:
    if result.status is None or result.status < 0:
        return f"did not end within {limit_s:g} s and was killed"
    return f"{ending(result.status)}, but a process it left behind held its output open for more than {limit_s:g} s"


def _leftovers(result: HookResult) -> str:
    if not result.left_running:
        return ""
    return f"; can't be killed: process {', '.join(map(str, result.left_running))}"


def last_words(stderr: bytes) -> str:
    """The last lines of *stderr* as the end of a sentence; nothing if it's empty."""
    lines = stderr.decode("utf-8", "replace").rstrip().splitlines()[-_LAST_LINES:]
    text = "\n".join(lines)[-_LAST_CHARACTERS:]
    return f"; stderr: {quoted(text)}" if text else ""
