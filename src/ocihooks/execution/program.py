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
        try:
            return cls(
                path=_encoded(hook.path),
                argv=tuple(map(_encoded, command_line(hook))),
                env=tuple(map(_encoded, effective_env(hook.env or ()))),
            )
        except _UnusableTextError as error:
            message = f"{_place(hook, error.text)} holds {error.fault}"
            raise HookNotRunnableError(message, hook=hook, code="start_failed") from None


def command_line(hook: Hook) -> tuple[str, ...]:
    """The whole argv: ``args``, or the path alone where there are none."""
    return hook.args or (hook.path,)


class _UnusableTextError(Exception):
    """The kernel does not take this text, which has that fault."""

    def __init__(self, text: str, fault: str) -> None:
        super().__init__(text, fault)
        self.text = text
        self.fault = fault


def _encoded(text: str) -> bytes:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _UnusableTextError(text, "half of a surrogate pair, which is no character") from None
    if b"\0" in data:
        raise _UnusableTextError(text, "a NUL byte")
    return data


def _place(hook: Hook, text: str) -> str:
    """Where *text* stands in *hook*."""
    if text == hook.path:
        return "path"
    if text in command_line(hook):
        return f"args[{command_line(hook).index(text)}]"
    return f"the variable {quoted(variable_name(text))} of env"


def not_started(hook: Hook, step: str, number: int) -> HookNotRunnableError:
    """The error for *step* (``exec``, ``chdir`` or ``fork``) having failed with the error *number*."""
    cause, hint = start_failure(step, number)
    return HookNotRunnableError(f"not started: {cause}", hook=hook, code="start_failed", hint=hint)
