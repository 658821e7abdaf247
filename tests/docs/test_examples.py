"""The example projects of hook authors: their own tests pass with what comes with the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.docs.markdown import PROJECT

EXAMPLES = sorted(path.parent for path in (PROJECT / "examples").glob("*/pyproject.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_own_tests(example: Path, tmp_path: Path) -> None:
    """Its tests pass in a directory of its own, without a warning, and leave nothing beside the sources."""
    copy = tmp_path / example.name
    shutil.copytree(example, copy, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-rs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=copy, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert sorted(copy.rglob("*")) == sorted(copy / path.relative_to(example) for path in example.rglob("*[!c]"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_console_script(example: Path) -> None:
    """The program that its pyproject.toml announces is the hook's main."""
    project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
    for target in project["scripts"].values():
        module, _, attribute = target.partition(":")
        code = f"from {module} import {attribute.partition('.')[0]} as hook; raise SystemExit(not callable(hook.main))"
        assert subprocess.run([sys.executable, "-B", "-c", code], check=False, cwd=example).returncode == 0


def test_there_is_one() -> None:
    """There is an example at all."""
    assert EXAMPLES
