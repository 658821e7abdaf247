"""
The state that a flavour sends to the hooks of a stage.

Spec: runtime-spec 1.3.0, runtime.md "State".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocihooks.simulation.flavours import CRUN, RUNC, Flavour, Pid
from ocihooks.spec.stage import Stage
from ocihooks.spec.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """
    What a state is made of.

    Attributes:
        config: The parsed config.json.
        container_id: The id.
        bundle: Absolute path of the bundle.
        root: Absolute path of the root file system.
        pid: Process id of the container on the host.
        pid_namespace: Whether the configuration asks for one; without one, hooks in the container see *pid*.
    """

    config: Mapping[str, Any]
    container_id: str
    bundle: str
    root: str
    pid: int
    pid_namespace: bool


def state_of(known: Known, flavour: Flavour, stage: Stage) -> dict[str, Any]:
    """The state for the hooks of *stage*, its members in the order of *flavour*."""
    surroundings = flavour.stages[stage]
    annotations = known.config.get("annotations") or {}
    pid = _pid(surroundings.pid, known)
    members: dict[str, Any] = {
        "ociVersion": flavour.oci_version or str(known.config.get("ociVersion", "")),
        "id": known.container_id,
    }
    if flavour is CRUN:
        inside = stage is Stage.START_CONTAINER
        members |= {"pid": pid, "root": known.root, "bundle": "/" if inside else known.bundle}
        members |= {"status": surroundings.status}
    else:
        members |= {"status": surroundings.status} | ({} if pid is None else {"pid": pid})
        members |= {"bundle": known.bundle}
    return members | ({"annotations": dict(annotations)} if annotations else {})


def _pid(kind: Pid, known: Known) -> int | None:
    if kind == "none":
        return None
    return known.pid if kind == "host" or (kind == "1" and not known.pid_namespace) else int(kind)


def as_sent(state: Mapping[str, Any], flavour: Flavour) -> bytes:
    """*state* as the hook reads it: compact, and from runc without anything that HTML takes for markup."""
    if flavour is RUNC:
        from ocihooks.execution.hook_lists import state_text  # brings what reads rules, which nothing else here needs

        return state_text(State.from_json(dict(state))).encode("utf-8", "surrogateescape")
    return json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
