"""
What runtimes do differently at each stage: order, state, working directory, and what follows when a hook fails.

The tables of runc and crun are what these versions were seen to do; tests compare them with the real ones. The third
flavour is the letter of the runtime-spec.

Spec: runtime-spec 1.3.0, runtime.md "State" and "Lifecycle", config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ocihooks.spec.stage import Stage

Pid = Literal["host", "1", "0", "none"]
"""The ``pid`` in the state: that of the container on the host, one of two numbers, or no such member."""

Directory = Literal["bundle", "rootfs", "caller", "/"]
"""A hook's working directory; the caller's is that of whoever calls the runtime."""

Environment = Literal["none", "runtime", "container"]
"""What a hook without ``env`` gets: nothing, what the runtime has, or what the container's program would get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """
    What follows when a hook of a stage fails.

    Attributes:
        sentence: It in words.
        rest: Whether the other hooks of the stage run.
        goes_on: Whether the stages behind it are reached.
        poststop: Whether the hooks of poststop run.
    """

    sentence: str
    rest: bool = False
    goes_on: bool = False
    poststop: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What a hook of a stage is given.

    Attributes:
        operation: The operation during which the stage is reached.
        status: The status in the state.
        pid: The process id in the state, where the container has a pid namespace.
        cwd: The working directory.
        env: The environment of hooks that have none.
    """

    operation: str
    status: str
    pid: Pid = "host"
    cwd: Directory = "bundle"
    env: Environment = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """
    A runtime's way.

    Attributes:
        name: The word that chooses it.
        title: What it stands for, with the version.
        oci_version: ``ociVersion`` in the state; None: that of the configuration.
        stages: The stages in the order in which they are reached.
        failures: What follows when a hook of a stage fails.
    """

    name: str
    title: str
    oci_version: str | None
    stages: Mapping[Stage, Surroundings]
    failures: Mapping[Stage, Consequence]


def _fails(operation: str, status: int | None, *, poststop: bool = True) -> Consequence:
    told = "" if status is None else f" with status {status}"
    last = "the poststop hooks run" if poststop else "no poststop hook runs"
    return Consequence(
        sentence=f"{operation} fails{told}, the container's program does not run, {last}", poststop=poststop
    )


_NO_PROGRAM = "start succeeds, but the container's program does not run and the container ends with status 1"

SPEC = Flavour(
    name="spec",
    title="the runtime-spec",
    oci_version=None,
    stages={
        Stage.PRESTART: Surroundings(operation="create", status="creating"),
        Stage.CREATE_RUNTIME: Surroundings(operation="create", status="creating"),
        Stage.CREATE_CONTAINER: Surroundings(operation="create", status="creating", pid="1"),
        Stage.START_CONTAINER: Surroundings(operation="start", status="created", pid="1", cwd="/"),
        Stage.POSTSTART: Surroundings(operation="start", status="running"),
        Stage.POSTSTOP: Surroundings(operation="delete", status="stopped", pid="none"),
    },
    failures={
        Stage.PRESTART: _fails("create", None),
        Stage.CREATE_RUNTIME: _fails("create", None),
        Stage.CREATE_CONTAINER: _fails("create", None),
        Stage.START_CONTAINER: _fails("start", None),
        Stage.POSTSTART: Consequence(sentence="a warning is logged, and all goes on", rest=True, goes_on=True),
        Stage.POSTSTOP: Consequence(sentence="a warning is logged, and all goes on", rest=True, goes_on=True),
    },
)

RUNC = Flavour(
    name="runc",
    title="runc 1.1",
    oci_version="1.0.2-dev",
    stages={
        Stage.PRESTART: Surroundings(operation="create", status="creating", env="runtime"),
        Stage.CREATE_RUNTIME: Surroundings(operation="create", status="creating", env="runtime"),
        Stage.CREATE_CONTAINER: Surroundings(
            operation="create", status="creating", pid="1", cwd="rootfs", env="container"
        ),
        Stage.POSTSTART: Surroundings(operation="create", status="created", env="runtime"),
        Stage.START_CONTAINER: Surroundings(operation="start", status="created", pid="1", cwd="/", env="container"),
        Stage.POSTSTOP: Surroundings(operation="delete", status="stopped", pid="none", cwd="caller", env="runtime"),
    },
    failures={
        Stage.PRESTART: _fails("create", 1),
        Stage.CREATE_RUNTIME: _fails("create", 1),
        Stage.CREATE_CONTAINER: _fails("create", 1),
        Stage.POSTSTART: _fails("create", 1),
        Stage.START_CONTAINER: Consequence(sentence=_NO_PROGRAM, goes_on=True),
        Stage.POSTSTOP: Consequence(
            sentence="it is logged, delete succeeds, the poststop hooks behind it do not run", goes_on=True
        ),
    },
)

CRUN = Flavour(
    name="crun",
    title="crun 1.8",
    oci_version="1.0",
    stages={
        Stage.PRESTART: Surroundings(operation="create", status="created", env="runtime"),
        Stage.CREATE_RUNTIME: Surroundings(operation="create", status="created", env="runtime"),
        Stage.CREATE_CONTAINER: Surroundings(operation="create", status="created", pid="0", env="runtime"),
        Stage.START_CONTAINER: Surroundings(operation="start", status="starting", pid="0", cwd="/", env="container"),
        Stage.POSTSTART: Surroundings(operation="start", status="running", env="runtime"),
        Stage.POSTSTOP: Surroundings(operation="delete", status="stopped", pid="0", env="runtime"),
    },
    failures={
        Stage.PRESTART: _fails("create", 255, poststop=False),
        Stage.CREATE_RUNTIME: _fails("create", 255, poststop=False),
        Stage.CREATE_CONTAINER: _fails("create", 1, poststop=False),
        Stage.START_CONTAINER: Consequence(sentence=_NO_PROGRAM, goes_on=True),
        Stage.POSTSTART: Consequence(sentence="it is ignored, and all goes on", rest=True, goes_on=True),
        Stage.POSTSTOP: Consequence(sentence="it is ignored, and all goes on", rest=True, goes_on=True),
    },
)

FLAVOURS: Mapping[str, Flavour] = {flavour.name: flavour for flavour in (SPEC, RUNC, CRUN)}
"""The flavours by name."""
