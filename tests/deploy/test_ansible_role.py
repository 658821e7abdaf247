"""The role ocihooks on a private host with Podman: tried, played twice, proved with a container, and taken back."""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.host import Finished, PrivateHost
from ocihooks.testing.engines.podman import podman_version, write_configuration

ROLES = Path(__file__).parents[2] / "deploy/ansible/roles"
PLAY = os.path.join(sysconfig.get_path("scripts"), "ansible-playbook")

RULE = {
    "version": "1.0.0",
    "hook": {"path": "/bin/true"},
    "when": {"annotations": {"^com\\.example\\.hello$": "^yes$"}},
    "stages": ["createRuntime"],
}

TASKS = re.compile(r"ok=(\d+) +changed=(\d+) +unreachable=0 +failed=0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """
    A machine that Ansible looks after.

    Attributes:
        host: The private host.
        variables: Those of the role.
    """

    host: PrivateHost
    variables: dict[str, Any]

    def play(self, *options: str, **variables: Any) -> Finished:
        """Play the role; further variables count instead of the machine's own."""
        directory = self.host.directory / "ansible"
        directory.mkdir(exist_ok=True)
        (directory / "inventory").write_text(
            f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        )
        book = [{"hosts": "localhost", "gather_facts": False, "roles": ["ocihooks"]}]
        (directory / "play.yml").write_text(json.dumps(book))
        (directory / "variables.json").write_text(json.dumps(self.variables | variables))
        environment = {
            "ANSIBLE_ROLES_PATH": str(ROLES),
            "ANSIBLE_HOME": str(directory / "home"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_NOCOLOR": "true",
            "LC_ALL": "C.UTF-8",
        }
        words = ["--inventory=inventory", f"--extra-vars=@{directory}/variables.json", *options, "play.yml"]
        return self.host.run(PLAY, *words, cwd=directory, env=environment, timeout_s=300)

    def files(self) -> dict[str, Any]:
        """Whatever the role may touch."""
        found = {}
        places = [self.host.etc / "containers", self.host.etc / "ocihooks", self.host.directory / "opt"]
        places.append(self.host.var_lib / "ocihooks")
        for path in sorted(path for place in places for path in (place, *place.rglob("*"))):
            if os.path.lexists(path) and "networks" not in path.parts:  # which Podman makes when it runs a container
                found[str(path)] = (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        return found


def changed(done: Finished) -> int:
    """The number of tasks that changed something; all have to be done without failure."""
    recap = TASKS.search(done.stdout)
    assert done.status == 0, done
    assert recap, done
    return int(recap[2])


@pytest.fixture
def machine(
    private_directory: Path, wheels: Path, unavailable: Callable[[OCIHooksError], NoReturn]
) -> Iterator[Machine]:
    """A machine with Podman, on which the package comes from wheels."""
    try:
        podman_version()
        with CgroupView() as view, PrivateHost(private_directory, view) as host:
            write_configuration(host)
            (private_directory / "opt").mkdir()
            variables = {
                "ocihooks_package": ["ocihooks"],
                "ocihooks_pip_environment": {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_NO_COMPILE": "1"},
                "ocihooks_python": os.path.realpath(sys.executable),
                "ocihooks_home": f"{private_directory}/opt/python",
                "ocihooks_prefix": f"{private_directory}/opt/local",
                "ocihooks_settings": '[ocihooks]\non-invalid = "warn"\n',
                "ocihooks_rules": [{"name": "10-hello.json", "rule": RULE}],
                "ocihooks_engines": [{"engine": "podman", "base": "runc"}],
            }
            yield Machine(host=host, variables=variables)
    except UnavailableError as error:
        unavailable(error)


@pytest.mark.runtime
@pytest.mark.slow
def test_played_twice_and_taken_back(machine: Machine, ran_on: Callable[[str, str], None]) -> None:
    """Once changes, is proved by a container with a hook, twice changes nothing, and removal leaves all as it was."""
    ran_on("podman", podman_version())
    before = machine.files()
    first = machine.play()
    assert changed(first) > 0
    assert "Prove that hooks run" in first.stdout
    assert changed(machine.play()) == 0
    as_default = [{"engine": "podman", "base": "runc", "default": True}]
    tried = machine.play("--check", "--diff", ocihooks_settings="[ocihooks]\n", ocihooks_engines=as_default)
    assert changed(tried) == 2, tried
    assert '-on-invalid = "warn"' in tried.stdout
    assert "+runtime = " in tried.stdout
    assert changed(machine.play(ocihooks_state="absent")) > 0
    assert machine.files() == before


def test_tried_before_anything_is_there(machine: Machine) -> None:
    """In check mode on a new machine it tells of the package, settings, rules and engines, and makes nothing of it."""
    before = machine.files()
    assert changed(machine.play("--check")) == 6
    assert machine.files() == before


@pytest.mark.slow
def test_what_is_not_there_can_be_taken_away(machine: Machine) -> None:
    """Taking away changes nothing on a machine that has never had it."""
    before = machine.files()
    assert changed(machine.play(ocihooks_state="absent")) == 0
    assert machine.files() == before


def test_a_wrong_variable_is_refused(machine: Machine) -> None:
    """The specification of the arguments stops the play before its first task."""
    done = machine.play(ocihooks_engines=[{"engine": "lxc"}])
    assert done.status == 2
    assert "value of engine must be one of" in done.stdout + done.stderr
    assert not (machine.host.directory / "opt/python").exists()


def test_variables_are_documented() -> None:
    """Defaults, the specification of the arguments and the page of the role name the same variables and values."""
    role = ROLES / "ocihooks"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    specified = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in specified.items()} == defaults
    assert re.findall(r"^\| `(ocihooks_\w+)` \|", (role / "README.md").read_text(), re.MULTILINE) == list(specified)
