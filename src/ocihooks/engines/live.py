"""
Containers as their engines know them, found by asking the engine's own client, which knows names and parts of ids.

A client gets an environment of few variables: those by which it finds its daemon or its store.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocihooks.engines.errors import EngineError
from ocihooks.engines.programs import find_program, output_of
from ocihooks.errors import UnavailableError, UsageError, quoted

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

OF_THE_USER = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
"""Variables that every client gets: by them users without privileges find what is theirs."""

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
"""What engines take as the name or id of a container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveContainer:
    """
    A container that an engine has, running or not.

    Attributes:
        engine: The engine's name.
        id: Its whole id.
        name: Its name there; "" where it has none but the id.
        status: The engine's own word, such as ``running``.
        config: Path of the config.json that the runtime got; None where there is none while the container does not run.
        made_from: Where there is none: what the engine is going to make it from, as a parsed configuration with the
            members that rules ask about.
        runtime: What the engine starts for it: a path, the name of a program or of a handler; "" where it doesn't say.
    """

    engine: str
    id: str
    name: str
    status: str
    config: str | None
    made_from: Mapping[str, Any] | None = None
    runtime: str = ""


class NoClientError(UnavailableError):
    """The engine's client is not on this machine."""


class NotReadableError(UnavailableError):
    """A container runs, but its bundle can't be seen."""


class Client:
    """
    The client program of an engine.

    Args:
        engine: The engine's name.
        program: The client's name.
        variables: The environment variables by which it finds what it asks; the first one tells the daemon's socket.
        address: That socket, in place of what the variables say; None: leave it to them.

    Raises:
        NoClientError: It is not on this machine.
        UsageError: The variables lead to another machine.
    """

    def __init__(self, engine: str, program: str, variables: Sequence[str], address: str | None) -> None:
        found = find_program(program)
        if found is None:
            hint = f"install {program}, which is asked for containers"
            raise NoClientError(f"there is no {program} on this machine", hint=hint)
        self.engine = engine
        self.program = found
        kept = {name: os.environ[name] for name in (*OF_THE_USER, *variables) if os.environ.get(name)}
        if address is not None:
            kept[variables[0]] = address
        self.environment = {"PATH": PATH, "LC_ALL": "C", **kept}
        self._check_local(variables[0])

    def _check_local(self, variable: str) -> None:
        place = self.environment.get(variable, "")
        if "://" in place and not place.startswith("unix://"):
            hint = f"run it on that machine, or unset {variable}"
            raise UsageError(f"{variable} is {quoted(place, 200)}, so its containers are on another machine", hint=hint)

    def ask(self, *words: str) -> str:
        """What the client prints; raises UnavailableError in its own words where it fails."""
        return output_of([self.program, *words], env=self.environment)

    def inspected(
        self, name: str, read: Callable[[Any], LiveContainer], *, missing: re.Pattern[str], several: re.Pattern[str]
    ) -> tuple[LiveContainer, ...]:
        """
        What *read* makes of the answer about the container *name* to ``container inspect``; none where there is none.

        Args:
            missing: How the client says that there is no such container.
            several: How it says that several ids begin so.

        Raises:
            UnavailableError: It fails otherwise, or prints something else.
            UsageError: Several ids begin so.
        """
        try:
            return (self.about("container", "inspect", name, read=read),)
        except UnavailableError as error:
            if missing.search(error.message):
                return ()
            if several.search(error.message):
                raise ambiguous_prefix(name, self.engine) from None
            raise self.failed(error) from None

    def about(self, *words: str, read: Callable[[Any], LiveContainer]) -> LiveContainer:
        """
        What *read* makes of the JSON document that the client prints.

        Raises:
            UnavailableError: It fails; the message is its own.
            EngineError: It prints something else.
        """
        answer = self.ask(*words)
        try:
            return read(json.loads(answer))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            command = " ".join([os.path.basename(self.program), *words])
            hint = f"run {quoted(command, 200)} and look at what it prints"
            message = f"{self.engine} does not describe the container as expected"
            raise EngineError(message, code="engine_layout", file=self.program, hint=hint) from None

    def failed(self, error: UnavailableError) -> UnavailableError:
        """The error for an engine that can't be asked; *error* itself if the engine is not what is wrong."""
        if isinstance(error, NotReadableError):
            return error
        hint = f"start {self.engine}, or name its socket with --address" if os.geteuid() == 0 else "run it as root"
        return UnavailableError(f"{self.engine} can't be asked: {quoted(error.message, 400)}", hint=hint)


def made_from(
    args: Sequence[str], annotations: Mapping[str, str] | None, mounts: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """
    What rules are going to see of a container that has no config.json at the moment.

    Args:
        mounts: As ``inspect`` of Docker and Podman tells them; their volumes are bind mounts for a runtime.
    """
    shown = [mount for mount in mounts or () if mount.get("Type") in ("bind", "volume")]
    return {
        "ociVersion": "1.0.2",
        "process": {"args": list(args)},
        "annotations": dict(annotations or {}),
        "mounts": [{"type": "bind", "source": one["Source"], "destination": one["Destination"]} for one in shown],
    }


def ambiguous(name: str, found: Sequence[LiveContainer]) -> UsageError:
    """The error for a name that may mean each of *found*."""
    shown = ", ".join(f"{one.id[:12]} of {one.engine}" for one in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    hint = "write more of the id, or choose with --engine"
    return UsageError(f"container {quoted(name, 80)} may be {shown}{more}", code="ambiguous_container", hint=hint)


def ambiguous_prefix(name: str, engine: str) -> UsageError:
    """The error for the beginning of several ids, which the engine itself does not list."""
    hint = "write more of the id"
    message = f"{quoted(name, 80)} is the beginning of several ids of {engine}"
    return UsageError(message, code="ambiguous_container", hint=hint)


def not_readable(container: str, engine: str) -> NotReadableError:
    """The error for a container whose bundle can't be seen."""
    hint = "run it on the container's machine, outside of containers, as root"
    message = f"the config.json of {engine} container {quoted(container[:12])} can't be seen from here"
    return NotReadableError(message, hint=hint)
