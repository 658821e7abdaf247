"""The table of rows is complete, and each row names tests that exist."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from torture.lanes import entries
from torture.outcome import Case
from torture.rows import ROWS, Row
from torture.run import PROJECT

each_row = pytest.mark.parametrize("row", ROWS, ids=[row.key for row in ROWS])


def test_all_rows_are_there() -> None:
    """Nothing that was promised to be tried is missing, and no row is there twice."""
    keys = [row.key for row in ROWS]
    assert sorted(keys) == sorted(
        (
            *("kill-anywhere", "errors-anywhere", "random-kill", "power-loss", "odd-files", "documents"),
            *("differential", "patterns", "hooks", "trees", "races", "races-elsewhere", "injection", "ldconfig"),
            *("permissions", "parallel", "editors", "monitor", "soak", "transparency", "engines", "logs", "plugin"),
        )
    )


@each_row
def test_named_tests_exist(row: Row) -> None:
    """Each test that a row names is in its file, under its class."""
    for entry in (*row.tests, *row.controls):
        file, *names = entry.split("::")
        nodes = ast.parse((PROJECT / file).read_text(encoding="utf-8")).body
        for name in names:
            found = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name]
            assert len(found) == 1, entry
            nodes = found[0].body


@each_row
def test_attacks_have_controls(row: Row) -> None:
    """A row on an attack names the tests in which the careless have to fail; others may."""
    assert row.controls or not row.attack


@each_row
def test_row_is_described(row: Row) -> None:
    """A row says what is tried, how much of it, and what has to come of it."""
    assert row.key.replace("-", "").isalpha()
    assert all((row.title, row.asked, row.passes, row.tests))


def collected(row: Row, *options: str) -> list[Case]:
    """The tests that pytest finds for a row."""
    words = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-n", "0", *options, *entries(row)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return [Case(node=line) for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow
@each_row
def test_something_is_collected(row: Row) -> None:
    """pytest finds tests for each entry of a row, and quick ones where ``make test`` does the row too."""
    found = collected(row)
    assert [entry for entry in (*row.tests, *row.controls) if not any(case.is_of((entry,)) for case in found)] == []
    if row.quick:
        quick = collected(row, "-m", "not slow")
        assert any(case.is_of(row.tests) for case in quick)
        assert not row.controls or any(case.is_of(row.controls) for case in quick)
