"""Many who configure at once lose nothing, and whoever holds the lock and dies or stops is no end of the world."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine_places import EnginePlace, make_place

from ocihooks.engines import lock
from ocihooks.engines.errors import LockedError
from ocihooks.install.configure import configure
from ocihooks.install.unconfigure import unconfigure

Record = Callable[[str, object], None]

EDITORS = 16

BEFORE = '{\n  "debug": false,\n  "labels": ["a=b"]\n}\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnginePlace:
    """A machine with a daemon.json."""
    place = make_place(tmp_path, monkeypatch)
    place.write("daemon.json", BEFORE)
    return place


def edit(place: EnginePlace, name: str, rounds: int) -> None:
    """Add and take out the handler *name*, and leave it in."""
    target = place.target("docker", name=name)
    for _ in range(rounds):
        configure(target)
        unconfigure(target)
    configure(target)


@pytest.mark.parametrize("edits", [pytest.param(4, id="4"), pytest.param(50, id="50", marks=pytest.mark.slow)])
def test_editors(place: EnginePlace, edits: int, monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """Sixteen editors at once: every handler is there at the end, and when all are taken out, the file is as before."""
    monkeypatch.setattr(lock, "WAIT_S", 300.0)  # sixteen on a busy machine may wait for their turn
    names = [f"editor-{number}" for number in range(EDITORS)]
    all_at_once(edit, [(place, name, (edits - 2) // 2) for name in names])
    document = json.loads((place.etc / "daemon.json").read_text())
    assert sorted(document.pop("runtimes")) == sorted(names)
    assert document == json.loads(BEFORE)
    for name in names:
        unconfigure(place.target("docker", name=name))
    assert place.files() == {"daemon.json": BEFORE}
    assert place.litter() == []
    record_property("amount", f"{EDITORS * edits} edits")


def all_at_once(act: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Have a process for each of *arguments* do something, and see that all succeed."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=act, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {process.exitcode for process in processes} == {0}


def edit_carelessly(file: Path, name: str, rounds: int) -> None:
    """Add keys with a lock on the very file that is replaced."""
    for number in range(rounds):
        with file.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            document = json.load(stream)
            document[f"{name}-{number}"] = 1
            new = file.with_name(name)
            new.write_text(json.dumps(document))
            new.rename(file)


def test_careless_editors(place: EnginePlace, record_property: Record) -> None:
    """The same sixteen lose edits when they lock the file itself, which is another one as soon as it is replaced."""
    file = place.etc / "daemon.json"
    all_at_once(edit_carelessly, [(file, f"editor-{number}", 20) for number in range(EDITORS)])
    lost = EDITORS * 20 + len(json.loads(BEFORE)) - len(json.loads(file.read_text()))
    assert lost > 0
    record_property("control", f"{lost} of {EDITORS * 20} edits lost")


HOLDER = """
import sys, time
from ocihooks.engines.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(1000)
"""


@contextmanager
def holder(place: EnginePlace) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    (place.root / "state").mkdir(exist_ok=True)
    words = [sys.executable, "-I", "-c", HOLDER, f"{place.root}/state/engines.lock"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


KILLS = 5


def seconds_until_held(place: EnginePlace) -> float:
    """How long after its holder is killed the next one, who waits for the lock, holds it."""
    waits = threading.Event()

    def hold() -> float:
        waits.set()
        with lock.locked(f"{place.root}/state/engines.lock"):
            return time.monotonic()

    with holder(place) as process, ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        waits.wait()
        time.sleep(0.1)
        assert not held.done()
        before = time.monotonic()
        process.kill()
        return held.result() - before


def test_holder_killed(place: EnginePlace, monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """Once the holder is dead, the next one holds the lock in less than a second (the median counts), and goes on."""
    monkeypatch.setattr(lock, "WAIT_S", 300.0)
    took_s = sorted(seconds_until_held(place) for _ in range(KILLS))
    assert took_s[KILLS // 2] < 1, took_s
    with holder(place) as process:
        process.kill()
        assert configure(place.target("docker")).changed
    record_property("amount", f"{KILLS} holders killed, whose lock the next one has in less than 1 s")


@pytest.mark.parametrize("wait_s", [0.2, pytest.param(10, marks=pytest.mark.slow)])
def test_holder_stopped(place: EnginePlace, wait_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that does not go on is named, with how to look at it, when ten seconds are over; nothing is written."""
    assert lock.WAIT_S == 10
    monkeypatch.setattr(lock, "WAIT_S", wait_s)
    with holder(place) as process:
        os.kill(process.pid, signal.SIGSTOP)
        before = time.monotonic()
        with pytest.raises(LockedError) as caught:
            configure(place.target("docker"))
        assert wait_s <= time.monotonic() - before < wait_s + 30
    assert caught.value.message.startswith(f"process {process.pid} has been changing an engine's configuration for")
    assert caught.value.hint == f"look at what it does: ps -f -p {process.pid}"
    assert caught.value.file == f"{place.root}/state/engines.lock"
    assert place.files() == {"daemon.json": BEFORE}


def test_foreign_editor(place: EnginePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes the file without our lock while we work on it keeps the change, and we start anew."""
    from ocihooks.install import configure as module

    real = module.write_all
    foreign = '{\n  "debug": true\n}\n'

    def slow(*arguments: object) -> None:
        monkeypatch.setattr(module, "write_all", real)
        place.write("daemon.json", foreign)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_all", slow)
    configure(place.target("docker"))
    document = json.loads((place.etc / "daemon.json").read_text())
    assert document["debug"] is True
    assert list(document["runtimes"]) == ["ocihooks"]
    unconfigure(place.target("docker"))
    assert place.files() == {"daemon.json": foreign}
