"""
The stages of one container in order: each hook is run, and what a runtime would do next is done.

Spec: runtime-spec 1.3.0, runtime.md "Lifecycle", config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ocihooks.execution.errors import HookNotRunnableError, HookRunError, HookTimeoutError
from ocihooks.execution.result import HookResult
from ocihooks.execution.runner import run_hook
from ocihooks.execution.words import ending, lateness, survivors
from ocihooks.injection import rule_of
from ocihooks.simulation.container import Standing
from ocihooks.simulation.flavours import FLAVOURS, Flavour, Surroundings
from ocihooks.simulation.needs import check, namespaces_of, root_of
from ocihooks.simulation.outcome import HookRun, Outcome, Simulation, StageRun
from ocihooks.simulation.state import Known, as_sent, state_of
from ocihooks.spec.hook import Hook, Hooks
from ocihooks.spec.stage import STAGES, Stage

OUTPUT_LIMIT = 64 * 1024
DRAIN_S = 1.0
"""How long output is waited for when a hook has ended and a process that it left holds the output open."""

PLANNED_PID = 1000
"""Stands in the states of a dry run, where there is no process."""

_NO_ROOT = "it needs a root file system with namespaces of its own"
_UNREACHED = "the container ended before this stage"
_BEHIND = "a hook in front of it failed"
_LEFT_OUT = "left out"


def simulate(
    config: Mapping[str, Any],
    bundle: str | os.PathLike[str],
    *,
    flavour: str = "spec",
    stages: Collection[str] = (),
    stop_after: str | None = None,
    namespaces: bool = True,
    dry_run: bool = False,
    container_id: str | None = None,
    told: Callable[[StageRun], object] | None = None,
) -> Simulation:
    """
    Run the hooks of a container that is not there, stage by stage, as a runtime would.

    Hooks are run for real, with the caller's privileges. As root, hooks of createContainer and startContainer run in
    namespaces with the mounts of *config*, the latter inside of the root file system with the privileges of the
    container's program; anybody else's createContainer hooks see the host, and startContainer hooks are not run.
    There are no cgroups, no seccomp filter and no user namespace, and proc and sysfs can only be read.

    Args:
        config: The parsed config.json; nothing is read from *bundle* itself.
        bundle: An existing directory; relative paths of *config* are looked up there.
        flavour: ``spec``, ``runc`` or ``crun``: order, states, working directories, consequences of failures.
        stages: Only the hooks of these are run, the others pass as if they had succeeded. Empty: all.
        stop_after: The last stage that is reached; None: all are.
        namespaces: False leaves the host's to all hooks, also for root.
        dry_run: Run nothing: the hooks of the result are those that would be run.
        container_id: None: one is made up.
        told: Called with each stage when it's over.

    Raises:
        DocumentError: Something of *config* that matters here has the wrong type.
        UnavailableError: There is no process to be had that could stand for the container.
        ValueError: There is no such flavour, or no such stage.

    Spec: runtime-spec 1.3.0, runtime.md "Lifecycle".
    """
    _expect_known((flavour,), FLAVOURS, "flavour")
    _expect_known((*stages, *([] if stop_after is None else [stop_after])), STAGES, "stage")
    check(config)
    life = _Life(
        config=config,
        bundle=os.path.abspath(bundle),
        flavour=FLAVOURS[flavour],
        hooks=Hooks.from_json(config.get("hooks")),
        wanted=frozenset(stages or map(str, Stage)),
        container_id=container_id or f"simulated-{secrets.token_hex(4)}",
    )
    with ExitStack() as stack:
        if not dry_run:
            life.standing = stack.enter_context(Standing(config, life.bundle, separate=namespaces))
        for stage in life.flavour.stages:
            run = life.reach(stage)
            if told is not None:
                told(run)
            if stage == stop_after:
                break
    return life.result()


def _expect_known(words: Iterable[str], known: Iterable[str], kind: str) -> None:
    for word in words:
        if word not in known:
            raise ValueError(f"unknown {kind} {word!r}, expected one of {', '.join(known)}")


@dataclass(slots=True, kw_only=True)
class _Life:
    """A container's life while it is simulated."""

    config: Mapping[str, Any]
    bundle: str
    flavour: Flavour
    hooks: Hooks
    wanted: frozenset[str]
    container_id: str
    standing: Standing | None = None
    ended: bool = False
    poststop: bool = True
    stages: list[StageRun] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def result(self) -> Simulation:
        standing = self.standing
        return Simulation(
            flavour=self.flavour.name,
            container_id=self.container_id,
            bundle=self.bundle,
            namespaces=standing.namespaces if standing else (),
            remarks=(*(standing.remarks if standing else ()), *self.remarks),
            stages=tuple(self.stages),
        )

    def reach(self, stage: Stage) -> StageRun:
        """Run the hooks of *stage*, or tell why they are not run."""
        surroundings, failure = self.flavour.stages[stage], self.flavour.failures[stage]
        state = state_of(self._known(), self.flavour, stage)
        cwd = self._directory(surroundings)
        reached = self.poststop if stage is Stage.POSTSTOP else not self.ended
        runs = self._run_all(stage, cwd, as_sent(state, self.flavour), reached=reached)
        failed = any(run.outcome == "failed" for run in runs)
        if failed:
            self.ended = self.ended or not failure.goes_on
            self.poststop = self.poststop and failure.poststop
        self.stages.append(
            StageRun(
                stage=stage,
                operation=surroundings.operation,
                state=state,
                cwd=cwd,
                namespaces=self._namespaces(stage),
                hooks=runs,
                reached=reached,
                consequence=failure.sentence if failed else None,
            )
        )
        return self.stages[-1]

    def _run_all(self, stage: Stage, cwd: str, state: bytes, *, reached: bool) -> tuple[HookRun, ...]:
        """Every hook of *stage*, run or not."""
        hooks = self.hooks.stages.get(stage, ())
        if self.standing is not None and hooks:
            _make_ready(self.standing, stage)
        runs: list[HookRun] = []
        for hook in hooks:
            failed = any(run.outcome == "failed" for run in runs)
            reason = self._reason(stage, reached=reached, behind=failed and not self.flavour.failures[stage].rest)
            if reason:
                runs.append(_unrun(hook, "not run", reason))
            elif self.standing is None:
                runs.append(_unrun(hook, "planned"))
            else:
                runs.append(self._run(self.standing, hook, stage, cwd, state))
        return tuple(runs)

    def _known(self) -> Known:
        return Known(
            config=self.config,
            container_id=self.container_id,
            bundle=self.bundle,
            root=root_of(self.config, self.bundle),
            pid=self.standing.pid if self.standing else PLANNED_PID,
            pid_namespace="pid" in namespaces_of(self.config),
        )

    def _directory(self, surroundings: Surroundings) -> str:
        if surroundings.cwd == "rootfs":
            root = self._known().root
            return root if os.path.isdir(root) else self.bundle
        return {"bundle": self.bundle, "caller": os.getcwd(), "/": "/"}[surroundings.cwd]

    def _namespaces(self, stage: Stage) -> tuple[str, ...]:
        if self.standing is None:
            return tuple(namespaces_of(self.config)) if stage.namespace == "container" else ()
        return self.standing.namespaces if stage.namespace == "container" else ()

    def _reason(self, stage: Stage, *, reached: bool, behind: bool) -> str:
        """Why a hook of *stage* is not run; "" if it is."""
        if not reached:
            return _UNREACHED
        if behind:
            return _BEHIND
        if stage not in self.wanted:
            return _LEFT_OUT
        startable = self.standing is None or self.standing.startable
        return _NO_ROOT if stage is Stage.START_CONTAINER and not startable else ""

    def _run(self, standing: Standing, hook: Hook, stage: Stage, cwd: str, state: bytes) -> HookRun:
        """Run *hook* as the flavour would."""
        complete = Hook(path=hook.path, args=hook.args, env=self._environment(hook, stage), timeout=hook.timeout)
        try:
            inside = stage.namespace == "container" and bool(standing.namespaces)
            started = standing.entering(complete, stage, cwd) if inside else complete
            result = run_hook(started, state, cwd=None if inside else cwd, output_limit=OUTPUT_LIMIT, drain_s=DRAIN_S)
        except HookRunError as error:
            return _failed(hook, _why(error, hook, standing.not_started()), error.result)
        return _run_of(hook, result, "")

    def _environment(self, hook: Hook, stage: Stage) -> tuple[str, ...] | None:
        """The hook's own environment, or what the flavour gives it where it has none."""
        kind = self.flavour.stages[stage].env
        if hook.env or kind == "none":
            return hook.env
        if kind == "runtime":
            return tuple(f"{name}={value}" for name, value in os.environ.items())
        if stage is Stage.START_CONTAINER:
            return tuple(map(str, (self.config.get("process") or {}).get("env") or ()))
        self.remarks.append(
            f"{hook.path}: {self.flavour.title} gives a {stage} hook without env the environment of the container, "
            "which the image chooses; here it gets none"
        )
        return None


def _make_ready(standing: Standing, stage: Stage) -> None:
    """Let the container be as it is at *stage*: with a root of its own from its start on, and gone in the end."""
    if stage in (Stage.START_CONTAINER, Stage.POSTSTART):
        standing.pivot()
    elif stage is Stage.POSTSTOP:
        standing.end()


def _why(error: HookRunError, hook: Hook, not_started: str | None) -> str:
    """What went wrong, without words about how it was started."""
    if not_started is not None:
        return f"not started: {not_started}"
    if isinstance(error, HookNotRunnableError) or error.result is None:
        return error.message
    status, rest = error.result.status, survivors(error.result.left_running)
    if isinstance(error, HookTimeoutError):
        return lateness(status, float(hook.timeout or 0)) + rest
    return ending(status) + rest


def _unrun(hook: Hook, outcome: Outcome, reason: str = "") -> HookRun:
    return HookRun(hook=hook, rule=rule_of(hook.to_json()), outcome=outcome, message=reason)


def _failed(hook: Hook, message: str, result: HookResult | None) -> HookRun:
    if result is None:
        return HookRun(hook=hook, rule=rule_of(hook.to_json()), outcome="failed", message=message)
    return _run_of(hook, result, message)


def _run_of(hook: Hook, result: HookResult, message: str) -> HookRun:
    return HookRun(
        hook=hook,
        rule=rule_of(hook.to_json()),
        outcome="failed" if message else "succeeded",
        message=message,
        status=None if message.startswith("not started") else result.status,
        wall_s=result.wall_s,
        stdout=result.stdout,
        stderr=result.stderr,
        left_running=result.left_running,
    )
