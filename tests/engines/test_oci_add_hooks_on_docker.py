"""The walk-through that users of oci-add-hooks know works on Docker as it stands."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.wrappers import Notes, make_notes

from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.runtimes import find_runtime

PROGRAM = Path(sys.executable).parent / "oci-add-hooks"


@pytest.fixture
def docker(docker_engine: Docker, ran_on: Callable[[str, str], None]) -> Iterator[Docker]:
    """Docker with the program on its PATH."""
    ran_on(docker_engine.product, docker_engine.version)
    link = docker_engine.host.bin / PROGRAM.name
    link.unlink(missing_ok=True)
    link.symlink_to(PROGRAM)
    yield docker_engine
    docker_engine.clean()
    docker_engine.wait_for_no_leftovers()
    docker_engine.reset()


@pytest.fixture
def notes(private_directory: Path) -> Notes:
    """What hooks note."""
    return make_notes(private_directory / "notes")


@pytest.mark.runtime
@pytest.mark.parametrize("bare", [False, True], ids=["absolute-paths", "bare-names"])
def test_walk_through(docker: Docker, notes: Notes, private_directory: Path, bare: bool) -> None:
    """Docker lists the runtime, a container runs with the hooks of the file, and its output and status are its own."""
    hooks = private_directory / "hooks.json"
    stages = ("prestart", "poststart", "poststop")
    hooks.write_text(json.dumps({"hooks": {stage: [notes.hook(stage)] for stage in stages}}))
    runc = find_runtime("runc").path
    paths = ("oci-add-hooks", "runc") if bare else (str(docker.host.bin / PROGRAM.name), str(runc))
    arguments = ["--hook-config-path", str(hooks), "--runtime-path", paths[1]]
    docker.configure({"runtimes": {"oci-add-hooks": {"path": paths[0], "runtimeArgs": arguments}}})

    info = docker.call("info")
    (line,) = (line for line in info.stdout.splitlines() if line.strip().startswith("Runtimes:"))
    assert "oci-add-hooks" in line.split()
    ran = docker.call("run", "--rm", "--runtime=oci-add-hooks", IMAGE, "sh", "-c", "echo hello; exit 3")
    assert (ran.status, ran.stdout, ran.stderr) == (3, "hello\n", ""), ran
    docker.wait_for_no_leftovers()
    assert notes.order() == list(stages)
    assert shutil.which("oci-add-hooks", path=str(docker.host.bin)) is not None


@pytest.mark.runtime
def test_default_runtime(docker: Docker, notes: Notes, private_directory: Path) -> None:
    """As the default runtime it serves users who name none."""
    hooks = private_directory / "hooks.json"
    hooks.write_text(json.dumps({"hooks": {"prestart": [notes.hook("prestart")]}}))
    arguments = ["--hook-config-path", str(hooks), "--runtime-path", str(find_runtime("runc").path)]
    program = str(docker.host.bin / PROGRAM.name)
    docker.configure(
        {
            "runtimes": {"oci-add-hooks": {"path": program, "runtimeArgs": arguments}},
            "default-runtime": "oci-add-hooks",
        }
    )
    assert docker.call("run", "--rm", IMAGE, "true").status == 0
    assert notes.order() == ["prestart"]
