"""Proves that an engine's containers get hooks: with a rule that matches one throw-away container only."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import make_directories, missing_directories, read_config_file, remove_directories
from ocihooks.engines.programs import Version
from ocihooks.engines.trial import Trial, run
from ocihooks.errors import ReplaceError, UnavailableError, os_reason, quoted
from ocihooks.install.install import installed
from ocihooks.install.record import Record
from ocihooks.install.scene import Scene, Target
from ocihooks.places import settings_file
from ocihooks.replace import replace_file
from ocihooks.settings import read_settings
from ocihooks.wrapper.switch import read_switch

_RULE_PREFIX = "zz-ocihooks-verify-"
_SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """
    What happened.

    Attributes:
        target: What was asked for.
        version: Version of the engine; empty where unknown.
        program: The wrapper.
        runtime: The runtime behind it.
        way: How the container was run.
        hooks_dir: Where the rule was, for as long as it took.
        states: What the hook read on its standard input, each time that it ran.
        seconds: How long the container took.
    """

    target: Target
    version: Version
    program: str
    runtime: str
    way: str
    hooks_dir: str
    states: tuple[dict[str, Any], ...]
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether the hook ran, and ran once."""
        return len(self.states) == 1


def verify(target: Target, address: str | None = None) -> Verified:
    """
    Run a throw-away container through the handler, with a hook that leaves a mark.

    Args:
        address: Socket of the engine; None: the usual one.

    Raises:
        EngineError: The handler is not there, is no wrapper of ours, or hooks are switched off.
        UnavailableError: The container can't be run; the message is the engine's own.
        ReplaceError: The rule can't be written.
    """
    scene = Scene(target)
    scene.expect_engine()
    record = _wrapper_of(scene)
    file = record.settings or settings_file(os.environ)
    hooks_dirs = record.hooks_dirs or read_settings(file).hooks_dirs
    if read_switch(file) is not None:
        hint = "switch them on again: ocihooks enable"
        raise EngineError("hooks are switched off, so there is nothing to prove", code="switched_off", hint=hint)
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="ocihooks-verify-") as directory:
        os.chmod(directory, 0o711)  # noqa: S103  (a runtime in a user namespace passes through)
        trial = Trial(
            handler=target.name,
            program=record.script,
            file=scene.file,
            command=f"/ocihooks-verify-{token}",
            token=token,
            directory=directory,
            address=address,
        )
        marker = os.path.join(directory, "states")
        with _rule(hooks_dirs, trial, marker) as hooks_dir:
            before = time.monotonic()
            way = run(target.engine, trial)
            seconds = time.monotonic() - before
        states = _states(marker)
    return Verified(
        target=target,
        version=scene.version,
        program=record.script,
        runtime=record.runtime,
        way=way,
        hooks_dir=hooks_dir,
        states=states,
        seconds=seconds,
    )


def _wrapper_of(scene: Scene) -> Record:
    """The installation of the wrapper that the handler is."""
    name = scene.target.name
    configuration = scene.engine.read(scene.file, scene.version, read_config_file)
    handler = configuration.handlers.get(name)
    if handler is None:
        hint = f"ocihooks configure {scene.target.engine}"
        raise EngineError(f"there is no handler {quoted(name)}", code="base_handler", file=scene.file, hint=hint)
    if handler.program is not None:
        prefix = os.path.dirname(os.path.dirname(handler.program))
        for record in installed(prefix):
            if record.script == handler.program:
                return record
    message = f"handler {quoted(name)} starts {quoted(handler.program)}, which is no installed wrapper of ocihooks"
    raise EngineError(message, code="base_handler", file=scene.file, hint="name another handler with --name")


@contextmanager
def _rule(hooks_dirs: tuple[str, ...], trial: Trial, marker: str) -> Iterator[str]:
    """A rule for this container alone, in the last of the hooks directories that is there."""
    if not hooks_dirs:
        raise UnavailableError("the settings name no hooks directory", hint="add one to hooks-dirs")
    directory = next((path for path in reversed(hooks_dirs) if os.path.isdir(path)), hooks_dirs[-1])
    made = missing_directories(directory)
    make_directories(made)
    _sweep(directory)
    rule = {
        "version": "1.0.0",
        "hook": {"path": _SHELL, "args": ["sh", "-c", 'cat >> "$1"; echo >> "$1"', "sh", marker]},
        "when": {"commands": [f"^{trial.command}$"]},
        "stages": ["createRuntime"],
    }
    file = os.path.join(directory, f"{_RULE_PREFIX}{trial.token}.json")
    try:
        replace_file(file, json.dumps(rule).encode(), durable=False)
        yield directory
    finally:
        with suppress(FileNotFoundError):
            os.unlink(file)
        remove_directories(made)


def _sweep(directory: str) -> None:
    """Remove the rules of those who were killed; their numbers are in the names."""
    for name in os.listdir(directory):
        process = name.removeprefix(_RULE_PREFIX).partition("-")[0]
        if name.startswith(_RULE_PREFIX) and process.isdigit() and not os.path.isdir(f"/proc/{process}"):
            try:
                os.unlink(os.path.join(directory, name))
            except OSError as error:
                message = f"can't be removed: {os_reason(error)}"
                raise ReplaceError(message, file=os.path.join(directory, name), hint="do it as root") from None


def _states(marker: str) -> tuple[dict[str, Any], ...]:
    try:
        with open(marker, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return ()
    states = (json.loads(line) for line in lines if line.strip())
    return tuple(state for state in states if isinstance(state, dict))
