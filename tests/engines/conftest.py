"""Private engines: each is started when the first test needs it, and serves all tests of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tests.engines.cri import CRI
from tests.engines.features import BENEATH
from tests.integration.wrappers import Installations, Notes, Wrapper, make_notes

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.buildah import Buildah, buildah_version
from ocihooks.testing.engines.containerd import Containerd, Ctr, containerd_version
from ocihooks.testing.engines.direct import Crun, Runc
from ocihooks.testing.engines.docker import Docker, docker_version
from ocihooks.testing.engines.engine import IMAGE, Engine
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.engines.image import write_image
from ocihooks.testing.engines.podman import Podman, PodmanByName, PodmanWithHooks, podman_version
from ocihooks.testing.runtimes import PrivateRuntime, find_runtime

Needs = Callable[[Callable[[], object]], None]

FIXTURES = {
    engine.name: f"{engine.__name__.lower()}_engine"
    for engine in (Docker, Ctr, CRI, Podman, PodmanByName, PodmanWithHooks, Buildah, Runc, Crun)
}
"""The fixture of each engine, by its name."""


def pytest_configure(config: pytest.Config) -> None:
    """Announce the mark of this directory."""
    config.addinivalue_line("markers", "feature(name): shows this row of docs/reference/engines.md")


@pytest.fixture(scope="session")
def needs(unavailable: Callable[[OCIHooksError], NoReturn]) -> Needs:
    """Skip or fail when something that is called to find out is not there."""

    def ask(find: Callable[[], object]) -> None:
        try:
            find()
        except UnavailableError as error:
            unavailable(error)

    return ask


@pytest.fixture(scope="session")
def engine_view(unavailable: Callable[[OCIHooksError], NoReturn]) -> Iterator[CgroupView]:
    """Where crun can run."""
    try:
        view = CgroupView()
    except UnavailableError as error:
        unavailable(error)
    with view:
        yield view


@pytest.fixture(scope="session")
def image(rootfs: Path, public_directory: Path) -> Path:
    """The archive of the image that every engine has; its own command lasts, as a sandbox's has to."""
    return write_image(public_directory / "image.tar", rootfs, name=IMAGE, command=("sleep", "1000000"))


@pytest.fixture(scope="session")
def make_host(
    public_directory: Path, engine_view: CgroupView, unavailable: Callable[[OCIHooksError], NoReturn]
) -> Callable[[str], PrivateHost]:
    """Make a private host of the given name."""

    def make(name: str) -> PrivateHost:
        try:
            return PrivateHost(public_directory / name, engine_view)
        except UnavailableError as error:
            unavailable(error)

    return make


@pytest.fixture(scope="session")
def docker_engine(make_host: Callable[[str], PrivateHost], image: Path, needs: Needs) -> Iterator[Docker]:
    """Docker on a host of its own."""
    needs(docker_version)
    with make_host("hd") as host, Docker(host, image) as docker:
        yield docker


@pytest.fixture(scope="session")
def ctr_engine(make_host: Callable[[str], PrivateHost], image: Path, needs: Needs) -> Iterator[Ctr]:
    """containerd on a host of its own, through ctr."""
    needs(containerd_version)
    with make_host("hc") as host, Ctr(Containerd(host, image)) as ctr:
        yield ctr


@pytest.fixture(scope="session")
def cri_engine(
    make_host: Callable[[str], PrivateHost], image: Path, needs: Needs, public_directory: Path
) -> Iterator[CRI]:
    """containerd on a host of its own, through its CRI plugin."""
    needs(containerd_version)
    with make_host("hk") as host, CRI(Containerd(host, image), public_directory / "pod-logs") as cri:
        yield cri


@pytest.fixture(scope="session")
def podman_host(make_host: Callable[[str], PrivateHost], needs: Needs) -> Iterator[PrivateHost]:
    """A host for Podman."""
    needs(podman_version)
    with make_host("hp") as host:
        yield host


@pytest.fixture(scope="session")
def podman_engine(podman_host: PrivateHost, image: Path) -> Iterator[Podman]:
    """Podman that gets its runtime by path."""
    with Podman(podman_host, image) as podman:
        yield podman


@pytest.fixture(scope="session")
def podmanbyname_engine(podman_host: PrivateHost, image: Path) -> Iterator[PodmanByName]:
    """Podman that gets its runtime by name."""
    with PodmanByName(podman_host, image) as podman:
        yield podman


@pytest.fixture(scope="session")
def podmanwithhooks_engine(podman_host: PrivateHost, image: Path) -> Iterator[PodmanWithHooks]:
    """Podman that reads hooks directories itself."""
    with PodmanWithHooks(podman_host, image) as podman:
        yield podman


@pytest.fixture(scope="session")
def buildah_engine(make_host: Callable[[str], PrivateHost], image: Path, needs: Needs) -> Iterator[Buildah]:
    """Buildah on a host of its own."""
    needs(buildah_version)
    with make_host("hb") as host, Buildah(host, image) as buildah:
        yield buildah


@pytest.fixture(scope="session")
def runc_engine(public_directory: Path, rootfs: Path, needs: Needs) -> Iterator[Runc]:
    """runc alone."""
    needs(lambda: find_runtime("runc"))
    with Runc(PrivateRuntime(find_runtime("runc"), public_directory / "hr", rootfs=rootfs)) as runc:
        yield runc


@pytest.fixture(scope="session")
def crun_engine(public_directory: Path, rootfs: Path, engine_view: CgroupView, needs: Needs) -> Iterator[Crun]:
    """crun alone."""
    needs(lambda: find_runtime("crun"))
    with Crun(PrivateRuntime(find_runtime("crun"), public_directory / "hu", rootfs=rootfs, view=engine_view)) as crun:
        yield crun


@pytest.fixture(scope="session")
def engine_installations(public_directory: Path) -> Installations:
    """Installed wrappers, with the launcher where it was built."""
    directory = public_directory / "engines-installed"
    directory.mkdir(mode=0o755)
    return Installations(directory)


@pytest.fixture
def engine(request: pytest.FixtureRequest, ran_on: Callable[[str, str], None]) -> Iterator[Engine]:
    """The engine whose name the test gives; at the end nothing of its containers is left."""
    engine: Engine = request.getfixturevalue(FIXTURES[request.param])
    ran_on(engine.product, engine.version)
    for mark in request.node.iter_markers("feature"):
        request.node.user_properties.append((f"feature {mark.args[0]}", f"{engine.name} {engine.version}"))
    yield engine
    engine.clean()
    engine.wait_for_no_leftovers()
    engine.reset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    An engine that calls the wrapper.

    Attributes:
        engine: The engine.
        wrapper: Its runtime, with empty hooks directories.
        notes: What hooks note.
    """

    engine: Engine
    wrapper: Wrapper
    notes: Notes

    def write_hook(self, label: str, **rule: object) -> None:
        """Write a rule ``LABEL.json`` whose hook notes *label*."""
        self.wrapper.write_rule(f"{label}.json", hook=self.notes.hook(label), **rule)  # type: ignore[arg-type]


@pytest.fixture
def scene(engine: Engine, engine_installations: Installations, private_directory: Path) -> Scene:
    """Each engine in turn, with the wrapper as the runtime that users name."""
    wrapper = engine_installations.wrapper(find_runtime(BENEATH.get(engine.name, "runc")).path)
    engine.use(wrapper.script)
    return Scene(engine=engine, wrapper=wrapper, notes=make_notes(private_directory / "notes"))
