"""The command ``check``."""

from __future__ import annotations

import click

from ocihooks.cli.checks.machine import check_machine
from ocihooks.cli.checks.paths import check_path
from ocihooks.cli.checks.report import Report, joined
from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import diagnostic_members, json_option, rules_options, settings_path
from ocihooks.cli.output import coloured, finding_lines, write, write_json
from ocihooks.cli.run import environment
from ocihooks.errors import ERROR, UnavailableError, UsageError

EXAMPLES = (
    Example(line="ocihooks check", meaning="Everything that decides what this machine's containers get."),
    Example(
        line="ocihooks check --strict hooks.d",
        meaning="The rule files of a source tree, in CI: warnings fail, too.",
    ),
    Example(line="ocihooks check 10-gpu.json config.toml", meaning="Single files, before they are installed."),
    Example(line="ocihooks check /run/bundles/web", meaning="The config.json of a bundle."),
)

JSON_MEMBERS = {
    "checked": "The files that were looked at.",
    "checked[].file": "Path.",
    "checked[].kind": '"settings", "rule", "static" (a static hook file), "injector" (an injector file), '
    '"modifier" (the file of a modifier) or "config".',
    **diagnostic_members("findings", "All findings, sorted by place."),
    "errors": "How many findings are errors.",
    "warnings": "How many findings are warnings.",
}


@click.command(
    "check",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "nothing found, or warnings only", 1: "errors, with --strict also warnings", 3: "no permission"},
)
@click.argument("paths", metavar="[FILE|DIR|BUNDLE]...", nargs=-1, type=click.Path(exists=True, readable=False))
@rules_options
@click.option("--strict", is_flag=True, help="Let warnings count as errors for the exit status.")
@json_option
def command(
    paths: tuple[str, ...], settings_file: str | None, hooks_dirs: tuple[str, ...], strict: bool, as_json: bool
) -> int:
    """
    Report all problems of rules, settings, static hook files and bundles.

    Without arguments: the settings, every rule file of the hooks directories (overridden ones, too), static hook files,
    injector files, modifiers, which are loaded but not asked, programs, and whether anybody but root could have written
    any of them. Errors are what the wrapper or a runtime refuses; warnings are about what works, but hardly as meant.

    With arguments: rule files, static hook files, injector files, settings (*.toml), hooks directories and bundles
    (directories with a config.json), told apart by what is in them. Owners and modes are not looked at then, and a
    missing program is a warning, since it may be installed elsewhere.
    """
    if paths and (settings_file or hooks_dirs):
        raise UsageError("--settings and --hooks-dir are for a check without arguments", hint="name the file itself")
    with environment(UnavailableError):
        reports = map(check_path, paths) if paths else [check_machine(settings_path(settings_file), hooks_dirs)]
        result = joined(reports)
    if as_json:
        write_json(result.to_json())
    else:
        write(as_text(result))
    return 1 if result.errors or (strict and result.warnings) else 0


def as_text(result: Report) -> str:
    """The output for people: all findings and a line that counts them."""
    lines = [
        coloured(finding_lines(finding), "red" if finding.severity == ERROR else "yellow")
        for finding in result.findings
    ]
    return "\n".join([*lines, summary(result)])


def summary(result: Report) -> str:
    """How many files were looked at, and what was found."""
    counts = [_count(result.errors, "error"), _count(result.warnings, "warning")]
    found = ", ".join(count for count in counts if not count.startswith("0")) or "no problems"
    return f"{_count(len(result.checked), 'file')}: {found}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
