"""
What a rule file says, whatever its schema: the hook, the stages and the conditions.

Format: oci-hooks(5), schema 1.0.0; files of schema 0.1.0 are converted when they are read.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocihooks.hooksd.patterns import Pattern
from ocihooks.spec.hook import Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VERSION = "1.0.0"
"""The current schema version of rule files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """
    The conditions of a rule.

    Attributes:
        always: True meets the condition; False means the rule never matches; None: not given.
        has_bind_mounts: True asks for a bind mount; False can't be met (schema 1.0.0); None: not given.
        annotations: Pairs of patterns, one for the key and one for the value of the same annotation.
        commands: Patterns for ``process.args[0]``; one of them has to be found.
        any_of: True for files of schema 0.1.0: one met condition is enough. False: all given conditions must be met.

    Without any condition a rule never matches.
    """

    always: bool | None = None
    has_bind_mounts: bool | None = None
    annotations: tuple[tuple[Pattern, Pattern], ...] | None = None
    commands: tuple[Pattern, ...] | None = None
    any_of: bool = False

    def patterns(self) -> tuple[tuple[str, Pattern], ...]:
        """All patterns, each with its JSON pointer in the rule file."""
        found = []
        for key, value in self.annotations or ():
            pointer = "/annotations" if self.any_of else f"/when/annotations/{escaped(key.source)}"
            found += [(pointer, key), (pointer, value)]
        commands = "/cmds" if self.any_of else "/when/commands"
        found += [(f"{commands}/{index}", pattern) for index, pattern in enumerate(self.commands or ())]
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The conditions in the spelling of schema 1.0.0, without ``any_of`` and those that were not given."""
        document: dict[str, Any] = {}
        if self.always is not None:
            document["always"] = self.always
        if self.annotations is not None:
            document["annotations"] = {key.source: value.source for key, value in self.annotations}
        if self.commands is not None:
            document["commands"] = [pattern.source for pattern in self.commands]
        if self.has_bind_mounts is not None:
            document["hasBindMounts"] = self.has_bind_mounts
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class HookConfig:
    """
    A rule: which hook runs, at which stages, for which containers.

    Attributes:
        hook: What a runtime is asked to run.
        when: The conditions.
        stages: Names as in the file, of the runtime-spec or extension stages; may be empty or repeat.
        version: Always the current schema version, whatever the file had.
    """

    hook: Hook
    when: When
    stages: tuple[str, ...]
    version: str = VERSION

    def to_json(self) -> dict[str, Any]:
        """The rule as a file of schema 1.0.0; one that came from schema 0.1.0 can't say its any-of there."""
        return {
            "version": self.version,
            "hook": self.hook.to_json(),
            "when": self.when.to_json(),
            "stages": list(self.stages),
        }


def escaped(member: str) -> str:
    """*member* as a reference token of a JSON pointer (RFC 6901)."""
    return member.replace("~", "~0").replace("/", "~1")


def command(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """``process.args`` of a parsed config.json as a tuple; None where the configuration has no process."""
    process = config.get("process")
    return None if process is None else tuple(process.get("args") or ())
