"""Makes a running engine read its configuration again, and waits until it does."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ocihooks.engines.containerd import is_template
from ocihooks.engines.docker import Docker
from ocihooks.engines.edits import Edit, make, parse, undo
from ocihooks.engines.engine import Engine
from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import (
    Change,
    make_directories,
    missing_directories,
    read_config_file,
    remove_directories,
)
from ocihooks.engines.programs import Daemon, find_program, output_of
from ocihooks.engines.taking_back import take_back
from ocihooks.errors import UnavailableError, os_reason, quoted

WAIT_S = 30.0
_STEP_S = 0.1
_DEFAULT = "default-runtime"


def reload(engine: Engine, file: str, name: str, *, present: bool) -> str:
    """
    Make *engine* use its configuration *file* as it is now.

    Args:
        name: The handler that changed.
        present: Whether it is to be there now.

    Returns:
        What was done, as a sentence.

    Raises:
        UnavailableError: Nobody here can do it.
        EngineError: The engine did not come up with it in time.
    """
    if engine.name == "docker":
        return _reload_docker(file, name, present=present)
    if engine.name in ("containerd", "crio"):
        if is_template(file):
            hint = "restart the service of k3s or RKE2"
            raise UnavailableError("the configuration is made anew by k3s or RKE2 when it starts", hint=hint)
        return _restart(engine.name)
    return f"{engine.name} reads its configuration at each start, so there is nothing to reload"


def _reload_docker(file: str, name: str, *, present: bool) -> str:
    daemons = Docker().running(file)
    if not daemons:
        return "dockerd is not running with this file, and reads it when it starts"
    for daemon in daemons:
        _signal(daemon)
    told = f"dockerd {', '.join(str(daemon.pid) for daemon in daemons)} has read its configuration again"
    if not present:  # a reload adds handlers, and takes none away
        for daemon in daemons:
            _forget_default(daemon, file, name)
        return f"{told}; it forgets the handler when it is restarted"
    for daemon in daemons:
        _wait("dockerd", partial(_knows, daemon, name))
    return told


def _signal(daemon: Daemon) -> None:
    """Make dockerd read its configuration again."""
    try:
        os.kill(daemon.pid, signal.SIGHUP)
    except ProcessLookupError:
        message = f"dockerd {daemon.pid} has ended before it could be told to reload"
        raise UnavailableError(message, hint="start it; it reads its configuration then") from None
    except OSError as error:
        message = f"process {daemon.pid} can't be told to reload: {os_reason(error)}"
        raise UnavailableError(message, hint="run it as root") from None


def _forget_default(daemon: Daemon, file: str, name: str) -> None:
    """
    Let dockerd have its own default again instead of the handler *name*, which is about to go.

    A reload leaves the default alone where the file names none, so the file names it for a moment.
    """
    before = read_config_file(file)
    if _DEFAULT in parse("json", before.text or "{}", file) or _told(daemon, "{{json .DefaultRuntime}}") != name:
        return
    text, done = make("json", before.text or "{}", (Edit(path=(_DEFAULT,), value="runc"),), file)
    made = missing_directories(os.path.dirname(file))
    make_directories(made)
    change = Change(old=before, text=text)
    change.write()
    try:
        _signal(daemon)
        _wait("dockerd", lambda: _told(daemon, "{{json .DefaultRuntime}}") != name)
    finally:
        take_back(change, lambda now: undo("json", now.text, done, file) if now.exists else None)
        remove_directories(made)


def _knows(daemon: Daemon, name: str) -> bool:
    """Whether dockerd has the handler *name*; without a client, whether it lives."""
    if not os.path.isdir(f"/proc/{daemon.pid}") or find_program("docker") is None:
        return os.path.isdir(f"/proc/{daemon.pid}")
    handlers = _told(daemon, "{{json .Runtimes}}")
    return isinstance(handlers, dict) and name in handlers


def _told(daemon: Daemon, form: str) -> Any:
    """What dockerd tells about itself in *form*; None where it can't be asked."""
    client = find_program("docker")
    host = daemon.option("-H", "--host")
    if host is not None and not host.startswith("unix://"):
        host = None
    try:
        return json.loads(output_of([client or "docker", *(["-H", host] if host else []), "info", "--format", form]))
    except (UnavailableError, ValueError):
        return None


def _restart(unit: str) -> str:
    systemctl = find_program("systemctl")
    hint = f"restart {unit} yourself"
    if systemctl is None:
        raise UnavailableError("there is no systemctl on this machine", hint=hint)
    try:
        output_of([systemctl, "restart", unit], timeout_s=120)
    except UnavailableError as error:
        if not _is_active(systemctl, unit):
            raise _down(unit, error.message) from None
        raise UnavailableError(f"systemctl restart {unit}: {error.message}", hint=hint) from None
    _wait(unit, lambda: _is_active(systemctl, unit))
    return f"{unit} was restarted"


def _is_active(systemctl: str, unit: str) -> bool:
    try:
        return output_of([systemctl, "is-active", unit]).strip() == "active"
    except UnavailableError:
        return False


def _wait(what: str, works: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not works():
        if time.monotonic() > end:
            raise _down(what, f"it does not work with the new configuration after {WAIT_S:g} s")
        time.sleep(_STEP_S)


def _down(what: str, reason: str) -> EngineError:
    hint = "the former configuration is back; look at the engine's own log"
    return EngineError(f"{what} did not come up: {quoted(reason, 500)}", code="engine_down", hint=hint)
