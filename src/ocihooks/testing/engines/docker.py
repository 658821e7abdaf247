"""Docker: dockerd with its usual files on a private host, and its client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocihooks.testing.engines.engine import IMAGE, RUNTIME_NAME, Engine, write_file
from ocihooks.testing.engines.host import Finished, PrivateHost, find_program

_DAEMONS = ("dockerd", "containerd")
_STATUS = {"exited": "stopped", "created": "stopped", "dead": "stopped"}


class Docker(Engine):
    """
    A private dockerd.

    Args:
        host: Where it runs; ``close`` ends that, too.
        image: See ``image.write_image``.

    Attributes:
        config: Its daemon.json.

    Raises:
        UnavailableError: Docker is not installed.
    """

    name = "docker"
    product = "docker"

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.config = host.etc / "docker/daemon.json"
        self._dockerd = find_program("dockerd", "docker.io")
        self.version = docker_version()
        self._client = _client(self.version)
        self._named: tuple[str, ...] = ()
        write_file(self.config, "{}\n")
        self.start()
        self.host.check(self._client, "load", "--input", str(image))

    def start(self) -> None:
        """Start dockerd, and wait until it answers."""
        self.daemon = self.host.start(self._dockerd)
        self.daemon.wait_until(lambda: self.call("version").status == 0)

    def stop(self) -> None:
        """End dockerd as the system does on shutdown."""
        self.daemon.end(signal.SIGTERM)

    def call(self, *words: str, **options: Any) -> Finished:
        """Run the client."""
        return self.host.run(self._client, *words, **options)

    def configure(self, document: Mapping[str, Any]) -> None:
        """Write *document* as daemon.json, and have dockerd read it."""
        if write_file(self.config, json.dumps(document) + "\n"):
            self.reload()

    def reload(self) -> None:
        """
        Have dockerd read its daemon.json again.

        Raises:
            RuntimeError: It does not say that it has.
        """
        said = self._reloads()
        self.daemon.signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while self._reloads() == said:
            if time.monotonic() > deadline:
                raise RuntimeError(f"dockerd does not reload:\n{self.daemon.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _reloads(self) -> int:
        return self.daemon.log.read_text(errors="replace").count("Reloaded configuration: ")

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self._named = () if default else (f"--runtime={RUNTIME_NAME}",)
        self._forget_default()
        document: dict[str, Any] = {"live-restore": True, "runtimes": {RUNTIME_NAME: {"path": os.fspath(program)}}}
        self.configure(document | ({"default-runtime": RUNTIME_NAME} if default else {}))

    def reset(self) -> None:
        self._forget_default()
        self.configure({})

    def _forget_default(self) -> None:
        """Tell dockerd that runc is the default; a key that is missing would leave the running daemon as it is."""
        if "default-runtime" in self.config.read_text():
            self.configure({"default-runtime": "runc"})

    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        options = [f"--annotation={key}={value}" for key, value in (annotations or {}).items()]
        name = container or self.new_name()
        words = ["--detach" if detach else "--rm", f"--name={name}", "--network=none", *self._named, *options]
        return self.call("run", *words, IMAGE, *command)

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
        return self.call("rm", "--force", container)

    def clean(self) -> None:
        left = self.call("ps", "--all", "--quiet").stdout.split()
        if left:
            self.host.check(self._client, "rm", "--force", *left)

    def crash(self) -> None:
        self.daemon.end(signal.SIGKILL)
        self.start()

    def leftovers(self) -> tuple[str, ...]:
        return tuple(" ".join(process.argv) for process in self.host.processes() if process.name not in _DAEMONS)

    def close(self) -> None:
        self.stop()
        self.host.close()


def docker_version() -> str:
    """
    The version of dockerd.

    Raises:
        UnavailableError: It is not installed.
    """
    return _version(find_program("dockerd", "docker.io"))


def _version(program: str) -> str:
    """The version that "Docker version 20.10.24, build 1234" tells."""
    answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=60)
    return answer.stdout.split()[2].rstrip(",")


def _client(version: str) -> str:
    """The client of the daemon's own version, if there is one among those on PATH; else the first."""
    directories = os.environ.get("PATH", "").split(":")
    candidates = [f"{directory}/docker" for directory in directories if os.access(f"{directory}/docker", os.X_OK)]
    same = (candidate for candidate in candidates if _version(candidate) == version)
    return next(same, None) or find_program("docker", "docker.io")
