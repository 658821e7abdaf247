"""
What the runtime-spec asks of a hooks object, one row each, and the findings where a document differs.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from ocihooks.document import JSONNumber
from ocihooks.errors import ERROR, WARNING, Diagnostic, os_reason, quoted, reference_token
from ocihooks.faults import type_name
from ocihooks.spec.stage import STAGES, Stage, stage_hint

SECTION = 'runtime-spec config.md "POSIX-platform Hooks"'

MEMBERS = ("path", "args", "env", "timeout")
"""What a hook consists of."""

Found = Iterator[tuple[str, str] | tuple[str, str, str]]
"""Places below the value, as the rest of a JSON pointer, each with what is wrong there, and perhaps what mends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRule:
    """
    One sentence of the spec about hooks.

    Attributes:
        code: Of the findings.
        severity: Of the findings.
        level: MUST, SHOULD or MAY, as the spec has it; "" for what runtimes are known to do.
        sentence: What is asked, in our words.
        find: Looks at one value of its scope, with the name of the stage that it belongs to.
        remedy: What mends it, besides doing what the sentence says; "" for nothing.
    """

    code: str
    severity: str
    level: str
    sentence: str
    find: Callable[[Any, str], Found]
    remedy: str = ""

    @property
    def hint(self) -> str:
        """The remedy, or the sentence where that says it, and where the sentence stands."""
        return self.remedy or f"{self.sentence} ({self.level}, {SECTION})"


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not isinstance(value, JSONNumber)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_integer(value: object) -> TypeGuard[JSONNumber]:
    return isinstance(value, JSONNumber) and value.removeprefix("-").isdigit()


def _not_array(value: Any, stage: str) -> Found:  # noqa: ARG001
    if value is not None and not _is_array(value):
        yield "", f"expected an array, found {type_name(value)}"


def _not_object(entry: Any, stage: str) -> Found:  # noqa: ARG001
    if not isinstance(entry, dict):
        yield "", f"expected an object, found {type_name(entry)}"


def _no_path(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    if "path" not in entry:
        yield "", 'missing required member "path"'


def _path_type(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    if "path" in entry and not _is_text(entry["path"]):
        yield "/path", f"expected a string, found {type_name(entry['path'])}"


def _path_relative(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    path = entry.get("path")
    if _is_text(path) and not path.startswith("/"):
        yield "/path", f"expected an absolute path, found {quoted(path, 200)}"


def _strings(name: str) -> Callable[[Any, str], Found]:
    def find(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
        value = entry.get(name)
        if value is not None and not _is_array(value):
            yield f"/{name}", f"expected an array of strings, found {type_name(value)}"
            return
        for index, item in enumerate(value or ()):
            if not _is_text(item):
                yield f"/{name}/{index}", f"expected a string, found {type_name(item)}"

    return find


def _odd_env(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    env = entry.get("env")
    for index, item in enumerate(env if _is_array(env) else ()):
        if _is_text(item) and "=" not in item[1:]:
            yield f"/env/{index}", f"{quoted(item, 80)} is not NAME=value"


def _timeout_type(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    timeout = entry.get("timeout")
    if timeout is not None and not _is_integer(timeout):
        shown = f" {timeout[:40]}" if isinstance(timeout, JSONNumber) else ""
        yield "/timeout", f"expected an integer, found {type_name(timeout)}{shown}"


def _timeout_range(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    timeout = entry.get("timeout")
    if _is_integer(timeout) and (timeout.startswith("-") or not timeout.strip("0")):
        yield "/timeout", f"expected more than 0 seconds, found {timeout[:40]}"


def _no_env(entry: dict[str, Any], stage: str) -> Found:
    if stage == Stage.CREATE_CONTAINER and not entry.get("env"):
        yield "", "has no environment of its own, so runc gives it the container's, whatever the image put there"


def _missing_program(entry: dict[str, Any], stage: str) -> Found:
    path = entry.get("path")
    if stage == Stage.START_CONTAINER or not _is_text(path) or not path.startswith("/"):
        return
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "the path holds a NUL character"
        yield "/path", f"program {quoted(path, 200)}: {reason}"


def _deprecated(value: Any, stage: str) -> Found:
    if stage == Stage.PRESTART and value:
        yield "", "prestart is deprecated"


def _unknown_stages(hooks: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    for name in hooks:
        if name not in STAGES:
            yield f"/{name}", f"unknown stage {quoted(name, 80)} has no effect", stage_hint(name)


def _misspelt(entry: dict[str, Any], stage: str) -> Found:  # noqa: ARG001
    """Runtimes pass over members that they don't know; only what looks like one that they do is a finding."""
    for name in entry:
        close = difflib.get_close_matches(name.lower(), MEMBERS, n=1, cutoff=0.75)
        if name not in MEMBERS and close:
            message = f"unknown member {quoted(name, 80)} has no effect"
            yield f"/{reference_token(name)}", message, f'did you mean "{close[0]}"?'


HOOKS_RULES = (
    HookRule(
        code="unknown_stage",
        severity=WARNING,
        level="MUST",
        sentence="hooks has one member for each stage, and runtimes ignore members that they don't know",
        find=_unknown_stages,
    ),
)
"""About the hooks object."""

STAGE_RULES = (
    HookRule(
        code="json_type",
        severity=ERROR,
        level="MUST",
        sentence="each stage is an array of objects",
        find=_not_array,
    ),
    HookRule(
        code="prestart",
        severity=WARNING,
        level="SHOULD",
        sentence="createRuntime, createContainer or startContainer is used instead of prestart",
        find=_deprecated,
    ),
)
"""About the array of each stage."""

ENTRY_TYPE = HookRule(
    code="json_type", severity=ERROR, level="MUST", sentence="each stage is an array of objects", find=_not_object
)

ENTRY_RULES = (
    HookRule(code="missing_property", severity=ERROR, level="MUST", sentence="a hook has a path", find=_no_path),
    HookRule(
        code="unknown_member",
        severity=WARNING,
        level="MAY",
        sentence="a hook has path, args, env and timeout; runtimes ignore all else",
        find=_misspelt,
    ),
    HookRule(code="json_type", severity=ERROR, level="MUST", sentence="path is a string", find=_path_type),
    HookRule(code="relative_path", severity=ERROR, level="MUST", sentence="path is absolute", find=_path_relative),
    HookRule(
        code="json_type", severity=ERROR, level="MUST", sentence="args is an array of strings", find=_strings("args")
    ),
    HookRule(
        code="json_type", severity=ERROR, level="MUST", sentence="env is an array of strings", find=_strings("env")
    ),
    HookRule(
        code="odd_env",
        severity=WARNING,
        level="MUST",
        sentence="env has the meaning of environ in POSIX: entries NAME=value",
        find=_odd_env,
    ),
    HookRule(code="json_type", severity=ERROR, level="MUST", sentence="timeout is a whole number", find=_timeout_type),
    HookRule(
        code="odd_timeout", severity=ERROR, level="MUST", sentence="timeout is greater than zero", find=_timeout_range
    ),
    HookRule(
        code="empty_env",
        severity=WARNING,
        level="",
        sentence="an image could make a createContainer hook load its code on the host",
        find=_no_env,
        remedy='give it an "env", such as ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], or an image can make it run its code',
    ),
    HookRule(
        code="missing_program",
        severity=WARNING,
        level="MUST",
        sentence="path is found in the runtime's namespace, that of startContainer in the container's",
        find=_missing_program,
        remedy="install the program; the runtime looks for it on the host, except for startContainer",
    ),
)
"""About each hook."""


def hook_findings(hooks: Any, file: str, pointer: str) -> Iterator[Diagnostic]:
    """
    Everything that the hooks object *hooks* has against the spec.

    Args:
        hooks: As `ocihooks.document` parses it, numbers as `JSONNumber`.
        pointer: Where it stands in *file*.
    """
    if hooks is None:
        return
    if not isinstance(hooks, dict):
        message = f"expected an object, found {type_name(hooks)}"
        yield Diagnostic(
            message, code="json_type", file=file, pointer=pointer or "/", hint=f"hooks is an object (MUST, {SECTION})"
        )
        return
    yield from _apply(HOOKS_RULES, hooks, "", file, pointer)
    for stage in STAGES:
        if stage not in hooks:
            continue
        place, entries = f"{pointer}/{stage}", hooks[stage]
        yield from _apply(STAGE_RULES, entries, stage, file, place)
        for index, entry in enumerate(entries if _is_array(entries) else ()):
            wrong = list(_apply([ENTRY_TYPE], entry, stage, file, f"{place}/{index}"))
            yield from wrong or _apply(ENTRY_RULES, entry, stage, file, f"{place}/{index}")


def _apply(rules: Iterable[HookRule], value: Any, stage: str, file: str, pointer: str) -> Iterator[Diagnostic]:
    for rule in rules:
        for place, message, *remedy in rule.find(value, stage):
            yield Diagnostic(
                message,
                code=rule.code,
                severity=rule.severity,
                file=file,
                pointer=f"{pointer}{place}" or "/",
                hint=remedy[0] if remedy else rule.hint,
            )
