"""
What the injector gives to a container through NRI: mounts, devices and variables, no copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocihooks.errors import Diagnostic
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.give import asked_for, outcome_for
from ocihooks.injector.packing import unpacked

if TYPE_CHECKING:
    from ocihooks.injector.decide import Outcome
    from ocihooks.nri.messages import NewContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Things:
    """
    What a container is given besides hooks.

    Attributes:
        mounts: Entries as those of ``mounts`` in config.json.
        devices: Entries as those of ``linux.devices``; the engine allows their use.
        env: Variables that are new or have a new value, as ``NAME=VALUE``.
        files: The paths of the injector files of which the container then has something.
    """

    mounts: Sequence[Mapping[str, Any]] = ()
    devices: Sequence[Mapping[str, Any]] = ()
    env: Sequence[str] = ()
    files: Sequence[str] = ()

    def named(self) -> list[str]:
        """What each of them is called in messages; values of variables are left out."""
        return [
            *(f"mount {mount['destination']}" for mount in self.mounts),
            *(f"device {device['path']}" for device in self.devices),
            *(f"variable {entry.partition('=')[0]}" for entry in self.env),
        ]


NO_THINGS = Things()


def things_for(
    container: NewContainer, injectors: Sequence[bytes], directory: str, hooks: Mapping[str, Any] | None
) -> Things:
    """
    What *container* is given of the packed *injectors*, as far as it asks for them.

    Args:
        directory: Where the injector files are.
        hooks: All hooks that the container is going to have.

    Raises:
        NotInjectedError: One of them can't be given; has all problems.
        WireError: The engine's description of the container is broken.
    """
    env = container.env()
    members = {
        "process": {"env": env},
        "mounts": container.mounts(),
        "linux": container.linux(),
        "hooks": hooks,
    }
    asked = asked_for([unpacked(data) for data in injectors], members, "")
    if not asked:
        return NO_THINGS
    outcome = outcome_for(asked, members, directory)
    problems = [problem for decision in outcome.decisions for error in decision.problems for problem in error.problems]
    problems += _not_allowed(outcome)
    if problems:
        raise NotInjectedError(problems=problems)
    changed = [entry for entry in outcome.env or () if entry not in env]
    files = [decision.file.file for decision in outcome.decisions if decision.gives]
    return Things(mounts=outcome.mounts, devices=outcome.devices, env=changed, files=files)


def _not_allowed(outcome: Outcome) -> list[Diagnostic]:
    """Engines allow the use of devices that they add, and of no others."""
    added = [(device["type"], device["major"], device["minor"]) for device in outcome.devices]
    missing = [rule for rule in outcome.rules if (rule["type"], rule["major"], rule["minor"]) not in added]
    message = "the container has device {type} {major}:{minor} without leave to use it, which a plugin can't give"
    return [Diagnostic(message.format(**rule), code="beyond_nri") for rule in missing]
