"""
The tables of docs/reference/engines.md, made from a run of the tests.

``python -m tests.engines.page`` runs them and writes the tables into the page.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.engines.features import BENEATH, ENGINES, FEATURES

from ocihooks.errors import UnavailableError
from ocihooks.testing.runtimes import find_runtime

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/reference/engines.md"

MASK = "VERSION"


def write_page() -> None:
    """Run the tests, and write what came of it."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        options = ["-q", "-n", "0", "-m", "feature", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        subprocess.run([sys.executable, "-m", "pytest", *options, "tests/engines"], cwd=PROJECT, check=False)
        passed = read_report(report)
    PAGE.write_text(page(passed))


def read_report(report: Path) -> dict[tuple[str, str], str]:
    """From pytest's report, for each feature and engine that a test passed for, the engine's version."""
    passed = {}
    for case in ET.parse(report).iter("testcase"):
        if any(case.find(outcome) is not None for outcome in ("failure", "error", "skipped")):
            continue
        for item in case.iter("property"):
            if item.attrib["name"].startswith("feature "):
                engine, _, version = item.attrib["value"].rpartition(" ")
                passed[item.attrib["name"].removeprefix("feature "), engine] = version
    return passed


def page(passed: Mapping[tuple[str, str], str]) -> str:
    """The whole page, with new tables in its old prose; *passed* as ``read_report`` gives it."""
    text = PAGE.read_text()
    for name, lines in {"table": _table(passed), "reasons": _reasons()}.items():
        before, mark, rest = text.partition(f"<!-- made: {name} -->\n")
        assert mark, f"{PAGE}: there is no mark for the {name}"
        text = f"{before}{mark}{''.join(lines)}<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def masked(text: str) -> str:
    """*text* with all versions replaced by one word."""
    rows = [row if not row.startswith(("| version", "| runtime")) else _masked_row(row) for row in text.split("\n")]
    return "\n".join(rows)


def everything_passed() -> dict[tuple[str, str], str]:
    """What ``read_report`` gives when all tests pass, with one word for versions."""
    return {(feature, name): MASK for feature in FEATURES for name in ENGINES if name not in FEATURES[feature]}


def _table(passed: Mapping[tuple[str, str], str]) -> Iterator[str]:
    versions = {engine: version for (_, engine), version in passed.items()}
    yield _row("", ENGINES)
    yield _row("---", ("---",) * len(ENGINES))
    yield _row("version", [versions.get(name, "?") for name in ENGINES])
    yield _row("runtime", [_runtime(BENEATH[name]) for name in ENGINES])
    for feature in FEATURES:
        yield _row(feature, [_cell(feature, name, passed) for name in ENGINES])


def _runtime(name: str) -> str:
    try:
        return f"{name} {find_runtime(name).version}"
    except UnavailableError:
        return f"{name} ?"


def _row(first: str, others: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join([first, *others])} |\n"


def _cell(feature: str, name: str, passed: Mapping[tuple[str, str], str]) -> str:
    if name in FEATURES[feature]:
        return "-"
    return "yes" if (feature, name) in passed else "no"


def _reasons() -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for feature, lacking in FEATURES.items():
        for name, reason in lacking.items():
            reasons.setdefault((name, reason), []).append(feature)
    for (name, reason), features in sorted(reasons.items(), key=lambda item: ENGINES.index(item[0][0])):
        yield f"- {name}: {', '.join(f'*{feature}*' for feature in features)}, since {reason}.\n"


def _masked_row(row: str) -> str:
    return re.sub(r"\| (?:(runc|crun) )?[^|]+ (?=\|)", lambda match: f"| {match[1] or ''} {MASK} ", row)


if __name__ == "__main__":
    write_page()
