"""The report of a made-up run, to the letter, and the committed one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torture import report
from torture.outcome import Case, Outcome, added_up, outcome_of, read_cases
from torture.report import Entry, data, page, read_entries
from torture.rows import ROWS, Row
from torture.run import PROJECT

ROW = Row(
    key="row",
    title="a title",
    asked="two of them",
    passes="nothing breaks",
    tests=("tests/unit/test_a.py::TestA", "tests/unit/test_b.py::test_b"),
    controls=("tests/unit/test_a.py::test_naive",),
    attack=True,
)

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a.TestA" name="test_x[1]" file="tests/unit/test_a.py"><properties>
<property name="amount" value="1,200 kills" /><property name="ran on" value="runc 1"/></properties></testcase>
<testcase classname="tests.unit.test_a.TestA" name="test_x[2]" file="tests/unit/test_a.py"><properties>
<property name="amount" value="34 kills" /></properties></testcase>
<testcase classname="tests.unit.test_a" name="test_naive" file="tests/unit/test_a.py"><properties>
<property name="control" value="torn 7 times" /></properties></testcase>
<testcase classname="tests.unit.test_b" name="test_b" file="tests/unit/test_b.py"/>
</testsuite></testsuites>"""

NODES = (
    "tests/unit/test_a.py::TestA::test_x[1]",
    "tests/unit/test_a.py::TestA::test_x[2]",
    "tests/unit/test_a.py::test_naive",
    "tests/unit/test_b.py::test_b",
)


def cases_in(tmp_path: Path, text: str) -> list[Case]:
    """The cases of a report with *text*."""
    (tmp_path / "r.xml").write_text(text)
    return read_cases(tmp_path / "r.xml")


def test_report_of_pytest(tmp_path: Path) -> None:
    """Node ids, amounts and controls are read from pytest's report."""
    cases = cases_in(tmp_path, JUNIT)
    assert tuple(case.node for case in cases) == NODES
    assert [case.amounts for case in cases] == [("1,200 kills",), ("34 kills",), (), ()]
    assert outcome_of(ROW, cases, 1.5) == Outcome(
        key="row", result="held", amount="1,234 kills", control="torn 7 times", seconds=1.5
    )


FAILURE = '<failure message="AssertionError: torn&#10;assert 1 == 0">and so on</failure>'
SKIPPED = '<skipped type="pytest.skip" message="needs root">x:1: needs root</skipped>'


@pytest.mark.parametrize(
    ("node", "inside", "result"),
    [
        pytest.param(1, FAILURE, "failed", id="test-failed"),
        pytest.param(2, FAILURE, "failed", id="control-failed"),
        pytest.param(2, "<error>cleaning up</error>", "failed", id="control-not-cleaned-up"),
        pytest.param(1, SKIPPED, "held", id="one-skipped"),
        pytest.param(2, SKIPPED, "not run", id="control-skipped"),
    ],
)
def test_results(node: int, inside: str, result: str, tmp_path: Path) -> None:
    """A row fails with any of its tests and controls, and has not run without a control; reasons are kept."""
    lines = JUNIT.splitlines()
    wanted = [line for line in lines if f'name="{NODES[node].rpartition("::")[2]}"' in line]
    (line,) = wanted
    outcome = outcome_of(
        ROW, cases_in(tmp_path, JUNIT.replace(line, line.replace("<properties>", f"{inside}<properties>"))), 1
    )
    assert outcome.result == result
    reasons = outcome.problems + outcome.left_out
    texts = {FAILURE: "AssertionError: torn", SKIPPED: "needs root"}
    assert reasons == (f"{NODES[node]}: {texts.get(inside, 'cleaning up')}",)


def test_nothing_ran() -> None:
    """Without a test a row has not run, and where pytest itself had trouble it failed."""
    assert outcome_of(ROW, [], 1).result == "not run"
    assert outcome_of(ROW, [], 1, ["pytest ended with status 4"]).problems == ("pytest ended with status 4",)
    assert outcome_of(ROW, [], 1, ["pytest ended with status 4"]).result == "failed"


def test_amounts_without_words() -> None:
    """Where tests tell no amount, they are counted."""
    cases = [Case(node=node) for node in NODES]
    outcome = outcome_of(ROW, cases, 1)
    assert (outcome.amount, outcome.control) == ("3 tests", "1 test")


def test_sums() -> None:
    """Numbers of the same thing are added up, and texts that begin with no number stand once each."""
    texts = ["2 kills", "1,000 kills", "3 kill", "torn", "torn", "12 of 3"]
    assert added_up(texts) == ["3 kill", "1,002 kills", "12 of 3", "torn"]


ENTRIES = {
    "trees": Entry(
        outcome=Outcome(key="trees", result="held", amount="405 operations", control="20 of 45 | all", seconds=12.4),
        commit="0123456789",
        versions={"kernel": "6.1", "runc": "1.1.5"},
    ),
    "kill-anywhere": Entry(
        outcome=Outcome(
            key="kill-anywhere",
            result="failed",
            amount="",
            control="",
            problems=("tests/x.py::test_y: torn",),
            left_out=("tests/x.py::test_z: needs root",),
            seconds=99.6,
        ),
        commit="abcdef0123+",
        versions={"kernel": "6.1", "runc": "1.2.0"},
    ),
}


def test_page_of_a_run() -> None:
    """The page shows each row in the order of the table, what failed, what was left out, and the versions."""
    text = page(ENTRIES)
    assert text.startswith(report.HEAD)
    results, rest = text.removeprefix(report.HEAD).split("\n## What failed\n")
    assert results.splitlines()[:3] == [
        "| row | amount | result | control | seconds | commit |",
        "| --- | --- | --- | --- | --- | --- |",
        "| kill-anywhere |  | failed |  | 100 | abcdef0123+ |",
    ]
    assert "| trees | 405 operations | held | 20 of 45 \\| all | 12 | 0123456789 |\n" in results
    assert "| races |  | not run |  |  |  |\n" in results
    assert len(results.splitlines()) == 2 + len(ROWS)
    assert rest.startswith(
        "\n- tests/x.py::test_y: torn\n\n## What was left out\n\n- tests/x.py::test_z: needs root\n\n"
        "## What is asked for\n\n| row | what is tried | amount | what has to come of it | tests |\n"
    )
    asked = "| trees \\* | hostile trees in the container's root, with something watched beside it |"
    assert asked in rest
    assert rest.endswith("\n## What it ran on\n\n- kernel 6.1\n- runc 1.2.0, 1.1.5\n")


def test_data_of_a_run(tmp_path: Path) -> None:
    """The data has the same, in the order of the table, and is read back as it was."""
    file = tmp_path / report.DATA
    file.parent.mkdir()
    assert read_entries(tmp_path) == {}
    file.write_text(data(ENTRIES))
    assert read_entries(tmp_path) == ENTRIES
    assert [row["key"] for row in json.loads(file.read_text())["rows"]] == ["kill-anywhere", "trees"]
    assert json.loads(file.read_text())["rows"][1] == {
        "key": "trees",
        "result": "held",
        "amount": "405 operations",
        "control": "20 of 45 | all",
        "problems": [],
        "left_out": [],
        "seconds": 12.4,
        "commit": "0123456789",
        "versions": {"kernel": "6.1", "runc": "1.1.5"},
    }


def test_partial_run(tmp_path: Path) -> None:
    """A row that ran again takes the place of what was known of it, and the others stay."""
    (tmp_path / "docs").mkdir()
    for entry in ENTRIES.values():
        report.add(tmp_path, entry)
    again = replace(ENTRIES["kill-anywhere"], commit="999")
    report.add(tmp_path, again)
    entries = ENTRIES | {"kill-anywhere": again}
    assert read_entries(tmp_path) == entries
    assert (tmp_path / report.PAGE).read_text() == page(entries)


def test_committed_page() -> None:
    """docs/torture.md is what docs/torture.json and the table of rows say."""
    entries = read_entries(PROJECT)
    assert (PROJECT / report.PAGE).read_text(encoding="utf-8") == page(entries), "run python -m torture.report"
    assert (PROJECT / report.DATA).read_text(encoding="utf-8") == data(entries)
