"""ocihooks-rules(5) against the readers: examples, members, stages, and what the page says about patterns."""

from __future__ import annotations

import json
import re

import pytest
from tests.docs.manpages import DIRECTORY, displays, items, plain, section

from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.patterns import MAX_MEMORY_BYTES, MAX_TEXT_BYTES, Pattern, PatternError
from ocihooks.hooksd.readers import read_document
from ocihooks.injection import DEFAULT_PATH
from ocihooks.spec.stage import STAGES

PAGE = DIRECTORY / "ocihooks-rules.5"

EXAMPLES = [text for text in displays(PAGE) if text.startswith("{")]


def findings(text: str) -> list[str]:
    """What a reader has to say about the rule *text*, warnings included."""
    reading = Reading("example.json")
    read_document(text.encode(), reading, ("precreate",))
    return [f"{problem.code} {problem}" for problem in reading.problems]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_has_no_findings(text: str) -> None:
    """An example can be copied into a file: no error, no warning."""
    assert findings(text) == []


def test_examples_show_everything() -> None:
    """The examples have every member of schema 1.0.0 but always true alone, and a file of schema 0.1.0."""
    texts = "".join(EXAMPLES)
    members = {"version", "hook", "when", "stages", "path", "args", "env", "timeout"}
    conditions = {"always", "annotations", "commands", "hasBindMounts"}
    for name in members | conditions:
        assert f'"{name}":' in texts
    assert any("version" not in json.loads(text) for text in EXAMPLES)


def members_in(title: str) -> set[str]:
    """The members that the page lists in a subsection; nested ones as ``hook.path``."""
    found: set[str] = set()
    for name, content in items(section(PAGE, title)).items():
        member = name.split()[1]
        found |= {member, *(f"{member}.{inner.split()[1]}" for inner in items(content))}
    return found


def hint_of(text: str) -> set[str]:
    """The members that the reader of *text*, which has an unknown one, says that it knows."""
    reading = Reading("example.json")
    read_document(text.encode(), reading)
    hints = [problem.hint for problem in reading.problems if problem.code == "unknown_member"]
    assert len(hints) == 1
    return set(str(hints[0]).removeprefix("known members here: ").split(", "))


def test_members_of_1_0_0() -> None:
    """The members and conditions on the page are those that the reader of schema 1.0.0 knows."""
    known = hint_of(rule(more=', "qqq": 1'))
    known |= {f"hook.{name}" for name in hint_of(rule(hook='{"path": "/a", "qqq": 1}'))}
    assert members_in("Members") == known
    assert members_in("Conditions") == hint_of(rule(when='{"always": true, "qqq": 1}'))


def test_members_of_0_1_0() -> None:
    """The members of schema 0.1.0 on the page, with their other names, are those that its reader knows."""
    listed = {name.split()[1] for name in items(section(PAGE, "Schema 0.1.0"))}
    others = set(re.findall(r"also (\w+)", plain(section(PAGE, "Schema 0.1.0"))))
    known = hint_of('{"hook": "/a", "stages": ["poststop"], "cmds": ["^/a$"], "qqq": 1}')
    assert listed | others | {"version"} == known


def test_stages() -> None:
    """The stages on the page are those of the runtime-spec, and precreate."""
    listed = [name.split()[1] for name in items(section(PAGE, "Stages"))]
    assert listed == [*STAGES, "precreate"]


def test_fixed_path() -> None:
    """The PATH that a hook without env gets is the one on the page."""
    assert DEFAULT_PATH.removeprefix("PATH=") in plain(section(PAGE, "What the wrapper writes"))


PATTERNS: list[tuple[str, str, bool]] = [
    ("sh", "/usr/bin/bash", True),
    ("", "anything", True),
    ("SH", "/bin/sh", False),
    ("(?i)SH", "/bin/sh", True),
    ("a$", "a\n", False),
    ("^\\d$", "٣", False),
    ("^\\w$", "ä", False),
    ("^\\s$", "\u00a0", False),
    ("a\\b", "aä", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), PATTERNS, ids=[repr(pattern) for pattern, *_ in PATTERNS])
def test_patterns(pattern: str, text: str, found: bool) -> None:
    """What the page says about patterns is so."""
    assert Pattern(pattern).search(text) == found


@pytest.mark.parametrize("pattern", ["(a)\\1", "(?=a)", "(?<=a)", "(?!a)"])
def test_no_back_references_no_look_around(pattern: str) -> None:
    """Such patterns are refused."""
    with pytest.raises(PatternError):
        Pattern(pattern).compile()


def test_limits() -> None:
    """The sizes on the page are those of the code."""
    text = plain(section(PAGE, "Patterns"))
    assert f"may take {MAX_MEMORY_BYTES >> 20} MiB" in text
    assert f"longer than {MAX_TEXT_BYTES >> 20} MiB" in text


def rule(hook: str = '{"path": "/a"}', when: str = '{"always": true}', more: str = "") -> str:
    """The text of a rule of schema 1.0.0; *more*: further members."""
    return f'{{"version": "1.0.0", "hook": {hook}, "when": {when}, "stages": ["poststop"]{more}}}'


TOLERATED = {
    "member_case": rule(hook='{"PATH": "/a"}'),
    "repeated_member": rule(more=', "hook": {}'),
    "null_item": rule(when='{"commands": [null]}'),
    "replaced_text": rule(hook='{"path": "/a\\ud800"}'),
    "unknown_member": rule(more=', "x": 1'),
    "never_met": rule(when='{"hasBindMounts": false}'),
}


@pytest.mark.parametrize("finding", TOLERATED)
def test_tolerance(finding: str) -> None:
    """What the page says is tolerated is read, with a warning."""
    assert [line.split()[0] for line in findings(TOLERATED[finding])] == [finding]


def test_unknown_members_with_an_underscore_are_silent() -> None:
    """A member whose name begins with an underscore is no finding."""
    assert findings(rule(more=', "_note": 1')) == []
