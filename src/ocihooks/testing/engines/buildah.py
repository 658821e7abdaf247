"""Buildah on a private host: its containers run one command at a time while an image is built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ocihooks.testing.engines.client import Client, program_version
from ocihooks.testing.engines.engine import Engine, write_file
from ocihooks.testing.engines.host import Finished, PrivateHost, find_program
from ocihooks.testing.engines.podman import CONTAINERS, containers_text, write_configuration


class Buildah(Client, Engine):
    """
    Buildah with ``--isolation=oci``.

    Args:
        host: Where it runs; shared, so ``close`` leaves it to its owner.
        image: See ``image.write_image``.

    Raises:
        UnavailableError: Buildah is not installed.
    """

    name = "buildah"
    product = "buildah"

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.containers_conf = host.etc / "containers/containers.conf"
        self.client = find_program("buildah", "buildah")
        self.version = buildah_version()
        self._image = f"oci-archive:{image}"
        self._options: tuple[str, ...] = ()
        write_configuration(host)

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self._options = () if default else ("--runtime", os.fspath(program))
        write_file(self.containers_conf, containers_text(program if default else None, default=default))

    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        if detach:
            raise self._lacks("containers that run on")
        name = container or self.new_name()
        self.host.check(self.client, "from", "--quiet", "--name", name, self._image)
        try:
            for key, value in (annotations or {}).items():
                self.host.check(self.client, "config", "--annotation", f"{key}={value}", name)
            words = ["--isolation=oci", "--network=none", *self._options]
            return self.call("run", *words, name, "--", *command)
        finally:
            self.remove(name)

    def remove(self, container: str) -> Finished:
        return self.call("rm", container)

    def reset(self) -> None:
        write_file(self.containers_conf, CONTAINERS)

    def clean(self) -> None:
        self.host.check(self.client, "rm", "--all")

    def close(self) -> None:
        self.clean()


def buildah_version() -> str:
    """
    The version of Buildah.

    Raises:
        UnavailableError: It is not installed.
    """
    return program_version("buildah", "buildah")
