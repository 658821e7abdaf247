"""docs/reference/engines.md is what a run of these tests says, whatever the versions."""

from __future__ import annotations

from pathlib import Path

from tests.engines.features import ENGINES, FEATURES
from tests.engines.page import PAGE, everything_passed, masked, page, read_report

REPORT = """<testsuites><testsuite>
<testcase name="a"><properties><property name="feature exec" value="podman by path 4.3.1"/></properties></testcase>
<testcase name="b"><properties><property name="feature exec" value="docker 20.10.24"/></properties><failure/></testcase>
<testcase name="c"><properties><property name="feature kill" value="docker 20.10.24"/></properties><skipped/></testcase>
<testcase name="d"><properties><property name="ran on" value="docker 20.10.24"/></properties></testcase>
</testsuite></testsuites>"""


def test_page_is_up_to_date() -> None:
    """The committed page lists the features and engines of these tests, and all of them passed."""
    assert masked(PAGE.read_text()) == masked(page(everything_passed()))


def test_only_what_passed_counts(tmp_path: Path) -> None:
    """Of a report only the features of tests that passed are taken."""
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read_report(report) == {("exec", "podman by path"): "4.3.1"}


def test_every_feature_is_explained() -> None:
    """The page says what each feature means, and why an engine lacks it."""
    text = PAGE.read_text()
    meanings = text.partition("## What the rows mean")[2].partition("##")[0]
    for feature, lacking in FEATURES.items():
        assert f"*{feature}*" in meanings
        assert set(lacking) < set(ENGINES)
        for name, reason in lacking.items():
            assert any(
                line.startswith(f"- {name}: ") and f"*{feature}*" in line and line.endswith(f"since {reason}.")
                for line in text.splitlines()
            )


def test_every_feature_is_tested() -> None:
    """Each row of the table belongs to a test."""
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*_engines.py"))
    assert [feature for feature in FEATURES if f'@shows("{feature}")' not in tests] == []
