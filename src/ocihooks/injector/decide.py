"""
Decides which way each injector file that a container asks for goes into it, and why.

Pure: it sees a configuration, and what the host has. A file goes into a container as a whole by one way, or not at all.
"""

from __future__ import annotations

from ocihooks.injection import supervised_hook
from ocihooks.injector.before import LEFT_OUT, Sketch, steps_for, with_environment
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import AUTO, COPY, DIRECTORY, MOUNT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ocihooks.injector.before import Step
    from ocihooks.injector.files import InjectorFile
    from ocihooks.injector.host import Thing

HOOK = "oci-injector-hook"
"""The name of the program that copies."""

CONFIG_DIR = "OCI_INJECTOR_CONFIG_DIR"
"""The variable by which that program finds its injector files."""

NEITHER = ""
"""The way of a file that can't be given."""

_STAGES = ("prestart", "createRuntime")


class Decision:
    """
    What becomes of one injector file.

    Attributes:
        file: The injector file.
        way: `MOUNT`, `COPY`, which a hook will follow, or `NEITHER`.
        why: Why this way.
        steps: What becomes of its things by way of `MOUNT`, whether or not that is the way.
        problems: Why it can't be given; none: it can, or it is optional.
    """

    __slots__ = ("file", "problems", "steps", "way", "why")

    def __init__(
        self,
        file: InjectorFile,
        way: str,
        why: str,
        steps: tuple[Step, ...],
        problems: tuple[NotInjectedError, ...] = (),
    ) -> None:
        self.file = file
        self.way = way
        self.why = why
        self.steps = steps
        self.problems = problems

    @property
    def gives(self) -> bool:
        """Whether the configuration has something that the file says."""
        is_there = any(step.outcome not in ("", LEFT_OUT) for step in self.steps)
        return self.way == MOUNT and (is_there or bool(self.file.env))


class Outcome:
    """
    What a container gets.

    Attributes:
        decisions: One for each injector file that it asks for, in order.
        mounts, devices, rules: What ``mounts``, ``linux.devices`` and ``linux.resources.devices`` gain.
        env: The new environment; None where it stays.
    """

    __slots__ = ("decisions", "devices", "env", "mounts", "rules")

    def __init__(self, decisions: Iterable[Decision], sketch: Sketch, env: tuple[str, ...] | None) -> None:
        self.decisions = tuple(decisions)
        self.mounts, self.devices, self.rules = tuple(sketch.mounts), tuple(sketch.devices), tuple(sketch.rules)
        self.env = env


def decide(
    wanted: Sequence[tuple[InjectorFile, tuple[Thing, ...]]], members: Mapping[str, Any], directory: str
) -> Outcome:
    """
    Decide what becomes of the injector files that a container asks for.

    Args:
        wanted: Each file with its things as the host has them.
        members: Those of the configuration, with all hooks that it is going to have.
        directory: Where the files are, for which a hook has to look there as well.
    """
    sketch = Sketch(members)
    copied = is_copied_later(members, directory)
    decisions = []
    for file, things in wanted:
        trial = sketch.copy()
        decision = _decision(file, things, trial, copied=copied)
        if decision.way == MOUNT:
            sketch = trial
        decisions.append(decision)
    return Outcome(decisions, sketch, _environment(members, decisions))


def _decision(file: InjectorFile, things: tuple[Thing, ...], trial: Sketch, *, copied: bool) -> Decision:
    if file.way == COPY:
        return _copied(file, (), 'the file says "way": "copy"', copied=copied)
    steps = steps_for(things, trial)
    problems = tuple(step.problem for step in steps if not step.outcome and step.problem is not None)
    to_copy = next((step for step in steps if step.only_copied), None)
    if file.way == AUTO and to_copy is not None:
        reason = f"{to_copy.thing.entry.pointer}: {to_copy.why}"
        if not needs_before(file) and not any(_mounts_a_directory(step) for step in steps):
            return _copied(file, steps, reason, copied=copied)
        problems = (*problems, _split(file, to_copy))
    if not problems:
        why = 'the file says "way": "mount"' if file.way == MOUNT else "nothing in it has to be copied"
        return Decision(file, MOUNT, why, steps)
    return _not_given(file, steps, problems)


def needs_before(file: InjectorFile) -> bool:
    """Whether *file* has something that can be given before a container is created only."""
    return bool(file.env) or any(entry.kind == "devices" for entry in file.entries)


def _mounts_a_directory(step: Step) -> bool:
    """Whether *step* gives the content of a directory, of which a hook makes no copy."""
    return step.thing.entry.kind == "directories" and step.mount is not None


def _split(file: InjectorFile, step: Step) -> NotInjectedError:
    return NotInjectedError(
        f"it can only be copied, and the file's devices, variables and contents of directories can't: {step.why}",
        code="not_injected",
        file=file.file,
        pointer=step.thing.entry.pointer,
        hint="move it to an injector file of its own with the same activation_flag",
    )


def _copied(file: InjectorFile, steps: tuple[Step, ...], reason: str, *, copied: bool) -> Decision:
    if copied:
        return Decision(file, COPY, reason, steps)
    problem = NotInjectedError(
        f"it has to be copied, and the container has no hook {HOOK} that does so: {reason}",
        code="not_injected",
        file=file.file,
        hint=f'add a rule for {HOOK} with this directory, or set "way": "mount"',
    )
    return _not_given(file, steps, (problem,))


def _not_given(file: InjectorFile, steps: tuple[Step, ...], problems: tuple[NotInjectedError, ...]) -> Decision:
    why = problems[0].message
    if file.optional:
        return Decision(file, NEITHER, why, steps)
    return Decision(file, NEITHER, why, steps, problems)


def is_copied_later(members: Mapping[str, Any], directory: str) -> bool:
    """Whether the hooks of a configuration have the program that copies what the files in *directory* say."""
    hooks = members.get("hooks")
    entries = [entry for stage in _STAGES for entry in (hooks.get(stage) or ())] if isinstance(hooks, dict) else []
    return any(_copies(entry, directory.rstrip("/")) for entry in entries)


def _copies(entry: Mapping[str, Any], directory: str) -> bool:
    hook = supervised_hook(entry) or entry
    if str(hook.get("path")).rpartition("/")[2] != HOOK:
        return False
    words = [str(item).partition(f"{CONFIG_DIR}=") for item in entry.get("env") or ()]
    named = [place for _, found, place in words if found and place]
    return (named[-1] if named else DIRECTORY).rstrip("/") == directory


def _environment(members: Mapping[str, Any], decisions: Iterable[Decision]) -> tuple[str, ...] | None:
    process = members.get("process")
    before = tuple((process.get("env") if isinstance(process, dict) else None) or ())
    after = with_environment(before, [item for one in decisions if one.way == MOUNT for item in one.file.env])
    return None if after == before else after
