"""What came of a row, read from pytest's report."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torture.rows import Row

HELD, FAILED, NOT_RUN = "held", "failed", "not run"

MOST_LETTERS = 200
"""Of a message, that many stand in the report; the log has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What came of a row.

    Attributes:
        key: The row's.
        result: ``held``, ``failed``, or ``not run`` where no test or no control of it could run.
        amount: How much was tried, as the tests tell it.
        control: What became of the careless; "" where the row has no control.
        problems: Tests that failed, each with the first line of the reason.
        left_out: Tests that were skipped, each with the reason.
        seconds: How long it took; of a row in parts, all of them together.
    """

    key: str
    result: str
    amount: str
    control: str
    problems: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A test that ran: its node id, its properties, and why it failed or was skipped."""

    node: str
    amounts: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    problem: str = ""
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether it did."""
        return not self.problem and not self.skipped

    def is_of(self, entries: Iterable[str]) -> bool:
        """Whether one of the row's *entries* names it."""
        return any(self.node == entry or self.node.startswith((f"{entry}::", f"{entry}[")) for entry in entries)


def read_cases(report: Path) -> list[Case]:
    """The tests in a report of the family xunit1."""
    return [_case(element) for element in ET.parse(report).iter("testcase")]


def _case(element: ET.Element) -> Case:
    attributes = element.attrib
    module = attributes["file"].removesuffix(".py").replace("/", ".")
    classes = attributes["classname"].removeprefix(module).strip(".")
    parts = [attributes["file"], *(classes.split(".") if classes else []), attributes["name"]]
    problem = next((found for found in element if found.tag in ("failure", "error")), None)
    skipped = element.find("skipped")
    return Case(
        node="::".join(parts),
        amounts=tuple(_values(element, "amount")),
        controls=tuple(_values(element, "control")),
        problem="" if problem is None else _first_line(problem),
        skipped="" if skipped is None else _first_line(skipped),
    )


def _values(element: ET.Element, name: str) -> Iterator[str]:
    return (item.attrib["value"] for item in element.iter("property") if item.attrib["name"] == name)


def _first_line(element: ET.Element) -> str:
    text = element.attrib.get("message") or element.text or element.tag
    return text.strip().partition("\n")[0][:MOST_LETTERS]


def outcome_of(row: Row, cases: list[Case], seconds: float, trouble: Iterable[str] = ()) -> Outcome:
    """What *cases* make of a row; *trouble* is what kept pytest from running all of them."""
    tests = [case for case in cases if case.is_of(row.tests)]
    controls = [case for case in cases if case.is_of(row.controls)]
    passed = [case for case in tests if case.passed]
    shown = [case for case in controls if case.passed]
    problems = [*(f"{case.node}: {case.problem}" for case in cases if case.problem), *trouble]
    ran = bool(passed) and (bool(shown) or not row.controls)
    return Outcome(
        key=row.key,
        result=FAILED if problems else HELD if ran else NOT_RUN,
        amount=_told(passed, [text for case in passed for text in case.amounts]),
        control=_told(shown, [text for case in cases if case.passed for text in case.controls]) if row.controls else "",
        problems=tuple(sorted(problems)),
        left_out=tuple(sorted(f"{case.node}: {case.skipped}" for case in cases if case.skipped)),
        seconds=seconds,
    )


def _told(cases: list[Case], texts: list[str]) -> str:
    return "; ".join(added_up(texts)) if texts else f"{len(cases):,} test{'' if len(cases) == 1 else 's'}"


def added_up(texts: Iterable[str]) -> list[str]:
    """*texts* with those that tell numbers of the same thing as one: ``3 kills``, ``4 kills`` are ``7 kills``."""
    sums: dict[str, int | None] = {}
    for number, what in map(_number_and_thing, texts):
        sums[what] = None if number is None else (sums.get(what) or 0) + number
    return [what if number is None else f"{number:,} {what}" for what, number in sorted(sums.items())]


def _number_and_thing(text: str) -> tuple[int | None, str]:
    match = re.fullmatch(r"(\d[\d,]*) (.*)", text)
    return (int(match[1].replace(",", "")), match[2]) if match else (None, text)
