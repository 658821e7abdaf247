"""Real runtimes for tests: each with state of its own, and gone when the test ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.integration.wrappers import Installations, Notes, Simulated, Wrapper, make_notes

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
def crun_view(unavailable: Callable[[OCIHooksError], NoReturn]) -> Iterator[CgroupView]:
    """Where crun can run; kept for the whole session, since machines with hybrid cgroups need a moment for it."""
    try:
        view = CgroupView()
    except UnavailableError as error:
        unavailable(error)
    with view:
        yield view


@pytest.fixture(params=RUNTIMES)
def installed_runtime(
    request: pytest.FixtureRequest,
    unavailable: Callable[[OCIHooksError], NoReturn],
    ran_on: Callable[[str, str], None],
) -> InstalledRuntime:
    """Each runtime in turn; a test that gets it is counted as having run there."""
    try:
        installed = find_runtime(request.param)
    except UnavailableError as error:
        unavailable(error)
    ran_on(installed.name, installed.version)
    return installed


@pytest.fixture
def cgroup_view(request: pytest.FixtureRequest, installed_runtime: InstalledRuntime) -> CgroupView | None:
    """What the runtime at hand needs of the above: nothing for runc."""
    if installed_runtime.name != "crun":
        return None
    view: CgroupView = request.getfixturevalue("crun_view")
    return view


@pytest.fixture
def runtime(
    installed_runtime: InstalledRuntime,
    private_directory: Path,
    rootfs: Path,
    cgroup_view: CgroupView | None,
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Iterator[PrivateRuntime]:
    """Each runtime in turn, as root."""
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))
    with PrivateRuntime(installed_runtime, private_directory, rootfs=rootfs, view=cgroup_view) as private:
        yield private


@pytest.fixture
def rootless_runtime(
    installed_runtime: InstalledRuntime, ordinary_user: OrdinaryUser, rootfs: Path, cgroup_view: CgroupView | None
) -> Iterator[PrivateRuntime]:
    """Each runtime in turn, as an ordinary user."""
    directory = ordinary_user.home / "rt"
    with PrivateRuntime(installed_runtime, directory, rootfs=rootfs, view=cgroup_view, user=ordinary_user) as private:
        yield private


@pytest.fixture(scope="session")
def installations(public_directory: Path) -> Installations:
    """Installed wrappers, for tests that need another one than below."""
    return Installations(public_directory / "installed")


@pytest.fixture
def wrapper(installations: Installations, runtime: PrivateRuntime) -> Wrapper:
    """The wrapper installed in front of the runtime, with empty hooks directories and no settings."""
    return installations.wrapper(runtime.path)


@pytest.fixture
def notes(runtime: PrivateRuntime) -> Notes:
    """What hooks of the runtime's containers note."""
    return make_notes(runtime.directory / "notes")


@pytest.fixture
def simulated(installations: Installations, private_directory: Path, rootfs: Path) -> Simulated:
    """The wrapper in front of a fake runtime that takes runc's command line and records its calls."""
    return installations.simulated(private_directory, rootfs)
