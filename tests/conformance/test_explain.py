"""What `explain` says of a container is what injection does, for every recorded case about conditions and rules."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ocihooks.cli.explanation import added, explain
from ocihooks.cli.options import Sources
from ocihooks.compiled.compile import compile_rules
from ocihooks.document import Config, parse_config
from ocihooks.errors import MatchError, OCIHooksError
from ocihooks.hooksd.config import HookConfig
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.matching import decide
from ocihooks.hooksd.readers import read_when
from ocihooks.injection import rule_of
from ocihooks.settings import Settings
from ocihooks.spec.hook import Hook
from ocihooks.testing.configs import bind_mount
from ocihooks.wrapper.create import inject
from ocihooks.wrapper.plan import container_of, make_plan, plan_for

HERE = Path(__file__).parent
RULE = "/hooks.d/x.json"


def recorded(name: str) -> Iterator[Mapping[str, Any]]:
    """The cases of one file."""
    for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def config_text(case: Mapping[str, Any]) -> str:
    """The config.json of the case's container: there, annotations and bind mounts are part of it."""
    told = case["input"]
    mounts = [bind_mount("/srv", "/srv")] if told.get("has_bind_mounts") else []
    document = {"ociVersion": "1.0.2", **(told.get("config") or {})}
    return json.dumps({**document, "annotations": told.get("annotations") or {}, "mounts": mounts})


def expectations(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The recorded answers, any of which will do."""
    return list(case["expect"].get("any_of") or [case["expect"]])


def explained(rule: Rule, config: Config) -> bool | None:
    """Whether *rule* matches, as `explain` finds out: every condition is looked at; None: it can't be decided."""
    try:
        return decide(rule.when, container_of(config), every=True).matched
    except MatchError:
        return None


def injected(rule: Rule, config: Config) -> bool | None:
    """Whether the wrapper adds the hook of *rule*, which it compiles; None: the container is refused."""
    rules = compile_rules((rule,), Settings(hooks_dirs=("/hooks.d",)), [], refused=(), tolerated=())
    try:
        plan = plan_for(config, rules)
    except MatchError:
        return None
    return any(file == RULE for _, file, _ in plan.additions.rules)


def test_conditions() -> None:
    """Every recorded question about conditions has one answer: the recorded one, explain's, and the wrapper's."""
    differing, answers = [], []
    for case in recorded("hooks_match"):
        told = case["input"]
        when = read_when([("/when", told["when"])], Reading("when"), any_of=bool(told.get("or")))
        hook = HookConfig(hook=Hook(path="/bin/true"), when=when, stages=("startContainer",))
        rule = Rule(name="x.json", file=RULE, config=hook, status="active")
        config = parse_config(config_text(case).encode(), "config.json")
        wanted = {None if one.get("error_kinds") else one["match"] for one in expectations(case)}
        found = (explained(rule, config), injected(rule, config))
        answers.append(found[0])
        if found[0] is not found[1] or found[0] not in wanted:
            differing.append((case["id"], found, wanted))
    assert differing == []
    assert (len(answers), set(answers)) == (1297, {True, False, None})


def write(place: Path, content: Mapping[str, Any], root: Path) -> None:
    """Write one recorded file below *root*, which {DIR} stands for."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if content.get("dir"):
        place.mkdir()
    elif "symlink" in content:
        place.symlink_to(content["symlink"].replace("{DIR}", str(root)))
    else:
        data = (
            base64.b64decode(content["b64"]) if "b64" in content else content["text"].encode("utf-8", "surrogatepass")
        )
        place.write_bytes(data.replace(b"{DIR}", str(root).encode()))


def make_directories(case: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    """The hooks directories of a case, in their order."""
    paths = []
    for directory in case["input"]["directories"]:
        path = root / directory["name"]
        paths.append(directory.get("path", str(path)).replace("{DIR}", str(root)))
        if "symlink" in directory:
            path.symlink_to(directory["symlink"].replace("{DIR}", str(root)))
        elif directory.get("is_file"):
            path.write_text("")
        elif not directory.get("missing"):
            path.mkdir(exist_ok=True)
            for name, content in (directory.get("files") or {}).items():
                write(path / name, content, root)
    for name, content in (case["input"].get("files") or {}).items():
        write(root / name, content, root)
    return tuple(path for path in paths if path.startswith("/"))


def outcome_of_explain(bundle: Path, settings: Settings) -> object:
    """The rules whose hooks would go in, by stage, or None where the container would be refused."""
    sources = Sources(settings_file="/none", settings=settings, switch=None, problems=())
    try:
        explanation = explain(parse_config(bundle.read_bytes(), str(bundle)), sources)
    except OCIHooksError:
        return None
    return None if explanation.refused else sorted((stage, str(rule_of(hook))) for stage, hook in added(explanation))


def outcome_of_injection(bundle: Path, settings: Settings) -> object:
    """What `outcome_of_explain` announces, as it has been written; where filters would run, as it is about to be."""
    try:
        plan = make_plan(parse_config(bundle.read_bytes(), str(bundle)), settings)
        if not plan.filters:
            inject(str(bundle), settings)
    except OCIHooksError:
        return None
    hooks = plan.hooks if plan.filters else json.loads(bundle.read_bytes()).get("hooks")
    ours = [(stage, rule_of(entry)) for stage, entries in (hooks or {}).items() for entry in entries or ()]
    return sorted((stage, rule) for stage, rule in ours if rule is not None)


@pytest.mark.parametrize("policy", ["fail", pytest.param("ignore", marks=pytest.mark.slow)])
def test_rules(policy: Any, private_directory: Path) -> None:
    """With the directories of every recorded case, what explain announces is what injection writes, or both refuse."""
    differing, outcomes = [], []
    for number, case in enumerate(recorded("hooks_manager")):
        root = private_directory / str(number)
        root.mkdir(mode=0o755)
        settings = Settings(hooks_dirs=make_directories(case, root), on_invalid=policy)
        bundle = root / "config.json"
        bundle.write_text(config_text(case))
        announced = outcome_of_explain(bundle, settings)
        done = outcome_of_injection(bundle, settings)
        outcomes.append(done)
        if announced != done:
            differing.append((case["id"], announced, done))
    assert differing == []
    assert len(outcomes) == 467
    assert sum(1 for outcome in outcomes if outcome) > 100
    assert sum(1 for outcome in outcomes if outcome is None) > 10
