"""
Fixtures for tests of hooks. pytest loads this where the package is installed, and the rest once a fixture is used.

- ``oci_bundle``: makes bundles, with the arguments of ``ocihooks.testing.make_bundle`` but the first;
- ``oci_rootfs``: the root file system of these bundles;
- ``fake_runtime``: a runtime that simulates containers and records how it was called;
- ``run_stage``: runs the hooks of one stage of a bundle, see ``ocihooks.testing.run_stage``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from ocihooks.simulation.outcome import StageRun
    from ocihooks.testing.bundles import MadeBundle
    from ocihooks.testing.fake import FakeRuntime


@pytest.fixture(scope="session")
def oci_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox; without programs where there is no statically linked busybox."""
    from ocihooks.errors import UnavailableError
    from ocihooks.testing.bundles import make_empty_rootfs, make_rootfs

    directory = tmp_path_factory.mktemp("oci-rootfs")
    try:
        return make_rootfs(directory)
    except UnavailableError:
        return make_empty_rootfs(directory)


@pytest.fixture
def oci_bundle(tmp_path: Path, oci_rootfs: Path) -> Callable[..., MadeBundle]:
    """Make a bundle, another one with each call; the arguments are those of ``ocihooks.testing.make_bundle``."""
    from ocihooks.testing.bundles import make_bundle

    numbers = itertools.count(1)

    def make(**arguments: Any) -> MadeBundle:
        return make_bundle(tmp_path / f"bundle{next(numbers)}", **({"rootfs": oci_rootfs} | arguments))

    return make


@pytest.fixture
def fake_runtime(tmp_path: Path) -> FakeRuntime:
    """A program that takes runc's command line, simulates containers, and records its calls with config.json."""
    from ocihooks.testing.fake import write_fake_runtime

    return write_fake_runtime(tmp_path / "fake-runtime", record=tmp_path / "fake-runtime.calls", copy_config=True)


@pytest.fixture
def run_stage() -> Callable[..., StageRun]:
    """Run the hooks of one stage; the arguments are those of ``ocihooks.testing.run_stage``."""
    from ocihooks.testing.stages import run_stage as run

    return run
