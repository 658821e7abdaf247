"""Podman on a private host: its runtime given by path or by name, or reading hooks directories itself."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocihooks.testing.engines.client import DockerCommands, program_version
from ocihooks.testing.engines.engine import RUNTIME_NAME, write_file
from ocihooks.testing.engines.host import Finished, PrivateHost, find_program

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'

STORAGE = """[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"""

# Limits as low as everybody's, since raising them needs a privilege that root may lack.
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman(DockerCommands):
    """
    Podman, which is given its runtime by path.

    Args:
        host: Where it runs; shared, so ``close`` leaves it to its owner.
        image: See ``image.write_image``.

    Raises:
        UnavailableError: Podman is not installed.
    """

    name = "podman by path"
    product = "podman"
    removal = ("rm", "--force", "--time=0")

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.containers_conf = host.etc / "containers/containers.conf"
        self.client = find_program("podman", "podman")
        self.version = podman_version()
        write_configuration(host)
        self.host.check(self.client, "load", "--quiet", "--input", str(image))

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self.global_options = () if default else (f"--runtime={os.fspath(program)}",)
        write_file(self.containers_conf, containers_text(program if default else None, default=default))

    def reset(self) -> None:
        write_file(self.containers_conf, CONTAINERS)

    def close(self) -> None:
        self.clean()


class PodmanByName(Podman):
    """Podman, which knows its runtime by a name and expects it to write messages as JSON."""

    name = "podman by name"

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self.global_options = () if default else (f"--runtime={RUNTIME_NAME}",)
        write_file(self.containers_conf, containers_text(program, default=default))


class PodmanWithHooks(Podman):
    """Podman, which reads hooks directories itself and calls its runtime without a wrapper."""

    name = "podman with its own hooks"

    def read_hooks(self, directories: Sequence[str | os.PathLike[str]]) -> None:
        """Read *directories* from now on; later ones override earlier ones."""
        self._hooks = tuple(f"--hooks-dir={os.fspath(directory)}" for directory in directories)

    def call(self, *words: str, **options: Any) -> Finished:
        return super().call(*getattr(self, "_hooks", ()), *words, **options)


def write_configuration(host: PrivateHost) -> None:
    """Write what Podman and Buildah need in /etc/containers."""
    for name, text in {"policy.json": POLICY, "storage.conf": STORAGE, "containers.conf": CONTAINERS}.items():
        write_file(host.etc / "containers" / name, text)


def containers_text(program: str | os.PathLike[str] | None, *, default: bool) -> str:
    """
    A containers.conf.

    Args:
        program: The runtime ``RUNTIME_NAME``, which writes messages as JSON; None: there is none.
        default: Whether containers get it when their user names none.
    """
    if program is None:
        return CONTAINERS
    name = json.dumps(RUNTIME_NAME)
    return (
        f"{CONTAINERS}{f'runtime = {name}' if default else ''}\n"
        f"runtime_supports_json = [{name}]\n"
        f"[engine.runtimes]\n{RUNTIME_NAME} = {json.dumps([os.fspath(program)])}\n"
    )


def podman_version() -> str:
    """
    The version of Podman.

    Raises:
        UnavailableError: It is not installed.
    """
    return program_version("podman", "podman")
