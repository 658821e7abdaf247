"""The command ``explain``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from ocihooks.cli.command import Command, Example
from ocihooks.cli.explanation import Explained, Explanation, added, explain, filters, modifiers, removed, select
from ocihooks.cli.explanation_text import as_text
from ocihooks.cli.inventory import when_json
from ocihooks.cli.live import LIVE_MEMBERS, Live, address_option, engine_option, live_json, look_at
from ocihooks.cli.made_up import described, is_described, made_up_options
from ocihooks.cli.options import (
    SUPERVISION_MEMBERS,
    SWITCH_MEMBERS,
    config_path,
    diagnostic_members,
    json_option,
    read_sources,
    rules_options,
    supervision_json,
    switch_json,
)
from ocihooks.cli.output import write, write_json
from ocihooks.document import Config, read_config
from ocihooks.errors import UsageError, quoted
from ocihooks.hooksd.matching import Condition

EXAMPLES = (
    Example(line="ocihooks explain --engine docker web", meaning="Why did this container get that hook, or none?"),
    Example(line="ocihooks explain /run/bundles/web", meaning="The same for a bundle."),
    Example(
        line="ocihooks explain --annotation com.example.gpu=yes --command /usr/bin/python3",
        meaning="What would such a container get?",
    ),
    Example(
        line="ocihooks explain --rule 10-gpu.json --bind-mount",
        meaning="One rule and a container with a bind mount.",
    ),
)

JSON_MEMBERS = {
    "verdict": '"match", "no match", "refused" (no container is created), "switched off", "sandbox" '
    '(of a pod; rules do not apply) or "no wrapper" (its engine starts it without one, and reads no rules itself).',
    "container": "What rules see.",
    "container.bundle": "The bundle as it was named, or null.",
    "container.command": "process.args[0]; null without a process or arguments.",
    "container.annotations": "Key to value.",
    "container.has_bind_mounts": "Whether somebody other than the engine asked for a bind mount.",
    "container.sandbox": "Whether it is the sandbox container of a pod.",
    **LIVE_MEMBERS,
    **SWITCH_MEMBERS,
    "rules": "Every rule that counts, in the order in which they run; with --rule only that one.",
    "rules[].name": "File name.",
    "rules[].file": "Path.",
    "rules[].status": '"active", "masked", "invalid", "missing program" or "unusable".',
    "rules[].overrides": "Files of the same name that do not count.",
    "rules[].matched": "Whether the conditions hold; null where that can't be said.",
    "rules[].effect": '"applies" (its hooks go in), "none", "left out" (unusable, which the policy tolerates) or '
    '"refuses" (the container is not created).',
    "rules[].policy": 'on-invalid for this rule: "fail", "warn" or "ignore".',
    **SUPERVISION_MEMBERS,
    "rules[].stages": "Where its hooks go to; precreate means that they rewrite the configuration.",
    "rules[].when": "Conditions as in schema 1.0.0, and anyOf; null where the file can't be read.",
    "rules[].conditions": "Every condition with what it saw.",
    "rules[].conditions[].name": '"always", "hasBindMounts", "annotations" or "commands".',
    "rules[].conditions[].wanted": "true, false, a pair of patterns, or a list of patterns.",
    "rules[].conditions[].seen": "What the container has: true, false, a pair of key and value, a command, or null.",
    "rules[].conditions[].met": "Whether it holds; null where it does not apply.",
    "rules[].conditions[].note": "A sentence, or null.",
    **diagnostic_members("rules[].problems", "Findings about the file, and why a rule can't be decided."),
    "adds": "The hooks that config.json would gain, by stage.",
    "removes": "The hooks that it would lose by stage: ours, of rules that changed or no longer match.",
    "modifiers": "The modifiers that would be asked about the container; explain does not ask them.",
    "filters": "Rules whose hooks would rewrite the configuration, in order.",
    "filters[].name": "File name of the rule.",
    "filters[].file": "Path of the rule.",
    "filters[].path": "The program.",
    **diagnostic_members("refused", "Why the container would not be created."),
    **diagnostic_members("problems", "Findings about directories and the kill switch."),
}


def rule_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Names of rule files, for completion."""
    try:
        settings = read_sources(ctx.params.get("settings_file"), ctx.params.get("hooks_dirs") or ()).settings
        directories = filter(os.path.isdir, settings.hooks_dirs)
        names = {name for directory in directories for name in os.listdir(directory)}
    except Exception:  # noqa: BLE001 - completion has nowhere to complain to
        return []
    return [CompletionItem(name) for name in sorted(names) if name.endswith(".json") and name.startswith(incomplete)]


@click.command(
    "explain",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "a rule matches", 1: "no rule matches, or the container would be refused"},
)
@click.argument("container", metavar="[CONTAINER|BUNDLE]", required=False, type=click.Path())
@engine_option
@address_option
@made_up_options
@click.option("--rule", metavar="NAME", help="Only the rule of this file name.", shell_complete=rule_names)
@rules_options
@json_option
def command(
    *,
    container: str | None,
    engine: str | None,
    address: str | None,
    rule: str | None,
    settings_file: str | None,
    hooks_dirs: tuple[str, ...],
    as_json: bool,
    **words: Any,
) -> int:
    """
    Tell which rules match a container, and why.

    Shows every rule with every condition and the value that it saw, what masked and broken rules mean for this
    container, and what its config.json would gain. Nothing is changed and no hook is run.

    The container is one of Docker, Podman or containerd, by its name, its id or the beginning of its id; or that of
    BUNDLE, a directory with a config.json, if it is a path with a slash or there is such a directory; or one made up
    with --annotation, --command and --mount. Of an engine's container it is also shown whether rules reach it, which
    hooks it has, and, where records are kept, when it got them; its rules are those of the wrapper that started it.
    """
    given = described(words) if is_described(words) else None
    _check_words(container, engine, address, given=given)
    live = None
    if container is not None and (engine is not None or not _is_bundle(container)):
        live = look_at(container, engine, address, settings_file)
    bundle = None if live else container
    config = live.config if live else given or read_config(config_path(str(bundle)))
    sources = live.sources(settings_file, hooks_dirs) if live else read_sources(settings_file, hooks_dirs)
    explanation = explain(config, sources, is_reached=live is None or live.is_reached)
    shown = explanation.rules
    if rule is not None:
        shown = (_selected(explanation, rule),)
    if as_json:
        write_json(as_document(explanation, shown, bundle, live))
    else:
        write("\n".join(as_text(explanation, shown, bundle, live)))
    matched = explanation.verdict in ("match", "switched off") and any(one.matched for one in shown)
    return 0 if matched else 1


def _is_bundle(container: str) -> bool:
    return "/" in container or os.path.isdir(container)


def _check_words(container: str | None, engine: str | None, address: str | None, *, given: Config | None) -> None:
    if address is not None and (engine is None or not address.startswith("/")):
        raise UsageError("--address: expected the path of a socket, and --engine", hint="name both")
    if engine is not None and container is None:
        raise UsageError("--engine: no container is named", hint="name one by its name or id")
    if container is not None and given is not None:
        raise UsageError("a container that is there is explained as it is", hint="name none to make one up")
    if container is None and given is None:
        hint = "name a container or a bundle, or make one up with --annotation KEY=VALUE"
        raise UsageError("no container to explain", hint=hint)


def _selected(explanation: Explanation, name: str) -> Explained:
    found = select(explanation, name)
    if found is None:
        hint = 'run "ocihooks list" for all names'
        raise UsageError(f"--rule {quoted(name, 200)}: there is no such rule in the hooks directories", hint=hint)
    return found


def as_document(
    explanation: Explanation, shown: tuple[Explained, ...], bundle: str | None, live: Live | None
) -> dict[str, Any]:
    """The JSON output."""
    container = explanation.container
    return {
        "verdict": explanation.verdict,
        "container": {
            "bundle": bundle,
            "command": container.args[0] if container.args else None,
            "annotations": dict(container.annotations),
            "has_bind_mounts": container.has_bind_mounts,
            "sandbox": explanation.sandbox,
        },
        "live": live_json(live, explanation.sources.settings) if live else None,
        "disabled": switch_json(explanation.sources.switch),
        "rules": [rule_json(rule, explanation) for rule in shown],
        "adds": _by_stage(added(explanation)),
        "removes": _by_stage(removed(explanation)),
        "modifiers": list(modifiers(explanation)),
        "filters": [{"name": rule.name, "file": rule.file, "path": rule.hook.path} for rule in filters(explanation)],
        "refused": [problem.to_json() for problem in explanation.refused],
        "problems": [problem.to_json() for problem in explanation.problems],
    }


def _by_stage(hooks: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for stage, hook in hooks:
        found.setdefault(stage, []).append(hook)
    return found


def rule_json(rule: Explained, explanation: Explanation) -> dict[str, Any]:
    """One rule of the JSON output."""
    entry = rule.entry
    found = entry.rule
    problems = (*entry.problems, *([rule.undecided] if rule.undecided else []))
    return {
        "name": entry.name,
        "file": entry.file,
        "status": entry.status,
        "overrides": found.overrides if found else (),
        "matched": None if rule.decision is None else rule.decision.matched,
        "effect": rule.effect,
        "policy": explanation.sources.settings.policy(entry.name),
        "supervision": supervision_json(explanation.sources.settings, entry.name),
        "stages": rule.stages,
        "when": when_json(found.config.when) if found and found.config else None,
        "conditions": [condition_json(condition) for condition in (rule.decision.conditions if rule.decision else ())],
        "problems": [problem.to_json() for problem in problems],
    }


def condition_json(condition: Condition) -> dict[str, Any]:
    """One condition of the JSON output."""
    return {name: getattr(condition, name) for name in ("name", "wanted", "seen", "met", "note")}
