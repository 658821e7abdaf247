"""docs/explanation/stages.md against real runtimes: what hooks see in each stage, and what a failing one does."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.docs.markdown import PROJECT, tables
from tests.integration.wrappers import Notes

from ocihooks.spec.stage import STAGES, Stage
from ocihooks.testing.runtimes import PrivateRuntime

PAGE = PROJECT / "docs/explanation/stages.md"

TABLES = tables(PAGE)

VERSIONS = {"runc": "1.1", "crun": "1.8"}
"""What the tables were seen on."""

ENV = ["PATH=/usr/bin:/bin"]

FAILING = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null; echo heard >&2; exit 7"], "env": ENV}


def test_stages_and_namespaces() -> None:
    """The first table has the six stages in order, with the namespaces that the runtime-spec gives them."""
    where = {"runtime": "the runtime's namespaces", "container": "the container's namespaces"}
    looked_up = {"runtime": "on the host", "container": "in the container"}
    assert TABLES["The six stages"] == [
        [str(stage), where[stage.namespace], looked_up[stage.path_namespace]] for stage in Stage
    ]


def column(table: list[list[str]], index: int) -> dict[str, str]:
    """A column of *table* by stage."""
    assert [row[0] for row in table] == list(STAGES)
    return {row[0]: row[index] for row in table}


@pytest.fixture
def runtime_of_the_page(runtime: PrivateRuntime) -> PrivateRuntime:
    """Each runtime, if it is of the version that the page is about."""
    version = VERSIONS[runtime.name]
    if not runtime.version.startswith(f"{version}."):
        pytest.skip(f"the page is about {runtime.name} {version}, this is {runtime.version}")
    return runtime


@pytest.mark.runtime
def test_what_a_hook_sees(runtime_of_the_page: PrivateRuntime, notes: Notes) -> None:
    """Operation, status, pid, working directory and bundle in each stage are those of the table."""
    runtime = runtime_of_the_page
    table = TABLES[f"{runtime.name} {VERSIONS[runtime.name]}"]
    hooks = {stage: [notes.hook(stage, in_container=stage == "startContainer", env=ENV)] for stage in STAGES}
    bundle = runtime.make_bundle(hooks=hooks, mounts=[notes.mount])
    elsewhere = runtime.directory / "elsewhere"
    elsewhere.mkdir()
    container_id = runtime.new_id()
    during: dict[str, str] = {}

    def note(operation: str) -> None:
        for stage in notes.order():
            during.setdefault(stage, operation)

    assert runtime.create(bundle, container_id).status == 0
    note("create")
    state = runtime.state(container_id)
    assert state is not None
    assert runtime.start(container_id).status == 0
    runtime.wait_for_status(container_id, "stopped")
    note("start")
    assert runtime.delete(container_id, cwd=elsewhere).status == 0
    note("delete")

    pids = {state["pid"]: "host", None: "none"}
    places = {str(bundle.directory): "bundle", str(bundle.rootfs): "rootfs", str(elsewhere): "caller"}
    seen = {stage: notes.read(stage) for stage in STAGES}
    assert during == column(table, 1)
    assert {stage: note.state["status"] for stage, note in seen.items()} == column(table, 2)
    found = {stage: note.state.get("pid") for stage, note in seen.items()}
    assert {stage: pids.get(pid, str(pid)) for stage, pid in found.items()} == column(table, 3)
    assert {stage: places.get(note.cwd, note.cwd) for stage, note in seen.items()} == column(table, 4)
    bundles = {stage: note.state["bundle"] for stage, note in seen.items()}
    assert {stage: places.get(path, path) for stage, path in bundles.items()} == column(table, 5)
    assert all(("root" in note.state) == (runtime.name == "crun") for note in seen.values())


def outcome(runtime: PrivateRuntime, hooks: dict[str, Any]) -> tuple[str, str, str]:
    """Which call fails when a container with *hooks* is created, started and deleted; its output; is it there then?"""
    bundle = runtime.make_bundle(hooks=hooks, args=["echo", "the program ran"])
    container_id = runtime.new_id()
    created = runtime.create(bundle, container_id)
    if created.status != 0:
        there = "there" if runtime.state(container_id) else "gone"
        return f"create, status {created.status}", created.stdout, there
    for operation in (runtime.start, runtime.delete):
        called = operation(container_id)
        if called.status != 0:
            return f"{called.argv[-2]}, status {called.status}", created.stdout, ""
        if runtime.state(container_id):
            runtime.wait_for_status(container_id, "stopped")
    return "none", created.stdout, "gone"


@pytest.mark.runtime
@pytest.mark.parametrize("stage", STAGES)
def test_failing_hook(runtime_of_the_page: PrivateRuntime, notes: Notes, stage: str) -> None:
    """The call that fails, and whether the program and the poststop hooks run, are as the page says."""
    runtime = runtime_of_the_page
    hooks: dict[str, Any] = {"poststop": [notes.hook("poststop", env=ENV)]}
    hooks[stage] = [FAILING, *hooks.get(stage, ())]
    call, output, there = outcome(runtime, hooks)
    table = TABLES["When a hook fails"]
    assert call == column(table, 1 if runtime.name == "runc" else 2)[stage]
    expected = column(table, 3)[stage]
    ran = "the program ran" in output
    if expected == "differs":
        expected = "does not run" if runtime.name == "runc" else "runs"
    assert ran == (expected == "runs")
    assert there == "gone"
    if call.startswith("create"):
        assert notes.order() == (["poststop"] if runtime.name == "runc" else [])


@pytest.mark.runtime
def test_message_of_a_failing_hook(runtime_of_the_page: PrivateRuntime) -> None:
    """runc shows what the hook printed, crun does not; neither names the stage."""
    runtime = runtime_of_the_page
    bundle = runtime.make_bundle(hooks={"createRuntime": [FAILING]})
    created = runtime.create(bundle, runtime.new_id())
    assert created.status != 0
    assert ("heard" in created.stderr) == (runtime.name == "runc")
    assert "createRuntime" not in created.stderr


@pytest.mark.runtime
def test_failing_start_container_ends_with_status_1(runtime_of_the_page: PrivateRuntime) -> None:
    """run ends with the status of the container, which is 1."""
    bundle = runtime_of_the_page.make_bundle(hooks={"startContainer": [FAILING]})
    assert runtime_of_the_page.run_container(bundle).status == 1


@pytest.mark.runtime
@pytest.mark.parametrize("program", ["cat", "true"])
def test_hook_that_does_not_read(runtime_of_the_page: PrivateRuntime, program: str) -> None:
    """crun dies of SIGPIPE when a hook leaves a large state unread, but for callers that ignore the signal."""
    runtime = runtime_of_the_page
    hook = {"path": f"/bin/{program}", "env": ENV}
    statuses = []
    for words in ([], ["sh", "-c", 'trap "" PIPE; exec "$@"', "sh"]):
        bundle = runtime.make_bundle(hooks={"poststart": [hook]}, annotations={"large": "x" * 200_000})
        container_id = runtime.new_id()
        called = [*words, str(runtime.path)]
        assert runtime.create(bundle, container_id, program=called).status == 0
        statuses.append(runtime.start(container_id, program=called).status)
    dies = runtime.name == "crun" and program == "true"
    assert statuses == [-signal.SIGPIPE if dies else 0, 0]


@pytest.mark.runtime
def test_timeout(runtime_of_the_page: PrivateRuntime, notes: Notes) -> None:
    """runc waits for a child of the hook that holds its output open; crun goes on, and the child lives on."""
    runtime = runtime_of_the_page
    late = notes.directory / "late"
    child = f"sleep 3; echo late > {late}"
    slow = {"path": "/bin/sh", "args": ["sh", "-c", f"sh -c '{child}' & wait"], "env": ENV, "timeout": 1}
    bundle = runtime.make_bundle(hooks={"createRuntime": [slow]})
    created = runtime.create(bundle, runtime.new_id())
    assert created.status != 0
    assert late.exists() == (runtime.name == "runc")
    wait_for(late)


def wait_for(file: Path, timeout_s: float = 20.0) -> None:
    """Wait until *file* is there."""
    deadline = time.monotonic() + timeout_s
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.05)
