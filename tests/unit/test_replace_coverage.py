"""Every branch of what replaces files is taken by its tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TESTS = [f"tests/unit/test_{part}.py" for part in ("replace", "replace_rare")]


@pytest.mark.slow
def test_every_branch_of_replacing(tmp_path: Path) -> None:
    """The tests of one process take every branch; those that kill and trace others are not needed for that."""
    settings = tmp_path / "settings.ini"
    settings.write_text(
        f"[run]\nbranch = True\ninclude = */ocihooks/replace.py\ndata_file = {tmp_path}/data\n"
        "[report]\nexclude_also =\n    if TYPE_CHECKING:\n"
    )
    coverage = [sys.executable, "-m", "coverage"]
    words = [*coverage, "run", f"--rcfile={settings}", "-m", "pytest", "-q", "-n", "0", "-m", "not slow", *TESTS]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(words, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    report = [*coverage, "report", "-m", f"--rcfile={settings}", "--fail-under=100"]
    told = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
