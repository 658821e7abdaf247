"""Findings about rules that are valid but hardly mean what they say; running them is not affected."""

from __future__ import annotations

from ocihooks.errors import quoted
from ocihooks.hooksd.config import HookConfig
from ocihooks.hooksd.fields import Reading

PRESTART, CREATE_RUNTIME = "prestart", "createRuntime"

TIMEOUT_MAX = 3600
"""Seconds; the wrapper refuses longer timeouts, and those below 1."""


def lint(rule: HookConfig, reading: Reading) -> None:
    """Note warnings about a rule that was read without errors."""
    _lint_hook(rule, reading)
    _lint_stages(rule, reading)
    _lint_when(rule, reading)


def _lint_hook(rule: HookConfig, reading: Reading) -> None:
    hook = rule.hook
    if not hook.path.startswith("/"):
        message = f"the path {quoted(hook.path, 200)} is relative, so it depends on who runs it"
        reading.warn("relative_path", "/hook/path", message, "write the absolute path")
    if hook.timeout is not None and not 1 <= hook.timeout <= TIMEOUT_MAX:
        message = f"timeout {hook.timeout} is outside 1 to {TIMEOUT_MAX} seconds; runtimes disagree about it"
        reading.warn("odd_timeout", "/hook/timeout", message, "the wrapper refuses such a rule when it matches")
    for index, entry in enumerate(hook.env or ()):
        if "=" not in entry[1:]:
            message = f"{quoted(entry, 80)} is not NAME=value"
            reading.warn("odd_env", f"/hook/env/{index}", message, "some runtimes refuse it")


def _lint_stages(rule: HookConfig, reading: Reading) -> None:
    stages = rule.stages
    if not stages:
        reading.warn("no_stages", "/stages", "no stage is named, so the rule never runs anything")
    if PRESTART in stages:
        message = "prestart is deprecated; it is handed on as createRuntime"
        reading.warn("prestart", f"/stages/{stages.index(PRESTART)}", message, 'write "createRuntime"')
    repeated = {stage for stage in stages if stages.count(stage) > 1}
    if PRESTART in stages and CREATE_RUNTIME in stages:
        repeated.add(CREATE_RUNTIME)
    if repeated:
        message = f"{', '.join(sorted(repeated))} would run the hook more than once"
        reading.warn("repeated_stage", "/stages", message, "name each stage once")


def _lint_when(rule: HookConfig, reading: Reading) -> None:
    when = rule.when
    given = (when.always, when.has_bind_mounts, when.annotations or None, when.commands or None)
    if all(condition is None for condition in given):
        reading.warn("no_condition", "/when", "no condition is given, so the rule never matches", 'use "always": true')
    if when.has_bind_mounts is False and not when.any_of:
        message = "hasBindMounts: false is never met, so the rule never matches"
        reading.warn("never_met", "/when/hasBindMounts", message, "leave it out")
    for pointer, pattern in when.patterns() if when.commands else ():
        if pattern in (when.commands or ()) and pattern.source and not any(mark in pattern.source for mark in "^$"):
            message = f"{quoted(pattern.source, 80)} is found anywhere in the command, also as part of a longer name"
            reading.warn("unanchored_command", pointer, message, "anchor it: ^/usr/bin/name$")


def lint_program(rule: HookConfig, reading: Reading) -> None:
    """Note warnings about a program that is there but can't be run as it is."""
    import os
    import stat

    status = os.stat(rule.hook.path)
    if not stat.S_ISREG(status.st_mode):
        reading.warn("odd_program", "/hook/path", f"{quoted(rule.hook.path, 200)} is not a regular file")
    elif not status.st_mode & 0o111:
        message = f"{quoted(rule.hook.path, 200)} is not executable"
        reading.warn("odd_program", "/hook/path", message, f"chmod +x {rule.hook.path}")
