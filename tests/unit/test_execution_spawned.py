"""A hook as a child of its caller, step by step: who counts as a child, what is reaped, and what is closed."""

from __future__ import annotations

import errno
import os
import posix
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import ocihooks
from ocihooks.execution import descendants, spawned
from ocihooks.execution.process import KILL, LEAVE, TERM
from ocihooks.execution.spawned import SpawnedHook

SOURCE = Path(ocihooks.__file__).parents[1]

Start = Callable[[], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that waits, and ends it with the test."""
    with ExitStack() as stack:

        def wait() -> int:
            process = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(process.kill)
            return process.pid

        yield wait


def end(child: int) -> None:
    """Have a child end, but not reaped."""
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def is_reaped(child: int) -> bool:
    """Whether a child has ended, and its status was taken."""
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


@pytest.fixture
def hook() -> SpawnedHook:
    """A hook that was not started."""
    return SpawnedHook([])


def test_children_of_the_caller_are_only_looked_at(start: Start) -> None:
    """A child that lives is not waited for, and the status of one that has ended is not taken away."""
    child = start()
    assert spawned._has_children() is True
    assert descendants.started_at(child) > 0
    end(child)
    assert spawned._has_children() is True
    assert not is_reaped(child)


@pytest.mark.parametrize("difference", [-1, 1], ids=["later", "earlier"])
def test_number_that_is_used_again(start: Start, monkeypatch: pytest.MonkeyPatch, difference: int) -> None:
    """What has the number of a process that a hook left behind, but another start, is somebody else's."""
    child = start()
    end(child)
    monkeypatch.setattr(spawned, "_left", {(child, descendants.started_at(child) + difference)})
    spawned._reap_left()
    assert (spawned._left, is_reaped(child)) == (set(), False)


def test_those_that_were_left_and_live(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hook left behind is reaped when it has ended, however that was, and no sooner."""
    lives, killed = start(), start()
    end(killed)
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        left = {(pid, descendants.started_at(pid)) for pid in (lives, killed, ended.pid)}
        monkeypatch.setattr(spawned, "_left", left)
        spawned._reap_left()
        assert [pid for pid, _ in left] == [lives]
        assert (is_reaped(lives), is_reaped(killed), is_reaped(ended.pid)) == (False, True, True)


def test_somebody_elses_leftovers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hook of our parent left behind is not our child, and is forgotten."""
    parent = os.getppid()
    monkeypatch.setattr(spawned, "_left", {(parent, descendants.started_at(parent))})
    spawned._reap_left()
    assert spawned._left == set()


INHERITABLE = """
import os, posix, sys
sys.path.insert(0, sys.argv[1])
from ocihooks.execution import spawned
if sys.argv[2] == "uncounted":
    real = posix.stat
    posix.stat = lambda path: type("Status", (), {"st_size": 0})() if path == spawned._DESCRIPTORS else real(path)
os.open("/dev/null", os.O_RDONLY)
for number in map(int, sys.argv[3:]):
    os.dup2(1, number)
print(*sorted(spawned._inheritable()))
"""


@pytest.mark.parametrize("way", ["counted", "uncounted"])
@pytest.mark.parametrize(
    "numbers", [(), (3,), (4,), (3, 4), (4, 5, 6), (5,), (4, 9)], ids=lambda numbers: "-".join(map(str, numbers))
)
def test_descriptors_that_a_child_would_get(way: str, numbers: tuple[int, ...]) -> None:
    """Those that are inheritable are found, with gaps between them and without, also where the kernel counts none."""
    words = [sys.executable, "-I", "-S", "-c", INHERITABLE, str(SOURCE), way, *map(str, numbers)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == [str(number) for number in numbers], done.stderr


def test_descriptor_that_is_closed() -> None:
    """A descriptor that was closed meanwhile goes to nobody."""
    reader, writer = os.pipe()
    os.close(writer)
    assert (spawned._is_inheritable(reader), spawned._is_inheritable(writer)) == (False, False)
    os.set_inheritable(reader, True)
    assert spawned._is_inheritable(reader) is True
    os.close(reader)


def test_orphans_are_reaped(start: Start, hook: SpawnedHook) -> None:
    """The answer says whether there was one; the guard is none, whatever its number is."""
    first, guard, last = start(), start(), start()
    hook._guard = guard
    hook._reap_children()  # those of others
    assert hook._reap_children() is False
    end(first)
    end(guard)
    assert (hook._reap_children(), is_reaped(first), is_reaped(guard)) == (True, True, False)
    end(last)
    assert (hook._reap_children(), hook._reap_children(), is_reaped(guard)) == (True, False, False)


def test_hook_is_reaped_last(start: Start, hook: SpawnedHook) -> None:
    """A hook that has ended keeps its number until nobody is left to be killed by it; its end is noted once."""
    hook.pid = start()
    end(hook.pid)
    assert (hook.ready(), hook.exited, hook.status, hook.killed) == (True, True, -signal.SIGKILL, 0)
    hook._reap_children()
    assert not is_reaped(hook.pid)
    hook._ending = True
    hook._reap_all()
    assert (is_reaped(hook.pid), hook.status, hook.killed) == (True, -signal.SIGKILL, 0)


def test_status_of_a_hook(hook: SpawnedHook) -> None:
    """The status of a hook that ends by itself is its own."""
    with subprocess.Popen(["sh", "-c", "exit 3"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        hook.pid = process.pid
        assert (hook.ready(), hook.status, is_reaped(process.pid)) == (True, 3, False)


def test_hook_that_somebody_else_has_reaped(hook: SpawnedHook) -> None:
    """Nobody knows how a hook ended whose status was taken away."""
    hook.pid = os.getppid()
    assert (hook.ready(), hook.exited, hook.status) == (True, True, None)


@pytest.mark.parametrize("guard", [None, -1])
def test_no_guard(hook: SpawnedHook, monkeypatch: pytest.MonkeyPatch, guard: int | None) -> None:
    """Where there is no guard nobody gets its signal."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(spawned, "send", lambda *words: sent.append(words))
    hook._guard = guard
    hook._dismiss_guard()
    assert (sent, hook._guard) == ([], None)


def test_guard_goes(start: Start, hook: SpawnedHook) -> None:
    """A guard is killed, waited for and forgotten, and so is its pipe."""
    guard = start()
    reader, writer = os.pipe()
    hook._guard, hook._orders = guard, writer
    hook._dismiss_guard()
    assert (is_reaped(guard), hook._guard is None, hook._orders < 0) == (True, True, True)
    assert os.read(reader, 1) == b""
    hook._dismiss_guard()
    os.close(reader)


def test_hook_that_was_not_started_leaves_children_alone(start: Start, hook: SpawnedHook) -> None:
    """The caller's children keep their status when a run ends before its hook was started."""
    child = start()
    end(child)
    hook.release()
    assert (is_reaped(child), hook.finished, hook.killed) == (False, True, 0)


@pytest.mark.parametrize(
    ("orders", "killed"),
    [((LEAVE,), 0), ((KILL,), 3), ((b"",), 3), ((TERM, KILL), 3)],
    ids=["leave", "kill", "release", "term"],
)
def test_deaths(monkeypatch: pytest.MonkeyPatch, hook: SpawnedHook, orders: tuple[bytes, ...], killed: int) -> None:
    """Those that our signals ended are counted; only the hook's own end is its status, whatever the numbers are."""
    endings = [
        (700, signal.SIGTERM),
        (699, signal.SIGKILL),
        (701, signal.SIGKILL),
        (702, signal.SIGSEGV),
        (698, 3 << 8),
        (703, 9 << 8),
    ]
    monkeypatch.setattr(posix, "waitpid", waited(endings))
    monkeypatch.setattr(spawned, "signal_children", lambda _: True)
    hook.pid, hook._was_subreaper = 700, True
    for order in orders:
        hook.order(order)
    assert (hook.status, hook.exited, hook.finished, hook.killed) == (-signal.SIGTERM, True, True, killed)
    assert hook.alive == ()


def waited(answers: Iterable[tuple[int, int]]) -> Callable[..., tuple[int, int]]:
    """Stands in for waitpid: *answers*, and then no child is left."""
    left = iter(answers)

    def waitpid(child: int, options: int) -> tuple[int, int]:
        found = next(left, None)
        assert (child, options) == (-1, posix.WNOHANG)
        if found is None:
            raise ChildProcessError(errno.ECHILD, "No child processes")
        return found

    return waitpid


@pytest.mark.parametrize(
    ("answers", "is_all"),
    [
        pytest.param([], True, id="none"),
        pytest.param([(701, 0)] * 5, True, id="all-have-ended"),
        pytest.param([(701, 0)] * 5 + [(0, 0)], False, id="one-lives"),
        pytest.param([(701, 0)] * 10_000, False, id="endless"),
    ],
)
def test_nobody_is_left(
    monkeypatch: pytest.MonkeyPatch, hook: SpawnedHook, answers: list[tuple[int, int]], is_all: bool
) -> None:
    """All are gone when there is no child any more; children that end faster than they are reaped prove nothing."""
    monkeypatch.setattr(posix, "waitpid", waited(answers))
    assert hook._reap_all() is is_all


def test_request_to_end(monkeypatch: pytest.MonkeyPatch, hook: SpawnedHook) -> None:
    """Asking a hook to end signals its children once, and is not the last order."""
    sent: list[int] = []
    monkeypatch.setattr(spawned, "signal_children", sent.append)
    hook.pid, hook._was_subreaper = 700, True
    hook.order(TERM)
    assert (sent, hook.finished, hook._ending) == ([signal.SIGTERM], False, True)


def test_deaths_before_the_end(monkeypatch: pytest.MonkeyPatch, hook: SpawnedHook) -> None:
    """Nobody counts as killed by us as long as we have killed nobody."""
    endings = iter([(701, signal.SIGKILL), (702, signal.SIGTERM), (0, 0)])
    monkeypatch.setattr(posix, "waitpid", lambda *_: next(endings))
    assert (hook._reap_all(), hook.killed) == (False, 0)


def test_what_lives_on(start: Start, monkeypatch: pytest.MonkeyPatch, hook: SpawnedHook) -> None:
    """All that a successful hook leaves is told, and noted to be reaped when the next one runs."""
    child = start()
    monkeypatch.setattr(spawned, "_left", set())
    hook.pid, hook._was_subreaper = child, True
    hook.order(LEAVE)
    assert (child in hook.alive, (child, descendants.started_at(child)) in spawned._left) == (True, True)
    assert (hook.killed, hook.finished, is_reaped(child)) == (0, True, False)
