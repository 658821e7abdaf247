"""The fixtures of the integration tests, for pages about real runtimes, and what pages install."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.deploy.conftest import made_once, shared, wheels  # noqa: F401  (pytest finds fixtures here by their names)
from tests.docs.packages import Packages
from tests.docs.walk_through import Machine
from tests.integration.conftest import (  # noqa: F401  (as above)
    cgroup_view,
    crun_view,
    installed_runtime,
    notes,
    runtime,
)

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.runtimes import find_runtime

INSTALL = (
    "python3 -m venv --without-pip /opt/ocihooks",
    f"{sys.executable} -m pip --python /opt/ocihooks/bin/python install ocihooks",
)
"""The first two commands of the tutorial, with a pip that is there already, since making one takes long."""


@pytest.fixture(scope="session")
def packages(shared: Path) -> Packages:  # noqa: F811  (a fixture)
    """A wheel of this project, and what it depends on."""
    directory = shared / "packages"
    made = Packages(directory)
    with made_once(directory) as is_first:
        if is_first:
            made.make()
    return made


@pytest.fixture(scope="session")
def opt(
    shared: Path,  # noqa: F811  (a fixture)
    packages: Packages,
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Path:
    """What is in /opt once the package is installed."""
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))
    directory = shared / "installed"
    with made_once(directory) as is_first:
        if is_first:
            for command, outcome in zip(INSTALL, Machine(directory, packages).do(INSTALL), strict=True):
                assert outcome.status == 0, f"{command}: {outcome}"
    return directory / "opt"


@pytest.fixture
def machine(
    rootfs: Path,  # asks for busybox
    packages: Packages,
    private_directory: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
    ran_on: Callable[[str, str], None],
) -> Machine:
    """A machine with runc, for root."""
    try:
        installed = find_runtime("runc")
    except UnavailableError as error:
        unavailable(error)
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))
    ran_on(installed.name, installed.version)
    return Machine(private_directory, packages)


@pytest.fixture
def host(
    private_directory: Path,
    crun_view: CgroupView,  # noqa: F811  (a fixture)
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Iterator[PrivateHost]:
    """A private host."""
    try:
        with PrivateHost(private_directory / "h", crun_view) as host:
            yield host
    except UnavailableError as error:
        unavailable(error)
