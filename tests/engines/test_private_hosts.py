"""Private hosts: engines find their usual places there, the machine sees nothing of it, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.runtimes import find_runtime

PLACES = ("/etc", "/run", "/var/lib", "/var/tmp")

_MAKE_AND_WAIT = """
import sys, time
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.runtimes import find_runtime
with CgroupView() as view, PrivateHost(sys.argv[1], view) as host:
    host.start("sleep", "1000")
    while not host.processes():
        time.sleep(0.01)
    print(host.processes()[0].pid, flush=True)
    time.sleep(1000)
"""


def mounts() -> list[str]:
    """What this process sees mounted, without the numbers of mounts."""
    return [line.split(" ", 3)[3] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


@pytest.mark.runtime
def test_places_are_private(make_host: Callable[[str], PrivateHost]) -> None:
    """What is written there to an engine's places is nowhere else, and the machine's other files can be read."""
    before = mounts()
    with make_host("h1") as host:
        for place in PLACES:
            host.check("mkdir", "-p", f"{place}/docker")
            host.check("touch", f"{place}/docker/ocihooks-was-here")
            assert not os.path.exists(f"{place}/docker/ocihooks-was-here")
        assert host.run("cat", "/etc/os-release").stdout == Path("/etc/os-release").read_text()
        assert (host.etc / "docker/ocihooks-was-here").exists()
        assert (host.root / "run/docker/ocihooks-was-here").exists()
        assert host.run("ip", "-brief", "link").stdout.split()[0] == "lo"
        assert mounts() == before
    assert mounts() == before


@pytest.mark.runtime
def test_everything_ends_with_it(make_host: Callable[[str], PrivateHost]) -> None:
    """Whatever was started there ends when the host is closed, also what left its parents and ignores signals."""
    with make_host("h2") as host:
        host.check("sh", "-c", "trap '' TERM; setsid sleep 1000 > /dev/null 2>&1 &")
        host.start("sleep", "1000")
        while len(host.processes()) < 2:
            time.sleep(0.01)
        pids = [process.pid for process in host.processes()]
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []


@pytest.mark.runtime
def test_ends_with_its_maker(private_directory: Path) -> None:
    """When the process that made a host is killed, all of the host's processes end."""
    command = [sys.executable, "-c", _MAKE_AND_WAIT, str(private_directory / "h")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        pid = int(maker.stdout.readline())
        maker.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.runtime
def test_an_engine_leaves_nothing(docker_engine: Docker, ran_on: Callable[[str, str], None]) -> None:
    """Running containers and their shims are listed as leftovers, until they are cleaned up."""
    ran_on(docker_engine.product, docker_engine.version)
    docker_engine.use(find_runtime("runc").path)
    name = docker_engine.new_name()
    assert docker_engine.run("sleep", "1000", container=name, detach=True).status == 0
    assert docker_engine.run("sh", "-c", "exit 3").status == 3
    assert docker_engine.call("run", "--rm", IMAGE, "/nosuch").status == 127
    left = docker_engine.leftovers()
    assert [words for words in left if words.startswith("sleep")] == ["sleep 1000"]
    assert [words for words in left if "containerd-shim" in words] != []
    docker_engine.clean()
    docker_engine.wait_for_no_leftovers()
    docker_engine.reset()
