"""docs/reference/python.md: its example runs, and its tables have the public names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ocihooks
from tests.docs.markdown import DOCUMENTS, PROJECT, Block, blocks, prose

PAGE = PROJECT / "docs/reference/python.md"

EXAMPLES = [block for document in DOCUMENTS for block in blocks(document) if block.language == "python"]


@pytest.mark.parametrize("block", EXAMPLES, ids=map(str, EXAMPLES))
def test_example_runs(block: Block, tmp_path: Path) -> None:
    """A Python example runs as it stands, in an interpreter that knows nothing but the package, and prints nothing."""
    command = [sys.executable, "-I", "-W", "error", "-c", block.text]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def documented() -> list[str]:
    """The names that the page explains: first cells of table rows, and sentences that begin with a name."""
    found = [match[1] for _, line in prose(PAGE) if (match := re.match(r"(?:\| )?`(\w+)`(?: \||\s+is )", line))]
    return found


def test_public_names() -> None:
    """The page has every public name, once, and no others."""
    assert sorted(documented()) == sorted(ocihooks.__all__)


def test_all_errors_share_a_base() -> None:
    """Every public exception but PatternError, a ValueError, is an OCIHooksError."""
    exceptions = {
        name
        for name in ocihooks.__all__
        if isinstance(value := getattr(ocihooks, name), type) and issubclass(value, Exception)
        if not issubclass(value, ocihooks.OCIHooksError)
    }
    assert exceptions == {"PatternError"}
    assert issubclass(ocihooks.PatternError, ValueError)
