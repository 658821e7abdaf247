"""Running hooks at the limits of a process, and what happens when nothing is said about a limit."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ocihooks
from ocihooks.execution import runner
from ocihooks.execution.errors import HookNotRunnableError, HookTimeoutError
from ocihooks.execution.output import OUTPUT_LIMIT, Feed
from ocihooks.execution.process import HookProcess
from ocihooks.execution.runner import run_hook
from ocihooks.spec.hook import Hook

SOURCE = Path(ocihooks.__file__).parents[1]


def sh(script: str) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script), env=("PATH=/usr/bin:/bin",))


@pytest.fixture(params=["spawned", "kept"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs hooks as children of this process, if it has no others, and under a keeper."""
    if request.param == "kept":
        monkeypatch.setattr(runner, "process_for", lambda *_, **__: HookProcess())


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """This process can open so many more files."""
    free = [os.open("/dev/null", os.O_RDONLY) for _ in range(number + 1)]
    for fd in free:
        os.close(fd)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("left", range(6))
def test_too_many_open_files(left: int) -> None:
    """A process that can't open pipes is told so, and keeps none of those that it could open."""
    before = sorted(os.listdir("/proc/self/fd"))
    with descriptors_left(left), pytest.raises(HookNotRunnableError) as caught:
        run_hook(sh("exit 0"), b"{}")
    assert caught.value.message == "not started: no process for it: Too many open files"
    assert caught.value.code == "start_failed"
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_no_grace_period() -> None:
    """Unless a grace period is asked for, a hook that is late is killed without a warning."""
    with pytest.raises(HookTimeoutError) as caught:
        run_hook(sh("trap 'echo warned; exit' TERM; echo begun; sleep 60 & wait"), b"", timeout_s=0.4)
    result = caught.value.result
    assert result is not None
    assert (result.status, result.stdout) == (-signal.SIGKILL, b"begun\n")


WITHOUT_STREAMS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from ocihooks.execution import runner
from ocihooks.execution.process import HookProcess
from ocihooks.spec.hook import Hook

if sys.argv[3] == "kept":
    runner.process_for = lambda *_, **__: HookProcess()
for fd in map(int, sys.argv[4:]):
    os.close(fd)
odd = ("ODD",) if sys.argv[3] == "odd" else ()
hook = Hook(path="/bin/sh", args=("sh", "-c", "cat; echo told >&2"), env=("PATH=/usr/bin:/bin", *odd))
result = runner.run_hook(hook, "given")
with open(sys.argv[2], "wb") as stream:
    stream.write(result.stdout + b" " + result.stderr)
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 1, 2)], ids=str)
def test_caller_without_standard_streams(
    closed: tuple[int, ...], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A hook has all three streams, also when its caller has closed some of its own."""
    check_streams("kept" if "kept" in request.node.name else "spawned", closed, tmp_path / "out")


def test_odd_environment_of_a_caller_without_standard_input(tmp_path: Path) -> None:
    """The same, when the environment is one that only execve itself takes."""
    check_streams("odd", (0,), tmp_path / "out")


def check_streams(way: str, closed: tuple[int, ...], out: Path) -> None:
    words = [str(SOURCE), str(out), way, *map(str, closed)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_STREAMS, *words], check=False, timeout=60)
    assert (done.returncode, out.read_bytes()) == (0, b"given told\n")


def test_kept_output() -> None:
    """Of each stream of a supervised hook 64 KiB are kept, as its manual says."""
    assert OUTPUT_LIMIT == 65_536


def test_nobody_reads() -> None:
    """When nobody will read standard input it is given up at once, instead of trying until the hook ends."""
    reader, writer = os.pipe()
    os.close(reader)
    feed = Feed(writer, b"state")
    try:
        assert feed.ready() is True
    finally:
        feed.close()
