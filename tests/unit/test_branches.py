"""Every branch of what replaces files, and of what owns paths in a container's root, is taken by its tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

MEASURED = {
    "replacing": (("replace.py",), ("replace", "replace_rare")),
    "paths-in-a-root": (
        ("injector/rootfs.py", "injector/kernel.py", "reading.py"),
        ("injector_rootfs", "injector_changes", "injector_kernel", "reading"),
    ),
}
"""Modules, and the tests of one process that do for them; those that kill and trace others are not needed."""


@pytest.mark.slow
@pytest.mark.parametrize(("modules", "tests"), MEASURED.values(), ids=list(MEASURED))
def test_every_branch(modules: tuple[str, ...], tests: tuple[str, ...], tmp_path: Path) -> None:
    """The tests take every branch of the modules."""
    settings = tmp_path / "settings.ini"
    settings.write_text(
        f"[run]\nbranch = True\ninclude = {','.join(f'*/ocihooks/{module}' for module in modules)}\n"
        f"data_file = {tmp_path}/data\n"
        "[report]\nexclude_also =\n    if TYPE_CHECKING:\n"
    )
    coverage = [sys.executable, "-m", "coverage"]
    files = [f"tests/unit/test_{part}.py" for part in tests]
    words = [*coverage, "run", f"--rcfile={settings}", "-m", "pytest", "-q", "-n", "0", "-m", "not slow", *files]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(words, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    report = [*coverage, "report", "-m", f"--rcfile={settings}", "--fail-under=100"]
    told = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert all(module in told.stdout for module in modules)
