"""Offers the public API to `replay.py`: one thin function for each recorded operation."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import ocihooks
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.readers import read_when

sys.path.insert(0, os.path.dirname(__file__))
# These lie beside this file, which is loaded by its path.
from adapter_execution import filter, run  # noqa: A004
from adapter_hook_lists import *  # noqa: F403  (its functions are operations)

__all__ = ["filter", "manager", "match", "read", "readdir", "regex", "run"]

Answer = dict[str, Any]

KINDS = {
    "missing_program": "hook_path",
    "unreachable_program": "hook_path",
    "missing_file": "read_failed",
    "missing_directory": "read_failed",
}
"""Our codes are finer than the recorded kinds."""

MISSING = ("missing_program", "missing_file", "missing_directory")


def kinds(problems: Sequence[ocihooks.Diagnostic]) -> list[str]:
    """The recorded readers stop at the first fault of a file, and name the files of a directory last to first."""
    first = {problem.file: problem.code for problem in reversed(problems) if problem.severity == "error"}
    return [KINDS.get(code, code) for code in first.values()]


def failure(error: ocihooks.OCIHooksError) -> Answer:
    return {"error": str(error), "error_kinds": kinds(error.problems), "not_exist": error.code in MISSING}


def shown(rule: ocihooks.HookConfig) -> Answer:
    when = {"always": None, "annotations": None, "commands": None, "hasBindMounts": None} | rule.when.to_json()
    hook = {"path": None, "args": None, "env": None, "timeout": None} | rule.hook.to_json()
    return {"version": rule.version, "hook": hook, "stages": list(rule.stages), "when": when | {"or": rule.when.any_of}}


def read(path: str, extension_stages: Sequence[str]) -> Answer:
    try:
        return {"ok": True, "hook": shown(ocihooks.read_hook(path, extension_stages))}
    except ocihooks.HookError as error:
        return {"ok": False, **failure(error)}


def readdir(paths: Sequence[str], extension_stages: Sequence[str]) -> Answer:
    rules: dict[str, ocihooks.HookConfig] = {}
    errors: list[Answer | None] = []
    for path in paths:
        try:
            ocihooks.read_hook_dir(path, extension_stages, rules, strict=True)
            errors.append(None)
        except ocihooks.RulesError as error:
            errors.append(failure(error))
    return {"errors": errors, "hooks": {name: shown(rule) for name, rule in rules.items()}}


def manager(
    paths: Sequence[str],
    extension_stages: Sequence[str],
    config: Mapping[str, Any],
    annotations: Mapping[str, str],
    has_bind_mounts: bool,
    calls: int,
) -> Answer:
    try:
        rules = ocihooks.HookManager(paths, extension_stages)
    except ocihooks.RulesError as error:
        place = os.path.dirname(error.file or "")
        return {
            "phase": "load",
            **failure(
                ocihooks.RulesError(problems=[p for p in error.problems if os.path.dirname(p.file or "") == place])
            ),
        }
    extension: dict[str, list[ocihooks.Hook]] = {}
    failed: Answer = {}
    try:
        for _ in range(calls):
            injection = rules.hooks(config, annotations, has_bind_mounts)
            extension, config = injection.extension_stage_hooks, ocihooks.apply(injection, config)
    except ocihooks.MatchError as error:
        failed = {"phase": "match", **failure(error)}
        extension, config = error.injection.extension_stage_hooks, ocihooks.apply(error.injection, config)
    stages = {stage: [hook.to_json() for hook in hooks] for stage, hooks in extension.items()}
    return {"hooks": written(config.get("hooks")), "extension_stage_hooks": written(stages) or None, **failed}


def written(hooks: Mapping[str, Any] | None) -> Answer | None:
    """*hooks* as the recorded programs write them: without empty lists."""
    if hooks is None:
        return None
    return {
        stage: [{k: v for k, v in hook.items() if v != []} for hook in items] for stage, items in hooks.items() if items
    }


def match(
    when: Mapping[str, Any],
    either: bool,
    config: Mapping[str, Any],
    annotations: Mapping[str, str],
    has_bind_mounts: bool,
) -> Answer:
    conditions = read_when([("/when", when)], Reading("when"), any_of=either)
    container = ocihooks.Container(
        args=ocihooks.command(config), annotations=annotations, has_bind_mounts=has_bind_mounts
    )
    try:
        return {"match": ocihooks.decide(conditions, container).matched}
    except ocihooks.MatchError as error:
        return {"match": False, "error": str(error), "error_kinds": kinds(error.problems)}


def regex(pattern: str | bytes, texts: Sequence[str | bytes]) -> Answer:
    try:
        compiled = ocihooks.Pattern(text(pattern))
        compiled.compile()
    except ocihooks.PatternError as error:
        return {"compiles": False, "error": str(error)}
    return {"compiles": True, "matches": [compiled.search(text(item)) for item in texts]}


def text(item: str | bytes) -> str:
    return item if isinstance(item, str) else os.fsdecode(item)
