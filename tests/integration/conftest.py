"""
Real runtimes for tests, each with state of its own and gone when the test ends, and the wrapper in its two forms.

The form is what engines call: the launcher, which starts Python where it has to, or the script alone. Every test of the
wrapper runs in both. On real runtimes a test runs once on each, with one form here and the other there, which form
comes to which runtime alternating from test to test: what the launcher does with a call does not depend on the runtime
behind it, so pairs are enough. A test of several cases on a fake runtime runs each case in one form, alternating from
case to case. The other half of the product is marked slow. Where the package has no launcher, the script runs anyway.
``every_combination`` marks the tests for which that is not so: where the runtime's own work shows what it inherited.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.integration.wrappers import Installations, Notes, Simulated, Wrapper, make_notes

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install.launcher import is_built
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.runtimes import (
    RUNTIMES,
    InstalledRuntime,
    OrdinaryUser,
    PrivateRuntime,
    find_runtime,
)

LAUNCHER, SCRIPT = FORMS = ("launcher", "script")
"""The forms of the wrapper."""


def pytest_configure(config: pytest.Config) -> None:
    """Announce the mark of this directory."""
    config.addinivalue_line("markers", "every_combination: both forms of the wrapper on each runtime, always")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow the combinations of form and runtime, and of form and case, that need not run each time."""
    cases: dict[str, dict[str, int]] = {}
    for item in items:
        if not isinstance(item, pytest.Function) or "every_combination" in item.keywords:
            continue
        if not is_paired(item, cases.setdefault(item.nodeid.partition("[")[0], {})):
            item.add_marker(pytest.mark.slow)


def is_paired(item: pytest.Function, cases: dict[str, int]) -> bool:
    """Whether this combination of form and runtime or case is one that runs each time; *cases* counts the cases."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    if given.get("form") not in FORMS or given.keys() == {"form"}:
        return True
    if not is_built():
        return bool(given["form"] == SCRIPT)
    if "installed_runtime" in given:
        number = RUNTIMES.index(given["installed_runtime"])
    else:
        number = cases.setdefault(item.callspec.id.replace(str(given["form"]), "", 1), len(cases))
    turn = zlib.crc32(f"{item.path.name} {item.originalname}".encode())
    return (FORMS.index(given["form"]) + number + turn) % 2 == 0


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, unavailable: Callable[[OCIHooksError], NoReturn]) -> str:
    """What engines call, in turn: the launcher, or the script alone."""
    if request.param == LAUNCHER and not is_built():
        unavailable(UnavailableError("the package was built without the launcher", hint="apt-get install gcc"))
    given: str = request.param
    return given


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
def all_installations(public_directory: Path) -> Installations:
    """Installed wrappers of all tests, in the form that the package was built for."""
    directory = public_directory / "installed"
    directory.mkdir(mode=0o755)
    return Installations(directory)


@pytest.fixture
def installations(all_installations: Installations, form: str) -> Installations:
    """Installed wrappers of each form in turn, for tests that need another one than below."""
    return all_installations.in_form(launcher=form == LAUNCHER)


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
