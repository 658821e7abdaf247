"""
Loads the rules that may go into containers: only files that nobody but root could have written, judged by policy.

An invalid rule might have matched, so by default no container starts while there is one; see `on-invalid`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ocihooks.errors import ERROR, Diagnostic, UntrustedError, os_reason
from ocihooks.hooksd.directories import Rule, survey
from ocihooks.injection import FILTER_STAGE
from ocihooks.settings import Policy, Settings
from ocihooks.trust import Trust, check_trusted, explained, read_trusted
from ocihooks.wrapper.usable import POLICY_HINT


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
