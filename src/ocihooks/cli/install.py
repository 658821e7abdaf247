"""The command ``install``."""

from __future__ import annotations

import os
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.options import json_option, settings_option, settings_path
from ocihooks.cli.output import columns, write, write_json
from ocihooks.cli.run import environment
from ocihooks.dropins.toolkit_cache import DEFAULT_FILE as TOOLKIT_SETTINGS
from ocihooks.injector.files import DIRECTORY as INJECTOR_FILES
from ocihooks.install.install import DEFAULT_NAME, DEFAULT_PREFIX, Prepared, Request, install, prepare_install
from ocihooks.install.programs import DEFAULT, PROGRAMS
from ocihooks.install.record import Record, read_record, record_file
from ocihooks.places import CACHE_DIR

EXAMPLES = (
    Example(line="ocihooks install", meaning="In front of the runc or crun that is on PATH."),
    Example(line="ocihooks install --dry-run", meaning="Show what would be written, with the script's text."),
    Example(
        line="ocihooks install --prefix /opt/ocihooks --name ocihooks-audit --hooks-dir /etc/audit/hooks.d",
        meaning="A second wrapper with hooks directories of its own.",
    ),
    Example(
        line="ocihooks install --prefix /usr --program oci-add-hooks",
        meaning="Another program, in place of what was there; see oci-add-hooks(8).",
    ),
)

RECORD_MEMBERS = {
    "name": "The program's name.",
    "program": "Which of our programs it is.",
    "script": "Path of the program that engines call: the script, or the launcher in front of it.",
    "script_sha256": "SHA-256 of that program, as hexadecimal digits.",
    "record": "Path of the file that remembers this installation.",
    "runtime": 'Path of the real runtime; "" where each call finds it.',
    "flavour": 'Whose command line it has: "runc", "crun", or "" where that is unknown.',
    "settings": 'The settings file; "" means the default place.',
    "hooks_dirs": "Hooks directories in place of those of the settings; empty: those of the settings.",
    "python": "The interpreter.",
    "version": "Version of ocihooks.",
    "cache_dir": 'Where compiled rules are kept; "" means the default place.',
    "launcher": "Whether the program is the compiled launcher.",
    "files": "All other files of this installation.",
    "made_directories": "Directories that were made, or would be.",
}

JSON_MEMBERS = {
    "dry_run": "Whether nothing was written.",
    "updated": "Whether there was such an installation before.",
    **RECORD_MEMBERS,
    "text": "The script's text; with --dry-run only.",
}


@click.command(
    "install",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "installed, or with --dry-run: could be installed",
        1: "the settings file is broken",
        3: "no runtime, no permission, or a file that others could write",
    },
)
@click.option("--prefix", metavar="DIR", default=DEFAULT_PREFIX, show_default=True, help="Install below DIR.")
@click.option(
    "--program",
    metavar="PROGRAM",
    type=click.Choice(tuple(PROGRAMS)),
    default=DEFAULT,
    show_default=True,
    help="What to install: the wrapper for rules, or one of the programs that stand in for others of the same name.",
)
@click.option("--name", metavar="NAME", help="Name of the program in DIR/bin.", show_default="that of PROGRAM")
@click.option(
    "--runtime", metavar="PATH", help="The real runtime.", show_default="the first of runc and crun that is on PATH"
)
@click.option(
    "--hooks-dir",
    "hooks_dirs",
    metavar="DIR",
    multiple=True,
    help="A hooks directory, fixed for this wrapper. Repeat it; later ones override earlier ones.",
    show_default="those of the settings",
)
@settings_option(must_exist=False)
@click.option(
    "--python",
    metavar="PATH",
    help="The interpreter that the wrapper runs with.",
    show_default="the one that runs this command",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Where compiled rules are kept.",
    show_default=f"{CACHE_DIR}; rootless: $XDG_RUNTIME_DIR/ocihooks, none if that is unset",
)
@click.option(
    "--launcher/--no-launcher",
    default=None,
    help="Put the compiled launcher in front of the script, which saves starting Python where no rule can match.",
    show_default="where the package was built with it",
)
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be written; write nothing.")
@json_option
def command(dry_run: bool, as_json: bool, **words: Any) -> None:
    """
    Put the runtime wrapper in front of a runtime.

    Writes a small program that engines call in place of runc or crun: it adds the hooks of matching rules to a
    container's config.json and becomes the real runtime. With --program it is another one of ours. Doing it again
    brings an installation up to date. Nothing changes for an engine until its configuration names the program.
    Interpreter, package, runtime and the place of the program must be writable by root only.
    """
    words["name"] = words["name"] or words["program"]
    request = Request(settings=words.pop("settings_file"), **words)
    with environment():
        prepared = prepare_install(request)
        before = read_record(request.prefix, request.name)
        record = prepared.record if dry_run else install(request)
    if as_json:
        write_json(as_document(record, prepared, request, dry_run=dry_run, updated=before is not None))
    else:
        write(as_text(record, prepared, request, dry_run=dry_run, updated=before is not None))


def as_document(
    record: Record, prepared: Prepared, request: Request, *, dry_run: bool, updated: bool
) -> dict[str, Any]:
    """The JSON output."""
    document = {
        "dry_run": dry_run,
        "updated": updated,
        **record.to_json(),
        "record": record_file(request.prefix, request.name),
    }
    return document | {"text": prepared.script.text} if dry_run else document


def as_text(record: Record, prepared: Prepared, request: Request, *, dry_run: bool, updated: bool) -> str:
    """The output for people."""
    verb = "update" if updated else "install"
    done = f"would {verb}" if dry_run else "updated" if updated else "installed"
    parts = [f"{done} {record.name}", columns(_facts(record, request), indent="  ")]
    if dry_run:
        parts.append(f"\nthe script would be:\n\n{prepared.script.text.rstrip()}")
    else:
        parts.append(_next_steps(record, request))
    return "\n".join(parts)


def _facts(record: Record, request: Request) -> list[tuple[str, str]]:
    facts = [
        ("program", f"{record.script} ({'launcher' if record.launcher else 'script'})"),
        *(("file", file) for file in record.files),
        ("record", record_file(request.prefix, request.name)),
        *_sources(record),
        ("python", record.python),
    ]
    made = [path for path in record.made_directories if path not in (request.prefix, "/")]
    return [*facts, ("made", ", ".join(made))] if made else facts


def _sources(record: Record) -> list[tuple[str, str]]:
    """Where the program finds its runtime and its hooks."""
    if record.program == "oci-add-hooks":
        return [("runtime", "named by each call"), ("hooks", "in the file that each call names")]
    if record.program == "oci-injector-hook":
        return [("files", f"{INJECTOR_FILES}/*.json")]
    if record.program in ("container-hooks", "container-hooks-ctk"):
        return []
    own = record.program == DEFAULT
    settings = settings_path(record.settings or None) if own else record.settings or TOOLKIT_SETTINGS
    missing = "" if os.path.exists(settings) else " (not there, so defaults hold)"
    if not own:
        return [("settings", f"{settings}{missing}"), ("hooks", "in the file that the settings name")]
    return [
        ("runtime", f"{record.runtime} ({record.flavour or 'unknown command line'})"),
        ("settings", f"{settings}{missing}"),
        ("rules", ", ".join(record.hooks_dirs) or "the hooks directories of the settings"),
    ]


_WORDS = {
    DEFAULT: " run --bundle DIR ID",
    "oci-add-hooks": " --hook-config-path FILE --runtime-path RUNTIME run --bundle DIR ID",
    "container-hooks-runtime": " run --bundle DIR ID",
    "container-hooks": " </dev/null",
    "container-hooks-ctk": " --help",
    "oci-injector-hook": " --version",
}
"""How to try each program."""

_USES = {
    "oci-add-hooks": "name it and its two options as a runtime in the engine's configuration; see oci-add-hooks(8)",
    "container-hooks": "name it as the first hook in the hook file; see container-hooks(8)",
    "container-hooks-ctk": "tell an engine about container-hooks-runtime; see container-hooks-ctk(8)",
    "oci-injector-hook": "name it as a hook of the stage createRuntime in a rule; see oci-injector-hook(8)",
}
"""How to use those that are not simply named as the runtime."""


def _next_steps(record: Record, request: Request) -> str:
    chosen = [("--prefix", request.prefix, DEFAULT_PREFIX), ("--name", request.name, DEFAULT_NAME)]
    options = "".join(f" {option} {value}" for option, value, default in chosen if value != default)
    use = f"name {record.script} as the runtime in the engine's configuration"
    steps = [
        ("try it", f"{record.script}{_WORDS[record.program]}"),
        *([("ask before", "ocihooks explain DIR")] if record.program == DEFAULT else []),
        ("use it", _USES.get(record.program, use)),
        ("undo", f"ocihooks uninstall{options}"),
    ]
    return "\n".join(["", "next", columns(steps, indent="  ")])
