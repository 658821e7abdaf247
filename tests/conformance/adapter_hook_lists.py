"""Offers runc's hook lists to `replay.py`: thin functions over the public calls."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocihooks.errors import DocumentError
from ocihooks.execution.errors import HookFunctionError, HookRunError
from ocihooks.execution.hook_lists import CommandHook, FunctionHook, HookLists, Item, default_env
from ocihooks.spec.hook import Hooks
from ocihooks.spec.stage import STAGES
from ocihooks.spec.state import State

Answer = dict[str, Any]


def unmarshal(text: str) -> Answer:
    try:
        lists = HookLists.parse(text.encode())
    except DocumentError as error:
        return {"ok": False, "error": str(error), "error_kind": error.code}
    return {"ok": True, "hooks": shown(lists), "marshalled": lists.to_text()}


def marshal(hooks: Mapping[str, Any]) -> Answer:
    return {"text": made(hooks).to_text()}


def set_default_env(list: Sequence[Mapping[str, Any]] | None, env: Sequence[str]) -> Answer:  # noqa: A002
    hooks = [hook(item) for item in list or ()]
    return {"list": [item.to_json() for item in default_env(hooks, env) if isinstance(item, CommandHook)]}


def has_hook(hooks: Mapping[str, Any] | None, names: Sequence[str]) -> Answer:
    return {"has": made(hooks).has(*names)}


def known_hook_names() -> Answer:
    return {"names": STAGES}


def from_spec(spec_hooks: Any) -> Answer:
    try:
        return {"hooks": shown(HookLists.from_spec(Hooks.from_json(spec_hooks)))}
    except DocumentError as error:
        return {"error": str(error), "error_kind": error.code}


def run_command(command: Mapping[str, Any], state: Mapping[str, Any] | None, caller_env: Mapping[str, str]) -> Answer:
    return run_hooks({"command": [command]}, "command", state, caller_env)


def run_hooks(
    hooks: Mapping[str, Any] | None, name: str, state: Mapping[str, Any] | None, caller_env: Mapping[str, str]
) -> Answer:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(caller_env)
    try:
        made(hooks).run(name, read(state))
    except (HookRunError, HookFunctionError) as error:
        return {"error": str(error), "error_kind": error.code}
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"error": None}


def read(state: Mapping[str, Any] | None) -> State | None:
    return None if state is None else State.from_json(dict(state))


def made(hooks: Mapping[str, Any] | None) -> HookLists:
    return HookLists({stage: [hook(item) for item in items or ()] for stage, items in (hooks or {}).items()})


def hook(item: Mapping[str, Any] | None) -> Item:
    if item is not None and "function" in item:
        return FunctionHook(function=lambda _: call(item["function"]))
    return HookLists.parse(json.dumps({"made": [item]}).encode()).lists["made"][0]


def call(function: Mapping[str, Any]) -> None:
    with Path("log").open("a", encoding="utf-8") as log:
        log.write(function.get("append_line", "") + "\n")
    if function.get("error"):
        raise ValueError(function["error"])


def shown(lists: HookLists) -> Answer:
    return {
        stage: [item.to_json() if isinstance(item, CommandHook) else None for item in items]
        for stage, items in lists.lists.items()
    }
