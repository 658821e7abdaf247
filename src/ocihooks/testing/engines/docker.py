"""Docker: dockerd with its usual files on a private host, and its client."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocihooks.testing.engines.client import DockerCommands, Service, program_version, told_version
from ocihooks.testing.engines.engine import RUNTIME_NAME, write_file
from ocihooks.testing.engines.host import PrivateHost, find_program


class Docker(Service, DockerCommands):
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
    daemons = ("dockerd", "containerd")

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.config = host.etc / "docker/daemon.json"
        self.server = find_program("dockerd", "docker.io")
        self.version = docker_version()
        self.client = _client(self.version)
        write_file(self.config, "{}\n")
        self.start()
        self.host.check(self.client, "load", "--input", str(image))

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
        deadline = time.monotonic() + 30
        while self._reloads() == said:
            if time.monotonic() > deadline:
                raise RuntimeError(f"dockerd does not reload:\n{self.daemon.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _reloads(self) -> int:
        return self.daemon.log.read_text(errors="replace").count("Reloaded configuration: ")

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self.run_options = () if default else (f"--runtime={RUNTIME_NAME}",)
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


def docker_version() -> str:
    """
    The version of dockerd.

    Raises:
        UnavailableError: It is not installed.
    """
    return program_version("dockerd", "docker.io")


def _client(version: str) -> str:
    """The client of the daemon's own version, if there is one among those on PATH; else the first."""
    directories = os.environ.get("PATH", "").split(":")
    candidates = [f"{directory}/docker" for directory in directories if os.access(f"{directory}/docker", os.X_OK)]
    same = (candidate for candidate in candidates if told_version(candidate) == version)
    return next(same, None) or find_program("docker", "docker.io")
