"""Running rows: each is one run of pytest, or several that share the tests, and none stops the next one."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from torture import machine, report
from torture.lanes import Ended, Piece, pieces, run
from torture.report import read_entries
from torture.rows import ROWS, Row
from torture.run import main, still

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

@pytest.mark.parametrize("number", range(5))
def test_some(number, record_property):
    record_property("amount", "10 kills")

@pytest.mark.parametrize("me", range(3))
def test_meet(me):
    open(f"came-{me}", "w").close()
    deadline = time.monotonic() + 60
    while not all(os.path.exists(f"came-{each}") for each in range(3)):
        assert time.monotonic() < deadline
        time.sleep(0.01)

def noted(name):
    with open("noted", "a") as file:
        print("begin", name, file=file, flush=True)
        time.sleep(0.2)
        print("end", name, file=file, flush=True)

def test_one():
    noted("one")

def test_two():
    noted("two")

def test_three():
    noted("three")
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
    assert main(["--jobs", "1", "--row", "hooks", "races"], (BAD, GOOD), project) == 1
    said = capsys.readouterr().out.splitlines()
    assert [said[1], *said[3:5], said[6]] == [
        " 1/2 hooks: t (a)",
        "      test_x.py::test_bad: assert 1 == 2",
        "      all of it: build/torture/hooks*.log",
        " 2/2 races: t (a)",
    ]
    assert re.fullmatch(r" +0 s: hooks begins", said[0])
    assert re.fullmatch(r" +\d+ s: races begins", said[5])
    assert re.fullmatch(r"      failed in \d+ s: 5 kills", said[2])
    assert re.fullmatch(r"      held in \d+ s: 105 kills; control: torn", said[7])
    assert re.fullmatch(r"2 rows in \d+ s", said[8])
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


def test_three_at_a_time(project: Path) -> None:
    """Three parts of a row run at a time, unless somebody wants one lane only: here each waits for the others."""
    assert main([], (row("races", "meet", parts=3),), project) == 0


def test_parts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts of a row have each test once, and what came of them is one row of the report."""
    split = row("races", "some", "bad", controls=("test_x.py::test_naive",), parts=3)
    assert main([], (split,), project) == 1
    ran = [(project / f"build/torture/races-{number}-of-3.log").read_text() for number in (1, 2, 3)]
    assert sorted(re.findall(r"\d (?:passed|failed)", "".join(ran))) == ["1 failed", "2 passed", "2 passed", "2 passed"]
    outcome = read_entries(project)["races"].outcome
    assert (outcome.amount, outcome.control) == ("50 kills", "torn")
    assert outcome.problems == ("test_x.py::test_bad: assert 1 == 2",)
    assert " 1/1 races: t (a)\n" in capsys.readouterr().out


def test_nobody_beside_those_who_are_alone(project: Path) -> None:
    """Beside a row that has to be alone no other one runs, and those who are alone come first."""
    table = (row("races", "one"), row("hooks", "two", alone=True), row("trees", "three", alone=True))
    assert main(["--jobs", "3"], table, project) == 0
    lines = (project / "noted").read_text().splitlines()
    assert sorted(lines[:4]) == ["begin three", "begin two", "end three", "end two"]
    assert [line.split()[1] for line in lines[::2]] == [line.split()[1] for line in lines[1::2]]
    assert lines[4:] == ["begin one", "end one"]


def test_longest_first() -> None:
    """The pieces that took longest the last time begin first, and before them those that nobody knows."""
    rows = [row("hooks", "one"), row("races", "two", parts=2), row("trees", "three"), row("logs", "some", alone=True)]
    seconds = {"hooks": 10.0, "races": 18.0, "logs": 1.0}
    assert [piece.name for piece in pieces(rows, seconds)] == ["logs", "trees", "hooks", "races-1-of-2", "races-2-of-2"]
    assert [piece.name for piece in pieces(rows, seconds, split=False)] == ["logs", "trees", "races", "hooks"]


def test_a_run_that_is_given_up(project: Path) -> None:
    """Whoever gives up a run leaves no test behind."""
    (project / "test_x.py").write_text("import os, time\n\ndef test_pid():\n    open(str(os.getpid()), 'w').close()\n")
    with (project / "test_x.py").open("a") as file:
        file.write("    time.sleep(1000)\n")
    events = run([Piece(row=row("races", "pid"))], project, lanes=1, quick=False)
    assert isinstance(next(events), Piece)
    deadline = time.monotonic() + 60
    while not (pids := [name for name in os.listdir(project) if name.isdigit()]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    events.close()
    assert not Path("/proc", *pids).exists()


def test_no_end(project: Path) -> None:
    """Where pytest comes to no end, it is killed, and that is told."""
    began = time.monotonic()
    *_, ended = run([Piece(row=row("x", "slow"))], project, lanes=1, quick=False, limit_s=2)
    assert isinstance(ended, Ended)
    assert ended.trouble == "killed after 2 s"
    assert time.monotonic() - began < 60


def test_trouble_of_a_part(project: Path) -> None:
    """A row has failed where one of its parts did not come to an end, and the part is named."""
    assert main([], (row("races", "some", "gone", parts=2),), project) == 1
    (problem,) = read_entries(project)["races"].outcome.problems
    assert re.fullmatch(r"races-[12]-of-2: pytest ended with status 3", problem)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """All rows are listed with what is tried."""
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [row.key for row in ROWS]
    assert lines[2].endswith("killed at any time while files are replaced (1,000 kills)")


def test_dry_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would run is shown as a command for each piece of a row, with tests and controls."""
    assert main(["--dry-run", "--row", "races"], (BAD, GOOD), project) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(
        " -m pytest -q -n 0 --junitxml=REPORT -o junit_family=xunit1"
        " test_x.py::test_good test_x.py::test_full test_x.py::test_naive"
    )
    assert main(["--dry-run"], (row("races", "some", parts=2),), project) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r"part\.py \d/\d", line)[0] for line in lines] == ["part.py 1/2", "part.py 2/2"]  # type: ignore[index]


def test_unknown_row(capsys: pytest.CaptureFixture[str]) -> None:
    """A row that is not in the table is refused."""
    with pytest.raises(SystemExit) as caught:
        main(["--row", "nothing"])
    assert caught.value.code == 2
    assert "'nothing'" in capsys.readouterr().err


def test_changes_during_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is told to be of the commit at which the run began, and of changed files where that is no longer so."""
    monkeypatch.setattr(machine, "commit", lambda: "1234567890")
    assert [still("1234567890"), still("0000000000"), still("0000000000+")] == [
        "1234567890",
        "0000000000+",
        "0000000000+",
    ]


def test_no_lane(capsys: pytest.CaptureFixture[str]) -> None:
    """At least one piece runs at a time."""
    with pytest.raises(SystemExit) as caught:
        main(["--jobs", "0"])
    assert caught.value.code == 2
    assert "--jobs" in capsys.readouterr().err


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
