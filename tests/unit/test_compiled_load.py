"""The file of compiled rules: what is read of it, and what happens when a part is not what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.load import load, load_value
from ocihooks.compiled.ruleset import RuleSet, count_of
from ocihooks.compiled.snapshot import snapshot
from ocihooks.compiled.store import encode, encode_value
from ocihooks.errors import DamagedError
from ocihooks.hooksd.directories import survey
from ocihooks.hooksd.matching import Container, match
from ocihooks.settings import Settings

IDENTITY = ("somebody",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with three rules: the first and the last ask for an annotation, the second for nothing."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    conditions = ({"annotations": {"^first$": "1"}}, {"always": True}, {"commands": ["/last"]})
    for number, when in enumerate(conditions, 1):
        rule = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]}
        (hooks / f"{number}.json").write_text(json.dumps(rule))
    rules = compile_rules(survey([str(hooks)])[0], Settings(), ())
    made = tmp_path / "rules"
    made.write_bytes(encode(IDENTITY, snapshot([str(hooks)]), rules))
    return made


def loaded(file: Path) -> tuple[RuleSet | None, str]:
    return load(str(file), IDENTITY, os.geteuid())


def found(file: Path, **annotations: str) -> list[str]:
    """The names of the rules that a container with these annotations may match."""
    rules, why = loaded(file)
    assert rules is not None, why
    return [rule.name for rule in rules.candidates(Container(args=("/sh",), annotations=annotations))]


def test_only_what_a_container_may_match(file: Path) -> None:
    """Rules come back one by one, in order."""
    assert found(file) == ["2.json"]
    assert found(file, first="1") == ["1.json", "2.json"]
    rules, _ = loaded(file)
    assert rules is not None
    some = rules.candidates(Container(args=("/last",), annotations={"first": ""}))
    assert [(rule.name, rule.hook.path, rule.stages) for rule in some] == [
        (name, "/bin/true", ("prestart",)) for name in ("1.json", "2.json", "3.json")
    ]
    every = rules.candidates(Container(args=(), annotations={}))
    assert [rule.name for rule in every] == ["1.json", "2.json", "3.json"]


def test_keys(tmp_path: Path) -> None:
    """Rules that need a key are found by it, whatever else its name or another name holds."""
    whens = [
        {"annotations": {"^a$": "x"}},
        {"annotations": {"^a$": "y", "other": "z"}},
        {"annotations": {"^a\\t9$": "x"}},
        {"annotations": {"^b\t1$": "x"}},
        {"annotations": {"^b$": "x", "^a$": "y"}},
        {},
        {"annotations": {"^A$": "^x$"}},
    ]
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for number, when in enumerate(whens):
        rule: dict[str, object] = {"cmd": ["sh"], "annotation": ["^a$"], "hook": "/bin/true", "stage": ["prestart"]}
        if when:
            rule = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]}
        (hooks / f"{number}.json").write_text(json.dumps(rule))
    fresh = compile_rules(survey([str(hooks)])[0], Settings(), ())
    file = tmp_path / "rules"
    file.write_bytes(encode(IDENTITY, (), fresh))
    kept, _ = loaded(file)
    assert kept is not None
    assert count_of(kept) == count_of(fresh) == len(whens)
    found: set[str] = set()
    for some_annotations in (
        *({}, {"a": "x"}, {"a": "y"}, {"b\t1": "x"}, {"A": "x"}, {"b": "x", "a": "y"}),
        {"a\t0\na": "x"},
    ):
        container = Container(args=("/bin/cat",), annotations=some_annotations)
        some = kept.candidates(container)
        names = [rule.name for rule in some]
        assert names == sorted(set(names))
        matching = [addition.rule.name for addition in match(fresh.candidates(container), container).additions]
        assert [addition.rule.name for addition in match(some, container).additions] == matching
        found.update(matching)
    assert found >= {"0.json", "3.json", "4.json", "6.json"}


def test_a_damaged_byte(file: Path) -> None:
    """Whichever byte is another one, nothing else than what was written is ever handed out."""
    whole = file.read_bytes()
    seen = set()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        rules, why = loaded(file)
        try:
            answer = "right" if rules and found(file, first="1") == ["1.json", "2.json"] else why.partition(":")[0]
        except DamagedError:
            answer = "damaged rule"
        seen.add(answer)
    file.write_bytes(whole)
    assert seen == {"right", "damaged", "damaged rule", "written by another version or interpreter"}
    assert found(file) == ["2.json"]


@pytest.mark.parametrize("change", [b"", b"more"], ids=["shorter", "longer"])
def test_another_size(file: Path, change: bytes) -> None:
    """A file that lost its end, or has something behind it, is damaged."""
    whole = file.read_bytes()
    file.write_bytes(whole + change if change else whole[:-1])
    assert loaded(file) == (None, "damaged")


def test_no_rules(tmp_path: Path) -> None:
    """Where there are no rules, there is nothing to match."""
    file = tmp_path / "rules"
    file.write_bytes(encode(IDENTITY, (), compile_rules((), Settings(), ())))
    assert found(file, any="thing") == []


def test_values(tmp_path: Path) -> None:
    """Any value comes back, with whether it is fresh; nothing of a damaged file does."""
    file, source = tmp_path / "value", tmp_path / "source"
    source.touch()
    file.write_bytes(encode_value(IDENTITY, snapshot([str(source)]), ("a", 1)))
    assert load_value(str(file), IDENTITY, os.geteuid()) == (("a", 1), True)
    source.write_text("changed")
    assert load_value(str(file), IDENTITY, os.geteuid()) == (("a", 1), False)
    file.write_bytes(b"")
    assert load_value(str(file), IDENTITY, os.geteuid()) == (None, False)
