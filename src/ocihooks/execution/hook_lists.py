"""
Hooks as runc keeps them: lists by stage, of commands and of Python functions, with timeouts in nanoseconds.

Spec: runc, libcontainer/configs ``Hooks``; runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from ocihooks.errors import DocumentError, only_errors
from ocihooks.execution.errors import HookFunctionError, HookNotRunnableError, HookRunError, HookTimeoutError
from ocihooks.execution.result import HookResult
from ocihooks.execution.runner import MAX_TIMEOUT_S, run_hook
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.jsontext import JSONTextError, Members, parse
from ocihooks.spec.hook import Hook, Hooks
from ocihooks.spec.stage import STAGES
from ocihooks.spec.state import State

NANOSECONDS = 1_000_000_000
_MEMBERS = ("path", "args", "env", "dir", "timeout")
_INT64 = range(-(1 << 63), 1 << 63)
_NOTHING = Hook(path="")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHook:
    """
    A program to run.

    Attributes:
        path: A relative one is looked up from *dir*.
        args: The whole argv; None and empty mean ``[path]``.
        env: ``NAME=value`` entries; None inherits the caller's environment, empty is an empty one.
        dir: Working directory; "": the caller's.
        timeout_ns: None: no limit.
    """

    path: str
    args: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    dir: str = ""
    timeout_ns: int | None = None

    def run(self, state: State | None) -> HookResult:
        """
        Run the program with *state* on standard input.

        Raises:
            HookRunError: As `ocihooks.run_hook` does; a timeout that is over before the start starts nothing.
        """
        env = tuple(f"{name}={value}" for name, value in os.environ.items()) if self.env is None else self.env
        hook = Hook(path=self.path, args=self.args, env=env)
        if self.timeout_ns is None:
            return run_hook(hook, state_text(state), cwd=self.dir or None)
        seconds = self.timeout_ns / NANOSECONDS
        if seconds <= 0:
            raise HookTimeoutError(f"not started: its timeout is {seconds:g} s", hook=hook, code="timeout")
        return run_hook(hook, state_text(state), cwd=self.dir or None, timeout_s=min(seconds, MAX_TIMEOUT_S))

    def to_json(self) -> dict[str, Any]:
        """The command with all of its members, null where not given."""
        values = (self.path, _listed(self.args), _listed(self.env), self.dir, self.timeout_ns)
        return dict(zip(_MEMBERS, values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionHook:
    """
    A function to call with the container's state; it fails by raising. It has no JSON form.

    Attributes:
        function: Gets what `HookLists.run` got.
    """

    function: Callable[[State | None], object]

    def run(self, state: State | None) -> None:
        """
        Call the function.

        Raises:
            HookFunctionError: It raised something.
        """
        try:
            self.function(state)
        except Exception as error:
            raise HookFunctionError(f"function failed: {type(error).__name__}: {error}", code="other") from error


Item = CommandHook | FunctionHook | None
"""One hook of a list. None has no command: ``null`` and ``{}`` are read and written, but can't be run."""


@dataclass(frozen=True, slots=True)
class HookLists:
    """
    Hooks by stage. Any name may be a stage here, and can be run; the JSON form has the six of the runtime-spec only.

    Attributes:
        lists: Hooks in order, by stage.
    """

    lists: Mapping[str, Sequence[Item]]

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """
        Read the JSON form. Member names match in any letter case, and of a repeated stage the last list counts.

        Raises:
            DocumentError: It is something else; has all problems.
        """
        reading = Reading("hooks")
        try:
            document = parse(text)
        except JSONTextError as error:
            place = f"line {error.line} column {error.column}"
            raise DocumentError(str(error), code="json_syntax", pointer=place) from None
        if not isinstance(document, Members):
            reading.wrong_type("/", "an object", document)
            document = Members()
        lists = {}
        for stage, items in document:
            lists[stage] = tuple(_commands(items, f"/{stage}", reading))
        if reading.failed():
            raise DocumentError(problems=only_errors(reading.problems))
        return cls({stage: items for stage, items in lists.items() if items})

    @classmethod
    def from_spec(cls, hooks: Hooks) -> Self:
        """
        The hooks of a configuration; seconds become nanoseconds, at most as many as fit into 64 bits.

        Raises:
            DocumentError: A timeout does not fit into 64 bits as it stands.
        """
        return cls({stage.value: tuple(map(_command, items)) for stage, items in hooks.stages.items()})

    def has(self, *stages: str) -> bool:
        """Whether any of *stages* has a hook."""
        return any(self.lists.get(stage) for stage in stages)

    def with_default_env(self, env: Sequence[str]) -> Self:
        """The same hooks, where each command without environment has *env*."""
        return type(self)({stage: default_env(items, env) for stage, items in self.lists.items()})

    def run(self, stage: str, state: State | None) -> None:
        """
        Run the hooks of *stage* in order; poststart and poststop stop at their first failure like the others.

        Raises:
            HookRunError, HookFunctionError: The first failure, naming its place such as ``prestart hook #0``.
        """
        for index, hook in enumerate(self.lists.get(stage, ())):
            try:
                if hook is None:
                    raise HookNotRunnableError("not started: it has no command", hook=_NOTHING, code="start_failed")
                hook.run(state)
            except (HookRunError, HookFunctionError) as error:
                error.problems[0].pointer = f"{stage} hook #{index}"
                raise

    def to_text(self) -> str:
        """The JSON form: the six stages by name, null where empty; functions are left out."""
        lists = {
            stage: [
                {} if hook is None else hook.to_json()
                for hook in self.lists.get(stage) or ()
                if not isinstance(hook, FunctionHook)
            ]
            for stage in sorted(STAGES)
        }
        return _compact({stage: items or None for stage, items in lists.items()})


def default_env(hooks: Sequence[Item], env: Sequence[str]) -> tuple[Item, ...]:
    """*hooks*, where each command without environment has *env*."""
    return tuple(
        replace(hook, env=tuple(env)) if isinstance(hook, CommandHook) and not hook.env else hook for hook in hooks
    )


def state_text(state: State | None) -> str:
    """*state* as runc writes it: no pid if it is 0, annotations by name, nothing that HTML takes for markup."""
    if state is None:
        return "null"
    members = state.to_json()
    if not state.pid:
        members.pop("pid", None)
    if state.annotations is not None:
        members["annotations"] = dict(sorted(state.annotations.items()))
    return _compact({name: value for name, value in members.items() if value != {}})


def _compact(document: dict[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})


def _listed(texts: tuple[str, ...] | None) -> list[str] | None:
    return None if texts is None else list(texts)


def _commands(items: object, pointer: str, reading: Reading) -> list[CommandHook | None]:
    if items is None:
        return []
    if not isinstance(items, list) or isinstance(items, Members):
        reading.wrong_type(pointer, "an array", items)
        return []
    return [_read_command(item, f"{pointer}/{index}", reading) for index, item in enumerate(items)]


def _read_command(item: object, pointer: str, reading: Reading) -> CommandHook | None:
    found = reading.members([(pointer, item)], _MEMBERS, lint=False)
    if not any(found.values()) and (item is None or isinstance(item, Members)):
        return None
    return CommandHook(
        path=reading.string(found["path"]),
        args=reading.strings(found["args"]),
        env=reading.strings(found["env"]),
        dir=reading.string(found["dir"]),
        timeout_ns=reading.optional_int(found["timeout"]),
    )


def _command(hook: Hook) -> CommandHook:
    if hook.timeout is not None and hook.timeout not in _INT64:
        raise DocumentError(
            f"expected a timeout of at most 64 bits, found {str(hook.timeout)[:40]}", code="json_type", file=hook.path
        )
    timeout_ns = None
    if hook.timeout is not None:
        timeout_ns = max(_INT64.start, min(hook.timeout * NANOSECONDS, _INT64.stop - 1))
    return CommandHook(path=hook.path, args=hook.args, env=hook.env, timeout_ns=timeout_ns)
