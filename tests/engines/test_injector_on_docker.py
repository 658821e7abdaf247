"""oci-injector-hook as a hook of a rule that the wrapper gives to Docker's containers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.wrappers import Installations

from ocihooks.install.install import Request, install
from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.runtimes import find_runtime

NAME = "oci-injector-hook"


@pytest.fixture
def docker(
    docker_engine: Docker,
    engine_installations: Installations,
    ran_on: Callable[[str, str], None],
    private_directory: Path,
) -> Iterator[Docker]:
    """Docker with the wrapper as a runtime, whose rule runs the hook at both ends of a container's life."""
    ran_on(docker_engine.product, docker_engine.version)
    program = install(Request(prefix=str(private_directory / "p"), program=NAME, name=NAME)).script
    wrapper = engine_installations.wrapper(find_runtime("runc").path)
    hook = {"path": program, "env": [f"OCI_INJECTOR_CONFIG_DIR={private_directory}/conf"]}
    wrapper.write_rule("injector.json", hook=hook, stages=("createRuntime", "poststop"))
    (private_directory / "conf").mkdir()
    file = Path(json.__file__)
    injected = {
        "activation_flag": "WITH_JSON=yes",
        "directories": [str(file.parent)],
        "miscellaneous": [str(file), f"{file}:/etc/group"],
    }
    (private_directory / "conf/a.json").write_text(json.dumps(injected))
    docker_engine.use(wrapper.script)
    yield docker_engine
    docker_engine.clean()
    docker_engine.wait_for_no_leftovers()
    docker_engine.reset()


@pytest.mark.runtime
@pytest.mark.parametrize("value", ["yes", pytest.param("no", marks=pytest.mark.slow)])
def test_injected(docker: Docker, value: str) -> None:
    """A container that asks can read the host's file, another can't, and both leave an unchanged file system."""
    file, name = Path(json.__file__), docker.new_name()
    words = ("--network=none", f"--name={name}", f"--env=WITH_JSON={value}", *docker.run_options, IMAGE)
    ran = docker.call("run", *words, "sh", "-c", f"cat {file}; head -n 1 /etc/group")
    first = file.read_text().partition("\n")[0]
    assert ran.stdout == (f"{file.read_text()}{first}\n" if value == "yes" else "root:x:0:\n"), ran
    changed = docker.call("diff", name).stdout.splitlines()
    assert [line for line in changed if line.startswith("A") or ".ocihooks" in line] == []
    again = docker.call("start", "--attach", name)
    assert again.stdout == ran.stdout, again
