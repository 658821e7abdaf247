"""The command ``configure``."""

from __future__ import annotations

import os
from typing import Any

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.handlers import (
    CHANGE_MEMBERS,
    change_json,
    change_options,
    engine_argument,
    handler_options,
    options_text,
    show_changes,
    state_dir_path,
)
from ocihooks.cli.options import settings_path
from ocihooks.cli.output import columns, write, write_json
from ocihooks.cli.run import environment
from ocihooks.engines.errors import EngineError
from ocihooks.engines.known import ENGINES
from ocihooks.engines.records import Records
from ocihooks.engines.reloading import reload
from ocihooks.install.configure import Configured, configure, roll_back
from ocihooks.install.scene import Target
from ocihooks.settings import read_settings

EXAMPLES = (
    Example(line="ocihooks configure docker --dry-run", meaning="What would change, as a diff?"),
    Example(line="ocihooks configure docker --default --reload", meaning="All new containers of Docker get hooks."),
    Example(
        line="ocihooks configure containerd --annotations 'com.example.*'",
        meaning="A handler for Kubernetes, with annotations of pods for rules to match.",
    ),
    Example(
        line="ocihooks configure docker --name gpu-hooks --base nvidia",
        meaning="In front of another wrapper, which goes on to do its own work.",
    ),
)

JSON_MEMBERS = {
    **CHANGE_MEMBERS,
    "default": "Whether the handler is made the default.",
    "base": "The handler whose runtime the wrapper starts.",
    "runtime": "Path of that runtime.",
    "program": "Path of the wrapper.",
    "installed": "Whether the wrapper was installed with it, or would be.",
    "backups": "Copies of the former files.",
    "reloaded": "What --reload did, or null.",
}


@click.command(
    "configure",
    cls=Command,
    examples=EXAMPLES,
    json_members=JSON_MEMBERS,
    statuses={
        0: "configured, or as it should be already",
        1: "the engine's configuration can't be understood or changed, or the engine refuses it",
        3: "no such engine or runtime, no permission, or a file that can't be written",
    },
)
@engine_argument
@handler_options
@click.option(
    "--base",
    metavar="HANDLER",
    help="The handler in front of whose runtime the wrapper stands; its other settings are copied.",
    show_default="the engine's default",
)
@click.option(
    "--path",
    "program",
    metavar="PROGRAM",
    help="The wrapper.",
    show_default="the one installed for that runtime, which is installed if there is none",
)
@click.option("--default", is_flag=True, help="Make it the default handler: all new containers get hooks.")
@click.option(
    "--drop-in/--no-drop-in",
    default=None,
    help="Write a file of our own beside the main configuration, or change that one.",
    show_default="a file of our own where the engine reads one",
)
@click.option(
    "--annotations",
    metavar="PATTERN",
    multiple=True,
    help="Annotations of pods and containers that containerd is to hand on. Repeat it.",
)
@click.option("--reload", "reloading", is_flag=True, help="Make the running engine use it; undone if it fails.")
@change_options
def command(state_dir: str | None, reloading: bool, dry_run: bool, as_json: bool, **words: Any) -> None:
    """
    Make an engine start containers through the wrapper.

    Adds a handler to the engine's configuration: a runtime by the name "ocihooks" that is the wrapper in front of the
    runtime of another handler. Everything else in the file stays as it is, comments included; the engine's own check,
    where it has one, sees the result before it is written; the former file is kept. Doing it again changes nothing.
    Podman and CRI-O read hooks directories themselves and need this only for what rules can do in the wrapper alone,
    such as precreate filters.
    """
    with environment():
        hooks_dirs = read_settings(settings_path(None)).hooks_dirs
        target = Target(state_dir=state_dir_path(state_dir), hooks_dirs=hooks_dirs, **words)
        done = configure(target, dry_run=dry_run)
        reloaded = _reload(done) if reloading and not dry_run else None
    if as_json:
        write_json(as_document(done, reloaded, dry_run=dry_run))
        return
    write(as_text(done, reloaded, dry_run=dry_run))
    if dry_run:
        show_changes(done.changes)


def _reload(done: Configured) -> str:
    engine = ENGINES[done.target.engine]
    try:
        return reload(engine, done.file, done.target.name, present=True)
    except EngineError:
        if done.changed:
            roll_back(done)
            reload(engine, done.file, done.target.name, present=done.former is not None)
        raise


def as_document(done: Configured, reloaded: str | None, *, dry_run: bool) -> dict[str, Any]:
    """The JSON output."""
    return {
        **change_json(done.target, done.file, done.changes, dry_run=dry_run, changed=done.changed),
        "default": done.target.default,
        "base": done.base.name,
        "runtime": done.base.program,
        "program": done.program,
        "installed": done.installed is not None,
        "backups": _backups(done),
        "reloaded": reloaded,
    }


def _backups(done: Configured) -> list[str]:
    records = Records(directory=done.target.state_dir)
    return [records.backup_path(one.backup) for one in done.record.files if one.backup is not None]


def as_text(done: Configured, reloaded: str | None, *, dry_run: bool) -> str:
    """The output for people."""
    target = done.target
    if not done.changed:
        lines = [f"{target.engine} is configured already, nothing to be done"]
    else:
        lines = [f"{'would configure' if dry_run else 'configured'} {target.engine}"]
    lines.append(columns(_facts(done, dry_run=dry_run), indent="  "))
    if reloaded is not None:
        lines.append(reloaded)
    if not dry_run:
        lines += ["", "next", columns(_next_steps(done, reloaded), indent="  ")]
    return "\n".join(lines)


def _facts(done: Configured, *, dry_run: bool) -> list[tuple[str, str]]:
    installed = f" ({'would be ' if dry_run else ''}installed with it)" if done.installed else ""
    return [
        ("handler", f"{done.target.name}{' (the default)' if done.target.default else ''}"),
        ("program", f"{done.program}{installed}"),
        ("base", f"{done.base.name} ({done.base.program})"),
        *(("file", change.old.path) for change in done.changes if change.is_any),
        *(("backup", path) for path in _backups(done)),
    ]


def _next_steps(done: Configured, reloaded: str | None) -> list[tuple[str, str]]:
    target = done.target
    options = options_text(target.name, target.file, target.state_dir, target.prefix)
    steps = [] if reloaded is not None else [("take effect", _taking_effect(target.engine))]
    return [
        *steps,
        ("try it", _trying(target)),
        ("prove it", f"ocihooks verify {target.engine}{options}"),
        ("undo", f"ocihooks unconfigure {target.engine}{options}"),
    ]


def _taking_effect(engine: str) -> str:
    ways = {"docker": "kill -HUP $(pidof dockerd)", "containerd": "restart containerd", "crio": "restart crio"}
    return ways.get(engine, "at once, for new containers")


def _trying(target: Target) -> str:
    name = os.path.basename(target.name)
    ways = {
        "docker": f"docker run --rm --runtime={name} IMAGE",
        "podman": f"podman --runtime={name} run --rm IMAGE",
        "buildah": f"buildah run --isolation=oci --runtime={name} CONTAINER -- COMMAND",
    }
    return ways.get(target.engine, f"a RuntimeClass with the handler {name}, or crictl runp --runtime={name}")
