"""The account at the end of a test run, and what ``CI=true`` makes of runtimes that no test ran on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocihooks

CONFTEST = Path(__file__).parents[1] / "conftest.py"

ON_BOTH = """
import pytest

@pytest.mark.parametrize("name", ["runc", "crun"])
@pytest.mark.parametrize("number", range(3))
def test_passes(name, number, ran_on):
    ran_on(name, "1.0")

def test_fails(ran_on):
    ran_on("runc", "1.0")
    assert False

@pytest.fixture
def broken_clean_up(ran_on):
    ran_on("runc", "1.0")
    yield
    assert False

def test_breaks_later(broken_clean_up):
    pass

def test_skips(ran_on):
    ran_on("crun", "1.0")
    pytest.skip("no")

def test_engine(ran_on):
    ran_on("docker", "20.10.24")
"""

ON_NONE = "def test_passes(): pass\n"

MISSING = """
from ocihooks.errors import UnavailableError

def test_needs_it(unavailable):
    unavailable(UnavailableError("runc: not found on PATH", hint="apt-get install runc"))
"""


class Project:
    """A folder of tests with our conftest.py, and runtimes on PATH that only tell their version."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for folder in ("bin", "tests/integration", "tests/unit"):
            (directory / folder).mkdir(parents=True)
        shutil.copy(CONFTEST, directory / "tests")
        self.write("unit", ON_NONE)
        for name in ("runc", "crun"):
            program = directory / "bin" / name
            program.write_text(f"#!/bin/sh\necho {name} version 1.0\n")
            program.chmod(0o755)

    def write(self, folder: str, tests: str) -> None:
        """Make a file of tests in a folder."""
        (self._directory / "tests" / folder / f"test_{folder}.py").write_text(tests)

    def remove(self, program: str) -> None:
        """Take a runtime off PATH."""
        (self._directory / "bin" / program).unlink()

    def run(self, *arguments: str, ci: str) -> subprocess.CompletedProcess[str]:
        """Run pytest there, with no plugin but pytest-xdist, which takes half the time."""
        environment = {
            "PATH": str(self._directory / "bin"),
            "PYTHONPATH": str(Path(ocihooks.__file__).parents[1]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "CI": ci,
        }
        command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "xdist.plugin"]
        command += ["-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={self._directory}", *arguments]
        return subprocess.run(
            command, cwd=self._directory, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose integration tests run on nothing."""
    made = Project(tmp_path)
    made.write("integration", ON_NONE)
    return made


@pytest.mark.parametrize("processes", [pytest.param("0", id="one-process"), pytest.param("2", id="two-workers")])
def test_account(processes: str, project: Project) -> None:
    """The last lines count the tests that passed on each runtime and engine, in one process and in several."""
    project.write("integration", ON_BOTH)
    finished = project.run("tests", "-n", processes, ci="true")
    assert finished.stdout.splitlines()[-3:] == ["runc 1.0: 3 tests", "crun 1.0: 3 tests", "docker 20.10.24: 1 test"]
    assert finished.returncode == 1  # for the tests that failed
    assert "CI=true" not in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "ci", "fails"),
    [
        pytest.param(["tests"], "true", True, id="whole-suite"),
        pytest.param(["tests/integration"], "true", True, id="integration"),
        pytest.param(["tests", "-m", "not slow"], "true", True, id="without-slow-ones"),
        pytest.param(["tests/unit"], "true", False, id="other-folder"),
        pytest.param(["tests/integration/test_integration.py"], "true", False, id="one-file"),
        pytest.param(["tests", "-k", "passes"], "true", False, id="by-name"),
        pytest.param(["tests", "-m", "not runtime"], "true", False, id="without-runtimes"),
        pytest.param(["tests", "--collect-only"], "true", False, id="only-collected"),
        pytest.param(["tests"], "", False, id="not-promised"),
    ],
)
def test_no_test_ran_there(arguments: list[str], ci: str, fails: bool, project: Project) -> None:
    """Under CI=true, a run of all integration tests in which none ran on a runtime fails and says why."""
    finished = project.run(*arguments, ci=ci)
    message = "FAILED: CI=true promises runc and crun, but no test passed there"
    assert finished.returncode == (1 if fails else 0), finished.stdout + finished.stderr
    assert (message in finished.stdout) == fails


def test_one_runtime_is_missing(project: Project) -> None:
    """A runtime that is not installed stands in the account as missing, and is the one that CI=true complains about."""
    project.write("integration", "def test_runs(ran_on): ran_on('runc', '1.0')\n")
    project.remove("crun")
    finished = project.run("tests", ci="true")
    assert finished.returncode == 1
    assert finished.stdout.splitlines()[-3:] == [
        "FAILED: CI=true promises crun, but no test passed there",
        "runc 1.0: 1 test",
        "crun (missing): 0 tests",
    ]


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [pytest.param("true", "1 failed", id="promised"), pytest.param("", "1 skipped", id="not-promised")],
)
def test_needs_what_is_missing(ci: str, outcome: str, project: Project) -> None:
    """A test that needs a missing runtime fails where it was promised and is skipped elsewhere, naming the remedy."""
    project.write("unit", MISSING)
    finished = project.run("tests/unit", "-ra", ci=ci)
    assert outcome in finished.stdout
    assert "runc: not found on PATH; hint: apt-get install runc" in finished.stdout
