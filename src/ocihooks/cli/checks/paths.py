"""Checks what is named on the command line: files, hooks directories and bundles, wherever they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ocihooks.cli.checks.documents import check_file, program_findings, read_rule_file
from ocihooks.cli.checks.names import name_findings
from ocihooks.cli.checks.report import Checked, Report, report
from ocihooks.errors import WARNING, Diagnostic
from ocihooks.hooksd.directories import survey
from ocihooks.injection import FILTER_STAGE


def check_path(path: str) -> Report:
    """
    Check one file, hooks directory or bundle; owners and modes are not looked at.

    Raises:
        UnavailableError: It can't be read.
    """
    config = os.path.join(path, "config.json")
    if os.path.isfile(config):
        return check_file(config)
    return check_directory(path) if os.path.isdir(path) else check_file(path)


def check_directory(directory: str) -> Report:
    """Check the rules of one hooks directory; their programs may be installed elsewhere."""
    rules, problems = survey([directory], (FILTER_STAGE,), read_file=read_rule_file)

    def findings() -> Iterator[Diagnostic]:
        yield from problems
        for rule in rules:
            yield from rule.problems
            if rule.config is not None:
                yield from (p.but(severity=WARNING) for p in program_findings(rule.config, rule.file))
        yield from name_findings(rules, [directory])

    return report([Checked(file=rule.file, kind="rule") for rule in rules], findings())
