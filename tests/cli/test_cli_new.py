"""The command `new`: a hook that works at once, and nothing overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.cli.place import Place, Run

from ocihooks.spec.stage import STAGES


def test_output(place: Place, ocihooks: Run) -> None:
    """Three files are written, and the way on is told."""
    finished = ocihooks("new", "gpu-audit")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout.startswith(
        """\
wrote {DIR}/gpu-audit/gpu_audit.py
wrote {DIR}/gpu-audit/gpu-audit.json
wrote {DIR}/gpu-audit/test_gpu_audit.py

test it, see what it does, and give it to containers:
  python -m pytest {DIR}/gpu-audit/test_gpu_audit.py
  ocihooks simulate --hooks-dir {DIR}/gpu-audit --annotation com.example.gpu-audit=yes
"""
    )
    assert sorted(os.listdir(place.root / "gpu-audit")) == ["gpu-audit.json", "gpu_audit.py", "test_gpu_audit.py"]


def test_its_own_test_passes(place: Place, ocihooks: Run) -> None:
    """The test that is written passes as it stands, without a warning."""
    ocihooks("new", "gpu-audit")
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "gpu-audit"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "startContainer"])
def test_rule(stage: str, place: Place, ocihooks: Run) -> None:
    """The rule file is the one that the program prints, for each stage, and has no errors."""
    assert ocihooks("new", "audit", "--directory", "{DIR}/x y", "--stage", stage).status == 0
    file = place.root / "x y/audit.json"
    command = [sys.executable, "-B", str(file.parent / "audit.py"), "--rule"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == file.read_text()
    assert json.loads(file.read_text())["stages"] == [stage]
    assert ocihooks("check", str(file)).status == 0


@pytest.mark.parametrize("there", ["audit.py", "audit.json", "test_audit.py"])
def test_never_overwrites(there: str, place: Place, ocihooks: Run) -> None:
    """If one of the files is there, even as a link to nowhere, nothing is written."""
    (place.root / "audit").mkdir()
    (place.root / "audit" / there).symlink_to("nowhere")
    finished = ocihooks("new", "audit")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr.startswith(f"ocihooks: {{DIR}}/audit/{there}: is there already\nhint: ")
    assert os.listdir(place.root / "audit") == [there]


def test_dry_run(place: Place, ocihooks: Run) -> None:
    """A dry run names the files and writes none."""
    finished = ocihooks("new", "audit", "--dry-run", "--json")
    files = [f"{{DIR}}/audit/{name}" for name in ("audit.py", "audit.json", "test_audit.py")]
    assert finished.json() == {"directory": "{DIR}/audit", "files": files, "dry_run": True}
    assert not (place.root / "audit").exists()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("Audit", id="upper-case"),
        pytest.param("../audit", id="path"),
        pytest.param("1st", id="digit"),
        pytest.param("a--b", id="two-hyphens"),
        pytest.param("class", id="keyword"),
        pytest.param("ocihooks", id="our-own"),
    ],
)
def test_bad_name(name: str, place: Place, ocihooks: Run) -> None:
    """What can't be a module is refused with status 2, one sentence and a hint."""
    before = os.listdir(place.root)
    finished = ocihooks("new", name)
    assert (finished.status, finished.stdout) == (2, "")
    assert f"{json.dumps(name)} can't be the name of a hook" in finished.stderr
    assert os.listdir(place.root) == before


def test_stage_in_the_container(ocihooks: Run) -> None:
    """A program on the host can't be a hook of startContainer."""
    finished = ocihooks("new", "audit", "--stage", "startContainer")
    assert finished.status == 2
    assert "'startContainer' is not one of" in finished.stderr


def test_place_that_can_not_be_made(place: Place, ocihooks: Run) -> None:
    """A directory below a file can't be made, and that is said."""
    place.write("file", "")
    finished = ocihooks("new", "audit", "--directory", "{DIR}/file/x")
    assert finished.status == 3
    assert finished.stderr.startswith("ocihooks: {DIR}/file/x: can't be made: ")
