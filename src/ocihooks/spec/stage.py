"""
The six points of a container's life at which a runtime runs hooks.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks", runtime.md "Lifecycle".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Namespace = Literal["runtime", "container"]


class Stage(StrEnum):
    """A stage, in the order in which a runtime reaches it; the value is the spec's spelling."""

    PRESTART = "prestart"
    CREATE_RUNTIME = "createRuntime"
    CREATE_CONTAINER = "createContainer"
    START_CONTAINER = "startContainer"
    POSTSTART = "poststart"
    POSTSTOP = "poststop"

    @property
    def namespace(self) -> Namespace:
        """Whose mount namespace the hook runs in: the runtime's or the container's."""
        return "container" if self in (Stage.CREATE_CONTAINER, Stage.START_CONTAINER) else "runtime"

    @property
    def path_namespace(self) -> Namespace:
        """Where the hook's path is looked up: only startContainer's lies inside the container."""
        return "container" if self is Stage.START_CONTAINER else "runtime"

    @property
    def deprecated(self) -> bool:
        """Whether the spec asks to use another stage instead (createRuntime for prestart)."""
        return self is Stage.PRESTART

    @property
    def failure_stops(self) -> bool:
        """Whether a failing hook of this stage ends the container; otherwise the runtime warns and goes on."""
        return self not in (Stage.POSTSTART, Stage.POSTSTOP)

    @property
    def operation(self) -> str:
        """The operation during which the spec runs this stage: create, start or delete."""
        if self in (Stage.PRESTART, Stage.CREATE_RUNTIME, Stage.CREATE_CONTAINER):
            return "create"
        return "delete" if self is Stage.POSTSTOP else "start"


STAGES: tuple[str, ...] = tuple(stage.value for stage in Stage)
"""The six names, in order."""
