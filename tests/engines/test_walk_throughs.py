"""The walk-through that users of the container-hooks toolkit know works on Docker, word for word."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.docs.markdown import PROJECT
from tests.engines.conftest import Needs

from ocihooks.testing.engines.docker import Docker, docker_version
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.engines.host import Finished, PrivateHost

INSTALL = """\
make all
cd bin
./container-hooks-ctk install --toolkit-root=$(pwd)
container-hooks-ctk config
container-hooks-ctk runtime configure --runtime=docker --default
"""


@pytest.fixture
def docker(make_host: Callable[[str], PrivateHost], image: Path, needs: Needs) -> Iterator[Docker]:
    """Docker on a host of its own, where /usr/bin and this checkout can be written and are as before afterwards."""
    needs(docker_version)
    with make_host("hw") as host:
        cover(host, "/usr/bin")
        cover(host, str(PROJECT))
        with Docker(host, image) as docker:
            yield docker


def cover(host: PrivateHost, place: str) -> None:
    """Let what is written into *place* go elsewhere."""
    own = host.directory / "covers" / place.strip("/").replace("/", "-")
    own.mkdir(parents=True)
    host.check("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(own))
    for name in ("upper", "work"):
        host.check("mkdir", str(own / name))
    options = f"lowerdir={place},upperdir={own}/upper,workdir={own}/work"
    host.check("mount", "-t", "overlay", "-o", options, "overlay", place)


def typed(docker: Docker, commands: str) -> Finished:
    """Type *commands* in the checkout."""
    return docker.host.run("sh", "-ec", commands, cwd=PROJECT, env={"PYTHON": sys.executable})


@pytest.mark.runtime
def test_toolkit(docker: Docker, private_directory: Path, ran_on: Callable[[str, str], None]) -> None:
    """Made, installed and configured by its own commands, it gives a container the hooks of its file, once."""
    ran_on(docker.product, docker.version)
    before = docker.config.read_bytes()
    done = typed(docker, INSTALL)
    assert (done.status, done.stdout) == (0, ""), done
    docker.stop()
    docker.start()

    script = private_directory / "script"
    noted = private_directory / "noted"
    script.write_text(f"#!/bin/sh\necho line >> {noted}\n")
    script.chmod(0o755)
    hooks = {"prestart": [{"path": "/usr/bin/container-hooks"}, {"path": str(script)}]}
    (docker.host.etc / "container-hooks/hooks.json").write_text(json.dumps(hooks))
    ran = docker.call("run", "--rm", IMAGE, "echo", "hello")
    assert (ran.status, ran.stdout, ran.stderr) == (0, "hello\n", ""), ran
    assert noted.read_text() == "line\n"
    log = (docker.host.etc / "container-hooks/container-hooks-runtime.log").read_text()
    assert "hooks added" in log

    back = typed(docker, "container-hooks-ctk runtime unconfigure --runtime=docker")
    assert (back.status, docker.config.read_bytes()) == (0, before), back
    docker.stop()
    docker.start()
    assert docker.call("run", "--rm", IMAGE, "true").status == 0
    assert noted.read_text() == "line\n"
