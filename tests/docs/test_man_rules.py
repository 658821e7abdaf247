"""ocihooks-rules(5) against the readers: examples, members, stages, and what the page says about patterns."""

from __future__ import annotations

import json
import re

import pytest

from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.patterns import MAX_MEMORY_BYTES, MAX_TEXT_BYTES, Pattern, PatternError
from ocihooks.hooksd.readers import read_document
from ocihooks.injection import DEFAULT_PATH
from ocihooks.spec.stage import STAGES
from tests.docs.manpages import DIRECTORY, displays, items, plain, section

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
    top = '{"version": "1.0.0", "hook": {"path": "/a"}, "when": {"always": true}, "stages": ["poststop"]%s}'
    hook = '{"version": "1.0.0", "hook": {"path": "/a", "qqq": 1}, "when": {"always": true}, "stages": ["poststop"]}'
    when = '{"version": "1.0.0", "hook": {"path": "/a"}, "when": {"always": true, "qqq": 1}, "stages": ["poststop"]}'
    known = hint_of(top % ', "qqq": 1') | {f"hook.{name}" for name in hint_of(hook)}
    assert members_in("Members") == known
    assert members_in("Conditions") == hint_of(when)


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


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('{"Version": "1.0.0", "HOOK": {"path": "/a"}, "when": {"always": true}, "stages": ["poststop"]}', "member_case"),
        ('{"version": "1.0.0", "hook": {"path": "/a"}, "hook": {}, "when": {"always": true}, "stages": ["poststop"]}',
         "repeated_member"),
        ('{"version": "1.0.0", "hook": {"path": "/a"}, "when": {"commands": [null]}, "stages": ["poststop"]}', "null_item"),
        ('{"version": "1.0.0", "hook": {"path": "/a\\ud800"}, "when": {"always": true}, "stages": ["poststop"]}',
         "replaced_text"),
        ('{"version": "1.0.0", "hook": {"path": "/a"}, "when": {"always": true}, "stages": ["poststop"], "x": 1}',
         "unknown_member"),
        ('{"version": "1.0.0", "hook": {"path": "/a"}, "when": {"hasBindMounts": false}, "stages": ["poststop"]}',
         "never_met"),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_tolerance(text: str, finding: str) -> None:
    """What the page says is tolerated is read, with a warning."""
    assert {line.split()[0] for line in findings(text)} == {finding}


def test_unknown_members_with_an_underscore_are_silent() -> None:
    """A member whose name begins with an underscore is no finding."""
    rule = '{"_note": 1, "version": "1.0.0", "hook": {"path": "/a"}, "when": {"always": true}, "stages": ["poststop"]}'
    assert findings(rule) == []
