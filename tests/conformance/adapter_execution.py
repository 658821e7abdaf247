"""Offers running and filtering to `replay.py`: thin functions over the public calls, with their defaults."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ocihooks.execution.errors import FilterOutputError, HookRunError
from ocihooks.execution.filters import filter_config
from ocihooks.execution.result import HookResult
from ocihooks.execution.runner import run_hook
from ocihooks.spec.hook import Hook

Answer = dict[str, Any]


def run(
    hook: Mapping[str, Any],
    state: bytes,
    dir: str,  # noqa: A002
    post_kill_timeout: float,
    context_timeout: float | None,
    sinks: bool,
) -> Answer:
    deadline = until(context_timeout)
    try:
        result = run_hook(Hook.from_json(hook), state, cwd=dir or None, deadline=deadline, capture=sinks)
    except HookRunError as error:
        return failure(error) | (written(error.result) if sinks else {})
    return success() | (written(result) if sinks else {})


def filter(  # noqa: A001
    hooks: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    dir: str,  # noqa: A002
    post_kill_timeout: float,
    context_timeout: float | None,
) -> Answer:
    filters = [Hook.from_json(hook) for hook in hooks]
    try:
        return success() | {"config": filter_config(filters, config, cwd=dir or None, deadline=until(context_timeout))}
    except HookRunError as error:
        return failure(error) | {"config": config}


def until(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def success() -> Answer:
    return {"error": None, "hook_error": None, "deadline_exceeded": False}


def failure(error: HookRunError) -> Answer:
    answer = {
        "error": str(error),
        "error_kind": error.code,
        "hook_error": None,
        "deadline_exceeded": error.code == "timeout",
    }
    if not isinstance(error, FilterOutputError):
        answer |= {"hook_error": str(error), "hook_error_kind": ending(error)}
    return answer


def ending(error: HookRunError) -> str:
    """What became of the process, which after a timeout is not why the call failed."""
    if error.code != "timeout" or error.result is None or error.result.status is None:
        return error.code
    return "signal" if error.result.status < 0 else "exit_status"


def written(result: HookResult | None) -> Answer:
    streams = {"stdout": result.stdout, "stderr": result.stderr} if result else {"stdout": b"", "stderr": b""}
    return {name: value for stream in streams.items() for name, value in [member(*stream)]}


def member(name: str, data: bytes) -> tuple[str, str]:
    """A stream as the recordings write it: as text, or in base64 where it isn't UTF-8."""
    try:
        return name, data.decode()
    except UnicodeDecodeError:
        return f"{name}_b64", base64.b64encode(data).decode()
