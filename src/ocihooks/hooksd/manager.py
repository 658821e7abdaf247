"""The rules of several directories as one object that answers which hooks a container gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ocihooks.errors import Diagnostic, RulesError, only_errors
from ocihooks.hooksd.config import command
from ocihooks.hooksd.directories import Rule, overridden_problems, program_problems, survey
from ocihooks.hooksd.matching import Container, Injection, match

if TYPE_CHECKING:
    from ocihooks.hooksd.monitor import Monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    What the directories say at one time.

    Attributes:
        directories: As they were given to the manager.
        rules: In the order in which they run, masked and invalid ones included.
        problems: All findings.
        refused: Those of ``problems`` for which a manager that is not lenient raises.
        programs: The paths of the rules' programs, and whether they were there.
    """

    directories: tuple[str, ...]
    rules: tuple[Rule, ...]
    problems: tuple[Diagnostic, ...]
    refused: tuple[Diagnostic, ...]
    programs: Mapping[str, bool]

    @property
    def unlisted(self) -> frozenset[int]:
        """The indexes of the directories that can't be listed; missing ones count as empty."""
        faulty = {problem.file for problem in self.refused}
        return frozenset(index for index, directory in enumerate(self.directories) if directory in faulty)


class HookManager:
    """
    The rules of *directories*, later ones overriding earlier ones by file name.

    Args:
        directories: Those that do not exist count as empty.
        extension_stages: Stage names besides those of the runtime-spec; their hooks are handed back apart.
        strict: Refuse rules whose program is missing; by default they are left out and reported in ``problems``.
        lenient: Leave out files that can't be used and report them, instead of raising.

    Raises:
        RulesError: A directory can't be listed or a rule file can't be used, even one that is overridden (the wrapper
            reads only those that count); has all problems of all files.
    """

    def __init__(
        self,
        directories: Iterable[str | os.PathLike[str]],
        extension_stages: Sequence[str] = (),
        *,
        strict: bool = False,
        lenient: bool = False,
    ) -> None:
        self.directories = tuple(os.fspath(directory) for directory in directories)
        self.extension_stages = tuple(extension_stages)
        self.strict = strict
        self.lenient = lenient
        self.rules: tuple[Rule, ...] = ()
        self.problems: tuple[Diagnostic, ...] = ()
        self.reload()

    def reload(self) -> None:
        """
        Read the directories again.

        Raises:
            RulesError: As for the constructor; the rules stay as they were.
        """
        found = self.read()
        if found.refused and not self.lenient:
            raise RulesError(problems=sorted(found.refused, key=self._place))
        self.use(found)

    def read(self) -> Snapshot:
        """What the directories say now, whatever is wrong with it; the manager's rules stay as they are."""
        found, problems = survey(self.directories, self.extension_stages)
        rules = tuple(map(self._with_program, found))
        problems += overridden_problems(rules, self.extension_stages)
        problems += tuple(problem for rule in rules for problem in rule.problems)
        return Snapshot(
            directories=self.directories,
            rules=rules,
            problems=problems,
            refused=tuple(p for p in only_errors(problems) if self.strict or p.code != "missing_program"),
            programs={old.hook.path: new.config is not None for old, new in zip(found, rules, strict=True) if old.hook},
        )

    def use(self, found: Snapshot) -> None:
        """Take the rules of *found*, all at once."""
        self.rules, self.problems = found.rules, found.problems

    def _place(self, problem: Diagnostic) -> tuple[int, str]:
        """Where *problem* comes in a report: directories as given, then files by name."""
        file = problem.file or ""
        name = os.path.basename(file)
        within = [i for i, place in enumerate(self.directories) if file in (place, os.path.join(place, name))]
        return within[0] if within else -1, file

    @staticmethod
    def _with_program(rule: Rule) -> Rule:
        missing = program_problems(rule)
        return replace(rule, config=None, status="invalid", problems=rule.problems + missing) if missing else rule

    def hooks(
        self, config: Mapping[str, Any], annotations: Mapping[str, str], has_bind_mounts: bool = False
    ) -> Injection:
        """
        The hooks that a container gets.

        Args:
            config: Parsed config.json; only ``process.args`` is looked at, and nothing is changed.
            annotations: What rules see; those of *config* count only if they are handed in here.
            has_bind_mounts: Whether somebody other than the engine asked for a bind mount.

        Returns:
            What to add, with the reason for each rule; `apply` puts it into a configuration.

        Raises:
            MatchError: A rule can't be decided; then no hook is given at all.
        """
        container = Container(args=command(config), annotations=annotations, has_bind_mounts=has_bind_mounts)
        return match(self.rules, container, extension_stages=self.extension_stages)

    def monitor(self, *, on_change: Callable[[], None] | None = None) -> Monitor:
        """
        Watch the directories and reload on change; use it as a context manager.

        Args:
            on_change: Called in the monitor's thread after ``rules`` or ``problems`` have changed.
        """
        from ocihooks.hooksd.monitor import Monitor

        return Monitor(self, on_change=on_change)


def apply(injection: Injection, config: Mapping[str, Any]) -> dict[str, Any]:
    """
    A copy of the parsed configuration *config* with the hooks of *injection* behind those that are there.

    A match without hooks of the runtime-spec's stages still makes an empty ``hooks`` object; applying twice adds twice.
    """
    if not injection.matched:
        return dict(config)
    hooks = dict(config.get("hooks") or {})
    for stage, added in injection.hooks.items():
        hooks[stage] = [*(hooks.get(stage) or ()), *(hook.to_json() for hook in added)]
    return {**config, "hooks": hooks}
