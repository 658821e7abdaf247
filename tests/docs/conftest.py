"""The fixtures of the integration tests, for pages about real runtimes, and what pages install."""

from pathlib import Path

import pytest
from tests.docs.walk_through import Packages
from tests.integration.conftest import (  # noqa: F401  (pytest finds fixtures here by their names)
    cgroup_view,
    crun_view,
    installed_runtime,
    notes,
    runtime,
)


@pytest.fixture(scope="session")
def packages(public_directory: Path) -> Packages:
    """A wheel of this project, and what it depends on."""
    directory = public_directory / "packages"
    directory.mkdir(mode=0o755)
    return Packages(directory)
