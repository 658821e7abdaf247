"""Large amounts: no growth of memory or descriptors over many requests, links and reloads, and no request left over."""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.nri_place import Rules

from ocihooks.testing.nri.engine import EngineLink, FakeEngine
from ocihooks.testing.nri.objects import Pod, PodContainer, creation, given_hooks

PROGRAM = os.path.join(sysconfig.get_path("scripts"), "ocihooks")

YES = {"com.example.gpu": "yes"}
MOST_MIB = 60.0
IN_FLIGHT = 50


@pytest.fixture
def rules(private_directory: Path) -> Rules:
    """A hundred rules."""
    made = Rules(private_directory)
    made.configure()
    for number in range(99):
        made.rule(f"{number}.json", {"annotations": {f"^com\\.example\\.rule{number}$": "^yes$"}})
    made.rule("gpu.json")
    return made


@pytest.fixture
def plugin(rules: Rules) -> Iterator[subprocess.Popen[bytes]]:
    """The plugin as a process, which connects to the socket of the rules' directory."""
    with open(rules.root / "said", "wb") as said:
        words = ["--settings", str(rules.settings), "--socket", str(rules.root / "nri.sock")]
        process = subprocess.Popen([PROGRAM, "nri", *words], stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def mib(process: subprocess.Popen[bytes]) -> float:
    """Resident memory."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def descriptors(plugin: subprocess.Popen[bytes]) -> int:
    """How many descriptors it has for good: the least of several looks, since it opens files to look at them."""
    looks = []
    for _ in range(20):
        looks.append(len(os.listdir(f"/proc/{plugin.pid}/fd")))
        time.sleep(0.02)
    return min(looks)


def ask(link: EngineLink, count: int) -> None:
    """Ask *count* times, `IN_FLIGHT` at once; every second container matches."""
    payloads = [creation(Pod(), PodContainer(annotations=YES if number % 2 else {})) for number in range(IN_FLIGHT)]
    for _ in range(count // IN_FLIGHT):
        streams = [link.begin("CreateContainer", payload) for payload in payloads]
        for number, stream in enumerate(streams):
            assert bool(given_hooks(link.result(stream, 60))) is bool(number % 2)
        link.transcript.clear()


def test_memory(plugin: subprocess.Popen[bytes], rules: Rules) -> None:
    """After many requests on two links memory is far below its limit, and no descriptor is left."""
    with FakeEngine(rules.root) as engine:
        ask(engine.accept_registered(), 1000)
    with FakeEngine(rules.root) as engine:
        link = engine.accept_registered()
        ask(link, 50)
        before = descriptors(plugin)
        ask(link, 500)
        assert descriptors(plugin) <= before  # fewer, while the first link was still being closed
        assert mib(plugin) < MOST_MIB


@pytest.mark.slow
def test_no_growth(plugin: subprocess.Popen[bytes], rules: Rules) -> None:
    """A hundred thousand requests while rules change leave memory as it was."""
    with FakeEngine(rules.root) as engine:
        link = engine.accept_registered()
        ask(link, 10_000)
        before = mib(plugin)
        for number in range(90):
            rules.rule("gpu.json", args=["x", str(number)])
            ask(link, 1000)
        assert mib(plugin) < MOST_MIB
        assert mib(plugin) - before < 3


@pytest.mark.slow
def test_links(plugin: subprocess.Popen[bytes], rules: Rules) -> None:
    """Links that are lost at once are tried again after longer and longer pauses, and leave no descriptor behind."""
    with FakeEngine(rules.root) as engine:
        for _ in range(8):
            engine.accept().close()
        times = [time.monotonic()]
        for _ in range(2):
            engine.accept().connected.shutdown(socket.SHUT_RDWR)
            times.append(time.monotonic())
        assert times[2] - times[1] > 3
        link = engine.accept_registered()
        ask(link, 100)
        assert descriptors(plugin) < 12
