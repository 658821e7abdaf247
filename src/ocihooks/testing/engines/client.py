"""Engines as their users call them: a client, perhaps a daemon behind it, and the commands that came with Docker."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ocihooks.testing.engines.engine import IMAGE, Engine
from ocihooks.testing.engines.host import Daemon, Finished, PrivateHost, find_program

_STATUS = {"exited": "stopped", "created": "stopped", "configured": "stopped", "dead": "stopped"}


class Client:
    """
    A program of an engine on a private host.

    Attributes:
        host: Where it runs.
        client: Its path.
        daemons: Names of processes that are there whether there are containers or not.
    """

    host: PrivateHost
    client: str
    daemons: ClassVar[tuple[str, ...]] = ()

    def call(self, *words: str, **options: Any) -> Finished:
        """Run the program; the options are those of ``PrivateHost.run``."""
        return self.host.run(self.client, *words, **options)

    def leftovers(self) -> tuple[str, ...]:
        """The processes there but the daemons, as command lines."""
        return tuple(" ".join(process.argv) for process in self.host.processes() if process.name not in self.daemons)


class Service(Client):
    """
    A daemon on a private host, and the client that asks it.

    Attributes:
        server: Path of the daemon's program.
        daemon: Its process.
    """

    server: str
    daemon: Daemon

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        self.daemon = self.host.start(self.server)
        self.daemon.wait_until(lambda: self.call("version").status == 0)

    def stop(self) -> None:
        """End the daemon as the system does on shutdown."""
        self.daemon.end(signal.SIGTERM)

    def crash(self) -> None:
        """Kill the daemon with SIGKILL, and start it again."""
        self.daemon.end(signal.SIGKILL)
        self.start()

    def close(self) -> None:
        """End the daemon and all that it left, with the host."""
        self.stop()
        self.host.close()


class DockerCommands(Client, Engine):
    """
    The commands of Docker, which Podman has, too.

    Attributes:
        global_options: What stands in front of ``run``.
        run_options: What stands behind it.
        removal: How containers are removed.
    """

    global_options: tuple[str, ...] = ()
    run_options: tuple[str, ...] = ()
    removal: ClassVar[tuple[str, ...]] = ("rm", "--force")

    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        words = ["--detach" if detach else "--rm", f"--name={container or self.new_name()}", "--network=none"]
        words += [*self.run_options, *(f"--annotation={key}={value}" for key, value in (annotations or {}).items())]
        return self.call(*self.global_options, "run", *words, IMAGE, *command)

    def exec(self, container: str, *command: str) -> Finished:
        return self.call("exec", container, *command)

    def pause(self, container: str) -> Finished:
        return self.call("pause", container)

    def resume(self, container: str) -> Finished:
        return self.call("unpause", container)

    def kill(self, container: str) -> Finished:
        return self.call("kill", container)

    def restart(self, container: str) -> Finished:
        return self.call("restart", "--time=0", container)

    def status(self, container: str) -> str:
        found = self.call("inspect", "--format={{.State.Status}}", container)
        word = found.stdout.strip() if found.status == 0 else "none"
        return _STATUS.get(word, word)

    def remove(self, container: str) -> Finished:
        return self.call(*self.removal, container)

    def clean(self) -> None:
        left = self.call("ps", "--all", "--quiet").stdout.split()
        if left:
            self.host.check(self.client, *self.removal, *left)


def program_version(name: str, package: str) -> str:
    """
    The version of an engine's program.

    Raises:
        UnavailableError: It is not installed.
    """
    return told_version(find_program(name, package))


def told_version(program: str | Path) -> str:
    """The version that, say, "Docker version 20.10.24, build 1234" tells."""
    answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=60)
    return answer.stdout.split()[2].rstrip(",")
