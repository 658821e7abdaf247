"""docs/explanation/security.md: each promise names tests that exist, and no promise is without."""

from __future__ import annotations

import ast
import re

import pytest
from tests.docs.markdown import PROJECT, tables

PAGE = PROJECT / "docs/explanation/security.md"

PROMISES = tables(PAGE)["What is promised, and what shows it"]

NAMED = re.findall(r"`(tests/[^`]+)`", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("test", sorted(set(NAMED)))
def test_exists(test: str) -> None:
    """A test that the page names is there, under the class that it names."""
    file, *names = test.split("::")
    nodes = ast.parse((PROJECT / file).read_text(encoding="utf-8")).body
    for name in names:
        (found,) = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name]
        nodes = found.body
    assert names == [] or names[-1].startswith("test_")


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0][:40])
def test_promise(row: list[str]) -> None:
    """Each promise says how it is kept and names a test."""
    promise, how, tests = row[:3]
    assert promise
    assert how
    assert re.search(r"`tests/[^`]+\.py", tests)


def test_table_is_read() -> None:
    """The table has all promises."""
    assert len(PROMISES) > 20
