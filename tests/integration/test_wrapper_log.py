"""The wrapper's own log: which rules went into which container, or why one was refused; it never fails a container."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import Notes, Simulated, Wrapper, assert_refused, give_away, rules_of

from ocihooks.testing.runtimes import PrivateRuntime

CAT = {"path": "/bin/cat"}


def entries(log: Path) -> list[dict[str, Any]]:
    """The log's lines."""
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.runtime
def test_log(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """One line for each container, with its id, bundle and the rules that went into it; other operations add none."""
    log = runtime.directory / "log"
    wrapper.write_settings(log=str(log))
    wrapper.write_rule("a.json", hook=notes.hook("a"), when={"annotations": {"org.example": "^yes$"}})
    wrapper.write_rule("b.json", hook=notes.hook("b"), stages=["prestart", "poststop"])
    ids = []
    for value in ("yes", "no"):
        bundle = runtime.make_bundle(annotations={"org.example": value})
        ids.append(runtime.new_id())
        call = runtime.run_container(bundle, container_id=ids[-1], program=wrapper.script)
        assert (call.status, call.stderr) == (0, ""), call
    assert runtime.call("list", program=wrapper.script).status == 0
    first, second = entries(log)
    assert [first["container"], second["container"]] == ids
    assert first["rules"] == ["a.json createRuntime", "b.json prestart", "b.json poststop"]
    assert second["rules"] == ["b.json prestart", "b.json poststop"]
    assert {entry["level"] for entry in (first, second)} == {"info"}
    assert {entry["operation"] for entry in (first, second)} == {"run"}
    assert second["bundle"] == str(bundle.directory)
    assert log.stat().st_mode & 0o7777 == 0o600


def test_log_of_refusals(simulated: Simulated) -> None:
    """A container that is refused has a line that says why."""
    log = simulated.directory / "log"
    simulated.wrapper.write_settings(log=str(log))
    simulated.wrapper.write_file("a.json", "{")
    assert_refused(simulated.create())
    (entry,) = entries(log)
    assert (entry["level"], entry["container"], entry["operation"]) == ("error", "c1", "create")
    assert "a.json: line 1 column" in entry["msg"]


def test_no_log_by_default(simulated: Simulated) -> None:
    """Without a setting no log is written anywhere."""
    simulated.wrapper.write_rule("a.json", hook=CAT)
    before = set(simulated.directory.iterdir())
    assert simulated.create().returncode == 0
    assert {path.name for path in set(simulated.directory.iterdir()) - before} == {"calls", "state"}


def directory(log: Path) -> None:
    log.mkdir()


def fifo(log: Path) -> None:
    os.mkfifo(log)


def link(log: Path) -> None:
    log.symlink_to(log.with_name("target"))


def second_name(log: Path) -> None:
    log.with_name("target").write_text("")
    os.link(log.with_name("target"), log)


def of_somebody_else(log: Path) -> None:
    log.write_text("")
    give_away(log)


def full(log: Path) -> None:
    log.symlink_to("/dev/full")


TRAPS: list[Callable[[Path], None]] = [directory, fifo, link, second_name, of_somebody_else, full]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_log_that_is_no_log(simulated: Simulated, trap: Callable[[Path], None]) -> None:
    """Whatever is in the log's place, the container starts with its hooks, and nothing is written there."""
    log = simulated.directory / "log"
    trap(log)
    simulated.wrapper.write_settings(log=str(log))
    simulated.wrapper.write_rule("a.json", hook=CAT)
    call = simulated.create()
    assert (call.returncode, call.stderr) == (0, ""), call
    assert rules_of(simulated.bundle) == ["a.json"]
    target = log.with_name("target")
    assert not target.exists() or target.read_text() == ""
    assert not log.is_file() or log.read_text() == ""


def test_text_of_containers(simulated: Simulated) -> None:
    """What others choose can't forge a line: names with line breaks stay within theirs, long ones are cut."""
    log = simulated.directory / "log"
    simulated.wrapper.write_settings(log=str(log))
    simulated.wrapper.write_rule('x\n{"level":"info"}\n.json', hook=CAT)
    container = "c" * 5000
    words = ("create", "--bundle", str(simulated.bundle.directory), container)
    simulated.call(*words)
    (entry,) = entries(log)
    assert entry["rules"] == ['x\n{"level":"info"}\n.json createRuntime']
    assert entry["container"].startswith("c" * 1024 + "…")
