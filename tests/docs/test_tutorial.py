"""docs/tutorial: on a machine with Docker every command is executed as it stands, and prints what is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.packages import Packages
from tests.docs.walk_through import Machine, files_of, follow, steps

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.engines.image import write_image

PAGE = PROJECT / "docs/tutorial/first-hook-on-docker.md"


@pytest.fixture
def docker(
    rootfs: Path, private_directory: Path, crun_view: CgroupView, unavailable: Callable[[OCIHooksError], NoReturn]
) -> Iterator[Docker]:
    """Docker on a host of its own, with an image of the name that the page uses."""
    image = write_image(private_directory / "image.tar", rootfs, name="busybox:latest")
    try:
        with PrivateHost(private_directory / "h", crun_view) as host, Docker(host, image) as docker:
            yield docker
            docker.clean()
    except UnavailableError as error:
        unavailable(error)


@pytest.mark.runtime
def test_first_hook_on_docker(
    docker: Docker, packages: Packages, private_directory: Path, ran_on: Callable[[str, str], None]
) -> None:
    """From the installation to a hook that runs and is explained, and back: all is as shown, and nothing is left."""
    ran_on(docker.product, docker.version)
    before = files_of(docker.host)
    machine = Machine(private_directory / "m", packages, docker.host)
    follow(steps(PAGE, "run"), machine)
    assert machine.left_over() == []
    assert files_of(docker.host) == before
