"""What can become of a hook, as exceptions; each names the program and carries what is known about its run."""

from __future__ import annotations

from ocihooks.errors import OCIHooksError
from ocihooks.execution.result import HookResult
from ocihooks.spec.hook import Hook


class HookRunError(OCIHooksError):
    """
    Base of the errors of this package.

    Attributes:
        hook: The hook that was to run; its path is the ``file`` of the message.
        result: What is known about the run; None when the program never started.
    """

    def __init__(
        self, message: str, *, hook: Hook, code: str, result: HookResult | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, code=code, file=hook.path, hint=hint)
        self.hook = hook
        self.result = result

    def locate(self, place: str) -> None:
        """Say in the message which of several hooks it was, such as ``createRuntime hook #0``."""
        self.problems[0].pointer = place


class HookNotRunnableError(HookRunError):
    """The program was not started: it's missing, not executable, or the hook asks for something impossible."""


class HookFailedError(HookRunError):
    """The program ended with a status other than 0, or by a signal (code ``exit_status`` or ``signal``)."""


class HookTimeoutError(HookRunError):
    """The limit passed; the hook has been killed with all of its descendants."""


class HookCancelledError(HookRunError):
    """The caller cancelled the run; the hook has been killed with all of its descendants."""


class FilterOutputError(HookRunError):
    """A filter succeeded, but what it wrote is not a configuration."""


class HookFunctionError(OCIHooksError):
    """A function hook raised something, which is the cause of this error."""
