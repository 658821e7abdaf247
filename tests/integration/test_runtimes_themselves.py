"""The test kit on the real runtimes, and their hook stages as we know them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from ocihooks.spec.stage import STAGES, Stage
from ocihooks.testing.bundles import MadeBundle, make_bundle, make_rootfs
from ocihooks.testing.configs import bind_mount
from ocihooks.testing.fake import FakeRuntime
from ocihooks.testing.recorder import RecordedHook, read_recorded, recording_hook, recording_hooks
from ocihooks.testing.runtimes import Call, InstalledRuntime, PrivateRuntime

pytestmark = pytest.mark.runtime

# As recorded from these versions: stage, status and pid in the state, working directory, bundle in the state.
# HOST stands for the container's pid on the host, CALLER for the working directory of the call.
HOST = -1
TABLES = {
    "runc 1.1.5": (
        ("prestart", "creating", HOST, "BUNDLE", "BUNDLE"),
        ("createRuntime", "creating", HOST, "BUNDLE", "BUNDLE"),
        ("createContainer", "creating", 1, "ROOTFS", "BUNDLE"),
        ("poststart", "created", HOST, "BUNDLE", "BUNDLE"),
        ("startContainer", "created", 1, "/", "BUNDLE"),
        ("poststop", "stopped", None, "CALLER", "BUNDLE"),
    ),
    "crun 1.8.1": (
        ("prestart", "created", HOST, "BUNDLE", "BUNDLE"),
        ("createRuntime", "created", HOST, "BUNDLE", "BUNDLE"),
        ("createContainer", "created", 0, "BUNDLE", "BUNDLE"),
        ("startContainer", "starting", 0, "/", "/"),
        ("poststart", "running", HOST, "BUNDLE", "BUNDLE"),
        ("poststop", "stopped", 0, "BUNDLE", "BUNDLE"),
    ),
}

Row = tuple[str, str, int | None, str, str]


def record_directory(runtime: PrivateRuntime) -> Path:
    """A directory that hooks of this runtime's containers can write to."""
    directory = runtime.directory / "records"
    directory.mkdir()
    if runtime.user is not None:
        os.chown(directory, *runtime.user.owner)
    return directory


def live(runtime: PrivateRuntime, bundle: MadeBundle) -> tuple[str, int]:
    """Create, start and delete a container; returns what it printed, and its pid on the host."""
    container_id = runtime.new_id()
    created = runtime.create(bundle, container_id)
    assert created.status == 0, created
    state = runtime.state(container_id)
    assert state is not None
    started = runtime.start(container_id)
    assert started.status == 0, started
    runtime.wait_for_status(container_id, "stopped")
    deleted = runtime.delete(container_id)
    assert deleted.status == 0, deleted
    return created.stdout, int(state["pid"])


def row(record: RecordedHook, runtime: PrivateRuntime, bundle: MadeBundle, pid: int) -> Row:
    """A record in the words of the tables."""
    words = {str(bundle.directory): "BUNDLE", str(bundle.rootfs): "ROOTFS", str(runtime.directory): "CALLER"}
    seen = record.state.get("pid")
    return (
        record.label,
        record.state["status"],
        HOST if seen == pid else seen,
        words.get(record.cwd, record.cwd),
        words.get(record.state["bundle"], record.state["bundle"]),
    )


def on_host(rows: Iterable[Row]) -> list[str]:
    """The stages in order but startContainer, whose hooks crun runs at the same time as those of poststart."""
    return [stage for stage, *_ in rows if stage != "startContainer"]


def is_alive(pid: int) -> bool:
    """Whether a process exists that has not ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "\nState:\tZ" not in status


def test_run(runtime: PrivateRuntime) -> None:
    """A container made by the kit runs its program and leaves nothing behind."""
    bundle = runtime.make_bundle(args=["sh", "-c", "echo $GREETING from $(hostname)"], env=["PATH=/bin", "GREETING=hi"])
    call = runtime.run_container(bundle)
    assert (call.status, call.stdout, call.stderr) == (0, "hi from ocihooks\n", "")
    assert runtime.containers() == ()


def test_exit_status(runtime: PrivateRuntime) -> None:
    """The status of the container's program is the status of run."""
    assert runtime.run_container(runtime.make_bundle(args=["sh", "-c", "exit 42"])).status == 42


def test_states(runtime: PrivateRuntime) -> None:
    """A container is created, running and stopped in turn, with the annotations of its bundle, and then unknown."""
    bundle = runtime.make_bundle(args=["sleep", "100"], annotations={"org.example": "yes"})
    container_id = runtime.new_id()
    steps: tuple[tuple[Callable[[], Call], str], ...] = (
        (partial(runtime.create, bundle, container_id), "created"),
        (partial(runtime.start, container_id), "running"),
        (partial(runtime.kill, container_id), "stopped"),
    )
    for step, status in steps:
        call = step()
        assert call.status == 0, call
        runtime.wait_for_status(container_id, status)
        state = runtime.state(container_id)
        assert state is not None
        assert state["annotations"] == {"org.example": "yes"}
    assert runtime.delete(container_id).status == 0
    assert runtime.state(container_id) is None


def test_stages(runtime: PrivateRuntime) -> None:
    """Hooks of all six stages run once, with the order, state and working directory that this version is known for."""
    table = TABLES.get(f"{runtime.name} {runtime.version.partition('+')[0]}")
    if table is None:
        pytest.skip(f"stages are recorded for {', '.join(TABLES)}, not for {runtime.name} {runtime.version}")
    directory = record_directory(runtime)
    bundle = runtime.make_bundle(
        args=["echo", "hello"],
        annotations={"org.example": "yes"},
        hooks=recording_hooks(directory / "log", "/mnt/log"),
        mounts=[bind_mount(str(directory), "/mnt")],
    )
    output, pid = live(runtime, bundle)
    records = read_recorded(directory / "log")
    rows = [row(record, runtime, bundle, pid) for record in records]
    assert output == "hello\n"
    assert sorted(rows, key=str) == sorted(table, key=str)
    assert on_host(rows) == on_host(table)
    assert all(record.state["annotations"] == {"org.example": "yes"} for record in records)


def test_failing_hook(runtime: PrivateRuntime) -> None:
    """A failing createRuntime hook makes create fail, with nothing of the container left; later stages do not run."""
    directory = record_directory(runtime)
    hooks = recording_hooks(directory / "log", "/mnt/log")
    hooks["createRuntime"].append(recording_hook("fails", directory / "log", exit_status=7))
    container_id = runtime.new_id()
    call = runtime.create(runtime.make_bundle(hooks=hooks, mounts=[bind_mount(str(directory), "/mnt")]), container_id)
    ran = [record.label for record in read_recorded(directory / "log")]
    assert call.status != 0
    assert "7" in call.stderr
    assert ran[:3] == ["prestart", "createRuntime", "fails"]
    assert set(ran[3:]) <= {"poststop"}
    assert runtime.state(container_id) is None


def test_rootless(rootless_runtime: PrivateRuntime) -> None:
    """An ordinary user runs a container in which that user is root."""
    user = rootless_runtime.user
    assert user is not None
    command = "id -u; tr -s ' ' < /proc/self/uid_map"
    call = rootless_runtime.run_container(rootless_runtime.make_bundle(args=["sh", "-c", command]))
    assert (call.status, call.stdout) == (0, f"0\n 0 {user.uid} 1\n"), call


def test_rootless_stages(rootless_runtime: PrivateRuntime) -> None:
    """Hooks of all six stages run rootless, too."""
    directory = record_directory(rootless_runtime)
    bundle = rootless_runtime.make_bundle(
        hooks=recording_hooks(directory / "log", "/mnt/log"), mounts=[bind_mount(str(directory), "/mnt")]
    )
    live(rootless_runtime, bundle)
    ran = [record.label for record in read_recorded(directory / "log")]
    assert sorted(ran) == sorted(STAGES)
    assert ran[-1] == "poststop"


def test_wrapped(runtime: PrivateRuntime) -> None:
    """A program in the runtime's place gets the same command line, and its container the private state."""
    wrapper = runtime.directory / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$@" > {runtime.directory}/seen\nexec {runtime.path} "$@"\n')
    wrapper.chmod(0o755)
    bundle = runtime.make_bundle(args=["echo", "wrapped"])
    call = runtime.run_container(bundle, container_id="c1", program=wrapper)
    seen = (runtime.directory / "seen").read_text()
    assert call.stdout == "wrapped\n"
    assert seen == f"--root {runtime.root} run --bundle {bundle.directory} c1\n"


def test_environment(runtime: PrivateRuntime) -> None:
    """Commands get exactly the environment, working directory and input that the test names."""
    call = runtime.execute(
        ["/bin/sh", "-c", "/usr/bin/env; pwd; cat"], cwd=runtime.root, env={"A": "1", "PWD": "/"}, stdin=b"input"
    )
    assert call.stdout == f"A=1\nPWD={runtime.root}\n{runtime.root}\ninput"


def test_leftovers(runtime: PrivateRuntime) -> None:
    """Containers that a test leaves, running or created, end when its runtime is closed."""
    pids = []
    for start in (True, False):
        container_id = runtime.new_id()
        assert runtime.create(runtime.make_bundle(args=["sleep", "100"]), container_id).status == 0
        if start:
            assert runtime.start(container_id).status == 0
        state = runtime.state(container_id)
        assert state is not None
        pids.append(state["pid"])
    assert all(is_alive(pid) for pid in pids)
    runtime.close()
    assert runtime.containers() == ()
    assert not any(is_alive(pid) for pid in pids)


def test_shared_rootfs(runtime: PrivateRuntime, rootfs: Path) -> None:
    """Containers can write below /tmp, /dev/shm and their mounts only, so bundles may share a root file system."""
    before = sorted(path for path in rootfs.rglob("*"))
    command = "touch /tmp/a /dev/shm/a /run/a /etc/a; ls /tmp /dev/shm"
    call = runtime.run_container(runtime.make_bundle(args=["sh", "-c", command]))
    assert call.stdout == "/dev/shm:\na\n\n/tmp:\na\n"
    assert call.stderr.count("Read-only file system") == 2
    assert sorted(path for path in rootfs.rglob("*")) == before


def test_simulated_stages(tmp_path: Path, fake_runtime: FakeRuntime) -> None:
    """The fake runtime runs the stages in the order, and with the states, that the spec says."""
    rootfs = make_rootfs(tmp_path / "rootfs")
    log = rootfs / "tmp/log"
    inside = "/tmp/log" if os.geteuid() == 0 else log  # only root's startContainer hooks see the root file system
    bundle = make_bundle(tmp_path / "bundle", rootfs=rootfs, hooks=recording_hooks(log, inside), annotations={"a": "b"})
    runtime = PrivateRuntime(
        InstalledRuntime(name="fake", path=fake_runtime.path, version="1"), tmp_path / "private", rootfs=rootfs
    )
    container_id = runtime.new_id()
    with runtime:
        for call in (
            runtime.create(bundle, container_id),
            runtime.start(container_id),
            runtime.kill(container_id),
            runtime.delete(container_id),
        ):
            assert call.status == 0, call
    records = read_recorded(log)
    assert [record.label for record in records] == list(STAGES)
    assert [record.state["status"] for record in records] == [*["creating"] * 3, "created", "running", "stopped"]
    assert [Stage(record.label).operation for record in records] == [*["create"] * 3, *["start"] * 2, "delete"]
    assert ["pid" in record.state for record in records] == [True] * 5 + [False]
    assert all(record.state["bundle"] == str(bundle.directory) for record in records)
