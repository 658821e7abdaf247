"""
What stands for the container while its hooks run: a process, which has the container's namespaces where root asks.

Hooks of the host that look into the container by its process id find namespaces with the mounts of the configuration
there, and what createContainer hooks change in them is what startContainer hooks see.

Spec: runtime-spec 1.3.0, config-linux.md "Namespaces", config.md "Mounts", runtime.md "Lifecycle".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ocihooks.errors import UnavailableError
from ocihooks.execution.program import Program
from ocihooks.execution.words import start_failure
from ocihooks.replace import replace_file
from ocihooks.simulation import enter, hold
from ocihooks.simulation.needs import namespaces_of, root_of
from ocihooks.spec.hook import Hook
from ocihooks.spec.stage import Stage

NAMESPACES = {
    "pid": hold.NEWPID,
    "mount": hold.NEWNS,
    "ipc": hold.NEWIPC,
    "uts": hold.NEWUTS,
    "network": hold.NEWNET,
    "cgroup": hold.NEWCGROUP,
}
"""The namespaces that are simulated, by the names of config.json."""

USUAL = ("pid", "mount", "ipc", "uts", "network")
"""The namespaces of a container that is made up."""

_START_S = 30.0
_SYSTEM_PATH = {"PATH": os.defpath}


class Standing:
    """
    The process that stands for a container; use it as a context manager.

    Args:
        config: The parsed config.json.
        bundle: Absolute path of the bundle.
        separate: Whether to make namespaces; only root can.

    Attributes:
        pid: The process id on the host.
        root: Absolute path of the root file system, whether it exists or not.
        namespaces: Names of those that it has of its own; empty: none.
        remarks: Sentences about what is not as in a real container.
        startable: Whether hooks can run inside of the root file system: there is one, and it can be their root.

    Raises:
        UnavailableError: No process can be had for it.
    """

    def __init__(self, config: Mapping[str, Any], bundle: str, *, separate: bool) -> None:
        self._config = config
        self._bundle = bundle
        self.root = root_of(config, bundle)
        self.remarks: list[str] = []
        self.namespaces = self._wanted() if separate else ()
        if separate and os.geteuid() != 0:
            self._go_without("only root can make namespaces")
        self._scratch = tempfile.TemporaryDirectory(prefix="ocihooks-simulate-")
        try:
            self._holder, self.pid = self._hold()
        except BaseException:
            self._scratch.cleanup()
            raise
        self._inside = False
        self.startable = bool(self.namespaces) and os.path.isdir(self.root) and "user" not in namespaces_of(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and forget what was written down for it."""
        self.end()
        self._scratch.cleanup()

    def end(self) -> None:
        """End the process, and with it what hooks left in its pid namespace, as when a container stops."""
        _end(self._holder)

    def pivot(self) -> None:
        """Make the root file system the root of the container's mounts, as they are when it starts."""
        if self._inside or not self.startable:
            return
        command = [*_python(enter), "pivot", str(self.pid), self.root]
        code = subprocess.run(command, check=False, env=_SYSTEM_PATH, stdin=subprocess.DEVNULL).returncode
        self._inside = code == 0
        if code:
            self.startable = False
            self.remarks.append(f"{self.root} can't become the root of the container: {os.strerror(code).lower()}")

    def entering(self, hook: Hook, stage: Stage, cwd: str) -> Hook:
        """
        The hook that runs *hook*, of a stage in the container's namespaces, there; `not_started` tells the rest.

        Raises:
            HookNotRunnableError: It has something that the kernel does not take.
        """
        process = self._config.get("process") or {}
        program = Program.of(hook)
        document = {
            "path": hook.path,
            "args": [word.decode("utf-8", "surrogateescape") for word in program.argv],
            "env": [entry.decode("utf-8", "surrogateescape") for entry in program.env],
            "cwd": None if stage is Stage.START_CONTAINER else cwd,
            "process": _privileges(process) if stage is Stage.START_CONTAINER else None,
            "failure": str(self._failure),
        }
        words = (*_python(enter), "hook", str(self.pid), self._written("hook", document))
        return Hook(path=words[0], args=words, timeout=hook.timeout)

    def not_started(self) -> str | None:
        """Why the last hook of `entering` could not be started, or None if it was."""
        try:
            step, number = self._failure.read_text().split()
        except FileNotFoundError:
            return None
        self._failure.unlink()
        if step == enter.EXEC:
            return start_failure(step, int(number))[0]
        return f"the container can't be entered: {os.strerror(int(number)).lower()}"

    @property
    def _failure(self) -> Path:
        return Path(self._scratch.name, "failure")

    def _written(self, name: str, document: Mapping[str, Any]) -> str:
        """The path of a file with *document*, for a program of this package."""
        path = os.path.join(self._scratch.name, name)
        replace_file(path, json.dumps(document).encode(), durable=False, mode=0o600)
        return path

    def _wanted(self) -> tuple[str, ...]:
        """The namespaces to make: a mount namespace in any case, so that nothing is mounted on the host."""
        wanted = namespaces_of(self._config)
        if "user" in wanted:
            self.remarks.append("user namespaces are not simulated, so startContainer hooks are not run")
        for kind, path in wanted.items():
            if path and kind in NAMESPACES:
                self.remarks.append(f"the {kind} namespace is a new one in place of {path}")
        return tuple(kind for kind in NAMESPACES if kind in wanted or kind == "mount")

    def _go_without(self, reason: str) -> None:
        self.namespaces = ()
        self.remarks[:] = [f"no namespaces, since {reason}: hooks of createContainer see the host's"]

    def _hold(self) -> tuple[subprocess.Popen[bytes], int]:
        holder, answer = self._started()
        if "error" in answer and self.namespaces:
            _end(holder)
            self._go_without(f"they can't be made ({answer['error']})")
            holder, answer = self._started()
        if "error" in answer:
            _end(holder)
            raise UnavailableError(f"no process can stand for the container: {answer['error']}")
        self.remarks += [f"left out: {sentence}" for sentence in answer["left_out"]]
        return holder, int(answer["pid"])

    def _started(self) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        flags = 0
        for kind in self.namespaces:
            flags |= NAMESPACES[kind]
        document = {
            "flags": flags,
            "root": self.root if os.path.isdir(self.root) else None,
            "readonly": bool((self._config.get("root") or {}).get("readonly")),
            "mounts": self._config.get("mounts") or [],
            "hostname": self._config.get("hostname") if "uts" in self.namespaces else None,
            "bundle": self._bundle,
        }
        holder = subprocess.Popen(
            [*_python(hold), self._written("container", document)],
            env=_SYSTEM_PATH,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        said = holder.stdout.read() if holder.stdout is not None else b""
        if holder.stdout is not None:
            holder.stdout.close()
        return holder, json.loads(said or b'{"error": "its program ended early"}')


def _end(holder: subprocess.Popen[bytes]) -> None:
    """Close what the process behind *holder* reads, upon which it ends; doing so again changes nothing."""
    if holder.stdin is not None:
        holder.stdin.close()
    holder.wait()


def _privileges(process: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``process`` decides about privileges."""
    return {name: process.get(name) for name in ("user", "capabilities", "noNewPrivileges")}


def _python(program: object) -> tuple[str, ...]:
    """The words that start a program of this package with nothing but the standard library."""
    return sys.executable, "-I", "-S", os.path.abspath(str(getattr(program, "__file__", "")))
