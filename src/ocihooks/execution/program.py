"""
A hook as the kernel's exec wants it: byte strings without NUL, a whole argv, an environment without duplicates.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks"; IEEE Std 1003.1-2008, execv.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ocihooks.errors import quoted
from ocihooks.execution.errors import HookNotRunnableError
from ocihooks.spec.hook import Hook

_CAUSES = {
    errno.ENOENT: (
        "program not found, or the interpreter in its #! line is missing",
        "install it, or correct the path",
    ),
    errno.EACCES: ("not an executable file, or a directory above it is closed", "make it executable with chmod +x"),
    errno.ENOTDIR: ("a part of the path is not a directory", "correct the path"),
    errno.ELOOP: ("too many symbolic links", "remove the loop of links"),
    errno.ENOEXEC: ("neither a binary for this machine nor a script with a #! line", "add a #! line such as #!/bin/sh"),
    errno.E2BIG: ("args and env are longer than the kernel allows", "shorten args and env, or read a file instead"),
    errno.ETXTBSY: ("somebody is writing to the program", "try again when it is complete"),
}


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
            env=tuple(_encoded(hook, f"the variable {quoted(_name(entry))} of env", entry) for entry in env),
        )


def command_line(hook: Hook) -> tuple[str, ...]:
    """The whole argv: ``args``, or the path alone where there are none."""
    return hook.args or (hook.path,)


def effective_env(entries: Iterable[str]) -> list[str]:
    """
    The entries that a program gets: without empty ones, and of those with one name only the last, at its place.

    Entries without a name or without ``=`` are odd but legal, and handed on.
    """
    kept: list[str] = []
    seen: set[str] = set()
    for entry in reversed(list(entries)):
        name = _name(entry) if "=" in entry else None
        if entry and name not in seen:
            kept.append(entry)
        if name is not None:
            seen.add(name)
    return kept[::-1]


def _name(entry: str) -> str:
    """What stands before the first ``=`` after the first character; a leading ``=`` belongs to the name."""
    end = entry.find("=", 1)
    if end > 0:
        return entry[:end]
    return "" if entry.startswith("=") else entry


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
    cause, hint = os.strerror(number), None
    if step == "exec":
        cause, hint = _CAUSES.get(number, (cause, None))
    elif step == "chdir":
        cause = f"can't change to its working directory: {cause}"
    else:
        cause = f"no process for it: {cause}"
    return HookNotRunnableError(f"not started: {cause}", hook=hook, code="start_failed", hint=hint)
