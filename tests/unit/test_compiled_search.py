"""What a container with very many annotations costs: patterns and keys are not looked up again for each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.ruleset import MEMBERS, RuleSet
from ocihooks.compiled.search import RE2, Search
from ocihooks.compiled.store import pack_rules
from ocihooks.hooksd import patterns
from ocihooks.hooksd.directories import survey
from ocihooks.hooksd.matching import Container, match
from ocihooks.settings import Settings

MANY = {f"org.example.{number}": "x" for number in range(5000)}
"""Annotations of one container."""


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The patterns that RE2 compiles from now on."""
    real, compiled = patterns._compile, []

    def compiling(source: str) -> Any:
        compiled.append(source)
        return real(source)

    monkeypatch.setattr(patterns, "_compile", compiling)
    return compiled


def packed_rules(directory: Path, *conditions: Mapping[str, Any], keys: type[str] = str) -> RuleSet:
    """One rule for each of *conditions*, as they come from the cached file; *keys*: the type of the text with keys."""
    for number, when in enumerate(conditions):
        rule = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["prestart"]}
        (directory / f"{number:02}.json").write_text(json.dumps(rule))
    value, packed = pack_rules(compile_rules(survey([str(directory)])[0], Settings(), ()))
    members = dict(zip(MEMBERS, value, strict=True))
    index, (lines, needs) = members["rules"], members["needs"]
    return RuleSet((index, memoryview(packed), keys(lines), needs), **members)


def candidates(rules: RuleSet, annotations: Mapping[str, str]) -> list[str]:
    return [rule.name for rule in rules.candidates(Container(args=("/sh",), annotations=annotations))]


def test_one_compilation(compilations: list[str]) -> None:
    """A pattern is compiled when it is used for the first time, and never again."""
    search = Search((RE2, "a|b"), "a|b")
    assert compilations == []
    assert [search.search(text) for text in ("a", "xbx", "c", "", "a")] == [True, True, False, False, True]
    assert compilations == ["a|b"]


def test_one_compilation_for_all_annotations(tmp_path: Path, compilations: list[str]) -> None:
    """However many annotations a container has, each pattern of a rule that may match it is compiled once."""
    (tmp_path / "hooks").mkdir()
    words = "|".join(f"word{number}" for number in range(40))
    rules = packed_rules(tmp_path / "hooks", {"annotations": {words: "[y]"}}, {"annotations": {"[.]4999$": "[x]"}})
    compilations.clear()
    container = Container(args=("/sh",), annotations=MANY | {"word39": "n"})
    found = match(rules.candidates(container), container)
    assert [addition.rule.name for addition in found.additions] == ["01.json"]
    assert sorted(compilations) == sorted([words, "[y]", "[.]4999$", "[x]"])


class Counted(str):
    """A text that counts how often it is searched."""

    finds = 0

    def find(self, *words: Any) -> int:
        Counted.finds += 1
        return super().find(*words)


@pytest.mark.parametrize(("count", "searched"), [(5, True), (5000, False)], ids=["few", "many"])
def test_keys_of_many_annotations(count: int, searched: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of all rules are searched for each of a few annotations, and gone through once for many."""
    monkeypatch.setattr(Counted, "finds", 0)
    rules = packed_rules(tmp_path, {"annotations": {"^org\\.example\\.3$": "x"}}, keys=Counted)
    assert candidates(rules, dict(list(MANY.items())[:count])) == ["00.json"]
    assert (Counted.finds > 0) is searched
    assert Counted.finds <= count + 1


KEYS = ("a", "a", "b", "ab", "a1", "1", "A", "é", "", "a b", "a", "b")
ODD = ("a\t0", "a\t0\na", "\n", "\t", "b\n", "\na")
"""Names that look like a piece of the text in which the keys stand."""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    """A rule for each of `KEYS`."""
    conditions = [{"annotations": {f"^{key}$": ""}} for key in KEYS]
    return packed_rules(tmp_path_factory.mktemp("keyed"), *conditions)


@given(names=st.sets(st.sampled_from((*KEYS, *ODD)) | st.text("ab1\t\n", max_size=4)))
def test_many_are_found_as_few_are(keyed: RuleSet, names: set[str]) -> None:
    """The rules that need one of a few names are those that need one of them among many others."""
    needed = [f"{number:02}.json" for number, key in enumerate(KEYS) if key in names]
    few = candidates(keyed, dict.fromkeys(names, ""))
    assert candidates(keyed, dict.fromkeys(names, "") | MANY) == needed
    assert set(few) >= set(needed)
    if not any("\t" in name or "\n" in name for name in names):
        assert few == needed
