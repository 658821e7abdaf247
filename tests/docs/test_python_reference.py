"""docs/reference/python.md: its example runs, and its tables have the public names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.markdown import DOCUMENTS, PROJECT, Block, blocks, tables

import ocihooks

PAGE = PROJECT / "docs/reference/python.md"

EXAMPLES = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]


@pytest.mark.parametrize("block", EXAMPLES, ids=map(str, EXAMPLES))
def test_example_runs(block: Block, tmp_path: Path) -> None:
    """A Python example runs as it stands, in an interpreter that knows nothing but the package, and prints nothing."""
    command = [sys.executable, "-I", "-W", "error", "-c", block.text]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def documented() -> list[str]:
    """The names that the tables of the page explain."""
    rows = [row for table in tables(PAGE).values() for row in table]
    return [match[1] for row in rows if (match := re.fullmatch(r"`(\w+)`", row[0]))]


def test_public_names() -> None:
    """The page has every public name, once, and no others."""
    assert sorted(documented()) == sorted(ocihooks.__all__)


def test_all_errors_share_a_base() -> None:
    """Every public exception but PatternError, a ValueError, is an OCIHooksError."""
    public = [getattr(ocihooks, name) for name in ocihooks.__all__]
    exceptions = [value for value in public if isinstance(value, type) and issubclass(value, Exception)]
    others = [value for value in exceptions if not issubclass(value, ocihooks.OCIHooksError)]
    assert others == [ocihooks.PatternError]
    assert issubclass(ocihooks.PatternError, ValueError)
