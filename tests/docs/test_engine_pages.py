"""The how-tos about engines: every command is executed on a private host with the engine, and prints what is shown."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NoReturn, Protocol

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.packages import Packages
from tests.docs.stand_ins import CRIO, ENGINE_PROGRAMS, put_programs
from tests.docs.walk_through import FIRST_STEPS, Machine, files_of, follow, steps

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.engines.containerd import Containerd, containerd_version
from ocihooks.testing.engines.docker import Docker, docker_version
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.engines.image import write_image
from ocihooks.testing.engines.podman import Podman, podman_version


class Started(Protocol):
    """An engine that has to be ended."""

    def close(self) -> None:
        """End it."""


ENGINES: dict[str, tuple[Callable[[PrivateHost, Path], Started], str, Callable[[], str]] | None] = {
    "docker.md": (Docker, "docker", docker_version),
    "containerd.md": (Containerd, "containerd", containerd_version),
    "podman-and-buildah.md": (Podman, "podman", podman_version),
    "cri-o.md": None,  # there is no package of it, so a program stands in for it
}
"""The engine of each page, its name, and how to ask for its version."""


@pytest.mark.runtime
@pytest.mark.parametrize("page", ENGINES)
def test_every_command_does_what_is_shown(
    page: str,
    host: PrivateHost,
    rootfs: Path,
    packages: Packages,
    opt: Path,
    private_directory: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
    ran_on: Callable[[str, str], None],
) -> None:
    """On a machine with the tutorial's first steps a page's commands do what is shown, and all is as before them."""
    image = write_image(private_directory / "image.tar", rootfs, name="docker.io/library/busybox:latest")
    with ExitStack() as stack:
        if engine := ENGINES[page]:
            start, name, version = engine
            try:
                ran_on(name, version())
            except UnavailableError as error:
                unavailable(error)
            stack.enter_context(closing(start(host, image)))
        machine = Machine(private_directory / "m", packages, host, opt)
        put_programs(private_directory / "m/usr-local/sbin", ENGINE_PROGRAMS | ({} if engine else {"crio": CRIO}))
        follow(FIRST_STEPS, machine)
        before = files_of(host), machine.left_over()
        follow(steps(PROJECT / "docs/how-to" / page, "run"), machine)
        assert (files_of(host), machine.left_over()) == before
