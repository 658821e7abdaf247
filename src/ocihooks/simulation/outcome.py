"""What became of simulated hooks, stages and containers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ocihooks.spec.hook import Hook
from ocihooks.spec.stage import Stage

Outcome = Literal["succeeded", "failed", "planned", "not run"]
"""
How a hook came out. One that is planned would have been run but for the caller's wish; one that was not run was never
reached, left out by the caller, or can't be simulated.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """
    One hook of a stage.

    Attributes:
        hook: As config.json has it.
        rule: File of the rule that it comes from; None: it came with the configuration.
        outcome: See `Outcome`.
        message: What went wrong, or why it was not run; "" if nothing did.
        status: Exit status; negative: ended by that signal; None: it did not run, or never started.
        wall_s: Seconds that it took.
        stdout: What it wrote there, the last 64 KiB.
        stderr: The same for standard error.
        left_running: Process ids that it left behind on the host.
    """

    hook: Hook
    rule: str | None
    outcome: Outcome
    message: str = ""
    status: int | None = None
    wall_s: float = 0.0
    stdout: bytes = b""
    stderr: bytes = b""
    left_running: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """
    One stage with its hooks.

    Attributes:
        stage: Which one.
        operation: The runtime's operation during which it is reached.
        state: The container state that its hooks read.
        cwd: Their working directory, as they see it.
        namespaces: Those of the container that they run in; empty: they see the host's.
        hooks: In order.
        reached: Whether a runtime would have come here.
        consequence: What the runtime does after a failure here; None: no hook failed.
    """

    stage: Stage
    operation: str
    state: Mapping[str, Any]
    cwd: str
    namespaces: tuple[str, ...]
    hooks: tuple[HookRun, ...]
    reached: bool = True
    consequence: str | None = None

    @property
    def failed(self) -> tuple[HookRun, ...]:
        """The hooks that failed."""
        return tuple(run for run in self.hooks if run.outcome == "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """
    A container's life as far as its hooks go.

    Attributes:
        flavour: Name of the flavour.
        container_id: The container's id.
        bundle: Absolute path of the bundle.
        namespaces: Those that the container had of its own; empty: none were made.
        remarks: Sentences about what was not as in a real container.
        stages: In the order in which the flavour reaches them, up to where the caller wanted it to stop.
    """

    flavour: str
    container_id: str
    bundle: str
    namespaces: tuple[str, ...]
    remarks: tuple[str, ...]
    stages: tuple[StageRun, ...]

    @property
    def ok(self) -> bool:
        """Whether no hook failed."""
        return not any(stage.failed for stage in self.stages)

    def stage(self, name: str) -> StageRun:
        """
        The stage of this name.

        Raises:
            KeyError: The simulation ended before it.
        """
        for stage in self.stages:
            if stage.stage == name:
                return stage
        raise KeyError(name)
