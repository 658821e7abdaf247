"""Checks single documents by their bytes: rules, static hook files, settings and config.json."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from ocihooks.cli.checks.hook_rules import hook_findings
from ocihooks.cli.checks.names import is_near_miss, near_miss
from ocihooks.cli.checks.report import Checked, Report, report
from ocihooks.document import MAX_BYTES, Document, JSONNumber, dumps, parse_config, parse_document
from ocihooks.errors import (
    ERROR,
    WARNING,
    Diagnostic,
    DocumentError,
    HookError,
    OCIHooksError,
    UnavailableError,
    os_reason,
)
from ocihooks.hooksd.config import HookConfig
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.lint import lint_program
from ocihooks.hooksd.readers import SUFFIX, check_program, read_document
from ocihooks.injection import FILTER_STAGE, STAGES
from ocihooks.injector.files import FLAG, parse_injector_file
from ocihooks.settings import parse_settings
from ocihooks.spec.stage import Stage
from ocihooks.trust import MAX_FILE_BYTES
from ocihooks.wrapper.static import parse_static_hooks


def read_regular(path: str) -> bytes:
    """
    The bytes of the regular file *path*, b"" for /dev/null; nothing else is read, so that nothing blocks.

    Raises:
        HookError: It is something else.
        OSError: It can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(fd, "rb") as stream:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) and status.st_rdev != os.makedev(1, 3):
            raise HookError("expected a regular file", code="read_failed", file=path)
        return stream.read(MAX_BYTES + 1)


def read_rule_file(path: str) -> bytes:
    """As `read_regular`, for a file that the wrapper reads at most `MAX_FILE_BYTES` of."""
    data = read_regular(path)
    if len(data) > MAX_FILE_BYTES:
        raise HookError(problems=[too_large(path)])
    return data


def too_large(path: str) -> Diagnostic:
    """The finding about a file that is longer than what is read."""
    return Diagnostic(f"larger than the {MAX_FILE_BYTES} bytes that are read", code="too_large", file=path)


def check_file(path: str) -> Report:
    """
    Check one file, whose content tells what it is.

    Raises:
        UnavailableError: It can't be read.
    """
    try:
        data = read_regular(path)
    except HookError as error:
        return report([Checked(file=path, kind="rule")], error.problems)
    except OSError as error:
        raise UnavailableError(f"can't be read: {os_reason(error)}", code="read_failed", file=path) from None
    kind = recognise(path, data)
    return report([Checked(file=path, kind=kind)], FINDINGS[kind](path, data))


def recognise(path: str, data: bytes) -> str:
    """What the document is, see `Checked`: by its name if that ends in .toml, else by its members."""
    if path.endswith(".toml"):
        return "settings"
    try:
        members = parse_document(data, path).members
    except DocumentError:
        return "config" if os.path.basename(path) == "config.json" else "rule"
    if "ociVersion" in members:
        return "config"
    if FLAG in map(str.lower, members):
        return "injector"
    if not {"hook", "when", "version"} & members.keys() and {"hooks", *STAGES} & members.keys():
        return "static"
    return "rule"


def settings_findings(path: str, data: bytes) -> Iterator[Diagnostic]:
    """All problems of a settings file."""
    try:
        parse_settings(data, path)
    except OCIHooksError as error:
        yield from error.problems


def injector_findings(path: str, data: bytes) -> Iterator[Diagnostic]:
    """What is wrong with an injector file; whether the host has what it names is not looked at."""
    try:
        parse_injector_file(data, path)
    except OCIHooksError as error:
        yield from error.problems


def static_findings(path: str, data: bytes) -> Iterator[Diagnostic]:
    """All problems of a static hook file."""
    strict: tuple[Diagnostic, ...] = ()
    try:
        parse_static_hooks(data, path)
    except OCIHooksError as error:
        strict = error.problems
    try:
        members = parse_document(data, path).members
    except DocumentError:
        yield from strict
        return
    bare = any(stage in members for stage in STAGES) or "hooks" not in members
    hooks, pointer = (members, "") if bare else (members["hooks"], "/hooks")
    yield from _both(strict, hook_findings(hooks, path, pointer))


def config_findings(path: str, data: bytes) -> Iterator[Diagnostic]:
    """All problems of a config.json that concern hooks: what the wrapper refuses, and what the spec says."""
    try:
        document = parse_document(data, path)
    except DocumentError as error:
        yield from error.problems
        return
    members = document.members
    version = members.get("ociVersion")
    if not isinstance(version, str) or isinstance(version, JSONNumber):
        message = 'expected a string "ociVersion" at the top, so this is no runtime configuration'
        yield Diagnostic(message, code="missing_property", file=path, pointer="/ociVersion")
    yield from _both(_strict(document), hook_findings(members.get("hooks"), path, "/hooks"))


def _strict(document: Document) -> Iterator[Diagnostic]:
    """What the wrapper refuses; its reader stops at the first problem, so each member is handed to it alone."""
    for name, (start, end) in document.spans.items():
        alone = f"{{{dumps(name)}:{document.text[start:end]}}}"
        try:
            parse_config(alone.encode(), document.file)
        except DocumentError as error:
            yield from error.problems


def _both(strict: Iterable[Diagnostic], by_rules: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings of the rows and of the strict reader; where both speak of one place, the graver one."""
    kept = {(finding.code, finding.pointer): finding for finding in by_rules}
    for finding in strict:
        known = kept.get((finding.code, finding.pointer))
        if known is None or known.severity != ERROR:
            kept[finding.code, finding.pointer] = finding
    yield from kept.values()


def rule_findings(path: str, data: bytes) -> Iterator[Diagnostic]:
    """All problems of a rule file that was handed over by name; its program may be installed elsewhere."""
    name = os.path.basename(path)
    if is_near_miss(name):
        yield near_miss(path)
    elif not name.endswith(SUFFIX):
        message = f"is not read as a rule: the name does not end in {SUFFIX}"
        yield Diagnostic(message, code="not_json_name", severity=WARNING, file=path)
    if not data:  # a mask
        return
    if len(data) > MAX_FILE_BYTES:
        yield too_large(path)
        return
    reading = Reading(path)
    rule = read_document(data, reading, (FILTER_STAGE,))
    yield from reading.problems
    if rule is not None:
        yield from (finding.but(severity=WARNING) for finding in program_findings(rule, path))


def program_findings(rule: HookConfig, file: str) -> tuple[Diagnostic, ...]:
    """What is wrong with a rule's program on this machine; one that lives in the container is not looked at."""
    reading = Reading(file)
    on_host = any(stage != Stage.START_CONTAINER for stage in rule.stages)
    if on_host and rule.hook.path.startswith("/"):
        check_program(rule, reading)
        if not reading.failed():
            lint_program(rule, reading)
    return tuple(reading.problems)


FINDINGS: Mapping[str, Callable[[str, bytes], Iterator[Diagnostic]]] = {
    "settings": settings_findings,
    "static": static_findings,
    "injector": injector_findings,
    "config": config_findings,
    "rule": rule_findings,
}
"""For each kind of document the function that checks it."""
