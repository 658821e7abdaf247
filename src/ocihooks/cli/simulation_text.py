"""Shows a simulation: stage by stage for people, and as one document for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ocihooks.cli.options import diagnostic_members
from ocihooks.cli.output import coloured
from ocihooks.errors import Diagnostic, printable, quoted
from ocihooks.injection import supervised_hook
from ocihooks.simulation.flavours import Flavour
from ocihooks.simulation.lifecycle import PLANNED_PID
from ocihooks.simulation.outcome import HookRun, Simulation, StageRun

SHOWN = 120
"""Characters of an argument that are shown."""

_COLOURS = {"succeeded": "green", "failed": "red"}
_WITHOUT_TIME = ("planned", "not run")

JSON_MEMBERS = {
    "result": '"succeeded", "failed" (at least one hook did) or "dry run".',
    "flavour": '"spec", "runc" or "crun".',
    "container": "What was simulated.",
    "container.bundle": "The bundle, null for a made-up container.",
    "container.id": "The id that hooks were told.",
    "namespaces": "The namespaces that the container had of its own; empty: all hooks saw the host's.",
    "rules": "Files of the rules that gave hooks or filters; null with --no-rules.",
    "remarks": "Sentences about what was not as in a real container.",
    "stages": "In the order in which the flavour reaches them.",
    "stages[].stage": "Its name.",
    "stages[].operation": "The runtime's operation during which it is reached.",
    "stages[].reached": "Whether the runtime would have come here.",
    "stages[].state": "What its hooks read on standard input.",
    "stages[].cwd": "Their working directory, as they see it.",
    "stages[].namespaces": "Those of the container that they run in.",
    "stages[].consequence": "What the runtime does since a hook failed here, or null.",
    "stages[].hooks": "In the order of config.json.",
    "stages[].hooks[].path": "The program.",
    "stages[].hooks[].args": "The whole argv.",
    "stages[].hooks[].rule": "File of the rule that it comes from, or null.",
    "stages[].hooks[].outcome": '"succeeded", "failed", "planned" (with --dry-run) or "not run".',
    "stages[].hooks[].message": "What went wrong or why it was not run, or null.",
    "stages[].hooks[].status": "Exit status; negative: ended by that signal; null: not run, or not started.",
    "stages[].hooks[].wall_s": "Seconds.",
    "stages[].hooks[].stdout": "What it printed, the last 64 KiB.",
    "stages[].hooks[].stderr": "The same for standard error.",
    "stages[].hooks[].left_running": "Process ids that it left behind on the host.",
    **diagnostic_members("problems", "Findings about rules and the kill switch."),
}


def opening(bundle: str | None, flavour: Flavour, rules: Sequence[str] | None) -> Iterator[str]:
    """What is about to be simulated."""
    matching = "not looked at" if rules is None else ", ".join(map(os.path.basename, rules)) or "none matches"
    yield f"container  {printable(bundle or 'made up')}"
    yield f"flavour    {flavour.title}"
    yield f"rules      {printable(matching)}"


def stage_lines(stage: StageRun) -> Iterator[str]:
    """One stage: where its hooks are, and what became of each."""
    yield ""
    name = coloured(f"{stage.stage:<15}", None, bold=True)
    if not stage.reached:
        yield f"{name} not reached"
    elif not stage.hooks:
        yield f"{name} no hooks"
    else:
        pid = f", pid {stage.state['pid']}" if "pid" in stage.state else ""
        inside = f", own {', '.join(stage.namespaces)}" if stage.namespaces else ""
        yield f"{name} during {stage.operation}, status {stage.state['status']}{pid}, in {printable(stage.cwd)}{inside}"
    if any(run.outcome == "planned" for run in stage.hooks):
        yield f"  reads      {json.dumps(stage.state)}"
    for run in stage.hooks:
        yield from _hook_lines(run)
    if stage.consequence is not None:
        yield f"  {coloured('then', 'red')}       {stage.consequence}"


def _hook_lines(run: HookRun) -> Iterator[str]:
    time = f"{'':9}" if run.outcome in _WITHOUT_TIME else f"{run.wall_s:7.3f} s"
    outcome = coloured(f"{run.outcome:<9}", _COLOURS.get(run.outcome))
    origin = os.path.basename(run.rule) if run.rule else "config.json"
    message = f": {run.message}" if run.message else ""
    yield f"  {outcome}  {time}  {_command(run)}  {printable(origin + message)}"
    for stream, data in (("stdout", run.stdout), ("stderr", run.stderr)):
        for line in data.decode("utf-8", "replace").splitlines():
            yield f"    {stream}  {printable(line)}"
    if run.left_running:
        yield f"    left running: {', '.join(map(str, run.left_running))}"


def _command(run: HookRun) -> str:
    """Path and arguments without args[0]; those of the hook itself where the supervisor runs it."""
    document = run.hook.to_json()
    supervised = supervised_hook(document)
    shown = supervised or document
    words = [printable(str(shown["path"])), *(quoted(word, SHOWN) for word in (shown.get("args") or ())[1:])]
    return " ".join([*words, "(supervised)"] if supervised else words)


def closing(simulation: Simulation, *, dry_run: bool) -> Iterator[str]:
    """What was not as in a real container, and the result in a sentence."""
    yield ""
    for sentence in simulation.remarks:
        yield f"note: {printable(sentence)}"
    runs = [run for stage in simulation.stages for run in stage.hooks if run.outcome not in _WITHOUT_TIME]
    failed = sum(run.outcome == "failed" for run in runs)
    if dry_run:
        yield f"nothing was run; {PLANNED_PID} stands for the process id of the container"
    elif not runs:
        yield "no hook was run"
    elif failed:
        yield coloured(f"{failed} of {_counted(len(runs))} failed", "red", bold=True)
    else:
        yield f"{_counted(len(runs))} succeeded"


def _counted(number: int) -> str:
    return f"{number} hook{'' if number == 1 else 's'}"


def as_document(
    simulation: Simulation,
    bundle: str | None,
    rules: Sequence[str] | None,
    problems: Sequence[Diagnostic],
    *,
    dry_run: bool,
) -> dict[str, Any]:
    """The JSON output."""
    return {
        "result": "dry run" if dry_run else "succeeded" if simulation.ok else "failed",
        "flavour": simulation.flavour,
        "container": {"bundle": bundle, "id": simulation.container_id},
        "namespaces": simulation.namespaces,
        "rules": rules,
        "remarks": simulation.remarks,
        "stages": [_stage_json(stage) for stage in simulation.stages],
        "problems": [problem.to_json() for problem in problems],
    }


def _stage_json(stage: StageRun) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "operation": stage.operation,
        "reached": stage.reached,
        "state": stage.state,
        "cwd": stage.cwd,
        "namespaces": stage.namespaces,
        "consequence": stage.consequence,
        "hooks": [_hook_json(run) for run in stage.hooks],
    }


def _hook_json(run: HookRun) -> dict[str, Any]:
    return {
        "path": run.hook.path,
        "args": run.hook.args or (run.hook.path,),
        "rule": run.rule,
        "outcome": run.outcome,
        "message": run.message or None,
        "status": run.status,
        "wall_s": round(run.wall_s, 4),
        "stdout": run.stdout.decode("utf-8", "replace"),
        "stderr": run.stderr.decode("utf-8", "replace"),
        "left_running": run.left_running,
    }
