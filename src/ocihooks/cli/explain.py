"""The command ``explain``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from ocihooks.cli.command import Command, Example
from ocihooks.cli.explanation import Explained, Explanation, added, explain, filters, made_up, removed, select
from ocihooks.cli.explanation_text import as_text
from ocihooks.cli.inventory import when_json
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

DEFAULT_COMMAND = "/bin/sh"
BIND_MOUNT = ("/made-up", "/made-up")

EXAMPLES = (
    Example(line="ocihooks explain /run/bundles/web", meaning="Why did this container get that hook, or none?"),
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
    "verdict": '"match", "no match", "refused" (no container is created), "switched off" or "sandbox" '
    "(of a pod; rules do not apply).",
    "container": "What rules see.",
    "container.bundle": "The bundle, null for a made-up container.",
    "container.command": "process.args[0]; null without a process or arguments.",
    "container.annotations": "Key to value.",
    "container.has_bind_mounts": "Whether somebody other than the engine asked for a bind mount.",
    "container.sandbox": "Whether it is the sandbox container of a pod.",
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
@click.argument("bundle", required=False, type=click.Path(exists=True, file_okay=False))
@click.option("--annotation", "annotations", metavar="KEY=VALUE", multiple=True, help="Give the container one. Repeat.")
@click.option(
    "--command", "program", metavar="PATH", help="The container's command, its args[0].", show_default=DEFAULT_COMMAND
)
@click.option("--no-process", is_flag=True, help="A container without a process.")
@click.option(
    "--mount", "mounts", metavar="SOURCE:DEST", multiple=True, help="Give the container a bind mount. Repeat."
)
@click.option("--bind-mount", is_flag=True, help="Give it a bind mount, no matter which.")
@click.option("--rule", metavar="NAME", help="Only the rule of this file name.", shell_complete=rule_names)
@rules_options
@json_option
def command(
    bundle: str | None,
    rule: str | None,
    settings_file: str | None,
    hooks_dirs: tuple[str, ...],
    as_json: bool,
    **words: Any,
) -> int:
    """
    Tell which rules match a container, and why.

    Shows every rule with every condition and the value that it saw, what masked and broken rules mean for this
    container, and what its config.json would gain. The container is that of BUNDLE (a directory with a config.json), or
    one made up with --annotation, --command and --mount. Nothing is changed and no hook is run.
    """
    config = _container(bundle, **words)
    explanation = explain(config, read_sources(settings_file, hooks_dirs))
    shown = explanation.rules
    if rule is not None:
        shown = (_selected(explanation, rule),)
    if as_json:
        write_json(as_document(explanation, shown, bundle))
    else:
        write("\n".join(as_text(explanation, shown, bundle)))
    matched = explanation.verdict in ("match", "switched off") and any(one.matched for one in shown)
    return 0 if matched else 1


def _container(
    bundle: str | None,
    *,
    annotations: tuple[str, ...],
    program: str | None,
    no_process: bool,
    mounts: tuple[str, ...],
    bind_mount: bool,
) -> Config:
    given = bool(annotations or program is not None or no_process or mounts or bind_mount)
    if bundle is not None:
        if given:
            raise UsageError("a bundle is explained as it is", hint="leave out BUNDLE to make up a container")
        return read_config(config_path(bundle))
    if not given:
        raise UsageError("no container to explain", hint="name a bundle, or make one up with --annotation KEY=VALUE")
    if no_process and program is not None:
        raise UsageError("--no-process and --command contradict each other", hint="leave out one of them")
    command = None if no_process else DEFAULT_COMMAND if program is None else program
    places = [*map(_mount, mounts), *([BIND_MOUNT] if bind_mount else [])]
    return made_up(annotations=dict(map(_annotation, annotations)), command=command, mounts=places)


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--annotation {quoted(text, 200)}: expected KEY=VALUE", hint="the value may be empty")
    return key, value


def _mount(text: str) -> tuple[str, str]:
    source, _, destination = text.partition(":")
    if not source or not destination.startswith("/"):
        hint = "both parts are paths, the second one is that in the container"
        raise UsageError(f"--mount {quoted(text, 200)}: expected SOURCE:DEST with an absolute DEST", hint=hint)
    return source, destination


def _selected(explanation: Explanation, name: str) -> Explained:
    found = select(explanation, name)
    if found is None:
        hint = 'run "ocihooks list" for all names'
        raise UsageError(f"--rule {quoted(name, 200)}: there is no such rule in the hooks directories", hint=hint)
    return found


def as_document(explanation: Explanation, shown: tuple[Explained, ...], bundle: str | None) -> dict[str, Any]:
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
        "disabled": switch_json(explanation.sources.switch),
        "rules": [rule_json(rule, explanation) for rule in shown],
        "adds": _by_stage(added(explanation)),
        "removes": _by_stage(removed(explanation)),
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
