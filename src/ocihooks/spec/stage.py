"""
The six points of a container's life at which a runtime runs hooks.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks", runtime.md "Lifecycle".
"""

from __future__ import annotations

from collections.abc import Sequence
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


def stage_hint(name: str, extension_stages: Sequence[str] = ()) -> str:
    """
    What to write instead of *name*, which is no stage: the one that is probably meant, or all of them.

    Args:
        extension_stages: Names that may be meant besides those of the spec.
    """
    import difflib

    by_letters = {stage.lower(): stage for stage in (*STAGES, *extension_stages)}
    close = difflib.get_close_matches(name.strip().lower(), by_letters, n=1, cutoff=0.75)
    if not close:
        return f"known stages: {', '.join(STAGES)}"
    differs_in_case = name.strip().lower() == close[0]
    return f'did you mean "{by_letters[close[0]]}"?{" stages are case-sensitive" if differs_in_case else ""}'
