"""docs/how-to/ansible.md: every command is executed on a private host with Docker and Podman, and undone."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.packages import Packages
from tests.docs.stand_ins import put_programs
from tests.docs.walk_through import Machine, files_of, follow, steps

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.engines.docker import Docker, docker_version
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.engines.image import write_image
from ocihooks.testing.engines.podman import podman_version, write_configuration

PAGE = PROJECT / "docs/how-to/ansible.md"

ANSIBLE = """\
#!/bin/sh
# Ansible, as its user has set it up: an inventory with this machine, and a package index in a directory.
export ANSIBLE_INVENTORY="$HOME/inventory" ANSIBLE_HOME=/run/ansible ANSIBLE_NOCOLOR=true LC_ALL=C.UTF-8
export PIP_FIND_LINKS={wheels} PIP_NO_COMPILE=1
exec {program} "$@"
"""

INVENTORY = f"""\
[containers]
localhost ansible_connection=local ansible_python_interpreter={sys.executable}
"""


@pytest.mark.runtime
@pytest.mark.slow
def test_every_command_does_what_is_shown(
    host: PrivateHost,
    rootfs: Path,
    packages: Packages,
    wheels: Path,
    private_directory: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
    ran_on: Callable[[str, str], None],
) -> None:
    """Tried, played, explained and undone; Docker goes on without a restart."""
    try:
        ran_on("docker", docker_version())
        ran_on("podman", podman_version())
    except UnavailableError as error:
        unavailable(error)
    image = write_image(private_directory / "image.tar", rootfs, name="docker.io/library/busybox:latest")
    machine = Machine(private_directory / "m", packages, host, timeout_s=900)
    home = private_directory / "m/home"
    (home / "inventory").write_text(INVENTORY)
    (home / "deploy").symlink_to(PROJECT / "deploy")
    write_configuration(host)
    scripts = Path(sysconfig.get_path("scripts"))
    texts = {name: ANSIBLE.format(wheels=wheels, program=scripts / name) for name in ("ansible", "ansible-playbook")}
    put_programs(private_directory / "m/usr-local/sbin", texts)
    left = machine.left_over()
    docker = Docker(host, image)
    before = files_of(host)
    follow(steps(PAGE, "run"), machine)
    assert [path for path in machine.left_over() if path not in left] == [home / "hooks.yml"]
    assert files_of(host) == before
    ran = docker.call("run", "--rm", "busybox", "echo", "hello")
    assert (ran.status, ran.stdout) == (0, "hello\n"), ran
    docker.clean()
    docker.stop()
