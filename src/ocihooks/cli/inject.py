"""The command ``inject``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import (
    SWITCH_MEMBERS,
    Sources,
    config_path,
    diagnostic_members,
    json_option,
    read_sources,
    rules_options,
    switch_json,
)
from ocihooks.cli.output import coloured, columns, remark, write, write_json
from ocihooks.cli.run import environment
from ocihooks.document import JSONNumber, dumps, parse_document, read_config
from ocihooks.errors import ReplaceError
from ocihooks.wrapper.create import inject, injected, planned
from ocihooks.wrapper.plan import Plan
from ocihooks.wrapper.refresh import read_rules

EXAMPLES = (
    Example(line="ocihooks inject --bundle /run/bundles/web --dry-run", meaning="Show the difference, change nothing."),
    Example(line="ocihooks inject --bundle /run/bundles/web", meaning="Do it; then start it with plain runc or crun."),
)

Result = Literal["injected", "already injected", "no match", "switched off"]

JSON_MEMBERS = {
    "result": '"injected" (with --dry-run: would be), "already injected", "no match" or "switched off".',
    "dry_run": "Whether nothing was written.",
    "changed": "Whether config.json was replaced, or would be.",
    "config": "Path of the configuration.",
    "rules": "File names of the rules that matched, in order.",
    "modifiers": "The modifiers that were asked, in order.",
    "filters": "File names of those that rewrote the configuration.",
    "skipped": "File names of rules that matched but can't be used, which the policy tolerates.",
    "static": "How many static hook files there are.",
    "diff": "A unified diff of the indented documents; null without --dry-run.",
    **SWITCH_MEMBERS,
    **diagnostic_members("warnings", "Findings that the wrapper's log would have."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What was done, or would be.

    Attributes:
        path: Of the configuration.
        plan: None while hooks are switched off.
        changed: Whether the file was replaced, or would be.
        diff: Lines of a unified diff; None unless it was asked for.
    """

    path: str
    plan: Plan | None
    changed: bool
    diff: tuple[str, ...] | None = None

    @property
    def result(self) -> Result:
        """The outcome in a word."""
        if self.plan is None:
            return "switched off"
        if self.changed:
            return "injected"
        additions = self.plan.additions
        present = additions.rules or additions.static or self.plan.filters or self.plan.injectors
        return "already injected" if present else "no match"


@click.command(
    "inject",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "injected, or injected already",
        1: "no rule matches, hooks are switched off, or the container would be refused",
        3: "no permission",
    },
)
@click.option(
    "--bundle", "-b", metavar="DIR", required=True, type=click.Path(exists=True, file_okay=False), help="The bundle."
)
@click.option("--config", "name", metavar="FILE", default="config.json", show_default=True, help="Its configuration.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the difference; write nothing. Modifiers are asked, and filters that match are run.",
)
@rules_options
@json_option
def command(
    *, bundle: str, name: str, dry_run: bool, settings_file: str | None, hooks_dirs: tuple[str, ...], as_json: bool
) -> int:
    """
    Add the hooks of matching rules to a bundle.

    Does to config.json what the wrapper does when a container is created, for bundles that are started without it: the
    hooks of matching rules, static hook files and modifiers are added, then precreate filters rewrite the document.
    Without filters all bytes outside of the hooks stay as they are; doing it again changes nothing.
    """
    sources = read_sources(settings_file, hooks_dirs)
    path = config_path(bundle, name)
    with environment(ReplaceError):
        outcome = perform(path, sources, dry_run=dry_run)
    if as_json:
        write_json(as_document(outcome, sources, dry_run=dry_run))
    else:
        remark((*sources.problems, *(outcome.plan.warnings if outcome.plan else ())))
        write("\n".join(as_text(outcome, dry_run=dry_run)))
    return 0 if outcome.result in ("injected", "already injected") else 1


def perform(path: str, sources: Sources, *, dry_run: bool) -> Outcome:
    """
    Inject, or find out what that would change.

    Raises:
        OCIHooksError: The wrapper would refuse this container; nothing was changed.
    """
    if sources.switch is not None:
        return Outcome(path=path, plan=None, changed=False)
    if not dry_run:
        plan, changed = inject(path, sources.settings)
        return Outcome(path=path, plan=plan, changed=changed)
    config = read_config(path)
    plan = planned(config, read_rules(sources.settings))
    before, after = config.text.encode(), injected(config, plan)
    return Outcome(path=path, plan=plan, changed=before != after, diff=tuple(difference(path, before, after)))


def difference(path: str, before: bytes, after: bytes) -> Iterator[str]:
    """A unified diff of both documents, indented alike, so that one line holds one value."""
    old, new = (list(indented(parse_document(data, path).members)) for data in (before, after))
    yield from difflib.unified_diff(old, new, path, f"{path} with hooks", lineterm="")


def indented(value: Any, margin: str = "") -> Iterator[str]:
    """The lines of a parsed document, numbers as they were written."""
    if isinstance(value, JSONNumber) or not isinstance(value, (dict, list)) or not value:
        yield f"{margin}{dumps(value)}"
        return
    inner = f"{margin}  "
    pairs = [("", item) for item in value]
    opening, closing = "[", "]"
    if isinstance(value, dict):
        pairs = [(f"{dumps(name)}: ", item) for name, item in value.items()]
        opening, closing = "{", "}"
    yield f"{margin}{opening}"
    for index, (name, item) in enumerate(pairs):
        lines = list(indented(item, inner))
        lines[0] = f"{inner}{name}{lines[0].removeprefix(inner)}"
        lines[-1] += "," if index < len(pairs) - 1 else ""
        yield from lines
    yield f"{margin}{closing}"


def as_document(outcome: Outcome, sources: Sources, *, dry_run: bool) -> dict[str, Any]:
    """The JSON output."""
    plan = outcome.plan
    matched = [rule for rule, decision in plan.injection.reasons if decision.matched] if plan else []
    return {
        "result": outcome.result,
        "dry_run": dry_run,
        "changed": outcome.changed,
        "config": outcome.path,
        "rules": [rule.name for rule in matched],
        "modifiers": list(plan.modifiers) if plan else [],
        "filters": [rule.name for rule in plan.filters] if plan else [],
        "skipped": [rule.name for rule in plan.skipped] if plan else [],
        "static": len(plan.additions.static) if plan else 0,
        "diff": None if outcome.diff is None else "\n".join(outcome.diff),
        "disabled": switch_json(sources.switch),
        "warnings": [problem.to_json() for problem in (*sources.problems, *(plan.warnings if plan else ()))],
    }


def as_text(outcome: Outcome, *, dry_run: bool) -> Iterator[str]:
    """The output for people."""
    for line in outcome.diff or ():
        yield coloured(line, _COLOURS.get(line[:1]) if line[:3] not in ("+++", "---") else None)
    yield _SENTENCES[outcome.result, dry_run].format(path=outcome.path)
    if outcome.plan is not None and outcome.changed:
        yield from _what_changed(outcome.plan)


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_SENTENCES = {
    ("injected", False): "hooks added to {path}",
    ("injected", True): "hooks would be added to {path}",
    ("already injected", False): "{path} has these hooks already",
    ("already injected", True): "{path} has these hooks already",
    ("no match", False): "no rule matches; {path} stays as it is",
    ("no match", True): "no rule matches; {path} stays as it is",
    ("switched off", False): "hooks are switched off; {path} stays as it is",
    ("switched off", True): "hooks are switched off; {path} stays as it is",
}


def _what_changed(plan: Plan) -> Iterator[str]:
    skipped = {rule.name for rule in plan.skipped}
    rows = [(a.rule.name, a.declared) for a in plan.injection.additions if a.rule.name not in skipped]
    matched = {addition.rule.file for addition in plan.injection.additions}
    rows += [(file.rpartition("/")[2], stage) for stage, file, _ in plan.additions.rules if file not in matched]
    rows += [(f"{count} static", stage) for stage, count in _static_counts(plan).items()]
    if rows:
        yield columns(rows, indent="  ")
    if plan.injectors:
        yield 'injector files change the document, see "ocihooks injector explain"'
    elif plan.filters:
        yield "filters rewrite the document, so look at the difference as a whole"
    else:
        yield "all bytes outside of hooks stay as they are"


def _static_counts(plan: Plan) -> dict[str, int]:
    counts: dict[str, int] = {}
    for hooks in plan.additions.static:
        for stage, entries in hooks.items():
            counts[stage] = counts.get(stage, 0) + len(entries or ())
    return counts
