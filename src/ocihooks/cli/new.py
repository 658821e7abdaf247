"""The command ``new``."""

from __future__ import annotations

import os
import shlex

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import json_option
from ocihooks.cli.output import write, write_json
from ocihooks.cli.run import environment
from ocihooks.cli.scaffold import files_of
from ocihooks.errors import OCIHooksError, ReplaceError, UnavailableError, os_reason
from ocihooks.replace import replace_file
from ocihooks.spec.stage import Stage

ON_THE_HOST = [str(stage) for stage in Stage if stage.path_namespace == "runtime"]
"""The stages whose programs lie on the host, as this one does."""

EXAMPLES = (
    Example(line="ocihooks new gpu-audit --dry-run", meaning="Which files would that be?"),
    Example(line="ocihooks new gpu-audit", meaning="Make them in ./gpu-audit, then change them to taste."),
)

JSON_MEMBERS = {
    "directory": "Absolute path of the directory.",
    "files": "Absolute paths of the files: the program, its rule file, its test.",
    "dry_run": "Whether nothing was written.",
}


@click.command(
    "new",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={0: "written", 1: "one of the files is there already", 3: "no permission"},
)
@click.argument("name")
@click.option("--directory", metavar="DIR", type=click.Path(file_okay=False), help="Where.", show_default="./NAME")
@click.option(
    "--stage",
    metavar="STAGE",
    type=click.Choice(ON_THE_HOST),
    default="createRuntime",
    show_default=True,
    help="When the hook runs; not startContainer, whose programs lie in the container.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@json_option
def command(*, name: str, directory: str | None, stage: str, dry_run: bool, as_json: bool) -> int:
    """
    Begin a hook in Python: a program, its rule file and its test.

    The program runs at once: it tells which container it sees, for containers with the annotation com.example.NAME=yes.
    The rule file names it by its absolute path, with the interpreter that runs this command. No file that is there
    already is overwritten.
    """
    place = os.path.abspath(directory or name)
    files = files_of(name, stage, place)
    for path in files:
        if os.path.lexists(path):
            raise OCIHooksError("is there already", file=path, hint="take another name, or another --directory")
    if not dry_run:
        _write(place, files)
    if as_json:
        write_json({"directory": place, "files": list(files), "dry_run": dry_run})
    else:
        write("\n".join(_told(place, list(files), dry_run=dry_run)))
    return 0


def _write(directory: str, files: dict[str, str]) -> None:
    with environment(ReplaceError):
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"can't be made: {os_reason(error)}", file=directory) from None
        for path, text in files.items():
            replace_file(path, text.encode())


def _told(directory: str, files: list[str], *, dry_run: bool) -> list[str]:
    program, rule, test = files
    annotation = f"com.example.{os.path.basename(rule).removesuffix('.json')}=yes"
    return [
        *(f"{'would write' if dry_run else 'wrote'} {path}" for path in files),
        "",
        "test it, see what it does, and give it to containers:",
        f"  python -m pytest {shlex.quote(test)}",
        f"  ocihooks simulate --hooks-dir {shlex.quote(directory)} --annotation {annotation}",
        f"  install -m 644 {shlex.quote(rule)} /etc/containers/oci/hooks.d/",
        f"after a change of its stages or conditions: python {shlex.quote(program)} --rule > {shlex.quote(rule)}",
    ]
