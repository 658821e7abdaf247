"""
The hook object of the runtime-spec and the ``hooks`` member of a configuration.

Spec: runtime-spec 1.3.0, config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ocihooks.spec.members import expect, optional, optional_strings, required, unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Self

    from ocihooks.spec.stage import Stage

_HOOK_MEMBERS = ("path", "args", "env", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """
    A program that a runtime runs at a stage.

    Attributes:
        path: Absolute path of the program, in the namespace that ``Stage.path_namespace`` tells.
        args: The whole argv, with ``args[0]``; None (not given) and empty mean ``[path]``.
        env: ``NAME=value`` entries; None and empty mean an empty environment by the spec
            (runtimes differ: see docs/explanation/stages.md).
        timeout: Whole seconds after which the runtime kills the program; None: no limit.
        extra: Members the spec does not define, kept and written back.
    """

    path: str
    args: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    timeout: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: object, pointer: str = "") -> Self:
        """
        Read one hook object.

        Raises:
            DocumentError: A member is missing or of the wrong type; the error names it below *pointer*.
        """
        members = expect(document, dict, pointer or "/")
        return cls(
            path=required(members, "path", str, pointer),
            args=optional_strings(members, "args", pointer),
            env=optional_strings(members, "env", pointer),
            timeout=optional(members, "timeout", int, pointer),
            extra=unknown(members, _HOOK_MEMBERS),
        )

    def to_json(self) -> dict[str, Any]:
        """The hook object in the spec's spelling; members that were not given are left out."""
        document: dict[str, Any] = {"path": self.path}
        if self.args is not None:
            document["args"] = list(self.args)
        if self.env is not None:
            document["env"] = list(self.env)
        if self.timeout is not None:
            document["timeout"] = self.timeout
        return document | dict(self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """
    The ``hooks`` member of a config.json: hooks by stage.

    Attributes:
        stages: Hooks of each of the six stages that has any, in the order in which the stages run.
        extra: Members that are no stage of the spec, kept and written back.
    """

    stages: Mapping[Stage, tuple[Hook, ...]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: object, pointer: str = "/hooks") -> Self:
        """
        Read a hooks object; null counts as empty, for the object and for each stage.

        Raises:
            DocumentError: Something has the wrong type; the error names the place.
        """
        from ocihooks.spec.stage import STAGES, Stage

        members = {} if document is None else expect(document, dict, pointer)
        stages = {}
        for stage in Stage:
            items = optional(members, stage.value, list, pointer)
            if items is not None:
                stages[stage] = tuple(
                    Hook.from_json(item, f"{pointer}/{stage.value}/{i}") for i, item in enumerate(items)
                )
        return cls(stages=stages, extra=unknown(members, STAGES))

    def to_json(self) -> dict[str, Any]:
        """The hooks object in the spec's spelling; stages that were not given are left out."""
        document: dict[str, Any] = {
            stage.value: [hook.to_json() for hook in hooks] for stage, hooks in self.stages.items()
        }
        return document | dict(self.extra)
