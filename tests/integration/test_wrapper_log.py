"""The wrapper's own log: which rules went into which container, or why one was refused; it never fails a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import Notes, Simulated, Wrapper, assert_refused, give_away, rules_of

from ocihooks.testing.runtimes import PrivateRuntime

Record = Callable[[str, object], None]

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
def test_log_that_is_no_log(simulated: Simulated, trap: Callable[[Path], None], record_property: Record) -> None:
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
    record_property("amount", "1 logs that are none")


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


TEXTS: dict[str, bytes] = {
    "control-characters": b'\\n{\\"level\\":\\"info\\"}\\u001b[2J\\r\\u0085\\u2028',
    "large": b"x" * (1 << 20),
    "not-utf-8": b"\xff\xfe\xc3\x28",
    "raw-line-feed": b'\n{"level":"info","container":"forged"}\n',
}
"""What may stand in a container's configuration where something else should."""


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_of_configurations(simulated: Simulated, text: bytes, record_property: Record) -> None:
    """Whatever a refused configuration holds, our log and the runtime's have one line about it, and not a long one."""
    log, runtimes = simulated.directory / "log", simulated.directory / "log.json"
    simulated.wrapper.write_settings(log=str(log))
    simulated.wrapper.write_rule("a.json", hook=CAT)
    simulated.bundle.write_config(
        simulated.bundle.config_path.read_bytes().replace(b"{", b'{"hooks":"' + text + b'",', 1)
    )
    assert_refused(simulated.create("--log", str(runtimes), "--log-format", "json"))
    for lines in (entries(log), entries(runtimes)):
        (line,) = lines
        assert line["level"] == "error"
        assert "config.json" in line["msg"]
        assert len(line["msg"]) < 4000
    assert "forged" not in {line.get("container") for line in entries(log)}
    record_property("amount", "1 hostile texts")


def test_full_file_system(simulated: Simulated, record_property: Record) -> None:
    """Where only a part of a line fits, the container starts, and the next line is one again when there is room."""
    place, copy = simulated.directory / "small", simulated.directory / "copy"
    place.mkdir()
    simulated.wrapper.write_settings(log=str(place / "log"))
    simulated.wrapper.write_rule("a.json", hook=CAT)
    words = [str(simulated.wrapper.script), "create", "--bundle", str(simulated.bundle.directory)]
    script = f"""
        mount -t tmpfs -o size=8k none {place} || exit 77
        printf '%4000s\\n' '{{}}' >{place}/log
        chmod 600 {place}/log
        printf x >{place}/ballast
        "$@" first || exit 1
        rm {place}/ballast
        "$@" second || exit 1
        cp {place}/log {copy}
    """
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *words], capture_output=True, check=False)
    if done.returncode == 77:
        pytest.skip(f"can't mount: {done.stderr!r}")
    assert (done.returncode, done.stderr) == (0, b"")
    _, piece, line = copy.read_text().splitlines()
    assert piece[:1] == "{"
    assert piece[-1] != "}"
    assert json.loads(line)["container"] == "second"
    record_property("amount", "1 logs that are full")


NAIVE = """
import sys
with open(sys.argv[1], "a") as log:
    log.write(f'{"{"}"msg":"{sys.argv[2]}"{"}"}\\n')
"""
"""What somebody writes who thinks of no harm."""


def test_the_naive_log(tmp_path: Path, record_property: Record) -> None:
    """Control: a log that is opened and written as usual gets forged lines, writes through links, waits and fails."""

    def write(log: Path, text: str = "x") -> str:
        try:
            done = subprocess.run(
                [sys.executable, "-c", NAIVE, str(log), text], capture_output=True, check=False, timeout=3
            )
        except subprocess.TimeoutExpired:
            return "waits"
        return "fails" if done.returncode else "writes"

    faults = {trap.__name__: "" for trap in (fifo, link, second_name, full)}
    for trap in (fifo, link, second_name, full):
        place = tmp_path / trap.__name__
        place.mkdir()
        trap(place / "log")
        faults[trap.__name__] = write(place / "log")
    assert faults == {"fifo": "waits", "link": "writes", "second_name": "writes", "full": "fails"}
    assert [(tmp_path / name / "target").read_text() for name in ("link", "second_name")] == ['{"msg":"x"}\n'] * 2
    write(tmp_path / "log", 'x"}\n{"msg":"forged')
    assert [entry["msg"] for entry in entries(tmp_path / "log")] == ["x", "forged"]
    record_property("control", f"{len(faults) + 1} ways to harm a log that is written as usual")
