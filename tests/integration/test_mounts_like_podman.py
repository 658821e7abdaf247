"""hasBindMounts through the wrapper gives the answers that Podman gives itself, whatever a user mounts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.wrappers import Wrapper, install_wrapper

from ocihooks.testing.bundles import make_rootfs
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.runtimes import find_runtime

CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
init_path = "{init}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Podman:
    """Podman with storage, settings and state of its own, and a wrapper for it."""

    directory: Path
    rootfs: Path
    wrapper: Wrapper
    view: CgroupView
    init: str | None

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run podman."""
        places = {"root": "pr", "runroot": "prr", "tmpdir": "pt"}
        options = [word for option, name in places.items() for word in (f"--{option}", f"{self.directory}/{name}")]
        options += ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
        }
        command = self.view.command(["podman", *options, *words], self.directory)
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL
        )

    def runs_the_hook(self, *, natively: bool, options: Sequence[str]) -> bool:
        """Run a container and see whether the rule's hook ran: podman's own way, or through the wrapper."""
        marker = self.directory / "marker"
        marker.unlink(missing_ok=True)
        for directory in self.wrapper.hooks_dirs:
            shutil.rmtree(directory)
            directory.mkdir(mode=0o755)
        hook = {
            "path": "/bin/sh",
            "args": ["sh", "-c", f"cat >/dev/null; echo ran >> {marker}"],
            "env": ["PATH=/usr/bin:/bin"],
        }
        rule = {"version": "1.0.0", "hook": hook, "when": {"hasBindMounts": True}, "stages": ["createRuntime"]}
        native, own = self.wrapper.hooks_dirs[1], self.wrapper.hooks_dirs[0]
        ((native if natively else own) / "a.json").write_text(json.dumps(rule))
        runtime = self.wrapper.runtime if natively else self.wrapper.script
        call = self.call(
            *("--runtime", str(runtime), "--hooks-dir", str(native), "run", "--rm", "--net=none", "--log-driver=none"),
            *(*options, "--rootfs", str(self.rootfs), "true"),
        )
        assert call.returncode == 0, call
        return marker.exists()


@pytest.fixture(scope="module")
def podman_version() -> str:
    """The version of Podman, where it can be used."""
    path = shutil.which("podman")
    if path is None:
        pytest.skip("podman: not found on PATH")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    return answer.stdout.split()[-1]


@pytest.fixture(scope="module")
def shared_podman(podman_version: str, public_directory: Path, crun_view: CgroupView) -> Iterator[Podman]:
    """Podman for all tests of this module; the wrapper reads the first of its directories, podman the second."""
    directory = public_directory / "podman"
    directory.mkdir(mode=0o755)
    wrapper = install_wrapper(directory / "w", find_runtime("runc").path, hooks_dirs_fixed=False)
    wrapper.write_settings(hooks_dirs=[str(wrapper.hooks_dirs[0])])
    places = [shutil.which("catatonit"), "/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit"]
    init = next((place for place in places if place and os.path.exists(place)), None)
    (directory / "containers.conf").write_text(CONTAINERS_CONF.format(init=init or "/nowhere"))
    podman = Podman(
        directory=directory, rootfs=make_rootfs(directory / "rootfs"), wrapper=wrapper, view=crun_view, init=init
    )
    yield podman
    podman.call("rm", "--force", "--all")


@pytest.fixture
def podman(shared_podman: Podman, podman_version: str, ran_on: Callable[[str, str], None]) -> Podman:
    """Podman, counted."""
    ran_on("podman", podman_version)
    return shared_podman


def none(_: Podman) -> list[str]:
    return []


def bind(podman: Podman) -> list[str]:
    return ["-v", f"{podman.wrapper.settings.parent}:/mnt"]


def mount(podman: Podman) -> list[str]:
    return [f"--mount=type=bind,src={podman.wrapper.settings.parent},dst=/mnt,ro"]


def named_volume(_: Podman) -> list[str]:
    return ["-v", "named:/mnt"]


def anonymous_volume(_: Podman) -> list[str]:
    return ["-v", "/mnt"]


def tmpfs(_: Podman) -> list[str]:
    return ["--tmpfs", "/mnt"]


def init(podman: Podman) -> list[str]:
    if podman.init is None:
        pytest.skip("catatonit: not found")
    return ["--init"]


def secret(podman: Podman) -> list[str]:
    file = podman.directory / "secret"
    file.write_text("hush")
    made = podman.call("secret", "create", "hush", str(file))
    assert made.returncode == 0 or "secret name in use" in made.stderr, made
    return ["--secret", "hush"]


def secret_elsewhere(podman: Podman) -> list[str]:
    return ["--secret", f"{secret(podman)[1]},target=/mnt/hush"]


def users_file(destination: str) -> Callable[[Podman], list[str]]:
    """A file of the user in a place where engines have theirs."""

    def options(podman: Podman) -> list[str]:
        file = podman.directory / "file"
        file.write_text("")
        return ["-v", f"{file}:{destination}"]

    return options


def shm(podman: Podman) -> list[str]:
    directory = podman.directory / "shm"
    directory.mkdir(exist_ok=True)
    return ["-v", f"{directory}:/dev/shm"]


# Podman's answer, and ours. Podman counts the tmpfs of users, though what oci-hooks(5) speaks of is bind mounts.
CASES: dict[str, tuple[Callable[[Podman], list[str]], bool, bool]] = {
    "none": (none, False, False),
    "bind": (bind, True, True),
    "mount": (mount, True, True),
    "named-volume": (named_volume, True, True),
    "anonymous-volume": (anonymous_volume, True, True),
    "tmpfs": (tmpfs, True, False),
    "init": (init, False, False),
    "secret": (secret, False, False),
    "secret-elsewhere": (secret_elsewhere, False, False),
    "hosts": (users_file("/etc/hosts"), True, True),
    "resolv-conf": (users_file("/etc/resolv.conf"), True, True),
    "below-run-secrets": (users_file("/run/secrets/mine"), True, True),
    "shm": (shm, True, True),
}


@pytest.mark.runtime
@pytest.mark.parametrize("case", CASES)
def test_has_bind_mounts_as_podman_sees_it(podman: Podman, case: str) -> None:
    """A rule with hasBindMounts runs through the wrapper for the containers for which Podman itself runs it."""
    options_of, *expected = CASES[case]
    options = options_of(podman)
    natively = podman.runs_the_hook(natively=True, options=options)
    wrapped = podman.runs_the_hook(natively=False, options=options)
    assert [natively, wrapped] == expected
