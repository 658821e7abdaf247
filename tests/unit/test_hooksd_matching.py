"""Matching: which conditions decide, in which order, and what explains the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocihooks.errors import MatchError
from ocihooks.hooksd.config import HookConfig, When, command
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.matching import Container, Decision, decide, match
from ocihooks.hooksd.patterns import MAX_TEXT_BYTES, Pattern
from ocihooks.spec.hook import Hook

PATTERNS = st.sampled_from(["", "^a$", "b", "^/bin/sh$", "^sh", "("]).map(Pattern)
TEXTS = st.sampled_from(["", "a", "b", "ab", "/bin/sh"])
CONDITIONS = st.builds(
    When,
    always=st.none() | st.booleans(),
    has_bind_mounts=st.none() | st.booleans(),
    annotations=st.none() | st.lists(st.tuples(PATTERNS, PATTERNS), max_size=2).map(tuple),
    commands=st.none() | st.lists(PATTERNS, max_size=2).map(tuple),
    any_of=st.booleans(),
)
CONTAINERS = st.builds(
    Container,
    args=st.none() | st.lists(TEXTS, max_size=2),
    annotations=st.dictionaries(TEXTS, TEXTS, max_size=2),
    has_bind_mounts=st.booleans(),
)


def outcome(when: When, container: Container, *, every: bool) -> object:
    """The answer, or the code of the error."""
    try:
        return decide(when, container, every=every).matched
    except MatchError as error:
        return error.code


@settings(max_examples=300, deadline=None, database=None)
@given(CONDITIONS, CONTAINERS)
def test_every_changes_no_answer(when: When, container: Container) -> None:
    """Looking at all conditions gives the same answer, and the same error, as stopping when the answer is certain."""
    assert outcome(when, container, every=True) == outcome(when, container, every=False)


@settings(max_examples=200, deadline=None, database=None)
@given(CONDITIONS, CONTAINERS)
def test_answer_follows_from_conditions(when: When, container: Container) -> None:
    """All conditions that apply must be met, with any-of one; without any, the answer is no."""
    if outcome(when, container, every=True) in ("bad_pattern", "no_process_args"):
        return
    decision = decide(when, container, every=True)
    met = [condition.met for condition in decision.conditions if condition.met is not None]
    assert decision.matched == (any(met) if when.any_of else bool(met) and all(met))


@settings(max_examples=150, deadline=None, database=None)
@given(CONDITIONS, CONTAINERS)
def test_stopping_early(when: When, container: Container) -> None:
    """The conditions looked at are the first of all, and only the last of them can be the one that decides."""
    if isinstance(outcome(when, container, every=False), str):
        return
    few = decide(when, container).conditions
    every = decide(when, container, every=True).conditions
    assert [(c.name, c.wanted, c.seen, c.met) for c in few] == [
        (c.name, c.wanted, c.seen, c.met) for c in every[: len(few)]
    ]
    assert all(condition.met != when.any_of or condition.met is None for condition in few[:-1])


def container(args: Sequence[str] | None = ("/bin/sh",), mounts: bool = False, **annotations: str) -> Container:
    return Container(args=args, annotations=annotations, has_bind_mounts=mounts)


def conditions(**given: Any) -> When:
    """Conditions with patterns written as text."""
    pairs, commands = given.pop("annotations", None), given.pop("commands", None)
    return When(
        annotations=None if pairs is None else tuple((Pattern(key), Pattern(value)) for key, value in pairs.items()),
        commands=None if commands is None else tuple(map(Pattern, commands)),
        **given,
    )


def names(decision: Decision) -> list[str]:
    return [condition.name for condition in decision.conditions]


def test_order_of_evaluation() -> None:
    """Conditions are looked at in the order always, hasBindMounts, annotations, commands."""
    when = conditions(commands=["sh"], annotations={"a": "a", "b": "b"}, has_bind_mounts=True, always=True)
    decision = decide(when, container(mounts=True, a="a", b="b"))
    assert decision.matched
    assert names(decision) == ["always", "hasBindMounts", "annotations", "annotations", "commands"]


@pytest.mark.parametrize(
    ("mounts", "annotations", "looked_at"),
    [
        pytest.param(False, {"a": "a"}, ["always", "hasBindMounts"], id="bind-mounts-decide"),
        pytest.param(True, {"a": "x"}, ["always", "hasBindMounts", "annotations"], id="annotations-decide"),
    ],
)
def test_first_unmet_condition_decides(mounts: bool, annotations: dict[str, str], looked_at: list[str]) -> None:
    """The first unmet condition decides; what follows is not looked at, so an empty command is no error then."""
    when = conditions(always=True, has_bind_mounts=True, annotations={"a": "^a$"}, commands=["sh"])
    decision = decide(when, Container(args=(), annotations=annotations, has_bind_mounts=mounts))
    assert not decision.matched
    assert names(decision) == looked_at


def test_any_of_stops_at_the_first_met() -> None:
    """With any-of, the first met condition decides, so a process without arguments is no error behind it."""
    when = conditions(any_of=True, has_bind_mounts=True, commands=["sh"])
    assert decide(when, container(args=(), mounts=True)).matched
    with pytest.raises(MatchError, match=r"process\.args is empty"):
        decide(when, container(args=()))


@dataclass(frozen=True)
class Row:
    """One question: what is asked for, of which container, the answer, and the note of its last condition."""

    id: str
    when: When
    container: Container
    matched: bool
    note: str | None = None


ROWS = [
    Row("nothing-asked-for", conditions(), container(), False),
    Row("nothing-asked-for-any-of", conditions(any_of=True), container(), False),
    Row("empty-lists", conditions(annotations={}, commands=[]), container(), False),
    Row("always", conditions(always=True), container(), True),
    Row("always-false", conditions(always=False, commands=["sh"]), container(), False),
    Row("always-overrides-nothing", conditions(always=True, commands=["^x$"]), container(), False),
    Row("bind-mounts", conditions(has_bind_mounts=True), container(mounts=True), True),
    Row("no-bind-mounts", conditions(has_bind_mounts=True), container(), False),
    Row("bind-mounts-false", conditions(has_bind_mounts=False), container(), False, "false is never met"),
    Row("bind-mounts-false-2", conditions(has_bind_mounts=False), container(mounts=True), False, "false is never met"),
    Row("unanchored", conditions(commands=["in/s"]), container(), True),
    Row("any-command", conditions(commands=["^x$", "sh$"]), container(), True),
    Row("only-the-first-argument", conditions(commands=["^-c$"]), container(["/bin/sh", "-c"]), False),
    Row("no-process", conditions(commands=["sh"]), container(None), False, "the configuration has no process"),
    Row("no-process-any-of", conditions(any_of=True, commands=["sh"]), container(None), False),
    Row("always-and-no-process", conditions(always=True, commands=["sh"]), container(None), True),
    Row("key-and-value", conditions(annotations={"^a$": "^1$"}), container(a="1"), True),
    Row("other-value", conditions(annotations={"^a$": "^1$"}), container(a="2"), False, "its value differs"),
    Row("other-key", conditions(annotations={"^a$": "^1$"}), container(b="1"), False, "no annotation has such a key"),
    Row("key-and-value-of-two", conditions(annotations={"^a$": "^1$"}), container(a="2", b="1"), False),
    Row("one-for-two-patterns", conditions(annotations={"a": "1", "b": "1"}), container(ab="1"), True),
    Row("all-patterns", conditions(annotations={"a": "1", "b": "1"}), container(a="1"), False),
    Row("empty-pattern", conditions(annotations={"": ""}), container(a="1"), True),
    Row("empty-pattern-no-annotation", conditions(annotations={"": ""}), container(), False),
    Row("newline", conditions(commands=["sh$"]), container(["/bin/sh\n"]), False),
    Row("bad-bytes", conditions(commands=["^\ufffd$"]), container(["\udcff"]), True),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_answer(row: Row) -> None:
    """A question gets the expected answer, explained where the value alone does not."""
    decision = decide(row.when, row.container)
    assert decision.matched == row.matched
    if row.note is not None:
        assert row.note in str(decision.conditions[-1].note)


def test_what_conditions_saw() -> None:
    """Each condition tells what was asked for and what it saw; all of them where that is asked for."""
    when = conditions(always=False, has_bind_mounts=True, annotations={"^k": "^v"}, commands=["x", "sh"])
    seen = decide(when, container(mounts=True, key="value"), every=True).conditions
    assert [(c.name, c.wanted, c.seen, c.met) for c in seen] == [
        ("always", False, False, False),
        ("hasBindMounts", True, True, True),
        ("annotations", ("^k", "^v"), ("key", "value"), True),
        ("commands", ("x", "sh"), "/bin/sh", True),
    ]


def rule(name: str, when: When, *stages: str) -> Rule:
    config = HookConfig(hook=Hook(path=f"/{name}"), when=when, stages=stages or ("poststop",))
    return Rule(name=name, file=f"/etc/{name}.json", config=config, status="active")


@pytest.mark.parametrize(
    ("when", "args", "code", "words"),
    [
        pytest.param(conditions(commands=["sh"]), (), "no_process_args", "process.args is empty", id="no-arguments"),
        pytest.param(conditions(commands=["("]), ("x",), "bad_pattern", 'command pattern "(": ', id="command-pattern"),
        pytest.param(conditions(annotations={"(": ""}), (), "bad_pattern", 'annotation key pattern "("', id="key"),
        pytest.param(conditions(annotations={"": "("}), (), "bad_pattern", 'annotation value pattern "("', id="value"),
        pytest.param(
            conditions(commands=["x"]), ("y" * (MAX_TEXT_BYTES + 1),), "text_too_long", "more than the", id="long"
        ),
    ],
)
def test_undecided(when: When, args: tuple[str, ...], code: str, words: str) -> None:
    """A rule that can't be decided is named by its file, with the reason and what the rules before it gave."""
    always = conditions(always=True)
    rules = [rule("a", always), rule("b", when), rule("c", always)]
    with pytest.raises(MatchError) as caught:
        match(rules, container(args, a="1"))
    assert caught.value.code == code
    assert caught.value.message.startswith("rule /etc/b.json: ")
    assert words in caught.value.message
    assert len(caught.value.message) < 300
    assert caught.value.injection.hooks == {"poststop": [Hook(path="/a")]}
    assert [(rule.name, decision.matched) for rule, decision in caught.value.injection.reasons] == [("a", True)]


def test_injection() -> None:
    """Hooks come in the order of the rules, by stage; prestart goes to createRuntime; extension stages come apart."""
    always = conditions(always=True)
    rules = [
        rule("a", always, "poststop", "prestart"),
        rule("b", conditions(always=False), "poststop"),
        rule("c", always, "createRuntime", "precreate", "poststop"),
    ]
    injection = match(rules, container(), extension_stages=["precreate"])
    a, c = Hook(path="/a"), Hook(path="/c")
    assert injection.hooks == {"poststop": [a, c], "createRuntime": [a, c]}
    assert injection.extension_stage_hooks == {"precreate": [c]}
    assert [(x.rule.name, x.declared, x.stage, x.extension) for x in injection.additions] == [
        ("a", "poststop", "poststop", False),
        ("a", "prestart", "createRuntime", False),
        ("c", "createRuntime", "createRuntime", False),
        ("c", "precreate", "precreate", True),
        ("c", "poststop", "poststop", False),
    ]
    assert [(rule.name, decision.matched) for rule, decision in injection.reasons] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]


def test_extension_stage_of_a_known_name() -> None:
    """An extension stage goes before the stage of the same name, and takes nothing else."""
    rules = [rule("a", conditions(always=True), "createRuntime", "prestart")]
    injection = match(rules, container(), extension_stages=["createRuntime"])
    assert injection.hooks == {"createRuntime": [Hook(path="/a")]}
    assert injection.extension_stage_hooks == {"createRuntime": [Hook(path="/a")]}
    injection = match(rules, container(), extension_stages=["prestart"])
    assert (list(injection.hooks), list(injection.extension_stage_hooks)) == (["createRuntime"], ["prestart"])


def test_matched_without_stages() -> None:
    """A rule without stages matches and adds nothing."""
    config = HookConfig(hook=Hook(path="/a"), when=conditions(always=True), stages=())
    injection = match([Rule(name="a", file="/a.json", config=config, status="active")], container())
    assert (injection.matched, injection.hooks, injection.additions) == (True, {}, ())
    assert not match([], container()).matched


@pytest.mark.parametrize("status", ["masked", "invalid"])
def test_inactive_rules(status: Any) -> None:
    """A rule that is masked or invalid never matches."""
    assert not match([Rule(name="a", file="/a.json", config=None, status=status)], container()).matched


def test_explaining_rules() -> None:
    """All conditions of all rules are looked at where that is asked for, and a later error is none."""
    when = conditions(always=False, annotations={"(": ""}, commands=["sh"])
    (_, decision), *_ = match([rule("a", when)], container(a="1"), every=True).reasons
    assert names(decision) == ["always", "commands"]


@pytest.mark.parametrize(
    ("config", "args"),
    [
        pytest.param({}, None, id="no-process"),
        pytest.param({"process": None}, None, id="null"),
        pytest.param({"process": {}}, (), id="no-args"),
        pytest.param({"process": {"args": None}}, (), id="null-args"),
        pytest.param({"process": {"args": ["a", "b"]}}, ("a", "b"), id="args"),
    ],
)
def test_command(config: dict[str, Any], args: tuple[str, ...] | None) -> None:
    """The command of a configuration is its process's arguments; no process is something else than none."""
    assert command(config) == args
