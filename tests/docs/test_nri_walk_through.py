"""docs/how-to/nri.md: every command is executed; engine, cluster and systemd are stand-ins, the plugin is real."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.packages import Packages
from tests.docs.stand_ins import NRI_PROGRAMS, put_programs
from tests.docs.walk_through import FIRST_STEPS, Machine, files_of, follow, steps

from ocihooks.testing.engines.host import PrivateHost
from ocihooks.testing.nri.engine import EngineLink, FakeEngine
from ocihooks.testing.nri.objects import GivenHook, PodContainer

PAGE = PROJECT / "docs/how-to/nri.md"

SLEEPER = PodContainer(args=("sleep", "60"))

PATIENCE_S = 120.0

Given = dict[str, list[GivenHook]]


def accepted(engine: FakeEngine) -> EngineLink:
    """The next plugin that connects."""
    link = engine.accept(PATIENCE_S)
    link.register()
    link.configure()
    link.synchronize()
    return link


def interrupt(link: EngineLink) -> None:
    """What somebody does who has seen enough of what a plugin prints."""
    found = link.connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    os.kill(struct.unpack("3i", found)[0], signal.SIGINT)


def serve(engine: FakeEngine, run: Path) -> tuple[Given, Given]:
    """Ask the plugin that only tells, then that of the unit when a pod is wanted; returns what each has given."""
    telling = accepted(engine)
    told = telling.create(SLEEPER)
    interrupt(telling)
    giving = accepted(engine)
    deadline = time.monotonic() + PATIENCE_S
    while not (run / "pod-wanted").exists():
        assert time.monotonic() < deadline, "nobody wants a pod"
        time.sleep(0.05)
    given = giving.create(SLEEPER)
    (run / "pod-made").touch()
    return told, given


@pytest.mark.runtime
@pytest.mark.slow
def test_every_command_does_what_is_shown(
    host: PrivateHost, packages: Packages, opt: Path, private_directory: Path
) -> None:
    """The plugin tells what it would give, gives it as a unit, is watched, and all is as before in the end."""
    systemd = host.etc / "systemd"
    systemd.unlink(missing_ok=True)  # a link to that of the machine
    (systemd / "system").mkdir(parents=True)
    run = host.root / "run"
    (run / "nri").mkdir()
    machine = Machine(private_directory / "m", packages, host, opt)
    put_programs(private_directory / "m/usr-local/sbin", NRI_PROGRAMS)
    follow(FIRST_STEPS, machine)
    before = files_of(host), machine.left_over()
    with FakeEngine(run / "nri") as engine, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(serve, engine, run)
        follow(steps(PAGE, "run"), machine)
        told, given = asked.result()
    assert told == {}
    assert [hook.path for hook in given["createRuntime"]] == ["/usr/local/bin/hello-hook"]
    assert (files_of(host), machine.left_over()) == before
    assert list((systemd / "system").iterdir()) == []
