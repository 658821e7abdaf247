"""The command ``simulate``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.made_up import described, is_described, made_up_options
from ocihooks.cli.options import config_path, json_option, read_sources, rules_options
from ocihooks.cli.output import remark, write, write_json
from ocihooks.cli.simulation_text import JSON_MEMBERS, as_document, closing, opening, stage_lines
from ocihooks.document import Config, read_config
from ocihooks.errors import Diagnostic, UsageError
from ocihooks.replace import replace_file
from ocihooks.simulation.container import USUAL
from ocihooks.simulation.flavours import FLAVOURS
from ocihooks.simulation.lifecycle import simulate
from ocihooks.simulation.needs import check
from ocihooks.simulation.outcome import StageRun
from ocihooks.spec.stage import STAGES
from ocihooks.wrapper.create import injected, planned
from ocihooks.wrapper.refresh import read_rules

NO_RECORDS = os.devnull
"""Where supervised hooks of a simulation leave their records: they are about no container."""

EXAMPLES = (
    Example(
        line="ocihooks simulate /run/bundles/web --dry-run",
        meaning="Which hooks would run when, and what they would read.",
    ),
    Example(line="ocihooks simulate /run/bundles/web --flavour crun", meaning="Run them as crun would."),
    Example(
        line="ocihooks simulate --annotation com.example.gpu=yes --stage createRuntime",
        meaning="Run the hooks of one stage for a container that is made up.",
    ),
)


@click.command(
    "simulate",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "all hooks succeeded, or there are none",
        1: "a hook failed, or the container would be refused",
        3: "the environment: no permission, no process to be had",
    },
)
@click.argument("bundle", required=False, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--flavour",
    metavar="FLAVOUR",
    type=click.Choice(list(FLAVOURS)),
    default="spec",
    show_default=True,
    help="As which runtime: spec (the letter of the runtime-spec), runc or crun.",
)
@click.option(
    "--stage", "stages", metavar="STAGE", type=click.Choice(STAGES), multiple=True, help="Run only its hooks. Repeat."
)
@click.option("--stop-after", metavar="STAGE", type=click.Choice(STAGES), help="End behind this stage.")
@click.option("--no-rules", is_flag=True, help="Only hooks that are in config.json; look at no rules.")
@click.option("--dry-run", is_flag=True, help="Show what would be run; run nothing but filters that match.")
@made_up_options
@rules_options
@json_option
def command(
    *,
    bundle: str | None,
    flavour: str,
    stages: tuple[str, ...],
    stop_after: str | None,
    no_rules: bool,
    dry_run: bool,
    settings_file: str | None,
    hooks_dirs: tuple[str, ...],
    as_json: bool,
    **words: Any,
) -> int:
    """
    Run a container's hooks as a runtime would, without the container.

    Shows each stage with the state that its hooks read, what they print, how long they take, and what the runtime would
    do when one fails. The container is that of BUNDLE (a directory with a config.json), or one made up with
    --annotation, --command and --mount; the hooks of matching rules are added as the wrapper adds them. Hooks are run
    for real, as root with namespaces and mounts of the container's own. The bundle is not changed, except by hooks.
    """
    config = _container(bundle, words)
    subject = _subject(config, settings_file, hooks_dirs, no_rules=no_rules)
    document = subject.document if bundle else subject.document | _NAMESPACES
    check(document, config.file)
    told: Callable[[StageRun], object] | None = None
    if not as_json:
        remark(subject.problems)
        write("\n".join(opening(bundle, FLAVOURS[flavour], subject.rules)))
        told = _shown
    with _bundle(bundle, document) as directory:
        simulation = simulate(
            document, directory, flavour=flavour, stages=stages, stop_after=stop_after, dry_run=dry_run, told=told
        )
    if as_json:
        write_json(as_document(simulation, bundle, subject.rules, subject.problems, dry_run=dry_run))
    else:
        write("\n".join(closing(simulation, dry_run=dry_run)))
    return 0 if simulation.ok else 1


_NAMESPACES = {"linux": {"namespaces": [{"type": kind} for kind in USUAL]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    What is simulated.

    Attributes:
        document: The configuration with all hooks.
        rules: Files of the rules that gave hooks or filters; None: rules were not looked at.
        problems: What is to be said about rules and the kill switch.
    """

    document: dict[str, Any]
    rules: tuple[str, ...] | None
    problems: tuple[Diagnostic, ...]


def _container(bundle: str | None, words: dict[str, Any]) -> Config:
    given = is_described(words)
    if bundle is None and not given:
        raise UsageError("no container to simulate", hint="name a bundle, or make one up with --annotation KEY=VALUE")
    if bundle is not None and given:
        raise UsageError("a bundle is simulated as it is", hint="leave out BUNDLE to make up a container")
    return described(words) if bundle is None else read_config(config_path(bundle))


def _subject(config: Config, settings_file: str | None, hooks_dirs: tuple[str, ...], *, no_rules: bool) -> Subject:
    """
    Add the hooks of rules and modifiers as the wrapper does.

    Raises:
        OCIHooksError: The wrapper would refuse the container.
    """
    if no_rules:
        return Subject(document=json.loads(config.text), rules=None, problems=())
    sources = read_sources(settings_file, hooks_dirs)
    if sources.switch is not None:
        return Subject(document=json.loads(config.text), rules=(), problems=sources.problems)
    plan = planned(config, read_rules(replace(sources.settings, records=NO_RECORDS)))
    files = [file for _, file, _ in plan.additions.rules] + [rule.file for rule in plan.filters]
    return Subject(
        document=json.loads(injected(config, plan)),
        rules=tuple(dict.fromkeys(files)),
        problems=(*sources.problems, *plan.warnings),
    )


@contextmanager
def _bundle(bundle: str | None, document: dict[str, Any]) -> Iterator[str]:
    """The bundle's directory; one that is made up is there as long as it is needed."""
    if bundle is not None:
        yield os.path.abspath(bundle)
        return
    with tempfile.TemporaryDirectory(prefix="ocihooks-simulate-") as directory:
        replace_file(os.path.join(directory, "config.json"), json.dumps(document).encode(), durable=False)
        yield directory


def _shown(stage: StageRun) -> None:
    write("\n".join(stage_lines(stage)))
