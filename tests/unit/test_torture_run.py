"""Running rows: each is one run of pytest, and none stops the next one."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from torture import machine, report
from torture.report import read_entries
from torture.rows import ROWS, Row
from torture.run import main, run_row

TESTS = """
import os, time
import pytest

def test_good(record_property):
    record_property("amount", "5 kills")

@pytest.mark.slow
def test_full(record_property):
    record_property("amount", "100 kills")

def test_naive(record_property):
    record_property("control", "torn")

def test_bad():
    assert 1 == 2

def test_slow():
    time.sleep(1000)

def test_gone():
    os._exit(3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a few tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: slow\naddopts = -p no:randomly\n")
    (tmp_path / "test_x.py").write_text(TESTS)
    (tmp_path / "docs").mkdir()
    return tmp_path


def row(key: str, *tests: str, **more: Any) -> Row:
    """A row with these tests."""
    nodes = tuple(f"test_x.py::test_{test}" for test in tests)
    return Row(key=key, title="t", asked="a", passes="p", tests=nodes, **more)


GOOD = row("races", "good", "full", controls=("test_x.py::test_naive",), quick=True)
BAD = row("hooks", "bad", "good")


def test_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run adds to the report, failing rows stop nobody, and the exit status says whether all held."""
    assert main(["--row", "hooks", "races"], (BAD, GOOD), project) == 1
    said = capsys.readouterr().out.splitlines()
    assert [said[0], *said[2:5]] == [
        " 1/2 hooks: t (a)",
        "      test_x.py::test_bad: assert 1 == 2",
        "      all of it: build/torture/hooks.log",
        " 2/2 races: t (a)",
    ]
    assert re.fullmatch(r"      failed in \d+ s: 5 kills", said[1])
    assert re.fullmatch(r"      held in \d+ s: 105 kills; control: torn", said[5])
    assert "1 failed, 1 passed" in (project / "build/torture/hooks.log").read_text()
    assert {key: entry.outcome.result for key, entry in read_entries(project).items()} == {
        "hooks": "failed",
        "races": "held",
    }
    entries = read_entries(project)
    assert entries["races"].versions == machine.versions()
    assert (project / report.PAGE).read_text() == report.page(entries)


def test_quick_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run takes the rows of ``make test``, does what is not slow of them, and leaves the report as it is."""
    assert main(["--quick"], (BAD, GOOD), project) == 0
    assert re.search(
        r"^ 1/1 races: t \(a\)\n      held in \d+ s: 5 kills; control: torn$", capsys.readouterr().out, re.MULTILINE
    )
    assert list((project / "docs").iterdir()) == []


@pytest.mark.parametrize(
    ("test", "limit_s", "trouble"),
    [
        pytest.param("gone", 60, "pytest ended with status 3", id="ends-early"),
        pytest.param("slow", 2, "killed after 2 s", id="does-not-end"),
    ],
)
def test_trouble(test: str, limit_s: float, trouble: str, project: Path) -> None:
    """Where pytest itself comes to no end, or to a bad one, the row has failed, and that is told."""
    began = time.monotonic()
    outcome = run_row(row("x", test), project, quick=False, limit_s=limit_s)
    assert (outcome.result, outcome.problems) == ("failed", (trouble,))
    assert time.monotonic() - began < 60


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """All rows are listed with what is tried."""
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [row.key for row in ROWS]
    assert lines[2].endswith("killed at any time while files are replaced (1,000 kills)")


def test_dry_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would run is shown as a command for each row, with tests and controls."""
    assert main(["--dry-run", "--row", "races"], (BAD, GOOD), project) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(
        " -m pytest -q -n 0 --junitxml=REPORT -o junit_family=xunit1"
        " test_x.py::test_good test_x.py::test_full test_x.py::test_naive"
    )


def test_unknown_row(capsys: pytest.CaptureFixture[str]) -> None:
    """A row that is not in the table is refused."""
    with pytest.raises(SystemExit) as caught:
        main(["--row", "nothing"])
    assert caught.value.code == 2
    assert "'nothing'" in capsys.readouterr().err


def test_versions() -> None:
    """The report names versions of the kernel, the interpreter, both runtimes and the engines."""
    found = machine.versions()
    assert list(found) == [
        "kernel",
        "processors",
        "python",
        "runc",
        "crun",
        "docker",
        "containerd",
        "podman",
        "buildah",
    ]
    assert all(found.values())
