"""The account at the end of a test run, and what ``CI=true`` makes of runtimes and engines that no test ran on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocihooks

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SAYS = {
    "runc": "runc version 1.0",
    "crun": "crun version 1.0",
    "dockerd": "Docker version 20.10.24, build 1234567",
    "containerd": "containerd containerd.io 1.6.20 1234567",
    "podman": "podman version 4.3.1",
    "buildah": "buildah version 1.28.2 (image-spec 1.0.2)",
}
"""What the programs on PATH say about their versions."""

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
    """A folder of tests with our conftest.py, and runtimes and engines on PATH that only tell their version."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for folder in ("bin", "tests/integration", "tests/engines", "tests/unit"):
            (directory / folder).mkdir(parents=True)
        shutil.copy(CONFTEST, directory / "tests")
        self.write("unit", ON_NONE)
        for name, text in SAYS.items():
            program = directory / "bin" / name
            program.write_text(f"#!/bin/sh\necho '{text}'\n")
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
    """A project whose tests run on nothing."""
    made = Project(tmp_path)
    made.write("integration", ON_NONE)
    made.write("engines", ON_NONE)
    return made


@pytest.mark.parametrize("processes", [pytest.param("0", id="one-process"), pytest.param("2", id="two-workers")])
def test_account(processes: str, project: Project) -> None:
    """The last lines count the tests that passed on each runtime and engine, in one process and in several."""
    project.write("integration", ON_BOTH)
    finished = project.run("tests/integration", "-n", processes, ci="true")
    assert finished.stdout.splitlines()[-6:] == [
        "runc 1.0: 3 tests",
        "crun 1.0: 3 tests",
        "docker 20.10.24: 1 test",
        "containerd 1.6.20: 0 tests",
        "podman 4.3.1: 0 tests",
        "buildah 1.28.2: 0 tests",
    ]
    assert finished.returncode == 1  # for the tests that failed
    assert "CI=true" not in finished.stdout


RUNTIMES, ENGINES = "runc, crun", "docker, containerd, podman"


@pytest.mark.parametrize(
    ("arguments", "ci", "missed"),
    [
        pytest.param(["tests"], "true", f"{RUNTIMES}, {ENGINES}", id="whole-suite"),
        pytest.param(["tests/integration"], "true", RUNTIMES, id="integration"),
        pytest.param(["tests/engines"], "true", ENGINES, id="engines", marks=pytest.mark.slow),
        pytest.param(
            ["tests", "-m", "not slow"],
            "true",
            f"{RUNTIMES}, {ENGINES}",
            id="without-slow-ones",
            marks=pytest.mark.slow,
        ),
        pytest.param(["tests/unit"], "true", None, id="other-folder", marks=pytest.mark.slow),
        pytest.param(["tests/integration/test_integration.py"], "true", None, id="one-file"),
        pytest.param(["tests", "-k", "passes"], "true", None, id="by-name"),
        pytest.param(["tests", "-m", "not runtime"], "true", None, id="without-runtimes", marks=pytest.mark.slow),
        pytest.param(["tests", "--collect-only"], "true", None, id="only-collected", marks=pytest.mark.slow),
        pytest.param(["tests"], "", None, id="not-promised"),
    ],
)
def test_no_test_ran_there(arguments: list[str], ci: str, missed: str | None, project: Project) -> None:
    """Under CI=true, a run of a whole folder in which no test ran on what it promises fails and says why."""
    finished = project.run(*arguments, ci=ci)
    assert finished.returncode == (1 if missed else 0), finished.stdout + finished.stderr
    said = [line for line in finished.stdout.splitlines() if line.startswith("FAILED")]
    assert said == ([f"FAILED: CI=true promises {missed}, but no test passed there"] if missed else [])


@pytest.mark.parametrize(
    ("program", "name", "folder"),
    [("crun", "crun", "integration"), ("dockerd", "docker", "engines")],
    ids=["runtime", "engine"],
)
def test_one_is_missing(program: str, name: str, folder: str, project: Project) -> None:
    """A program that is not installed stands in the account as missing, and is what CI=true complains about."""
    names = ("runc", "crun", "docker", "containerd", "podman")
    runs = "".join(f"    ran_on({one!r}, '1.0')\n" for one in names if one != name)
    project.write(folder, f"def test_runs(ran_on):\n{runs}")
    project.remove(program)
    finished = project.run(f"tests/{folder}", ci="true")
    assert finished.returncode == 1
    lines = finished.stdout.splitlines()
    assert f"FAILED: CI=true promises {name}, but no test passed there" in lines
    assert f"{name} (missing): 0 tests" in lines


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
