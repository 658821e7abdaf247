"""
Made-up rules and containers on real runtimes: what we accept they accept, and they run exactly the expected hooks.

Rules are made from facts about their container, so what has to run follows from how they were made; no matcher, ours
least of all, is asked. Hooks leave marks.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import Notes, Wrapper, timeout_of

from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import PrivateRuntime

pytestmark = pytest.mark.runtime

GROUPS = 15
SCENARIOS_PER_GROUP = 10
SEED = 20240229

STAGES = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
ODD = (
    "plain",
    "with space",
    "ä",
    "日本",
    'a"b',
    "back\\slash",
    "tab\there",
    "<&>",
    "\u2028",
    "😀",
    "dots.in.it",
    "(x)",
    "",
)
COMMANDS = (["true"], ["/bin/true"], ["sh", "-c", "exit 0"], ["/bin/echo", "-n", "é\n"], ["true", "/bin/nginx"])


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is true of a container."""

    annotations: dict[str, str]
    args: list[str]
    mounts: bool


@dataclass(frozen=True, kw_only=True)
class MadeRule:
    """A rule, and whether it has to run by the way it was made."""

    name: str
    directory: int
    document: dict[str, Any]
    runs: bool
    stages: tuple[str, ...]


@dataclass(kw_only=True)
class Scenario:
    """A container with rules, and the marks that have to be there in the end, by stage."""

    facts: Facts
    rules: list[MadeRule]
    own: dict[str, list[str]]
    position: str
    style: str
    expected: dict[str, list[str]] = field(default_factory=dict)


def literal(text: str) -> str:
    """A pattern that is found in exactly *text*."""
    return "".join(letter if letter.isalnum() else f"\\x{{{ord(letter):x}}}" for letter in text)


def annotation_condition(dice: random.Random, facts: Facts, met: bool) -> dict[str, str]:
    """An annotations condition that holds, or doesn't."""
    if met and facts.annotations:
        key = dice.choice(sorted(facts.annotations))
        value = facts.annotations[key]
        exact = {f"^{literal(key)}$": f"^{literal(value)}$"}
        part = {literal(key[1:]): literal(value[: len(value) // 2])}
        return dice.choice([exact, part, {"": ""}])
    if met:
        return {}
    missing = {"^never\\.there$": ""}
    if not facts.annotations:
        return dice.choice([missing, {"": ""}])
    key = dice.choice(sorted(facts.annotations))
    return dice.choice([missing, {f"^{literal(key)}$": f"^{literal(facts.annotations[key])}!$"}])


def command_condition(dice: random.Random, facts: Facts, met: bool) -> list[str]:
    """A commands condition that holds, or doesn't."""
    program = facts.args[0]
    others = ["^never$", "nginx$", f"^{literal(program)}.$"]
    if met:
        hit = dice.choice([f"^{literal(program)}$", literal(program[1:]), "", f"{literal(program[-2:])}$"])
        return dice.choice([[hit], ["^never$", hit], [hit, "nginx$"]])
    return dice.sample(others, dice.randint(1, 3))


def make_when(dice: random.Random, facts: Facts, runs: bool) -> dict[str, Any]:
    """Conditions of schema 1.0.0 that all hold if the rule is to run; else at least one of them does not."""
    kinds = ["always", "annotations", "commands", "hasBindMounts"]
    able = [kind for kind in kinds if possible(kind, facts, met=True)]
    chosen = dice.sample(able, dice.randint(1, len(able)))
    when = {kind: condition(dice, kind, facts, met=True) for kind in chosen}
    if not runs:
        spoiled = dice.choice([kind for kind in kinds if possible(kind, facts, met=False)])
        when[spoiled] = condition(dice, spoiled, facts, met=False)
    return when


def possible(kind: str, facts: Facts, *, met: bool) -> bool:
    """Whether a condition of this kind can be made to hold, or not to hold."""
    if kind == "hasBindMounts":
        return facts.mounts == met
    return not (kind == "annotations" and met and not facts.annotations)


def condition(dice: random.Random, kind: str, facts: Facts, *, met: bool) -> object:
    """One condition."""
    if kind == "annotations":
        return annotation_condition(dice, facts, met)
    if kind == "commands":
        return command_condition(dice, facts, met)
    return True if kind == "hasBindMounts" else met


def make_rule(dice: random.Random, facts: Facts, name: str, directory: int, notes: Notes) -> MadeRule:
    """A rule of the present or, now and then, of the old schema."""
    runs = dice.random() < 0.6
    stages = tuple(dice.sample(STAGES, dice.randint(1, 3)))
    label = f"{name}@{directory}"
    if dice.random() < 0.15:
        return MadeRule(
            name=name,
            directory=directory,
            document=old_schema(dice, facts, label, stages, runs, notes),
            runs=runs,
            stages=stages,
        )
    hook: dict[str, Any] = mark(label, notes)
    if dice.random() < 0.3:
        hook["env"] = dice.choice([["PATH=/usr/bin:/bin"], ["PATH=/bin:/usr/bin", 'X=ä "\\', "Y="]])
    if dice.random() < 0.3:
        hook["timeout"] = dice.randint(5, 60)
    document = {"version": "1.0.0", "hook": hook, "when": make_when(dice, facts, runs), "stages": list(stages)}
    return MadeRule(name=name, directory=directory, document=document, runs=runs, stages=stages)


def old_schema(
    dice: random.Random, facts: Facts, label: str, stages: Sequence[str], runs: bool, notes: Notes
) -> dict[str, Any]:
    """A rule of schema 0.1.0, for which one condition is enough."""
    conditions: dict[str, Any] = {"cmds": command_condition(dice, facts, runs), "annotations": ["never there"]}
    if runs and facts.annotations and dice.random() < 0.5:
        value = facts.annotations[dice.choice(sorted(facts.annotations))]
        conditions = {"cmds": ["^never$"], "annotations": [f"^{literal(value)}$"]}
    hook = mark(label, notes)
    return {"hook": hook["path"], "arguments": hook["args"][1:], "stages": list(stages), **conditions}


def mark(label: str, notes: Notes) -> dict[str, Any]:
    """A hook that leaves a mark, with the stage for which the runtime was told to run it."""
    # It reads the state, since crun 1.8 fails now and then when a hook ends without reading it.
    script = f'cat >/dev/null; echo "$0 ${{OCIHOOKS_STAGE:-own}}" >> {notes.directory}/marks'
    return {"path": "/bin/sh", "args": ["/bin/sh", "-c", script, label]}


def make_scenario(dice: random.Random, notes: Notes) -> Scenario:
    """A container and up to six rules in two directories, some of which override others."""
    keys = dice.sample([f"org.example/{word}" for word in ODD], dice.randint(0, 4))
    facts = Facts(
        annotations={key: dice.choice(ODD) for key in keys}, args=dice.choice(COMMANDS), mounts=dice.random() < 0.5
    )
    names = dice.sample(["10-a", "9-b", "B", "a", "_z", "ä", "Z", "m n"], dice.randint(1, 5))
    rules = [make_rule(dice, facts, name, 0, notes) for name in names]
    rules += [make_rule(dice, facts, name, 1, notes) for name in names if dice.random() < 0.3]
    own = {
        stage: [f"own-{stage}-{number}" for number in range(dice.randint(1, 2))]
        for stage in dice.sample(STAGES, dice.randint(0, 2))
    }
    scenario = Scenario(
        facts=facts, rules=rules, own=own, position=dice.choice(["append", "prepend"]), style=dice.choice(STYLES)
    )
    scenario.expected = expected_marks(scenario)
    return scenario


def expected_marks(scenario: Scenario) -> dict[str, list[str]]:
    """Who leaves a mark in which stage, in order: by the file names' lower-cased letters, overridden rules left out."""
    last = {rule.name: rule for rule in sorted(scenario.rules, key=lambda rule: rule.directory)}
    ordered = sorted(last.values(), key=lambda rule: (f"{rule.name}.json".lower().encode(), rule.name.encode()))
    marks: dict[str, list[str]] = {}
    for stage in STAGES:
        sources = {"createRuntime": ("prestart", "createRuntime"), "prestart": ()}.get(stage, (stage,))
        ours = [
            f"{rule.name}@{rule.directory} {stage}"
            for rule in ordered
            if rule.runs
            for declared in rule.stages
            if declared in sources
        ]
        own = [f"{label} own" for label in scenario.own.get(stage, [])]
        marks[stage] = own + ours if scenario.position == "append" else ours + own
    return marks


STYLES = ("compact", "indented", "escaped", "null-hooks", "empty-hooks", "null-stage", "unknown-members")


def write_config(bundle: MadeBundle, scenario: Scenario, notes: Notes) -> None:
    """config.json with the scenario's own hooks, in one of the ways in which JSON can be written."""
    config = bundle.config()
    if scenario.own:
        own = {
            stage: [mark(label, notes) | {"env": ["PATH=/usr/bin:/bin"]} for label in labels]
            for stage, labels in scenario.own.items()
        }
        config["hooks"] = own
    elif scenario.style in ("null-hooks", "empty-hooks"):
        config["hooks"] = None if scenario.style == "null-hooks" else {}
    if scenario.style == "null-stage":
        config.setdefault("hooks", {}).setdefault("startContainer", None)
    if scenario.style == "unknown-members":
        config = {"x-first": [1, {"hooks": {"prestart": 1}}], **config, "x-last": {"a": 1e300, "b": -0.0}}
        for entries in (config.get("hooks") or {}).values():
            for entry in entries or ():
                entry["x-comment"] = {"a": ["}"]}
    text = json.dumps(
        config, indent=3 if scenario.style == "indented" else None, ensure_ascii=scenario.style != "compact"
    )
    if scenario.style == "escaped":
        text = (
            text.replace('"annotations"', '"\\u0061nnotations"').replace('"hooks"', '"hook\\u0073"').replace("/", "\\/")
        )
    bundle.write_config(text.encode())


def marks_by_stage(lines: Sequence[str]) -> list[str]:
    """The marks in order, those of poststart apart: runtimes run them when they like."""
    return [line for line in lines if "poststart" not in line]


@pytest.mark.parametrize(
    "group", [pytest.param(group, marks=[pytest.mark.slow] if group % 4 else []) for group in range(GROUPS)]
)
def test_generated(
    runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, group: int, record_property: Callable[[str, object], None]
) -> None:
    """Of ten made-up scenarios each runs on the runtime, and its hooks are exactly those that have to run, in order."""
    dice = random.Random(SEED + group)
    for number in range(SCENARIOS_PER_GROUP):
        scenario = make_scenario(dice, notes)
        run_scenario(runtime, wrapper, notes, scenario, f"group {group}, scenario {number}: {scenario}")
    record_property("amount", f"{SCENARIOS_PER_GROUP} scenarios on {runtime.name}")


def run_scenario(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, scenario: Scenario, about: str) -> None:
    """Run a scenario's container and compare the marks."""
    for directory in wrapper.hooks_dirs:
        for file in directory.iterdir():
            file.unlink()
    for rule in scenario.rules:
        if isinstance(hook := rule.document["hook"], dict) and "timeout" in hook:
            hook |= {"timeout": None} | timeout_of(runtime, hook["timeout"])
        wrapper.write_file(f"{rule.name}.json", json.dumps(rule.document), directory=rule.directory)
    wrapper.write_settings(position=scenario.position)
    marks = notes.directory / "marks"
    marks.unlink(missing_ok=True)
    facts = scenario.facts
    mounts = [notes.mount] if facts.mounts else []
    bundle = runtime.make_bundle(args=facts.args, annotations=facts.annotations, mounts=mounts)
    write_config(bundle, scenario, notes)
    call = runtime.run_container(bundle, program=wrapper.script)
    assert call.status == 0, f"{about}\n{call}"
    lines = marks.read_text().splitlines() if marks.exists() else []
    before_start = [
        mark for stage in ("prestart", "createRuntime", "createContainer") for mark in scenario.expected[stage]
    ]
    poststart, poststop = scenario.expected["poststart"], scenario.expected["poststop"]
    assert sorted(lines) == sorted([*before_start, *poststart, *poststop]), about
    assert marks_by_stage(lines) == marks_by_stage([*before_start, *poststart, *poststop]), about
    assert [line for line in lines if line in poststart] == poststart, about


WORDS = ("one", "two", "three")
PROGRAMS = ("/bin/true", "true", "/bin/echo")
BACKSLASH_DOT = r"\."


def plain_rule(dice: random.Random, label: str, notes: Notes) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """A rule with plain patterns, and what it asks for: keys with the values that do, and under "" the commands."""
    wanted: dict[str, set[str]] = {}
    when: dict[str, Any] = {}
    if dice.random() < 0.6:
        chosen = dice.sample(WORDS, dice.randint(1, 2))
        wanted |= {f"org.example.{word}": {dice.choice(WORDS)} for word in chosen}
        when["annotations"] = {
            f"^{key.replace('.', BACKSLASH_DOT)}$": f"^{min(values)}$" for key, values in wanted.items()
        }
    if not wanted or dice.random() < 0.3:
        wanted[""] = set(dice.sample(PROGRAMS, dice.randint(1, 2)))
        when["commands"] = [f"^{program}$" for program in sorted(wanted[""])]
    return {"version": "1.0.0", "hook": mark(label, notes), "when": when, "stages": ["createRuntime"]}, wanted


@pytest.mark.parametrize("group", range(2))
def test_compiled_rules(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, group: int) -> None:
    """Rules that have not changed for a while, and so are kept compiled, run for the same containers as fresh ones."""
    dice = random.Random(SEED + group)
    rules = {f"r{number}": plain_rule(dice, f"r{number}", notes) for number in range(4)}
    for label, (document, _) in rules.items():
        wrapper.write_file(f"{label}.json", json.dumps(document))
    wrapper.write_settings()
    time.sleep(2.1)
    marks = notes.directory / "marks"
    counts = set()
    for _ in range(8):
        marks.unlink(missing_ok=True)
        chosen = dice.sample(WORDS, dice.randint(0, 3))
        facts = {f"org.example.{word}": dice.choice(WORDS) for word in chosen}
        program = dice.choice(PROGRAMS)
        have = facts | {"": program}
        expected = [
            f"{label} createRuntime"
            for label, (_, wanted) in rules.items()
            if all(have.get(key) in values for key, values in wanted.items())
        ]
        bundle, container_id = runtime.make_bundle(args=[program], annotations=facts), runtime.new_id()
        assert runtime.create(bundle, container_id, program=wrapper.script).status == 0
        assert runtime.delete(container_id, force=True, program=wrapper.script).status == 0
        assert (marks.read_text().splitlines() if marks.exists() else []) == expected, (rules, have)
        counts.add(len(expected))
    assert len(counts) > 1
    assert [file.suffix for file in (wrapper.directory / "cache").iterdir()].count(".rules") == 1


@pytest.mark.every_combination
@pytest.mark.parametrize("form", ["launcher"], indirect=True)
def test_shortcut(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """The launcher starts containers that surely match no rule without Python, all others by the interpreter."""
    hook = notes.hook("a", env=["PATH=/usr/bin:/bin"])
    wrapper.write_rule("a.json", hook=hook, when={"annotations": {"^org\\.example$": "^yes$"}})
    time.sleep(2.1)
    containers = {"matches": {"org.example": "yes"}, "might-match": {"note": "org.example"}, "does-not": {"x": "y"}}
    bundles = {word: runtime.make_bundle(annotations=annotations) for word, annotations in containers.items()}

    traced, log = notes.directory / "traced", notes.directory / "programs"
    traced.write_text(f'#!/bin/sh\nexec strace -qq -e trace=execve -o {log} {wrapper.script} "$@"\n')
    traced.chmod(0o755)

    def create(word: str) -> bool:
        """Whether the interpreter was started for it."""
        assert runtime.create(bundles[word], container_id := runtime.new_id(), program=traced).status == 0
        assert runtime.delete(container_id, force=True).status == 0
        return "python" in log.read_text().partition("--ignored-signals=")[0].rpartition("execve(")[2]

    assert create("does-not"), "the rules were not kept yet"
    assert {word: create(word) for word in bundles} == {"matches": True, "might-match": True, "does-not": False}
    assert notes.order() == ["a"]
    wrapper.write_rule("b.json", hook=hook, when={"annotations": {"^org\\.other$": "^yes$"}})
    assert create("does-not")


def test_what_the_scenarios_cover() -> None:
    """The scenarios are not all alike: rules that run and that don't, both schemas, overrides, mounts, every style."""
    scenarios = []
    for group in range(GROUPS):
        dice = random.Random(SEED + group)
        scenarios += [make_scenario(dice, Notes(directory=Path("/nowhere"))) for _ in range(SCENARIOS_PER_GROUP)]
    rules = [rule for scenario in scenarios for rule in scenario.rules]
    assert {rule.runs for rule in rules} == {True, False}
    assert {scenario.style for scenario in scenarios} == set(STYLES)
    assert {scenario.facts.mounts for scenario in scenarios} == {True, False}
    assert {"version" in rule.document for rule in rules} == {True, False}
    assert sum(rule.directory == 1 for rule in rules) > 20
    assert {stage for rule in rules for stage in rule.stages} == set(STAGES)
    used = {kind for rule in rules for kind in rule.document.get("when", {})}
    assert used == {"always", "annotations", "commands", "hasBindMounts"}
