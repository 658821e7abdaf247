"""The command ``list``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.inventory import Entry, StaticEntry, conditions_text, entries, look, static_entries, when_json
from ocihooks.cli.options import (
    SUPERVISION_MEMBERS,
    SWITCH_MEMBERS,
    Sources,
    diagnostic_members,
    json_option,
    read_sources,
    rules_options,
    supervision_json,
    switch_json,
)
from ocihooks.cli.output import remark, table, write, write_json
from ocihooks.errors import WARNING, Diagnostic, only_errors
from ocihooks.settings import Settings

EXAMPLES = (
    Example(line="ocihooks list", meaning="All rules in the order in which they run."),
    Example(
        line="ocihooks list --json | jq -r '.rules[] | select(.status == \"active\") | .file'",
        meaning="The files of all rules that count.",
    ),
    Example(line="ocihooks list --hooks-dir ./hooks.d", meaning="The rules of a source tree."),
)

JSON_MEMBERS = {
    "settings": "What the settings say about rules.",
    "settings.file": "The settings file, null where there is none.",
    "settings.hooks_dirs": "Hooks directories, later ones override earlier ones.",
    "settings.position": '"append" or "prepend".',
    "settings.on_invalid": '"fail", "warn" or "ignore".',
    "settings.sandbox": "Whether the sandbox containers of pods get hooks, too.",
    **SWITCH_MEMBERS,
    "rules": "Every rule file in the order in which rules run, each followed by those that it overrides.",
    "rules[].order": "From 1; null for overridden files.",
    "rules[].name": "File name.",
    "rules[].file": "Path.",
    "rules[].directory": "The hooks directory.",
    "rules[].status": '"active", "overridden", "masked" (empty, so the rule is out), "invalid" (can\'t be read), '
    '"missing program" or "unusable" (program or timeout can\'t be used).',
    "rules[].overridden_by": "The file that counts instead, or null.",
    "rules[].stages": "Stages as in the file; empty where the file does not count or can't be read.",
    "rules[].when": "Conditions as in schema 1.0.0, and anyOf; null where the file does not count or can't be read.",
    "rules[].hook": "The hook object, or null.",
    **SUPERVISION_MEMBERS,
    **diagnostic_members("rules[].problems", "Findings about the file."),
    "static": "Static hook files.",
    "static[].file": "Path.",
    "static[].status": '"active" or "invalid".',
    "static[].stages": "How many hooks for each stage.",
    **diagnostic_members("static[].problems", "Findings about the file."),
    **diagnostic_members("problems", "Findings about directories."),
}


@click.command(
    "list",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "shown, whatever state the rules are in", 1: "the settings file is broken or not to be trusted"},
)
@rules_options
@json_option
def command(settings_file: str | None, hooks_dirs: tuple[str, ...], as_json: bool) -> None:
    """
    Show every rule, where it comes from and what became of it.

    One line for each rule file in the order in which rules run, with its status (active, overridden, masked, invalid,
    missing program, unusable), stages and conditions, then static hook files. "ocihooks check" tells what is wrong.
    """
    sources = read_sources(settings_file, hooks_dirs)
    rules, problems = look(sources.settings)
    rows = tuple(entries(rules, sources.settings))
    static = tuple(static_entries(sources.settings))
    if as_json:
        write_json(as_document(sources, rows, static, problems))
        return
    remark(sources.problems)
    write(as_text(sources.settings, rows, static))
    remark([*problems, *notice(rows, static)])


def as_document(
    sources: Sources, rows: Sequence[Entry], static: Sequence[StaticEntry], problems: Sequence[Diagnostic]
) -> dict[str, Any]:
    """The JSON output."""
    settings = sources.settings
    return {
        "settings": {
            "file": settings.file,
            "hooks_dirs": settings.hooks_dirs,
            "position": settings.position,
            "on_invalid": settings.on_invalid,
            "sandbox": settings.sandbox,
        },
        "disabled": switch_json(sources.switch),
        "rules": [rule_json(row, settings) for row in rows],
        "static": [static_json(entry) for entry in static],
        "problems": [problem.to_json() for problem in (*sources.problems, *problems)],
    }


def rule_json(row: Entry, settings: Settings) -> dict[str, Any]:
    """One rule file of the JSON output."""
    config = row.rule.config if row.rule else None
    return {
        "order": row.order,
        "name": row.name,
        "file": row.file,
        "directory": os.path.dirname(row.file),
        "status": row.status,
        "overridden_by": row.overridden_by,
        "stages": config.stages if config else (),
        "when": when_json(config.when) if config else None,
        "hook": config.hook.to_json() if config else None,
        "supervision": supervision_json(settings, row.name),
        "problems": [problem.to_json() for problem in row.problems],
    }


def static_json(entry: StaticEntry) -> dict[str, Any]:
    """One static hook file of the JSON output."""
    return {
        "file": entry.file,
        "status": entry.status,
        "stages": entry.stages,
        "problems": [problem.to_json() for problem in entry.problems],
    }


def as_text(settings: Settings, rows: Sequence[Entry], static: Sequence[StaticEntry]) -> str:
    """The output for people."""
    if rows:
        shown = [_cells(row, settings) for row in rows]
        text = table(("#", "RULE", "STATUS", "STAGES", "WHEN", "FILE"), shown)
    else:
        text = f"no rules in {', '.join(settings.hooks_dirs) or 'no directories'}"
    if static:
        cells = [(entry.status, _stages(entry), entry.file) for entry in static]
        text += "\n\n" + table(("STATUS", "HOOKS", "STATIC HOOK FILE"), cells)
    return text


def _cells(row: Entry, settings: Settings) -> tuple[str, ...]:
    config = row.rule.config if row.rule else None
    number = "" if row.order is None else str(row.order)
    stages = ", ".join(config.stages) if config else ""
    stages += " (supervised)" if stages and settings.supervision(row.name) else ""
    return number, row.name, row.status, stages, conditions_text(config.when) if config else "", row.file


def _stages(entry: StaticEntry) -> str:
    return ", ".join(f"{stage}: {count}" for stage, count in entry.stages.items())


def notice(rows: Sequence[Entry], static: Sequence[StaticEntry]) -> list[Diagnostic]:
    """One line where something is wrong with any of the files."""
    problems = [*(row.problems for row in rows), *(entry.problems for entry in static)]
    faulty = sum(1 for of_file in problems if only_errors(of_file))
    if not faulty:
        return []
    files = "1 file" if faulty == 1 else f"{faulty} files"
    message = f"{files} can't be used"
    return [Diagnostic(message, code="faulty_files", severity=WARNING, hint='run "ocihooks check"')]
