"""The manager: which rules it has, what it refuses, and the hooks that it gives."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import MatchError, RulesError
from ocihooks.hooksd.manager import HookManager, apply
from ocihooks.spec.hook import Hook

CONFIG: dict[str, Any] = {"process": {"args": ["/bin/sh"]}}


def rule(path: str = "/bin/true", stages: tuple[str, ...] = ("poststop",), **when: Any) -> str:
    """A rule file without fault that always matches unless *when* says otherwise."""
    when = when or {"always": True}
    return json.dumps({"version": "1.0.0", "hook": {"path": path}, "when": when, "stages": list(stages)})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A hooks directory with one rule."""
    (tmp_path / "hooks.d").mkdir()
    (tmp_path / "hooks.d/a.json").write_text(rule())
    return tmp_path / "hooks.d"


def active(manager: HookManager) -> list[str]:
    return [rule.name for rule in manager.rules if rule.status == "active"]


def test_all_or_nothing(directory: Path) -> None:
    """One bad file is enough to refuse all; the error has all problems of all files, in the order of the files."""
    (directory / "c.json").write_text("{")
    (directory / "b.json").write_text(rule(stages=("nope", "never")))
    (directory / "d.json").write_text(rule(path="/no/such"))
    with pytest.raises(RulesError) as caught:
        HookManager([directory])
    assert [(os.path.basename(p.file or ""), p.code) for p in caught.value.problems] == [
        ("b.json", "unknown_stage"),
        ("b.json", "unknown_stage"),
        ("c.json", "json_syntax"),
    ]


@pytest.mark.parametrize("slash", ["", "/"], ids=["plain", "trailing-slash"])
def test_order_of_problems(slash: str, directory: Path, tmp_path: Path) -> None:
    """Problems come in the order in which the directories were given, then by file."""
    earlier = tmp_path / "z"
    earlier.mkdir()
    for place in (earlier / "b.json", directory / "a.json", earlier / "a.json"):
        place.write_text("{")
    with pytest.raises(RulesError) as caught:
        HookManager([f"{earlier}{slash}", f"{directory}{slash}"])
    assert [problem.file for problem in caught.value.problems] == [
        f"{earlier}/a.json",
        f"{earlier}/b.json",
        f"{directory}/a.json",
    ]


def test_overridden_files_are_judged(directory: Path, tmp_path: Path) -> None:
    """A broken file is refused even where a later directory overrides it."""
    (tmp_path / "a.json").write_text(rule())
    (directory / "a.json").write_text("{")
    with pytest.raises(RulesError) as caught:
        HookManager([directory, tmp_path])
    assert caught.value.file == f"{directory}/a.json"


def test_lenient(directory: Path) -> None:
    """A lenient manager leaves bad files out and reports them."""
    (directory / "b.json").write_text("{")
    manager = HookManager([directory, directory / "a.json"], lenient=True)
    assert active(manager) == ["a.json"]
    assert [(problem.code, problem.file) for problem in manager.problems] == [
        ("read_failed", f"{directory}/a.json"),
        ("json_syntax", f"{directory}/b.json"),
    ]


def test_missing_program(directory: Path) -> None:
    """A rule whose program is missing is left out and reported; it is not an error."""
    (directory / "b.json").write_text(rule(path="/no/such"))
    manager = HookManager([directory])
    assert active(manager) == ["a.json"]
    assert [(problem.code, problem.file) for problem in manager.problems] == [
        ("missing_program", f"{directory}/b.json")
    ]


def test_strict(directory: Path) -> None:
    """A strict manager refuses rules whose program is missing; with lenient it leaves them out after all."""
    (directory / "b.json").write_text(rule(path="/no/such"))
    with pytest.raises(RulesError) as caught:
        HookManager([directory], strict=True)
    assert [problem.code for problem in caught.value.problems] == ["missing_program"]
    assert active(HookManager([directory], strict=True, lenient=True)) == ["a.json"]


def test_override_without_program(directory: Path, tmp_path: Path) -> None:
    """An override whose program is missing replaces the older rule nevertheless, and is reported."""
    (tmp_path / "a.json").write_text(rule(path="/no/such"))
    manager = HookManager([directory, tmp_path])
    assert active(manager) == []
    assert [problem.code for problem in manager.problems] == ["missing_program"]


def test_missing_directory(directory: Path, tmp_path: Path) -> None:
    """A missing directory counts as empty, with a warning."""
    manager = HookManager([tmp_path / "gone", directory])
    assert active(manager) == ["a.json"]
    assert [(problem.code, problem.severity) for problem in manager.problems] == [("missing_directory", "warning")]


def test_warnings_are_kept(directory: Path) -> None:
    """Findings that are no errors stand in the problems."""
    (directory / "a.json").write_text(rule(stages=("prestart",)))
    assert [problem.code for problem in HookManager([directory]).problems] == ["prestart"]


def test_reload(directory: Path) -> None:
    """Reading again takes what the directories say then; when they can't be used, rules and problems stay."""
    manager = HookManager([directory])
    (directory / "b.json").write_text(rule())
    manager.reload()
    assert active(manager) == ["a.json", "b.json"]
    before = manager.rules, manager.problems
    (directory / "c.json").write_text("{")
    with pytest.raises(RulesError):
        manager.reload()
    assert (manager.rules, manager.problems) == before
    (directory / "c.json").unlink()
    (directory / "a.json").unlink()
    manager.reload()
    assert active(manager) == ["b.json"]


def test_read_changes_nothing(directory: Path) -> None:
    """A snapshot says what the directories hold, and whether the programs are there; the manager stays as it is."""
    manager = HookManager([directory])
    (directory / "a.json").write_text("{")
    (directory / "b.json").write_text(rule(path="/no/such"))
    (directory / "c.json").write_text(rule())
    found = manager.read()
    assert [(rule.name, rule.status) for rule in found.rules] == [
        ("a.json", "invalid"),
        ("b.json", "invalid"),
        ("c.json", "active"),
    ]
    assert found.programs == {"/no/such": False, "/bin/true": True}
    assert [problem.code for problem in found.refused] == ["json_syntax"]
    assert active(manager) == ["a.json"]


def test_hooks(directory: Path) -> None:
    """A container gets the hooks of the rules that match, by stage, with the reason for every rule."""
    (directory / "b.json").write_text(rule(path="/bin/false", commands=["^/bin/sh$"]))
    (directory / "c.json").write_text(rule(annotations={"^gpu$": "^yes$"}))
    injection = HookManager([directory]).hooks(CONFIG, {})
    assert injection.hooks == {"poststop": [Hook(path="/bin/true"), Hook(path="/bin/false")]}
    assert injection.extension_stage_hooks == {}
    assert [(rule.name, decision.matched) for rule, decision in injection.reasons] == [
        ("a.json", True),
        ("b.json", True),
        ("c.json", False),
    ]


def test_what_counts(directory: Path) -> None:
    """Annotations and bind mounts count as they are handed in, not as the configuration has them."""
    (directory / "a.json").write_text(rule(annotations={"^gpu$": "^yes$"}, hasBindMounts=True))
    config = CONFIG | {"annotations": {"gpu": "yes"}, "mounts": [{"type": "bind", "destination": "/x"}]}
    manager = HookManager([directory])
    assert not manager.hooks(config, {}).matched
    assert not manager.hooks(config, {"gpu": "yes"}).matched
    assert manager.hooks({}, {"gpu": "yes"}, has_bind_mounts=True).matched


def test_stages(directory: Path) -> None:
    """prestart goes to createRuntime, extension stages come back apart, a stage named twice counts twice."""
    stages = ("prestart", "precreate", "createRuntime", "poststop", "poststop")
    (directory / "a.json").write_text(rule(stages=stages))
    injection = HookManager([directory], ["precreate"]).hooks(CONFIG, {})
    assert {stage: len(hooks) for stage, hooks in injection.hooks.items()} == {"createRuntime": 2, "poststop": 2}
    assert injection.extension_stage_hooks == {"precreate": [Hook(path="/bin/true")]}


def test_undecided(directory: Path) -> None:
    """When a rule can't be decided, the error names its file and has what the rules before it gave."""
    (directory / "b.json").write_text(rule(commands=["x"]))
    (directory / "c.json").write_text(rule())
    with pytest.raises(MatchError) as caught:
        HookManager([directory]).hooks({"process": {"args": []}}, {})
    assert (caught.value.code, caught.value.pointer) == ("no_process_args", "/process/args")
    assert f"{directory}/b.json" in caught.value.message
    assert caught.value.injection.hooks == {"poststop": [Hook(path="/bin/true")]}


def test_apply(directory: Path) -> None:
    """Hooks go behind those that are there, in a copy; twice adds twice; other members stay."""
    injection = HookManager([directory]).hooks(CONFIG, {})
    own = {"path": "/own"}
    config = CONFIG | {"x": 1, "hooks": {"poststop": [own], "y": 2}}
    before = json.dumps(config)
    once = apply(injection, config)
    assert once == config | {"hooks": {"poststop": [own, {"path": "/bin/true"}], "y": 2}}
    assert len(apply(injection, once)["hooks"]["poststop"]) == 3
    assert json.dumps(config) == before


def test_apply_without_match(directory: Path) -> None:
    """Without a match nothing is added; a match without hooks makes an empty object."""
    (directory / "a.json").write_text(rule(annotations={"x": "x"}))
    manager = HookManager([directory], ["precreate"])
    assert apply(manager.hooks(CONFIG, {}), CONFIG) == CONFIG
    (directory / "a.json").write_text(rule(stages=("precreate",)))
    manager.reload()
    assert apply(manager.hooks(CONFIG, {}), CONFIG) == CONFIG | {"hooks": {}}
