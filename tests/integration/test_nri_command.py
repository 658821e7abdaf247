"""The command `ocihooks nri` as a process: started before, after and by the engine; engines come and go."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.nri_place import Rules

from ocihooks.cli.nri import EXAMPLES
from ocihooks.testing.nri.engine import EngineLink, FakeEngine
from ocihooks.testing.nri.objects import Pod, PodContainer, creation, given_hooks

PROGRAM = os.path.join(sysconfig.get_path("scripts"), "ocihooks")

YES = {"com.example.gpu": "yes"}

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def rules(private_directory: Path) -> Rules:
    """One rule."""
    made = Rules(private_directory)
    made.configure()
    made.rule("10-gpu.json")
    return made


@pytest.fixture
def engine(private_directory: Path) -> Iterator[FakeEngine]:
    """An engine that listens already."""
    with FakeEngine(private_directory) as listening:
        yield listening


@pytest.fixture
def start(rules: Rules) -> Iterator[Start]:
    """Start the command with more words; its standard error goes to the file ``said``."""
    with ExitStack() as started:

        def call(*words: str, program: Sequence[str] = (PROGRAM, "nri"), **options: Any) -> subprocess.Popen[bytes]:
            settings = ("--settings", str(rules.settings), "--socket", str(rules.root / "nri.sock"))
            with open(rules.root / "said", "ab") as said:
                stderr = options.pop("stderr", said)
                process = subprocess.Popen([*program, *settings, *words], stderr=stderr, **options)
            started.callback(end, process)
            return cast("subprocess.Popen[bytes]", process)

        yield call
    print((rules.root / "said").read_text())  # pytest shows it where a test fails


def end(process: subprocess.Popen[bytes]) -> int:
    """End the command as systemd does; returns its status."""
    process.terminate()
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def said(rules: Rules) -> list[str]:
    """The lines that the command printed."""
    return (rules.root / "said").read_text().splitlines()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.02)


def works(link: EngineLink) -> bool:
    """Whether a container that the rule matches is given its hook, and another is not."""
    return bool(link.create(PodContainer(annotations=YES))) and not link.create(PodContainer())


def test_engines_come_and_go(rules: Rules, start: Start) -> None:
    """The plugin waits for the engine, and finds the next one when it ends, is killed, or has shut it out."""
    process = start("--name", "gpu-hooks", "--index", "07")
    wait_for(lambda: said(rules))
    for announced in (True, False):
        with FakeEngine(rules.root) as engine:
            link = engine.accept_registered()
            assert (link.name, link.index) == ("gpu-hooks", "07")
            assert works(link)
            if announced:
                link.shutdown()
    with FakeEngine(rules.root) as engine:
        engine.accept().register(code=2, reason="too many plugins")
        assert works(engine.accept_registered())
    assert end(process) == 0
    path = rules.root / "nri.sock"
    assert said(rules)[0] == f"ocihooks: {path}: no engine can be reached there: it does not exist; trying again"
    assert said(rules).count('ocihooks: accepted by "containerd v2.1.4"') == 3
    assert 'ocihooks: the engine refuses the plugin: "too many plugins"; trying again' in said(rules)


def test_stopped_plugin(start: Start, engine: FakeEngine) -> None:
    """An engine drops a plugin that does not answer in time, and takes it again when it comes back."""
    process = start()
    link = engine.accept_registered()
    process.send_signal(signal.SIGSTOP)
    stream = link.begin("CreateContainer", creation(Pod(), PodContainer(annotations=YES)))
    with pytest.raises(TimeoutError):
        link.result(stream, 0.3)
    link.close()
    process.send_signal(signal.SIGCONT)
    assert works(engine.accept_registered())


def test_killed_plugin(start: Start, engine: FakeEngine) -> None:
    """A plugin that was killed leaves nothing behind that is in the way of the next one."""
    process = start("--metrics", f"unix:{engine.path.parent}/metrics.sock")
    link = engine.accept_registered()
    process.kill()
    process.wait()
    with pytest.raises((ConnectionError, BrokenPipeError)):
        link.create(PodContainer())
    start("--metrics", f"unix:{engine.path.parent}/metrics.sock")
    assert works(engine.accept_registered())


@pytest.mark.slow
def test_the_engines_two_seconds(
    rules: Rules, start: Start, engine: FakeEngine, record_property: Callable[[str, object], None]
) -> None:
    """With a thousand rules that take their time each, and large containers, answers come before an engine gives up."""
    for number in range(1000):
        rules.rule(f"{number}.json", {"annotations": {f"^com\\.example\\.[a-z]+{number}$": "^(y|ye|yes)+$"}})
    start()
    link = engine.accept_registered()
    large = {f"com.example.annotation{number}": "yes" * 1000 for number in range(500, 530)}
    payload = creation(Pod(), PodContainer(annotations=large))
    took = []
    for _ in range(10):
        before = time.monotonic()
        assert len(given_hooks(link.result(link.begin("CreateContainer", payload), 60))["createRuntime"]) == 30
        took.append(time.monotonic() - before)
    assert max(took) < 2, took
    record_property("amount", f"{len(took)} large containers with 1,000 rules")


@contextmanager
def started_by_the_engine(rules: Rules, start: Start) -> Iterator[tuple[EngineLink, subprocess.Popen[bytes]]]:
    """The engine's end for a plugin that it has started by a script."""
    script = rules.root / "10-gpu-hooks"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(PROGRAM)} nri "$@"\n')
    script.chmod(0o755)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptor = theirs.fileno()
        variables = {"NRI_PLUGIN_NAME": "gpu-hooks", "NRI_PLUGIN_IDX": "10", "NRI_PLUGIN_SOCKET": str(descriptor)}
        process = start(program=[str(script)], env=variables, pass_fds=[descriptor])
        theirs.close()
        yield EngineLink(ours), process


@pytest.mark.parametrize("announced", [True, False])
def test_started_by_the_engine(announced: bool, rules: Rules, start: Start) -> None:
    """A plugin that the engine starts has a connected socket, its name and no other environment, and ends with it."""
    with started_by_the_engine(rules, start) as (link, process):
        link.register()
        assert (link.name, link.index) == ("gpu-hooks", "10")
        link.configure("[ocihooks]")
        link.synchronize()
        assert works(link)
        if announced:
            link.shutdown()
        link.close()
        assert process.wait(60) == (0 if announced else 1)
    assert said(rules)[-1] == ("ocihooks: the engine ends" if announced else "ocihooks: the engine closed the link")


@pytest.mark.parametrize("line", [example.line for example in EXAMPLES])
def test_examples(line: str, start: Start, engine: FakeEngine) -> None:
    """Every example of the command's help works, here with any free port."""
    _, _, *words = shlex.split(line.replace(":9461", ":0"))
    process = start(*words)
    assert bool(engine.accept_registered().create(PodContainer(annotations=YES))) is ("--dry-run" not in words)
    assert end(process) == 0


def test_metrics(rules: Rules, start: Start, engine: FakeEngine) -> None:
    """Prometheus reads what has happened, between the engine's requests."""
    path = rules.root / "metrics.sock"
    process = start("--metrics", f"unix:{path}")
    link = engine.accept_registered()
    for _ in range(3):
        assert works(link)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert works(link)
        lines = client.makefile().read().splitlines()
    assert 'ocihooks_nri_rule_matches_total{rule="10-gpu.json"} 3' in lines or (
        'ocihooks_nri_rule_matches_total{rule="10-gpu.json"} 4' in lines
    )
    assert "ocihooks_nri_connected 1" in lines
    assert end(process) == 0
    assert not path.exists()


def test_without_capabilities(start: Start, engine: FakeEngine) -> None:
    """The plugin needs none of root's capabilities, as in its systemd unit."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv")
    confined = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", PROGRAM, "nri")
    process = start(program=confined)
    link = engine.accept_registered()
    assert "CapEff:\t0000000000000000" in Path(f"/proc/{process.pid}/status").read_text()
    assert works(link)


def test_nobody_reads_what_it_says(rules: Rules, start: Start, engine: FakeEngine) -> None:
    """A full pipe behind standard error holds up no container, and neither does one that nobody reads any more."""
    (rules.hooks / "10-gpu.json").write_text("{")
    process = start(stderr=subprocess.PIPE)
    link = engine.accept_registered()
    payload = creation(Pod(), PodContainer())
    for _ in range(2):
        streams = [link.begin("CreateContainer", payload) for _ in range(150)]
        for stream in streams:
            with pytest.raises(Exception, match="not JSON"):
                link.result(stream)
        assert process.stderr is not None
        process.stderr.close()
    assert end(process) == 0
