"""From what is known about a run to the caller's result or the error that says it in a sentence."""

from __future__ import annotations

from ocihooks.errors import quoted
from ocihooks.execution.errors import HookCancelledError, HookFailedError, HookTimeoutError
from ocihooks.execution.program import command_line
from ocihooks.execution.result import HookResult
from ocihooks.execution.words import ending, last_words, lateness, survivors
from ocihooks.spec.hook import Hook


def checked(hook: Hook, result: HookResult, *, cancelled: bool, limit_s: float) -> HookResult:
    """
    *result*, if the hook succeeded within its limit.

    Args:
        limit_s: The seconds that the hook had, if it timed out.

    Raises:
        HookTimeoutError, HookCancelledError, HookFailedError: It did not.
    """
    if result.status == 0 and not (result.timed_out or cancelled):
        return result
    command = quoted(list(command_line(hook)), 200)
    rest = survivors(result.left_running) + last_words(result.stderr)
    if result.timed_out:
        text = f"{command} {lateness(result.status, limit_s)}{rest}"
        raise HookTimeoutError(text, hook=hook, result=result, code="timeout", hint=_TIMEOUT_HINT)
    if cancelled:
        text = f"{command} was cancelled by its caller and killed{rest}"
        raise HookCancelledError(text, hook=hook, result=result, code="cancelled")
    code = "signal" if (result.status or 0) < 0 else "exit_status"
    raise HookFailedError(f"{command} {ending(result.status)}{rest}", hook=hook, result=result, code=code)


_TIMEOUT_HINT = "raise the hook's timeout, or find out with strace what it waits for"
