"""
Loads the rules that may go into containers: only files that nobody but root could have written, judged by policy.

An invalid rule might have matched, so by default no container starts while there is one; see `on-invalid`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ocihooks.errors import ERROR, Diagnostic, OCIHooksError, UntrustedError, only_errors, os_reason, quoted
from ocihooks.hooksd.directories import Rule, program_problems, survey
from ocihooks.hooksd.lint import TIMEOUT_MAX
from ocihooks.settings import Policy, Settings
from ocihooks.spec.stage import Stage
from ocihooks.trust import Trust, check_trusted, explained, read_trusted

FILTER_STAGE = "precreate"
"""The extension stage whose hooks rewrite config.json before the container is created."""

POLICY_HINT = 'mend it, mask it with an empty file of the same name in a later directory, or set on-invalid = "warn"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """
    The rules of the hooks directories.

    Attributes:
        rules: All of them in the order in which they run, invalid and masked ones included.
        refused: Findings that forbid to go on, by policy.
        tolerated: The other findings: warnings, and errors that the policy tolerates.
    """

    rules: tuple[Rule, ...]
    refused: tuple[Diagnostic, ...]
    tolerated: tuple[Diagnostic, ...]


def load_rules(settings: Settings) -> Loaded:
    """Load the rules of the directories in *settings*; never raises, what is wrong stands in the result."""
    trust = settings.trust()
    usable: list[str] = []
    refused: list[Diagnostic] = []
    tolerated: list[Diagnostic] = []
    for directory in settings.hooks_dirs:
        problem = _directory_problem(directory, trust)
        if problem is None:
            usable.append(directory)
        else:
            _judge([problem], settings.on_invalid, refused, tolerated)
    rules, findings = survey(usable, (FILTER_STAGE,), read_file=lambda file: _read(file, trust))
    _judge(findings, settings.on_invalid, refused, tolerated)
    for rule in rules:
        _judge(rule.problems, settings.policy(rule.name), refused, tolerated)
    return Loaded(rules=rules, refused=tuple(refused), tolerated=tuple(tolerated))


def _read(file: str, trust: Trust) -> bytes:
    try:
        return read_trusted(file, trust)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise explained(file, error) from None


def _directory_problem(directory: str, trust: Trust) -> Diagnostic | None:
    """Why *directory* can't be used; a missing one can."""
    try:
        check_trusted(directory, trust)
    except UntrustedError as error:
        return error.problems[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        return Diagnostic(f"can't be listed: {os_reason(error)}", code="read_failed", file=directory)
    return None


def _judge(
    problems: Iterable[Diagnostic], policy: Policy, refused: list[Diagnostic], tolerated: list[Diagnostic]
) -> None:
    for problem in problems:
        if problem.severity == ERROR and policy == "fail":
            refused.append(problem.but(hint=POLICY_HINT))
        elif policy != "ignore":
            tolerated.append(problem)


def injectable_problems(rule: Rule, trust: Trust) -> tuple[Diagnostic, ...]:
    """
    What forbids to put the hook of *rule*, which matches, into a container.

    The path has to be absolute, a timeout within its limits, and a program that runs on the host there and trusted;
    a program of startContainer lives in the container and is not looked at.
    """
    problems = []
    hook = rule.hook
    if not hook.path.startswith("/"):
        message = f"expected an absolute path, found {quoted(hook.path, 200)}"
        problems.append(Diagnostic(message, code="relative_path", file=rule.file, pointer="/hook/path"))
    if hook.timeout is not None and not 1 <= hook.timeout <= TIMEOUT_MAX:
        message = f"expected 1 to {TIMEOUT_MAX} seconds, found {hook.timeout}"
        problems.append(Diagnostic(message, code="odd_timeout", file=rule.file, pointer="/hook/timeout"))
    if not problems and any(stage != Stage.START_CONTAINER for stage in rule.stages):
        problems += program_problems(rule) or _untrusted_program(rule, trust)
    return only_errors(problems)


def _untrusted_program(rule: Rule, trust: Trust) -> tuple[Diagnostic, ...]:
    try:
        check_trusted(rule.hook.path, trust)
    except OCIHooksError as error:
        first = error.problems[0]
        message = f"program {quoted(rule.hook.path, 200)}: {first.message}"
        return (Diagnostic(message, code=first.code, file=rule.file, pointer="/hook/path", hint=first.hint),)
    except OSError as error:
        message = f"program {quoted(rule.hook.path, 200)}: {os_reason(error)}"
        return (Diagnostic(message, code="unreachable_program", file=rule.file, pointer="/hook/path"),)
    if not os.access(rule.hook.path, os.X_OK):
        message = f"program {quoted(rule.hook.path, 200)} is not executable"
        hint = f"chmod +x {rule.hook.path}"
        return (Diagnostic(message, code="odd_program", file=rule.file, pointer="/hook/path", hint=hint),)
    return ()
