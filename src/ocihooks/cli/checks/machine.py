"""Checks this machine as the wrapper sees it: settings, kill switch, hooks directories, static hook files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ocihooks.cli.checks.documents import program_findings, static_findings
from ocihooks.cli.checks.names import name_findings
from ocihooks.cli.checks.report import Checked, Report, report
from ocihooks.cli.checks.supervision import supervision_findings
from ocihooks.cli.inventory import look
from ocihooks.cli.options import look_at_switch, with_directories
from ocihooks.errors import WARNING, Diagnostic, DocumentError, OCIHooksError, UntrustedError, quoted
from ocihooks.hooksd.directories import Rule, order
from ocihooks.injector.files import injector_paths
from ocihooks.modifiers.load import files_of
from ocihooks.settings import TABLE, Settings, read_settings
from ocihooks.trust import Trust, read_trusted
from ocihooks.wrapper.injectors import load_injectors
from ocihooks.wrapper.modifiers import modifier_findings
from ocihooks.wrapper.static import read_static_hooks
from ocihooks.wrapper.usable import injectable_problems


def check_machine(settings_file: str, hooks_dirs: tuple[str, ...]) -> Report:
    """Check everything that the settings lead to; *hooks_dirs* stand in place of their directories."""
    settings, findings = _settings(settings_file, hooks_dirs)
    findings += look_at_switch(settings_file)[1]
    rules, problems = look(settings)
    overridden = tuple(_overridden(rules, settings))
    findings += problems
    for rule in rules:
        findings += rule_findings(rule, settings)
    for rule in overridden:
        findings += _overridden_findings(rule, rules)
    findings += name_findings(rules, settings.hooks_dirs)
    findings += _unknown_policies(rules, settings)
    for file in settings.static_hooks:
        findings += static_file_findings(file, settings.trust())
    findings += modifier_findings(settings)
    for problem in load_injectors(settings)[1]:
        findings.append(problem if settings.on_invalid == "fail" else problem.but(severity=WARNING))
    return report(_checked(settings_file, settings, (*rules, *overridden)), findings)


def _settings(file: str, hooks_dirs: tuple[str, ...]) -> tuple[Settings, list[Diagnostic]]:
    """The settings, defaults where they are broken, and what is wrong with them."""
    try:
        return with_directories(read_settings(file), hooks_dirs), []
    except OCIHooksError as error:
        return with_directories(Settings(), hooks_dirs), list(error.problems)


def rule_findings(rule: Rule, settings: Settings) -> Iterator[Diagnostic]:
    """Everything about one rule file that counts: warnings only where the policy tolerates it."""
    tolerated = settings.policy(rule.name) != "fail"
    for problem in _rule_findings(rule, settings.trust()):
        yield problem.but(severity=WARNING) if tolerated else problem
    yield from supervision_findings(rule, settings)


def _rule_findings(rule: Rule, trust: Trust) -> Iterator[Diagnostic]:
    if rule.config is None:
        yield from rule.problems
        return
    unusable = injectable_problems(rule, trust)
    said = {(problem.code, problem.pointer) for problem in unusable}
    yield from unusable
    for problem in (*rule.problems, *program_findings(rule.config, rule.file)):
        if (problem.code, problem.pointer) not in said:
            yield problem


def _overridden(rules: Iterable[Rule], settings: Settings) -> Iterator[Rule]:
    """The rule files that others override, each read as if it were alone."""
    files = {file for rule in rules for file in rule.overrides}
    for directory in settings.hooks_dirs:
        alone, _ = look(replace(settings, hooks_dirs=(directory,)))
        yield from (rule for rule in alone if rule.file in files)


def _overridden_findings(rule: Rule, rules: Iterable[Rule]) -> Iterator[Diagnostic]:
    """The wrapper never reads the file, Podman and CRI-O do: no finding about it is more than a warning."""
    winner = next(other.file for other in rules if other.name == rule.name)
    for problem in rule.problems:
        yield Diagnostic(
            f"{problem.message} (overridden by {winner})",
            code=problem.code,
            severity=WARNING,
            file=problem.file,
            pointer=problem.pointer,
            hint=problem.hint or "Podman and CRI-O refuse to start containers with such a file, overridden or not",
        )


def _modifier_files(settings: Settings) -> Iterator[Checked]:
    for word in settings.modifiers:
        for file in tuple(files_of([word]))[-1:]:
            yield Checked(file=file, kind="modifier")


def _unknown_policies(rules: Iterable[Rule], settings: Settings) -> Iterator[Diagnostic]:
    names = {rule.name for rule in rules}
    for name in settings.rules:
        if name not in names:
            yield Diagnostic(
                f"there is no rule {quoted(name, 80)} in the hooks directories",
                code="unknown_rule",
                severity=WARNING,
                file=settings.file,
                pointer=f"{TABLE}.rules.{quoted(name, 80)}",
                hint="write the file name of the rule, with .json",
            )


def static_file_findings(file: str, trust: Trust) -> tuple[Diagnostic, ...]:
    """Everything about a static hook file of the settings."""
    try:
        read_static_hooks(file, trust)
    except UntrustedError as error:
        return error.problems
    except DocumentError as error:
        if error.code == "missing_file":
            return error.problems
    return tuple(static_findings(file, read_trusted(file, trust)))


def _checked(settings_file: str, settings: Settings, rules: Iterable[Rule]) -> Iterator[Checked]:
    """What was looked at: settings, rule files by directory in the order in which they run, static hook files."""
    if os.path.exists(settings_file):
        yield Checked(file=settings_file, kind="settings")
    found = sorted(rules, key=lambda rule: order(rule.name))
    for directory in settings.hooks_dirs:
        yield from (Checked(file=rule.file, kind="rule") for rule in found if os.path.dirname(rule.file) == directory)
    yield from (Checked(file=file, kind="static") for file in settings.static_hooks)
    yield from _modifier_files(settings)
    if settings.injector_dir and os.path.isdir(settings.injector_dir):
        yield from (Checked(file=file, kind="injector") for file in injector_paths(settings.injector_dir))
