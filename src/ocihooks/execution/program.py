"""
A hook as the kernel's exec wants it: byte strings without NUL, a whole argv, an environment without duplicates.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks"; IEEE Std 1003.1-2008, execv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ocihooks.errors import quoted
from ocihooks.execution.errors import HookNotRunnableError
from ocihooks.execution.exec import effective_env, variable_name
from ocihooks.execution.words import start_failure
from ocihooks.spec.hook import Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The arguments of one execve."""

    path: bytes
    argv: tuple[bytes, ...]
    env: tuple[bytes, ...]

    @classmethod
    def of(cls, hook: Hook) -> Self:
        """
        The program that *hook* names; whether it exists shows only when it is started.

        Raises:
            HookNotRunnableError: A NUL byte or half of a surrogate pair stands where the kernel takes neither.
        """
        env = effective_env(hook.env or ())
        return cls(
            path=_encoded(hook, "path", hook.path),
            argv=tuple(_encoded(hook, f"args[{i}]", arg) for i, arg in enumerate(command_line(hook))),
            env=tuple(_encoded(hook, f"the variable {quoted(variable_name(entry))} of env", entry) for entry in env),
        )


def command_line(hook: Hook) -> tuple[str, ...]:
    """The whole argv: ``args``, or the path alone where there are none."""
    return hook.args or (hook.path,)


def _encoded(hook: Hook, what: str, text: str) -> bytes:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise HookNotRunnableError(
            f"{what} holds half of a surrogate pair, which is no character", hook=hook, code="start_failed"
        ) from None
    if b"\0" in data:
        raise HookNotRunnableError(f"{what} holds a NUL byte", hook=hook, code="start_failed")
    return data


def not_started(hook: Hook, step: str, number: int) -> HookNotRunnableError:
    """The error for *step* (``exec``, ``chdir`` or ``fork``) having failed with the error *number*."""
    cause, hint = start_failure(step, number)
    return HookNotRunnableError(f"not started: {cause}", hook=hook, code="start_failed", hint=hint)
