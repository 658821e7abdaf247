"""The command ``doctor``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from ocihooks.cli.check import as_text as report_text
from ocihooks.cli.checks.container_paths import config_programs, container_findings, root_of, rule_programs
from ocihooks.cli.checks.engines import engine_findings, reach_findings
from ocihooks.cli.checks.installations import wrapper_findings
from ocihooks.cli.checks.machine import check_machine
from ocihooks.cli.checks.paths import check_directory
from ocihooks.cli.checks.report import Checked, Report, joined, report
from ocihooks.cli.command import Command, Example
from ocihooks.cli.engines import ENGINE_MEMBERS
from ocihooks.cli.engines import as_document as engine_json
from ocihooks.cli.explanation import explain
from ocihooks.cli.handlers import prefix_option, state_dir_option, state_dir_path
from ocihooks.cli.inventory import look
from ocihooks.cli.options import (
    config_path,
    diagnostic_members,
    json_option,
    read_sources,
    rules_options,
    settings_path,
)
from ocihooks.cli.output import table, write, write_json
from ocihooks.cli.run import environment
from ocihooks.document import read_config
from ocihooks.engines.programs import version_text
from ocihooks.engines.records import EngineRecord, Records
from ocihooks.errors import ERROR, Diagnostic, OCIHooksError, UnavailableError
from ocihooks.hooksd.directories import Rule
from ocihooks.install.discovery import Discovered, discover
from ocihooks.install.install import DEFAULT_NAME, installed
from ocihooks.install.record import Record
from ocihooks.settings import Settings

EXAMPLES = (
    Example(line="ocihooks doctor", meaning="Is everything on this machine as it should be, engines included?"),
    Example(line="ocihooks doctor --strict --json", meaning="For monitoring: status 1 for warnings, too."),
    Example(line="ocihooks doctor --bundle /run/bundles/web", meaning="Has this container all that its hooks start?"),
)

JSON_MEMBERS = {
    **ENGINE_MEMBERS,
    "wrappers": "The installed wrappers.",
    "wrappers[].name": "Name.",
    "wrappers[].program": "Which of our programs it is.",
    "wrappers[].script": "Path of what engines call.",
    "wrappers[].runtime": 'The real runtime; "" where each call names it.',
    "wrappers[].version": "The version that installed it.",
    "wrappers[].python": "Its interpreter.",
    "masked": "Rules that are taken out by an empty file or a link to /dev/null.",
    "masked[].file": "The file that does it.",
    "masked[].masks": "The files that it takes out.",
    "checked": "The files that were looked at.",
    "checked[].file": "Path.",
    "checked[].kind": '"settings", "rule", "static" (a static hook file) or "config" (a config.json).',
    **diagnostic_members("findings", "All findings, sorted by place."),
    "errors": "How many findings are errors.",
    "warnings": "How many findings are warnings.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """
    What was found on this machine.

    Attributes:
        engines: All engines that are known.
        wrappers: The installed wrappers.
        masked: Rules that are taken out.
        report: Findings, and which files were looked at.
    """

    engines: tuple[Discovered, ...]
    wrappers: tuple[Record, ...]
    masked: tuple[Rule, ...]
    report: Report


@click.command(
    "doctor",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "nothing found, or warnings only", 1: "errors, with --strict also warnings", 3: "no permission"},
)
@click.option(
    "--bundle", metavar="DIR", help="Look into this bundle's root file system for programs of startContainer."
)
@click.option("--rootfs", metavar="DIR", help="The same for a root file system, and the rules of all containers.")
@prefix_option
@state_dir_option
@rules_options
@click.option("--strict", is_flag=True, help="Let warnings count as errors for the exit status.")
@json_option
def command(
    *,
    bundle: str | None,
    rootfs: str | None,
    prefix: str,
    state_dir: str | None,
    settings_file: str | None,
    hooks_dirs: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> int:
    """
    Report what is wrong with rules, wrappers and engines of this machine, and what mends it.

    Looks at all that "ocihooks check" looks at, for the settings of each installed wrapper. In addition: installed
    wrappers that are missing, changed or older than the package, their interpreters and runtimes, compiled rules that
    can't be used; engines whose handlers lead nowhere, and rules that no engine or not every engine reads. The kill
    switch is an error here. With --bundle or --rootfs also programs of startContainer that the container lacks.
    """
    with environment(UnavailableError):
        found = examine(prefix, state_dir_path(state_dir), settings_file, hooks_dirs)
        inside = _inside(bundle, rootfs, settings_file, hooks_dirs)
        result = replace(found, report=joined([found.report, *inside]))
    if as_json:
        write_json(as_document(result))
    else:
        write(as_text(result))
    return 1 if result.report.errors or (strict and result.report.warnings) else 0


def examine(prefix: str, state_dir: str, settings_file: str | None, hooks_dirs: tuple[str, ...]) -> Examined:
    """Look at everything on this machine."""
    engines = discover(state_dir)
    wrappers, unreadable = _wrappers(prefix)
    records, of_records = _records(state_dir)
    places = _places(wrappers, settings_file, hooks_dirs)
    seen = [settings for place in places if (settings := _settings(*place)) is not None]
    rules = [rule for settings in seen for rule in look(settings)[0]]
    reports = [check_machine(*place) for place in places]
    reports += [check_directory(directory) for directory in _others(engines, seen)]
    findings = [
        *unreadable,
        *of_records,
        *(finding for record in wrappers for finding in wrapper_findings(record, prefix)),
        *engine_findings(engines, records),
        *reach_findings(engines, rules),
    ]
    masked = dict.fromkeys(rule for rule in rules if rule.status == "masked" and rule.overrides)
    return Examined(
        engines=engines,
        wrappers=wrappers,
        masked=tuple(masked),
        report=_grave(joined([*reports, report([], findings)])),
    )


def _wrappers(prefix: str) -> tuple[tuple[Record, ...], tuple[Diagnostic, ...]]:
    try:
        return tuple(installed(prefix)), ()
    except OCIHooksError as error:
        return (), error.problems


def _records(state_dir: str) -> tuple[tuple[EngineRecord, ...], tuple[Diagnostic, ...]]:
    try:
        return Records(directory=state_dir).all(), ()
    except OCIHooksError as error:
        return (), error.problems


def _places(
    wrappers: Sequence[Record], settings_file: str | None, hooks_dirs: tuple[str, ...]
) -> list[tuple[str, tuple[str, ...]]]:
    """Settings files, each with the hooks directories that replace its own: of the command line, or of all wrappers."""
    own = [(settings_path(one.settings or None), one.hooks_dirs) for one in wrappers if one.program == DEFAULT_NAME]
    if settings_file or hooks_dirs or not own:
        return [(settings_path(settings_file), hooks_dirs)]
    return list(dict.fromkeys(own))


def _settings(settings_file: str, hooks_dirs: tuple[str, ...]) -> Settings | None:
    """The settings of one place; None where they are broken, which the check of the place tells."""
    try:
        return read_sources(settings_file, hooks_dirs).settings
    except OCIHooksError:
        return None


def _others(engines: Sequence[Discovered], seen: Sequence[Settings]) -> list[str]:
    """The hooks directories that engines read themselves and no settings name; a broken rule there stops them, too."""
    known = {os.path.realpath(directory) for settings in seen for directory in settings.hooks_dirs}
    read = dict.fromkeys(directory for one in engines if one.program for directory in one.hooks_dirs)
    return [one for one in read if os.path.realpath(one) not in known and os.path.isdir(one)]


def _grave(found: Report) -> Report:
    """*found*, with the kill switch as an error, in front."""
    findings = [one.but(severity=ERROR) if one.code == "switched_off" else one for one in found.findings]
    return replace(found, findings=tuple(sorted(findings, key=lambda one: one.code != "switched_off")))


def _inside(
    bundle: str | None, rootfs: str | None, settings_file: str | None, hooks_dirs: tuple[str, ...]
) -> Iterator[Report]:
    """Programs that containers lack: those of a bundle's hooks and of the rules that match it, or of all rules."""
    if bundle is None and rootfs is None:
        return
    sources = read_sources(settings_file, hooks_dirs)
    if bundle is not None:
        config = read_config(config_path(bundle))
        matching = [rule.entry.rule for rule in explain(config, sources).rules if rule.matched and rule.entry.rule]
        programs = [*config_programs(config), *rule_programs(matching)]
        found = container_findings(programs, rootfs or root_of(bundle, config)) if programs or rootfs else ()
        yield report([Checked(file=config.file, kind="config")], found)
    elif rootfs is not None:
        yield report([], container_findings(rule_programs(look(sources.settings)[0]), rootfs))


def as_document(result: Examined) -> dict[str, Any]:
    """The JSON output."""
    names = ("name", "program", "script", "runtime", "version", "python")
    return {
        "engines": [engine_json(one) for one in result.engines],
        "wrappers": [{name: getattr(record, name) for name in names} for record in result.wrappers],
        "masked": [{"file": rule.file, "masks": rule.overrides} for rule in result.masked],
        **result.report.to_json(),
    }


def as_text(result: Examined) -> str:
    """The output for people: engines, wrappers, masked rules, and then what check shows."""
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
        (
            ("engine", "version", "starts the wrapper", "reads itself"),
            [_engine_row(one) for one in result.engines if one.program or one.files],
        ),
        (
            ("wrapper", "program", "runtime", "version"),
            [(one.script, one.program, one.runtime, one.version) for one in result.wrappers],
        ),
        (("rule", "masks"), [(rule.file, ", ".join(rule.overrides)) for rule in result.masked]),
    ]
    blocks = [table(headers, rows) for headers, rows in tables if rows]
    return "\n\n".join([*blocks, report_text(result.report)])


def _engine_row(one: Discovered) -> tuple[str, ...]:
    ours = ", ".join(f"{name} (default)" if name == one.default else name for name in one.ours)
    return one.name, version_text(one.version) or "unknown", ours or "no", ", ".join(one.hooks_dirs) or "nothing"
