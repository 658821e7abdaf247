"""Who is signalled when a hook is over: its own processes, and nobody else's. No signal is sent here."""

from __future__ import annotations

import os
import posix
import signal
import subprocess
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


def test_proc_of_another_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A /proc that has another number for us is not believed."""
    monkeypatch.setattr(posix, "readlink", lambda _: str(os.getpid() + 1))
    assert descendants.proc_is_ours() is False
