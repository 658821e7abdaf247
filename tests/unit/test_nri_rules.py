"""Rules in memory: right soon after each change of rules, settings and whatever else they depend on."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.nri_place import Rules

from ocihooks.compiled.compile import compile_rules
from ocihooks.errors import MatchError
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.matching import Container, match
from ocihooks.hooksd.readers import read_document
from ocihooks.nri.held import HeldRules
from ocihooks.nri.rules import LiveRules
from ocihooks.settings import Settings
from ocihooks.testing.nri.engine import CallError, EngineLink
from ocihooks.testing.nri.objects import PodContainer
from ocihooks.wrapper.switch import disable, enable

ALWAYS = {"always": True}
SOON_S = 30.0
"""Longer than a change ever takes to count, which is a second on a machine that has nothing else to do."""


@pytest.fixture
def rules(private_directory: Path) -> Rules:
    """One rule, which matches every container."""
    made = Rules(private_directory)
    made.configure()
    made.rule("10.json", ALWAYS)
    return made


def outcome(engine: EngineLink) -> int | str:
    """How many hooks a container is given, or why it is refused."""
    try:
        return sum(map(len, engine.create(PodContainer()).values()))
    except CallError as error:
        return error.message


def soon(engine: EngineLink, wanted: Callable[[int | str], bool]) -> int | str:
    """The outcome, once it is as *wanted*."""
    deadline = time.monotonic() + SOON_S
    while not wanted(found := outcome(engine)):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_rule_files(rules: Rules) -> None:
    """Rules that come, change, break and go count as soon as a file does."""
    with rules.asked() as engine:
        assert outcome(engine) == 1
        rules.rule("20.json", ALWAYS)
        soon(engine, lambda found: found == 2)
        rules.rule("20.json", ALWAYS, stages=["poststart", "poststop"])
        soon(engine, lambda found: found == 3)
        (rules.hooks / "20.json").write_text('{"version": "1.0.0"')
        found = soon(engine, lambda found: isinstance(found, str))
        assert f"{rules.hooks}/20.json: line 1 column 20: not JSON" in str(found)
        assert 'container "web"' in str(found)
        (rules.hooks / "20.json").unlink()
        soon(engine, lambda found: found == 1)
    assert [(problem.code, problem.file) for problem in rules.told if problem.severity == "error"] == [
        ("json_syntax", f"{rules.hooks}/20.json")
    ]


@pytest.mark.parametrize("policy", ["warn", "ignore"])
def test_broken_rule_tolerated(policy: str, rules: Rules) -> None:
    """Where the policy says so, a broken rule stands in nobody's way."""
    rules.configure(f'[ocihooks.rules."20.json"]\non-invalid = "{policy}"')
    (rules.hooks / "20.json").write_text("{")
    with rules.asked() as engine:
        assert outcome(engine) == 1
    assert [problem.code for problem in rules.told] == (["json_syntax"] if policy == "warn" else [])


def test_rule_of_others(rules: Rules) -> None:
    """A rule that everybody could have written refuses containers until its mode is mended, though nothing else is."""
    with rules.asked() as engine:
        (rules.hooks / "10.json").chmod(0o666)
        assert "everybody may write it" in str(soon(engine, lambda found: isinstance(found, str)))
        (rules.hooks / "10.json").chmod(0o644)
        soon(engine, lambda found: found == 1)


def test_settings(rules: Rules) -> None:
    """Settings count as soon as they change; while they are broken no container is created, and that is told once."""
    with rules.asked() as engine:
        rules.configure("supervise = 5")
        found = soon(engine, lambda found: isinstance(found, str))
        assert f'{rules.settings}: ocihooks.supervise: expected "on" or "off", found 5' in str(found)
        assert outcome(engine) == found
        rules.configure()
        soon(engine, lambda found: found == 1)
        (rules.root / "other").mkdir()
        rules.settings.write_text(f'[ocihooks]\nhooks-dirs = ["{rules.root}/other"]\n')
        soon(engine, lambda found: found == 0)
    assert [problem.code for problem in rules.told if problem.code == "wrong_value"] == ["wrong_value"]


def test_broken_at_the_start(rules: Rules) -> None:
    """Settings and rules may be broken when the plugin starts."""
    rules.settings.write_text("ocihooks")
    with rules.asked() as engine:
        assert "not TOML" in str(outcome(engine))
        rules.configure()
        soon(engine, lambda found: found == 1)


def test_settings_that_are_being_written(rules: Rules) -> None:
    """No container is created while the settings are empty and young; once they are older they count as they are."""
    rules.settings.write_text("")
    with LiveRules(str(rules.settings), (str(rules.hooks),), tell=rules.told.append) as live:
        assert [problem.code for problem in live.state.refused] == ["unfinished"]
        os.utime(rules.settings, (time.time() - 1.5,) * 2)
        deadline = time.monotonic() + SOON_S
        while live.state.refused and time.monotonic() < deadline:
            time.sleep(0.02)
        assert live.state.rules is not None
    assert [problem.code for problem in rules.told] == ["unfinished"]


def test_mask(rules: Rules) -> None:
    """An empty file is a mask soon, since its directory is watched."""
    with rules.asked() as engine:
        (rules.hooks / "10.json").write_text("")
        soon(engine, lambda found: found == 0)


def test_static_hook_file(rules: Rules) -> None:
    """Static hook files count as soon as they change, come or go."""
    static = rules.root / "static.json"
    rules.configure(f'static-hooks = ["{static}"]')
    with rules.asked() as engine:
        assert "there is no such static hook file" in str(outcome(engine))
        static.write_text('{"poststart": [{"path": "/bin/true"}]}')
        soon(engine, lambda found: found == 2)
        static.unlink()
        soon(engine, lambda found: isinstance(found, str))


def test_kill_switch(rules: Rules) -> None:
    """While the kill switch is on, containers are given nothing, and broken rules stand in nobody's way."""
    with rules.asked() as engine:
        disable(str(rules.settings), "the audit hook hangs")
        assert outcome(engine) == 0
        (rules.hooks / "20.json").write_text("{")
        assert outcome(engine) == 0
        enable(str(rules.settings))
        soon(engine, lambda found: isinstance(found, str))
        rules.settings.with_name("disabled").write_text("")
        rules.settings.with_name("disabled").chmod(0o666)
        assert "disabled: not used, since everybody may write it" in str(outcome(engine))


def test_directories_of_the_command_line(rules: Rules) -> None:
    """Hooks directories that are named count in place of those of the settings, and are made and filled later."""
    other = rules.root / "other"
    with LiveRules(str(rules.settings), (str(other),), tell=rules.told.append) as live:
        assert files_of(live) == []
        other.mkdir()
        (other / "1.json").write_text((rules.hooks / "10.json").read_text())
        deadline = time.monotonic() + SOON_S
        while not files_of(live) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert files_of(live) == [f"{other}/1.json"]


def files_of(live: LiveRules) -> list[str]:
    """The files of the rules that count."""
    return [rule[1] for rule in live.state.rules.rules] if live.state.rules else []


def test_threads(rules: Rules) -> None:
    """The threads that read rules and settings end with the plugin."""
    before = set(threading.enumerate())
    with rules.asked() as engine:
        assert outcome(engine) == 1
        assert {thread.name for thread in threading.enumerate()} >= {"ocihooks-settings", "ocihooks-monitor"}
    assert set(threading.enumerate()) == before


def test_many_changes(rules: Rules) -> None:
    """While a rule is replaced again and again, each container is given its old or its new form."""
    stop = threading.Event()

    def replace() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            made = rules.rule("tmp", ALWAYS, args=["x", str(number)], stages=["createRuntime", "poststop"])
            made.rename(rules.hooks / "10.json")
            stop.wait(0.003)

    thread = threading.Thread(target=replace)
    with rules.asked() as engine:
        thread.start()
        try:
            for _ in range(150):
                given = engine.create(PodContainer())
                assert len({hook.args for hooks in given.values() for hook in hooks}) == 1
        finally:
            stop.set()
            thread.join()


def test_many_rules(rules: Rules) -> None:
    """With so many rules that searching for all their texts would not be quick, requests are read instead."""
    for number in range(60):
        rules.rule(f"{number}.json", {"annotations": {f"^{number}{'x' * 600}$": "^yes$"}})
    (rules.hooks / "10.json").unlink()
    with rules.live() as live:
        assert live.state.possible is None
    with rules.asked() as engine:
        assert engine.create(PodContainer(annotations={f"7{'x' * 600}": "yes"}))
        assert not engine.create(PodContainer())


def test_fault_of_our_own(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while rules are read, the threads go on; no container is created until it is over."""
    with monkeypatch.context() as patch, rules.asked() as engine:
        patch.setattr("ocihooks.nri.rules.texts_of", lambda _rules: 1 / 0)
        rules.rule("20.json", ALWAYS)
        assert "internal error" in str(soon(engine, lambda found: isinstance(found, str)))
        patch.setattr("ocihooks.nri.rules.read_settings", lambda _file: 1 / 0)
        rules.configure("supervise = 'off'")
        time.sleep(0.5)
        assert "internal error" in str(outcome(engine))
        patch.undo()
        rules.rule("30.json", ALWAYS)
        soon(engine, lambda found: found == 3)


PATTERNS = ("^gpu$", "^a$", "gpu", "^a", "a$", "(?i)GPU", "^(a|b)$", ".*", "", "b+")
TEXTS = ("gpu", "a", "b", "ab", "GPU", "", "other")

conditions = st.fixed_dictionaries(
    {},
    optional={
        "always": st.booleans(),
        "hasBindMounts": st.booleans(),
        "annotations": st.dictionaries(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS), max_size=2),
        "commands": st.lists(st.sampled_from(PATTERNS), max_size=2),
    },
)


@settings(max_examples=80)
@given(
    st.lists(conditions, min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(TEXTS), st.sampled_from(TEXTS)),
    st.none() | st.lists(st.sampled_from(TEXTS), max_size=2),
    st.booleans(),
)
def test_same_as_the_wrapper(
    whens: list[dict[str, Any]], annotations: dict[str, str], args: list[str] | None, binds: bool
) -> None:
    """The rules in memory decide as those of the wrapper for every container, whichever they look at."""
    rules = []
    for number, when in enumerate(whens):
        document = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["poststop"]}
        config = read_document(json.dumps(document).encode(), Reading(f"{number}.json"))
        if config is not None:
            rules.append(Rule(name=f"{number}.json", file=f"/{number}.json", config=config, status="active"))
    compiled = compile_rules(rules, Settings(), ())
    container = Container(args=args, annotations=annotations, has_bind_mounts=binds)
    found = []
    for some in (compiled, HeldRules(compiled)):
        try:
            found.append([added.rule.name for added in match(some.candidates(container), container).additions])
        except MatchError as error:
            found.append([str(error)])
    assert found[0] == found[1]
