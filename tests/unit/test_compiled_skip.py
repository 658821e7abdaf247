"""The launcher's data: when there is any, and what it holds."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds, Bundle, Case, answers

from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.ruleset import RuleSet
from ocihooks.compiled.skip import MAGIC, encode, texts_of
from ocihooks.compiled.snapshot import snapshot
from ocihooks.errors import Diagnostic
from ocihooks.hooksd.config import HookConfig, When
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.patterns import Pattern
from ocihooks.settings import Settings
from ocihooks.spec.hook import Hook

builds = launcher_programs.builds


def rule(key: str, *, stages: tuple[str, ...] = ("prestart",), always: bool | None = None) -> Rule:
    """A rule about the key of an annotation; "" for none."""
    annotations = ((Pattern(key), Pattern("")),) if key else None
    config = HookConfig(hook=Hook(path="/bin/true"), when=When(annotations=annotations, always=always), stages=stages)
    return Rule(name="10.json", file="/rules/10.json", config=config, status="active")


def compiled(*rules: Rule, static: tuple[tuple[str, str], ...] = (), refused: bool = False, **settings: Any) -> RuleSet:
    problems = [Diagnostic("broken")] if refused else []
    return compile_rules(rules, Settings(**settings), static, refused=problems)


def test_texts_are_our_mark_and_the_needs() -> None:
    """Our own mark comes first, then what rules need, once each."""
    assert texts_of(compiled()) == ("OCIHOOKS_RULE=",)
    assert texts_of(compiled(rule("com.a"), rule("^b$"), rule("b"))) == ("OCIHOOKS_RULE=", "com", "b")


FORBIDDING = {
    "a rule for all": compiled(rule("a"), rule("", always=True)),
    "a filter": compiled(rule("a", stages=("precreate",))),
    "static hooks": compiled(rule("a"), static=(("/file", "{}"),)),
    "a modifier": compiled(rule("a"), modifiers=("a:b",)),
    "a log": compiled(rule("a"), log="/var/log/hooks"),
    "a rule that is refused": compiled(rule("a"), refused=True),
    "a quote": compiled(rule('a"b')),
    "a backslash": compiled(rule("a\\\\b")),
    "a line break": compiled(rule("a\nb")),
    "a control character": compiled(rule("a\x7fb")),
    "another alphabet": compiled(rule("é")),
}


@pytest.mark.parametrize("rules", FORBIDDING.values(), ids=FORBIDDING)
def test_what_forbids_the_shortcut(rules: RuleSet) -> None:
    """Whatever is done for every container, or shows in config.json in more than one way, leaves all to Python."""
    assert texts_of(rules) is None


def test_rules_that_never_match_count_for_nothing() -> None:
    """A rule that is switched off needs no text."""
    assert texts_of(compiled(rule("", always=False), rule("a", always=False))) == ("OCIHOOKS_RULE=",)


def test_format(tmp_path: Path) -> None:
    """Magic, sum, counts, sources with their numbers, texts, and NULs up to a multiple of eight."""
    file = tmp_path / "fïle"
    file.write_text("abc")
    seen = ((str(file), True, (3, 2, 1, 99, 4, 5, 6, -1, 8)), ("/d", False, (3, 2, 1, 4, 5)), ("/m", True, None))
    data = encode(seen, ("one", "two"))
    assert data[:16] == MAGIC == b"ocihooks skip 1\0"
    assert struct.unpack_from("=II", data, 24) == (3, 2)
    expected = struct.pack("=9Q", 2, 1, 2, 3, 4, 5, 6, 2**64 - 1, 8) + os.fsencode(file) + b"\0"
    expected += struct.pack("=9Q", 1, 1, 2, 3, 4, 5, 0, 0, 0) + b"/d\0" + bytes(72) + b"/m\0one\0two\0"
    assert data[32:].rstrip(b"\0") == expected.rstrip(b"\0")
    assert len(data) % 8 == 0
    assert len(data) - 32 - len(expected) < 8


def test_the_sum_depends_on_every_byte(tmp_path: Path) -> None:
    """Other texts of the same size give another sum."""
    sums = {encode((), (f"{number:03}",))[16:24] for number in range(1000)}
    assert len(sums) == 1000


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_the_launcher_reads_it(builds: Builds, tmp_path: Path, count: int) -> None:
    """Data about any number of sources and texts of all lengths is accepted, and each of the texts is looked for."""
    bundle = Bundle(tmp_path, tmp_path / "skip")
    bundle.sources = (*(str(bundle.rules / ("x" * number)) for number in range(1, count + 1)), str(bundle.rules))
    texts = ("first", *(f"{number:0{number + 3}}" for number in range(count)))
    cases = [Case(bundle.create, {bundle.data: encode(snapshot(bundle.sources), texts)})]
    for text in texts:
        config = launcher_programs.make_config(annotations={"x": text})
        cases.append(Case(bundle.create, {bundle.config: config}))
    assert answers(builds.driver, cases, data=bundle.data) == "r" + "p" * len(texts)
