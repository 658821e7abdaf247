"""What a check gives: findings in the order of their places, and what was looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ocihooks.errors import Diagnostic, only_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """
    A file that was looked at.

    Attributes:
        file: Its path.
        kind: ``settings``, ``rule``, ``static`` (a static hook file), ``injector`` (an injector file),
            ``modifier`` (the file of a modifier) or ``config`` (a config.json).
    """

    file: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    The result of one check.

    Attributes:
        checked: The files that were looked at.
        findings: All findings, sorted by place.
    """

    checked: tuple[Checked, ...] = ()
    findings: tuple[Diagnostic, ...] = ()

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return len(only_errors(self.findings))

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return len(self.findings) - self.errors

    def to_json(self) -> dict[str, Any]:
        """The JSON output of ``check``."""
        return {
            "checked": [{"file": checked.file, "kind": checked.kind} for checked in self.checked],
            "findings": [finding.to_json() for finding in self.findings],
            "errors": self.errors,
            "warnings": self.warnings,
        }


def report(checked: Iterable[Checked], findings: Iterable[Diagnostic]) -> Report:
    """
    A report with *findings* sorted by place, none of them twice.

    Files come in the order in which they were looked at, others behind those of their directory; within a file the
    order is that of the pointers, with numbers as numbers.
    """
    looked_at = tuple(checked)
    places = {entry.file: index for index, entry in enumerate(looked_at)}
    directories = {os.path.dirname(entry.file): index for index, entry in enumerate(looked_at)}

    def place(finding: Diagnostic) -> tuple[Any, ...]:
        file = finding.file or ""
        beside = directories.get(os.path.dirname(file), len(looked_at))
        return places.get(file, beside), file, _natural(finding.pointer or "")

    return Report(checked=looked_at, findings=tuple(sorted(dict.fromkeys(findings), key=place)))


def joined(reports: Iterable[Report]) -> Report:
    """One report of several, in their order."""
    all_reports = tuple(reports)
    return Report(
        checked=tuple(dict.fromkeys(checked for one in all_reports for checked in one.checked)),
        findings=tuple(dict.fromkeys(finding for one in all_reports for finding in one.findings)),
    )


def _natural(pointer: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", pointer)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
