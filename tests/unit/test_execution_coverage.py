"""Every branch of the code that runs hooks is taken by its tests, in forked processes and other interpreters, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TESTS = [
    f"tests/unit/test_execution_{part}.py"
    for part in ("runner", "misbehaving", "ordered", "hook_lists", "limits", "output", "keeper", "spawned")
]
MODULES = ("cancel", "descendants", "exec", "keeper", "ordered", "outcome", "output", "process", "program")
MEASURED = [f"*/execution/{name}.py" for name in (*MODULES, "run", "runner", "spawned")]

NOT_MEASURED = (
    *("if TYPE_CHECKING:", r": \.\.\.$"),
    *("if leader == 0:", "def _become", "def _default_signals", "def __call__"),
)
"""What is never run, and what runs between fork and exec, where an exec or a kill comes before anything is saved."""

IN_EVERY_INTERPRETER = """
import posix
import coverage
coverage.process_startup()
end = posix._exit
def save_and_end(status):
    measuring = coverage.Coverage.current()
    if measuring is not None:
        measuring.stop()
        measuring.save()
    end(status)
posix._exit = save_and_end
"""
"""Measures from the start of an interpreter, and keeps what was measured when it ends without finalization."""


@pytest.mark.slow
def test_every_branch_of_the_runner(public_directory: Path) -> None:
    """The tests of the runner take every branch of it."""
    place = public_directory / "coverage"
    place.mkdir()
    place.chmod(0o777)  # some of the measured processes are another user's
    (place / "sitecustomize.py").write_text(IN_EVERY_INTERPRETER)
    settings = place / "settings.ini"
    settings.write_text(
        "[run]\nbranch = True\nparallel = True\n"
        f"source = {PROJECT / 'src/ocihooks/execution'}\ndata_file = {place}/data\n"
        f"[report]\nexclude_also =\n{''.join(f'    {pattern}' + chr(10) for pattern in NOT_MEASURED)}"
    )
    environ = os.environ | {"COVERAGE_PROCESS_START": str(settings), "PYTHONPATH": str(place)}
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not slow", *TESTS]
    done = subprocess.run(words, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "-q", f"--rcfile={settings}"], cwd=place, check=True)
    report = [*coverage, "report", "-m", f"--rcfile={settings}", "--fail-under=100", f"--include={','.join(MEASURED)}"]
    told = subprocess.run(report, cwd=place, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
