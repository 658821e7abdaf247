"""Who is signalled when a hook is over: its own processes, and nobody else's."""

from __future__ import annotations

import os
import posix
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ocihooks.execution import descendants

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that waits, and ends it with the test."""
    with ExitStack() as stack:

        def wait(**options: bool | int) -> int:
            process = stack.enter_context(subprocess.Popen(["sleep", "60"], **options))  # type: ignore[call-overload]
            stack.callback(process.kill)
            return int(process.pid)

        yield wait


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What would have been signalled: target and number."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(descendants, "send", lambda target, number: found.append((target, number)))
    return found


def test_only_that_session(start: Start, sent: list[tuple[int, int]]) -> None:
    """Of three sessions only the processes of the one that is named are signalled, whatever their numbers are."""
    _, middle, _ = (start(start_new_session=True) for _ in range(3))
    assert descendants.signal_session(middle, signal.SIGTERM) is True
    assert sent == [(middle, signal.SIGTERM)]


def test_no_such_session(start: Start, sent: list[tuple[int, int]]) -> None:
    """Where nobody is in a session nobody is signalled, and the answer says so."""
    other = start()
    assert descendants.signal_session(other, signal.SIGTERM) is False
    assert sent == []


def test_groups_of_children(start: Start, sent: list[tuple[int, int]]) -> None:
    """A child is signalled with its group, but alone where that group is ours."""
    in_ours, in_its_own = start(), start(process_group=0)
    assert descendants.signal_children(signal.SIGKILL) is True
    assert {(in_ours, signal.SIGKILL), (-in_its_own, signal.SIGKILL)} <= set(sent)
    assert (-os.getpgrp(), signal.SIGKILL) not in sent


def test_group_of_several_children(start: Start, sent: list[tuple[int, int]]) -> None:
    """A group is signalled once, however many of our children are in it, so that no handler runs twice."""
    first = start(process_group=0)
    start(process_group=first)
    descendants.signal_children(signal.SIGTERM)
    assert sent.count((-first, signal.SIGTERM)) == 1


@pytest.mark.parametrize(
    ("group", "ours", "is_alone"),
    [
        pytest.param(700, 900, False, id="below-ours"),
        pytest.param(900, 700, False, id="above-ours"),
        pytest.param(2, 700, False, id="lowest"),
        pytest.param(700, 700, True, id="ours"),
        pytest.param(1, 700, True, id="the-number-of-all"),
        pytest.param(0, 700, True, id="of-another-namespace"),
    ],
)
def test_numbers_of_groups(
    start: Start,
    sent: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    ours: int,
    is_alone: bool,
) -> None:
    """A child is signalled alone where its group's number would mean us, our whole group or everybody."""
    child = start()
    monkeypatch.setattr(descendants, "children", lambda: [child])
    monkeypatch.setattr(posix, "getpgid", lambda _: group)
    monkeypatch.setattr(posix, "getpgrp", lambda: ours)
    descendants.signal_children(signal.SIGKILL)
    assert sent == [(child if is_alone else -group, signal.SIGKILL)]


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_signal_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch, error: type[OSError]) -> None:
    """It is no error that a process is gone, or became another user's."""

    def refuse(target: int, number: int) -> None:
        raise error(target, number)

    monkeypatch.setattr(posix, "kill", refuse)
    descendants.send(4194305, signal.SIGKILL)


def test_descendants_of_all_generations() -> None:
    """Children, their children and so on are found, however deep."""
    script = "sh -c 'sleep 60 & echo $!; wait; :' & wait; :"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        deepest = int(child.stdout.readline())
        found = descendants.descendants(os.getpid())
        assert (child.pid in found, deepest in found, len(descendants.descendants(child.pid))) == (True, True, 2)
        os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture
def without_standard_input() -> Iterator[None]:
    """The next descriptor has the number 0."""
    kept = os.dup(0)
    os.close(0)
    yield
    os.dup2(kept, 0)
    os.close(kept)


def test_held_by_the_first_descriptor(
    start: Start, without_standard_input: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descendant that is held by the descriptor 0 is signalled as well, and the descriptor given back."""
    child = start(start_new_session=True)
    monkeypatch.setattr(descendants, "descendants", lambda _: [child])  # what other tests have started goes on
    descendants.signal_descendants(signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(0)


def test_process_that_cannot_be_held() -> None:
    """Where there is no descriptor the number is none."""
    assert descendants._held(4194305) < 0


def test_time_of_the_start(start: Start) -> None:
    """A process is known by the time of its start, in ticks since the machine started; nobody has the time 0."""
    ticks = os.sysconf("SC_CLK_TCK")
    before = int(time.clock_gettime(time.CLOCK_BOOTTIME) * ticks)
    child = start()
    assert before - 1 <= descendants.started_at(child) <= int(time.clock_gettime(time.CLOCK_BOOTTIME) * ticks) + 1
    assert descendants.started_at(4194305) == 0


def test_children_without_their_file(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not list children, they are found among all processes."""
    child = start()
    assert child in descendants.children()
    monkeypatch.setattr(descendants, "_CHILDREN", "/proc/self/nothing")
    assert child in descendants.children()
    assert os.getpid() not in descendants.children()


def test_without_proc(start: Start, sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc nobody is known, and so nobody is signalled by a number that may be a stranger's."""
    child = start(start_new_session=True)

    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(posix, "readlink", missing)
    assert descendants.proc_is_ours() is False
    assert (descendants.children(), descendants.descendants(os.getpid())) == ([], [])
    assert descendants.signal_session(child, signal.SIGTERM) is False
    assert sent == []


@pytest.mark.parametrize("number", ["1", "9999999"], ids=["lower", "higher"])
def test_proc_of_another_namespace(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """A /proc that has another number for us is not believed."""
    monkeypatch.setattr(posix, "readlink", lambda _: number)
    assert descendants.proc_is_ours() is False
