"""Simulated containers against real ones of the same bundle: which hooks run in which order, and what they get."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ocihooks.simulation.lifecycle import simulate
from ocihooks.spec.stage import STAGES
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.configs import bind_mount
from ocihooks.testing.recorder import RecordedHook, read_recorded, recording_hook
from ocihooks.testing.runtimes import PrivateRuntime

pytestmark = pytest.mark.runtime

VERSIONS = {"runc": "1.1.", "crun": "1.8."}
"""What the flavours are about."""


@pytest.fixture
def known_runtime(runtime: PrivateRuntime, monkeypatch: pytest.MonkeyPatch) -> PrivateRuntime:
    """Each runtime, if it is of the version that the flavour is about; the test's directory is that of its calls."""
    if not runtime.version.startswith(VERSIONS[runtime.name]):
        pytest.skip(f"the flavour is about {runtime.name} {VERSIONS[runtime.name]}, this is {runtime.version}")
    monkeypatch.chdir(runtime.directory)
    return runtime


def record_file(runtime: PrivateRuntime) -> Path:
    """Where hooks write to, in a directory that containers mount."""
    directory = runtime.directory / "records"
    directory.mkdir()
    return directory / "log"


def hooks(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Two recording hooks for each stage."""
    return {
        stage: [recording_hook(f"{stage}{n}", "/mnt/log" if stage == "startContainer" else file) for n in (0, 1)]
        for stage in STAGES
    }


def short_hooks(file: Path, failing: str) -> dict[str, list[dict[str, Any]]]:
    """A hook for each stage that writes down its stage, and in front of it in the stage *failing* one that fails."""
    found = {}
    for stage in STAGES:
        target = "/mnt/log" if stage == "startContainer" else file
        found[stage] = [noting(stage, target)]
        if stage == failing:
            found[stage].insert(0, noting(f"{stage}-fails", target, "; exit 7"))
    return found


def noting(word: str, target: str | Path, rest: str = "") -> dict[str, Any]:
    """A hook that writes down a word."""
    script = f"cat > /dev/null; echo {word} >> {target}{rest}"
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}


def live(runtime: PrivateRuntime, bundle: MadeBundle, container_id: str) -> list[int]:
    """Create, start and delete a container as far as that goes; returns the statuses."""
    statuses = [runtime.create(bundle, container_id).status]
    if statuses == [0]:
        statuses.append(runtime.start(container_id).status)
        runtime.wait_for_status(container_id, "stopped")
        statuses.append(runtime.delete(container_id).status)
    return statuses


def taken(file: Path) -> tuple[RecordedHook, ...]:
    """What is recorded, which is then forgotten."""
    records = read_recorded(file)
    file.unlink()
    return records


def seen(records: Sequence[RecordedHook]) -> dict[str, Any]:
    """What each hook was given, where process ids and names of namespaces are told by what they are."""
    host = records[0]
    pid = host.state["pid"]
    return {
        record.label: {
            "cwd": record.cwd,
            "environment": record.environment,
            "state": record.state | ({"pid": "host"} if record.state.get("pid") == pid else {}),
            "own": sorted(kind for kind, name in record.namespaces.items() if name != host.namespaces[kind]),
        }
        for record in records
    }


def order(labels: Sequence[str]) -> list[str]:
    """The hooks in order, those of startContainer first, which crun runs at the same time as others."""
    inside = [label for label in labels if label.startswith("startContainer")]
    return inside + [label for label in labels if label not in inside]


def test_same_hooks_with_the_same_surroundings(known_runtime: PrivateRuntime) -> None:
    """Hooks run in the same order with the same state, working directory, environment and kinds of namespaces."""
    runtime, container_id = known_runtime, known_runtime.new_id()
    file = record_file(runtime)
    bundle = runtime.make_bundle(
        hooks=hooks(file),
        mounts=[bind_mount(str(file.parent), "/mnt")],
        annotations={"org.example": "<yes>", "a": "ä"},
    )
    before = bundle.config_path.read_bytes()
    assert live(runtime, bundle, container_id) == [0, 0, 0]
    real = taken(file)
    simulation = simulate(bundle.config(), bundle.directory, flavour=runtime.name, container_id=container_id)
    made = taken(file)
    assert simulation.ok
    assert order([record.label for record in made]) == order([record.label for record in real])
    assert seen(made) == seen(real)
    assert seen(made)["createContainer0"]["own"] == ["ipc", "mnt", "pid", "uts"]
    assert bundle.config_path.read_bytes() == before
    assert not os.path.exists(f"/proc/{made[0].state['pid']}")


@pytest.mark.parametrize("stage", STAGES)
def test_same_consequences(stage: str, known_runtime: PrivateRuntime) -> None:
    """After a failing hook the same hooks run, or don't."""
    runtime = known_runtime
    file = record_file(runtime)
    bundle = runtime.make_bundle(hooks=short_hooks(file, stage), mounts=[bind_mount(str(file.parent), "/mnt")])
    statuses = live(runtime, bundle, runtime.new_id())
    real = file.read_text().split()
    file.unlink()
    simulation = simulate(bundle.config(), bundle.directory, flavour=runtime.name)
    assert order(file.read_text().split()) == order(real)
    failed = simulation.stage(stage)
    assert [run.status for run in failed.failed] == [7]
    told = failed.consequence or ""
    assert ("create fails" in told) == (statuses[0] != 0)
    assert statuses[0] == 0 or f"status {statuses[0]}" in told
    assert ("no poststop hook runs" in told) == (not any(label.startswith("poststop") for label in real))
