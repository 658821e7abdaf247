"""
Prints the reference pages from the tables that the program itself uses.

    python -m ocihooks.cli.reference cli > docs/reference/cli.md
    python -m ocihooks.cli.reference diagnostics > docs/reference/diagnostics.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence

import click

from ocihooks.cli.checks.hook_rules import ENTRY_RULES, ENTRY_TYPE, HOOKS_RULES, SECTION, STAGE_RULES
from ocihooks.cli.command import STATUSES, Command, Example
from ocihooks.cli.group import EXAMPLES, cli
from ocihooks.diagnostics import KINDS

NOTE = "<!-- Made by `python -m ocihooks.cli.reference {page}` from the program's own tables; change those instead. -->"

ENVIRONMENT = {
    "NO_COLOR": "Not empty: no colours, on terminals either.",
    "OCIHOOKS_TRACEBACK": "Not empty: an internal error shows where it comes from.",
    "XDG_CONFIG_HOME": "Where rootless users may have settings of their own, in place of ~/.config.",
}


def main(arguments: Sequence[str]) -> int:
    """Print one page."""
    pages = {"cli": cli_page, "diagnostics": diagnostics_page}
    if len(arguments) != 1 or arguments[0] not in pages:
        click.echo(f"usage: python -m ocihooks.cli.reference {'|'.join(pages)}", err=True)
        return 2
    click.echo("\n".join(pages[arguments[0]]()))
    return 0


def cli_page() -> Iterator[str]:
    """docs/reference/cli.md, line by line."""
    context = click.Context(cli, info_name="ocihooks", **cli.context_settings)
    yield from (NOTE.format(page="cli"), "", "# The command line of ocihooks", "")
    yield from _paragraphs(cli.help)
    yield "Results go to standard output, warnings and errors to standard error."
    yield "Tables have boxes and colours on terminals only."
    yield "With `--json` a command prints one JSON document, or nothing but sentences on standard error when it fails."
    yield from ("", "## Commands", "")
    commands = [command for name in cli.list_commands(context) if (command := cli.get_command(context, name))]
    yield from _table(("command", "what it does"), [(f"[{c.name}](#{c.name})", _summary(c)) for c in commands])
    yield from ("", "## Examples", "", *_examples(EXAMPLES), "", "## Exit statuses", "")
    yield from _table(("status", "meaning"), [(f"{status}", text) for status, text in STATUSES.items()])
    yield from ("", "A command that was interrupted at the terminal ends with 130.", "", "## Environment", "")
    yield from _table(("variable", "meaning"), [(f"`{name}`", text) for name, text in ENVIRONMENT.items()])
    for command in commands:
        yield from _command(command, context)


def _command(command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("", f"## {command.name}", "", f"    {usage}", "")
    yield from _paragraphs(command.help)
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    yield from _table(("option", "meaning", "default"), [_option(option) for option in options])
    if not isinstance(command, Command):
        return
    yield from ("", *_examples(command.examples), "")
    yield from _table(("status", "meaning"), [(f"{status}", text) for status, text in command.statuses.items()])
    if command.json_members:
        yield from ("", "Members of the JSON document that `--json` prints:", "")
        yield from _table(("member", "meaning"), [(f"`{path}`", text) for path, text in command.json_members.items()])


def _option(option: click.Option) -> tuple[str, str, str]:
    value = f" {option.metavar}" if option.metavar else ""
    default = option.show_default if isinstance(option.show_default, str) else ""
    if option.show_default is True:
        default = str(option.default)
    required = " Required." if option.required else ""
    return f"`{', '.join([*option.opts, *option.secondary_opts])}{value}`", f"{option.help or ''}{required}", default


def _summary(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        yield " ".join(paragraph.split()).replace(". ", ".\n")
        yield ""


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    yield "```text"
    for example in examples:
        yield from (f"# {example.meaning}", example.line)
    yield "```"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (headers, ["---"] * len(headers), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def diagnostics_page() -> Iterator[str]:
    """docs/reference/diagnostics.md, line by line."""
    yield from (NOTE.format(page="diagnostics"), "", "# Diagnostics", "")
    yield "Every finding has a code that programs can rely on; the sentences may change."
    yield "Errors forbid to use a document, warnings are about what works, but hardly as meant."
    yield ""
    kinds = [(f"`{kind.code}`", kind.severity, kind.sentence, kind.remedy, f"`{kind.example}`") for kind in KINDS]
    yield from _table(("code", "severity", "meaning", "remedy", "example"), kinds)
    yield from ("", "## What the runtime-spec asks of hooks", "")
    yield "`ocihooks check` compares the hooks of config.json and of static hook files with these sentences of the"
    yield f"{SECTION}."
    yield "A row without a level is about what runtimes are known to do."
    yield ""
    rules = (*HOOKS_RULES, *STAGE_RULES, ENTRY_TYPE, *ENTRY_RULES)
    rows = dict.fromkeys((f"`{rule.code}`", rule.severity, rule.level, rule.sentence) for rule in rules)
    yield from _table(("code", "severity", "level", "sentence"), list(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
