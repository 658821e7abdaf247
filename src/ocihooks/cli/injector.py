"""The command ``injector``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.inject import difference
from ocihooks.cli.options import (
    SWITCH_MEMBERS,
    Sources,
    config_path,
    diagnostic_members,
    json_option,
    read_sources,
    settings_option,
    switch_json,
)
from ocihooks.cli.output import columns, finding_lines, remark, write, write_json
from ocihooks.document import MAX_BYTES, Config, parse_config, read_config
from ocihooks.errors import DocumentError, UsageError, quoted
from ocihooks.injector.decide import Decision, Outcome
from ocihooks.injector.files import COPY, DIRECTORY, MOUNT, InjectorFile
from ocihooks.injector.give import asked_for, given, outcome_for
from ocihooks.wrapper.injectors import load_injectors
from ocihooks.wrapper.plan import Plan, plan_for
from ocihooks.wrapper.refresh import read_rules

EXAMPLES = (
    Example(line="ocihooks injector explain /run/bundles/web", meaning="What would the container of a bundle get?"),
    Example(
        line="ocihooks injector filter --dry-run < /run/bundles/web/config.json",
        meaning="What would its configuration gain?",
    ),
)

JSON_MEMBERS = {
    "verdict": '"given", "nothing" (nothing is asked for or possible, or hooks are switched off) or "refused".',
    "container": "The container.",
    "container.bundle": "The bundle.",
    "container.sandbox": "Whether it is the sandbox of a pod.",
    "directory": "Path of the directory of injector files.",
    "files": "Every injector file, in order.",
    "files[].file": "Its path.",
    "files[].activation_flag": "What asks for it.",
    "files[].asked": "Whether the container asks for it.",
    "files[].way": '"mount": by the configuration, "copy": by a hook; null: not at all.',
    "files[].why": "Why this way, or why not.",
    "files[].entries": "What is in it, each thing that a pattern stands for by itself.",
    "files[].entries[].pointer": "Its place in the file.",
    "files[].entries[].source": "The path on the host; null for a directory that is only made.",
    "files[].entries[].destination": "The path in the container.",
    "files[].entries[].outcome": '"mount", "device", "made", "present", "left out" or "copy"; null: not given.',
    "files[].entries[].why": "Why, or null.",
    "files[].variables": "Names of the variables that the container gets.",
    "adds": "What the configuration gains: mounts, devices of linux.devices, and rules of linux.resources.devices.",
    **SWITCH_MEMBERS,
    **diagnostic_members("problems", "Why the container would be refused."),
}

STDIN = "standard input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    What a container gets of the injector files.

    Attributes:
        directory: The directory of the files.
        files: All of them.
        outcome: What becomes of those that the container asks for.
        plan: What else the wrapper decides about the container.
        sources: What the command looked at.
    """

    directory: str
    files: tuple[InjectorFile, ...]
    outcome: Outcome
    plan: Plan
    sources: Sources

    @property
    def verdict(self) -> Literal["given", "nothing", "refused"]:
        """The outcome in a word."""
        decisions = self.outcome.decisions
        if self.sources.switch is None and any(decision.problems for decision in decisions):
            return "refused"
        return "given" if self.sources.switch is None and any(decision.way for decision in decisions) else "nothing"


@click.command(
    "injector",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "explained, or filtered", 1: "the container asks for nothing, or would be refused"},
)
@click.argument("action", type=click.Choice(["explain", "filter"]))
@click.argument("bundle", required=False, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(),
    help="The directory of injector files.",
    show_default=f"injector-dir of the settings, else {DIRECTORY}",
)
@click.option("--dry-run", is_flag=True, help="With filter: print the difference instead of the configuration.")
@settings_option(must_exist=True)
@json_option
def command(
    *, action: str, bundle: str | None, directory: str | None, dry_run: bool, settings_file: str | None, as_json: bool
) -> int:
    """
    Tell what a container gets of the injector files, or give it that.

    "explain" shows every injector file, what the container of BUNDLE gets of it and by which way, and why not. Nothing
    is changed. "filter" reads a configuration on standard input and prints it with what its container asks for, as a
    hook of the stage precreate has to.
    """
    sources = _sources(settings_file, directory)
    if action == "filter":
        if bundle is not None or as_json:
            raise UsageError("filter reads a configuration on standard input", hint="leave out BUNDLE and --json")
        return _filter(sources, dry_run=dry_run)
    if bundle is None or dry_run:
        raise UsageError("explain needs a bundle, and changes nothing", hint="name a bundle, and leave out --dry-run")
    explanation = explain(read_config(config_path(bundle)), sources)
    if as_json:
        write_json(as_document(explanation, bundle))
    else:
        remark(sources.problems)
        write("\n".join(as_text(explanation)))
    return 0 if explanation.verdict == "given" else 1


def _sources(settings_file: str | None, directory: str | None) -> Sources:
    sources = read_sources(settings_file, ())
    place = os.path.abspath(directory) if directory else sources.settings.injector_dir or DIRECTORY
    return replace(sources, settings=replace(sources.settings, injector_dir=place))


def _filter(sources: Sources, *, dry_run: bool) -> int:
    files, problems = load_injectors(sources.settings)
    if problems:
        raise DocumentError(problems=problems)
    before = sys.stdin.buffer.read(MAX_BYTES + 1)
    parse_config(before, STDIN)
    after, _ = given(before, STDIN, files, sources.settings.injector_dir or DIRECTORY)
    if dry_run:
        write("\n".join(difference(STDIN, before, after)) or "nothing would change")
    else:
        sys.stdout.buffer.write(after)
    return 0


def explain(config: Config, sources: Sources) -> Explanation:
    """
    Find out what the container of *config* gets, as the wrapper does.

    Raises:
        OCIHooksError: The wrapper would refuse the container for another reason.
    """
    rules = read_rules(sources.settings)
    plan = plan_for(config, rules)
    files, _ = load_injectors(sources.settings)
    applies = sources.settings.sandbox or not plan.sandbox
    members = {**config.members, "hooks": config.hooks if plan.hooks is None else plan.hooks}
    asked = asked_for(files, members, config.file) if applies else ()
    outcome = outcome_for(asked, members, rules.injector_dir)
    return Explanation(directory=rules.injector_dir, files=files, outcome=outcome, plan=plan, sources=sources)


def as_document(explanation: Explanation, bundle: str) -> dict[str, Any]:
    """The JSON output."""
    outcome = explanation.outcome
    decisions = {decision.file.file: decision for decision in outcome.decisions}
    return {
        "verdict": explanation.verdict,
        "container": {"bundle": bundle, "sandbox": explanation.plan.sandbox},
        "directory": explanation.directory,
        "files": [_file_json(file, decisions.get(file.file)) for file in explanation.files],
        "adds": {"mounts": list(outcome.mounts), "devices": list(outcome.devices), "rules": list(outcome.rules)},
        "disabled": switch_json(explanation.sources.switch),
        "problems": [problem.to_json() for problem in _problems(outcome)],
    }


def _problems(outcome: Outcome) -> Iterator[Any]:
    for decision in outcome.decisions:
        for error in decision.problems:
            yield from error.problems


def _file_json(file: InjectorFile, decision: Decision | None) -> dict[str, Any]:
    return {
        "file": file.file,
        "activation_flag": file.flag,
        "asked": decision is not None,
        "way": (decision.way if decision else None) or None,
        "why": decision.why if decision else _not_asked(file),
        "entries": [dict(zip(_ENTRY, row, strict=True)) for row in _entries(file, decision)],
        "variables": [entry.partition("=")[0] for entry in file.env],
    }


_ENTRY = ("pointer", "source", "destination", "outcome", "why")


def _entries(file: InjectorFile, decision: Decision | None) -> Iterator[tuple[str | None, ...]]:
    """For each thing its place in the file, source, destination, what becomes of it, and why."""
    copied = decision is not None and decision.way == COPY
    if decision is None or not decision.steps:
        for entry in file.entries:
            yield entry.pointer, entry.source or None, entry.destination, "copy" if copied else None, None
        return
    for step in decision.steps:
        thing, outcome = step.thing, "copy" if copied else step.outcome
        yield thing.entry.pointer, thing.source or None, thing.destination, outcome or None, step.why or None


def _not_asked(file: InjectorFile) -> str:
    return f"the container has no variable {quoted(file.flag, 200)}"


_WAYS = {MOUNT: "given before the container is created", COPY: "copied by a hook"}


def as_text(explanation: Explanation) -> Iterator[str]:
    """The output for people."""
    decisions = {decision.file.file: decision for decision in explanation.outcome.decisions}
    if not explanation.files:
        yield f"there are no injector files in {explanation.directory}"
    if explanation.plan.sandbox and not explanation.sources.settings.sandbox:
        yield "this is the sandbox container of a pod, which gets nothing"
    for file in explanation.files:
        decision = decisions.get(file.file)
        if decision is None:
            yield f"{file.file}: not asked for: {_not_asked(file)}"
            continue
        yield f"{file.file}: {_WAYS.get(decision.way, 'not given')}: {decision.why}"
        yield from _rows(file, decision)
    for problem in _problems(explanation.outcome):
        yield finding_lines(problem)
    if explanation.verdict == "refused":
        yield "the container would not be created"


def _rows(file: InjectorFile, decision: Decision) -> Iterator[str]:
    rows = []
    for pointer, source, destination, outcome, why in _entries(file, decision):
        path = f"{source} -> {destination}" if source and source != destination else str(destination)
        rows.append((str(pointer), path, outcome or "no", why or ""))
    rows += [(f"/env/{index}", entry.partition("=")[0], "set", "") for index, entry in enumerate(file.env)]
    if rows:
        yield columns(rows, indent="  ")
