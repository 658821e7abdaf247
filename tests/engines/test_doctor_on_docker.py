"""`ocihooks doctor` on a machine with a real Docker: what it says while all is well, and when the wrapper has gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.place import PROGRAM

from ocihooks.testing.engines.docker import Docker


@pytest.fixture
def docker(docker_engine: Docker, ran_on: Callable[[str, str], None]) -> Iterator[Docker]:
    """Docker with its files as they were."""
    ran_on(docker_engine.product, docker_engine.version)
    yield docker_engine
    docker_engine.reset()


@pytest.mark.runtime
def test_handler_leads_nowhere(docker: Docker, private_directory: Path) -> None:
    """A configured wrapper is shown; once its program is gone that is an error, whose remedy works."""
    words = ("--prefix", str(private_directory / "prefix"))
    docker.host.check(str(PROGRAM), "configure", "docker", *words)
    try:
        well = json.loads(docker.host.run(str(PROGRAM), "doctor", *words, "--json").stdout)
        (engine,) = [one for one in well["engines"] if one["name"] == "docker"]
        wrappers = [one["name"] for one in engine["handlers"] if one["wrapper"]]
        assert (engine["version"] is None, wrappers, well["errors"]) == (False, ["ocihooks"], 0)

        script = Path(well["wrappers"][0]["script"])
        script.unlink()
        ill = docker.host.run(str(PROGRAM), "doctor", *words)
        assert ill.status == 1
        assert f'handler "ocihooks" of docker starts "{script}", which is not there\n' in ill.stdout
        assert f"ocihooks: {script}: the installed wrapper is not there\n" in ill.stdout
        (again,) = {line.removeprefix("hint: ") for line in ill.stdout.splitlines() if "install --prefix" in line}
        docker.host.check(str(PROGRAM), *again.split()[1:])
        assert docker.host.run(str(PROGRAM), "doctor", *words).status == 0
    finally:
        docker.host.run(str(PROGRAM), "unconfigure", "docker", *words, "--force")
