"""
The operations of a runtime on simulated containers.

A container that was started, or run with ``--detach``, counts as running until it is killed; the program of a plain
``run`` counts as ended at once. Nothing of the container itself is ever executed but its startContainer hooks.

Spec: runtime-spec 1.0.2, runtime.md "Lifecycle" (the numbers below are the steps there) and "Operations".
"""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence

from .commandline import Invocation
from .container import OCI_VERSION, STAGES, Container, load_container, new_container
from .hooks import run_hooks
from .reporting import CallError, Reporter, write_out

VERSION_TEXT = f"fake-runtime version 1\nspec: {OCI_VERSION}\n"


class Simulator:
    """
    Performs the operations of one call.

    Args:
        root: Directory of the containers, made when needed.
        reporter: Gets warnings.
    """

    def __init__(self, root: str, reporter: Reporter) -> None:
        self._root = root
        self._reporter = reporter
        self._operations: Mapping[str, Callable[[Invocation], None]] = {
            "create": self._create,
            "run": self._run,
            "start": self._start,
            "state": self._state,
            "kill": self._kill,
            "delete": self._delete,
            "exec": self._exec,
            "pause": self._pause,
            "resume": self._resume,
            "ps": self._ps,
            "update": self._update,
            "features": self._features,
        }

    def perform(self, invocation: Invocation) -> None:
        """
        Do what the command line says.

        Raises:
            CallError: It can't be done; a container that was being created or started is gone.
        """
        if invocation.globals.get("version") == "true":
            write_out(1, VERSION_TEXT)
        elif invocation.operation not in self._operations:
            raise CallError(f"No help topic for {json.dumps(invocation.operation)}")
        else:
            self._operations[invocation.operation](invocation)

    def _create(self, invocation: Invocation) -> None:
        self._make(invocation)

    def _make(self, invocation: Invocation) -> Container:
        """Steps 2 to 5: from a bundle to status ``created``."""
        container = new_container(self._root, _one_id(invocation), invocation.bundle)
        self._run_or_destroy(container, "prestart", "createRuntime", "createContainer")
        container.save(status="created", pid=os.getpid())
        if "pid-file" in invocation.options:
            with open(invocation.options["pid-file"], "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
        return container

    def _start(self, invocation: Invocation) -> None:
        container = self._load(invocation, "created")
        container.pid = os.getpid()
        self._launch(container)

    def _launch(self, container: Container) -> None:
        """Steps 6 to 9: the program would run now."""
        self._run_or_destroy(container, "startContainer")
        container.save(status="running", pid=os.getpid())
        run_hooks(container, "poststart", self._reporter.warning)

    def _run(self, invocation: Invocation) -> None:
        container = self._make(invocation)
        self._launch(container)
        write_out(1, _would_run(container, (container.config.get("process") or {}).get("args") or []))
        if invocation.options.get("detach") == "true":
            return
        container.save(status="stopped", pid=None)
        if invocation.options.get("keep") != "true":
            self._destroy(container)

    def _run_or_destroy(self, container: Container, *stages: str) -> None:
        """A hook that fails before the program runs takes the container with it."""
        try:
            for stage in stages:
                run_hooks(container, stage, self._reporter.warning)
        except CallError:
            self._destroy(container)
            raise

    def _destroy(self, container: Container) -> None:
        """Steps 12 and 13: forget the container, then run poststop hooks, whose failures stop nothing."""
        container.pid = None
        container.remove()
        run_hooks(container, "poststop", self._reporter.warning)

    def _state(self, invocation: Invocation) -> None:
        write_out(1, json.dumps(self._load(invocation).state(), indent=2) + "\n")

    def _kill(self, invocation: Invocation) -> None:
        """Any signal but 0 ends the container; no process gets it."""
        container = load_container(self._root, _one_id(invocation, at_most=2))
        if container.status == "stopped":
            raise CallError("container not running")
        if _signal_number(invocation.words[1] if len(invocation.words) > 1 else "TERM") != 0:
            container.save(status="stopped", pid=None)

    def _delete(self, invocation: Invocation) -> None:
        force = invocation.options.get("force") == "true"
        try:
            container = load_container(self._root, _one_id(invocation))
        except CallError:
            if force:
                return
            raise
        if container.status != "stopped" and not force:
            raise CallError(f"cannot delete container {container.id} that is not stopped: {container.status}")
        self._destroy(container)

    def _exec(self, invocation: Invocation) -> None:
        container = load_container(self._root, _one_id(invocation, at_most=None))
        _expect(container, "created", "running")
        args = _args_of(invocation.options["process"]) if "process" in invocation.options else invocation.words[1:]
        write_out(1, _would_run(container, args))

    def _pause(self, invocation: Invocation) -> None:
        container = self._load(invocation, "running")
        container.save(status="paused", pid=container.pid)

    def _resume(self, invocation: Invocation) -> None:
        container = self._load(invocation, "paused")
        container.save(status="running", pid=container.pid)

    def _ps(self, invocation: Invocation) -> None:
        """There are no processes to show."""
        self._load(invocation, "created", "running", "paused")
        write_out(1, "[]\n" if invocation.options.get("format") == "json" else "UID PID PPID C STIME TTY TIME CMD\n")

    def _update(self, invocation: Invocation) -> None:
        self._load(invocation, "created", "running", "paused")

    def _features(self, invocation: Invocation) -> None:
        if invocation.words:
            raise CallError("features takes no arguments")
        write_out(1, json.dumps({"ociVersionMin": "1.0.0", "ociVersionMax": OCI_VERSION, "hooks": STAGES}) + "\n")

    def _load(self, invocation: Invocation, *statuses: str) -> Container:
        container = load_container(self._root, _one_id(invocation))
        if statuses:
            _expect(container, *statuses)
        return container


def _expect(container: Container, *statuses: str) -> None:
    if container.status not in statuses:
        raise CallError(f"expected container {container.id} to be {' or '.join(statuses)}, found {container.status}")


def _one_id(invocation: Invocation, *, at_most: int | None = 1) -> str:
    count = len(invocation.words)
    if count == 0 or (at_most is not None and count > at_most):
        raise CallError(f"{invocation.operation}: expected one container ID, found {count} words")
    return invocation.words[0]


def _args_of(process_file: str) -> Sequence[str]:
    """The command of ``exec --process``."""
    try:
        with open(process_file, "rb") as file:
            return tuple(map(str, json.load(file)["args"]))
    except (ValueError, TypeError, KeyError) as error:
        raise CallError(f"{process_file}: expected a process object with args: {error!r}") from None


def _would_run(container: Container, args: Sequence[str]) -> str:
    return f"simulated container {container.id} would run: {shlex.join(args)}\n"


def _signal_number(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return signal.Signals[f"SIG{text.removeprefix('SIG')}"].value
    except KeyError:
        raise CallError(f"unknown signal {json.dumps(text)}") from None
