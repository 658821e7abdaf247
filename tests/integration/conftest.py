"""Real runtimes for tests: each with state of its own, and gone when the test ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.runtimes import (
    RUNTIMES,
    InstalledRuntime,
    OrdinaryUser,
    PrivateRuntime,
    find_runtime,
)


@pytest.fixture(scope="session")
def cgroup_view(unavailable: Callable[[OCIHooksError], None]) -> Iterator[CgroupView]:
    """Where crun can run as root."""
    try:
        view = CgroupView()
    except UnavailableError as error:
        unavailable(error)
        raise
    with view:
        yield view


@pytest.fixture(params=RUNTIMES)
def installed_runtime(
    request: pytest.FixtureRequest,
    unavailable: Callable[[OCIHooksError], None],
    ran_on: Callable[[str, str], None],
) -> InstalledRuntime:
    """Each runtime in turn; a test that gets it is counted as having run there."""
    try:
        installed = find_runtime(request.param)
    except UnavailableError as error:
        unavailable(error)
        raise
    ran_on(installed.name, installed.version)
    return installed


@pytest.fixture
def runtime(
    installed_runtime: InstalledRuntime,
    private_directory: Path,
    rootfs: Path,
    cgroup_view: CgroupView,
    unavailable: Callable[[OCIHooksError], None],
) -> Iterator[PrivateRuntime]:
    """Each runtime in turn, as root."""
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))
    with PrivateRuntime(installed_runtime, private_directory, rootfs=rootfs, view=cgroup_view) as private:
        yield private


@pytest.fixture
def rootless_runtime(
    installed_runtime: InstalledRuntime, ordinary_user: OrdinaryUser, rootfs: Path
) -> Iterator[PrivateRuntime]:
    """Each runtime in turn, as an ordinary user."""
    with PrivateRuntime(installed_runtime, ordinary_user.home / "rt", rootfs=rootfs, user=ordinary_user) as private:
        yield private
