"""How long the runner of hooks waits for what, and what it does meanwhile, by a clock that goes only when it waits."""

from __future__ import annotations

import gc
import os
import posix
import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NoReturn

import pytest

from ocihooks.execution import keeper, process, run, spawned
from ocihooks.execution.output import Stream
from ocihooks.execution.process import KILL, LEAVE, TERM, HookProcess
from ocihooks.execution.run import Run
from ocihooks.execution.spawned import SpawnedHook

NOBODY = 4194305
"""A number that no process has."""

LEADER = 700
"""The number of a hook that was not really started."""

ALL_OF_IT = (LEADER, signal.SIGKILL)


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Calls:
    """The calls of functions that others stand in for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._all: list[tuple[str, tuple[Any, ...]]] = []

    def replace(self, owner: object, name: str, answer: Callable[..., object] = lambda *_: None) -> None:
        """Note the calls of a function, which *answer* stands in for."""

        def noted(*words: object) -> object:
            self._all.append((name, words))
            assert len(self._all) < 30_000, "this would last for ever"
            return answer(*words)

        self._patch.setattr(owner, name, noted)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of that function."""
        return [words for called, words in self._all if called == name]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all modules that wait."""
    made = Clock()
    for module in (keeper, process, run, spawned):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The calls of what a test replaces."""
    return Calls(monkeypatch)


def kept(*, lost: bool = False) -> HookProcess:
    """A hook under a keeper that is nobody."""
    made = HookProcess()
    made.pid, made._keeper, made.lost = LEADER, NOBODY, lost
    return made


@pytest.mark.parametrize(("lost", "seconds"), [(False, 0.15), (True, 0.7)], ids=["hangs", "lost"])
def test_doing_without_a_keeper(clock: Clock, calls: Calls, lost: bool, seconds: float) -> None:
    """A hook that does not end though its session is killed is not waited for long; a lost keeper gets no signal."""
    calls.replace(process, "signal_session", lambda *_: True)
    calls.replace(process, "send")
    hook = kept(lost=lost)
    hook.abandon()
    assert clock.now == pytest.approx(seconds, abs=0.011)
    assert set(calls.of("signal_session")) == {ALL_OF_IT}
    assert calls.of("send") == ([] if lost else [(NOBODY, signal.SIGKILL)])
    assert (hook.exited, hook.finished, hook.lost) == (True, True, True)


def test_end_of_a_session(clock: Clock, calls: Calls) -> None:
    """A session is killed until nobody is left in it, and no longer."""
    answers = iter([True, True, False])
    calls.replace(process, "signal_session", lambda *_: next(answers))
    calls.replace(process, "send")
    kept().abandon()
    assert len(calls.of("signal_session")) == 3
    assert clock.now == pytest.approx(0.02)


def test_nothing_to_do_without(clock: Clock, calls: Calls) -> None:
    """Where nothing was started nobody is signalled."""
    calls.replace(process, "signal_session")
    calls.replace(process, "send")
    HookProcess().abandon()
    assert (calls.of("signal_session"), calls.of("send")) == ([], [])


@pytest.mark.parametrize("order", [TERM, KILL, LEAVE])
def test_last_order_to_a_keeper_that_hangs(clock: Clock, calls: Calls, order: bytes) -> None:
    """Without its keeper a hook's session is killed, unless what is left of it was to live on."""
    calls.replace(process, "signal_session", lambda *_: False)
    calls.replace(process, "send")
    hook = kept()
    hook.finished = True  # so that nothing is written
    hook.order(order)
    hook.abandon()
    assert calls.of("signal_session") == ([] if order == LEAVE else [ALL_OF_IT])


class StillPump:
    """Stands in for a pump whose streams have nothing to say."""

    def __init__(self, clock: Clock, *, is_noisy: bool) -> None:
        self.clock = clock
        self.is_noisy = is_noisy

    def wait(self, seconds: float | None) -> None:
        assert seconds is not None, "this would last for ever"
        self.clock.sleep(seconds)

    def has(self, *_: Stream) -> bool:
        return self.is_noisy


def run_of(clock: Clock, *, is_noisy: bool = False, wants_no_more: bool = False, **options: Any) -> Run:
    """A run whose hook does nothing more; *options* are those of the run, and members of the process."""
    hook = kept()
    for name in ("exited", "finished", "lost", "status", "failure"):
        setattr(hook, name, options.pop(name, getattr(hook, name)))
    given = {"drain_s": None, "kill_grace_s": 0, "kill_leftovers": False} | options
    made = Run(**given, process=hook)
    made._pump = StillPump(clock, is_noisy=is_noisy)  # type: ignore[assignment]
    if wants_no_more:
        made._cancel = Cancelled()  # type: ignore[assignment]
    return made


class Cancelled:
    """A request that is there."""

    requested = True


ENDED: dict[str, Any] = {"exited": True, "status": 0}
FAILED: dict[str, Any] = {"exited": True, "status": 3}

FOLLOWED = {
    "never-ends": ({}, 10.0, (10.6, [KILL], "timed out", True)),
    "time-was-over": ({}, 0.0, (0.6, [KILL], "timed out", True)),
    "grace": ({"kill_grace_s": 3}, 10.0, (13.6, [TERM, KILL], "timed out", True)),
    "less-than-a-second-of-grace": ({"kill_grace_s": 0.5}, 10.0, (11.1, [TERM, KILL], "timed out", True)),
    "no-grace-after-the-end": (ENDED | {"is_noisy": True, "kill_grace_s": 3}, 10.0, (10.8, [KILL], "timed out", True)),
    "never-silent": (ENDED | {"is_noisy": True}, 10.0, (10.8, [KILL], "timed out", True)),
    "drained": (ENDED | {"is_noisy": True, "drain_s": 2}, 10.0, (3.0, [LEAVE], "", True)),
    "drained-without-limit": (ENDED | {"is_noisy": True, "drain_s": 2}, None, (3.0, [LEAVE], "", True)),
    "nothing-to-drain": (ENDED | {"is_noisy": True, "drain_s": 0}, None, (1.0, [LEAVE], "", True)),
    "limit-first": (ENDED | {"is_noisy": True, "drain_s": 20}, 10.0, (10.8, [KILL], "timed out", True)),
    "limit-ends-drain": (
        ENDED | {"is_noisy": True, "drain_s": 20, "limit_ends_drain": True},
        10.0,
        (11.0, [LEAVE], "", True),
    ),
    "drained-before-the-limit": (
        ENDED | {"is_noisy": True, "drain_s": 2, "limit_ends_drain": True},
        10.0,
        (3.0, [LEAVE], "", True),
    ),
    "drained-though-no-limit": (
        ENDED | {"is_noisy": True, "drain_s": 2, "limit_ends_drain": True},
        None,
        (3.0, [LEAVE], "", True),
    ),
    "late-all-the-same": ({"drain_s": 20, "limit_ends_drain": True}, 10.0, (10.6, [KILL], "timed out", True)),
    "cancelled-all-the-same": (
        ENDED | {"is_noisy": True, "wants_no_more": True, "drain_s": 20, "limit_ends_drain": True},
        10.0,
        (0.8, [KILL], "cancelled", True),
    ),
    "failed": (FAILED, 10.0, (0.6, [KILL], "", True)),
    "failed-and-noisy": (FAILED | {"is_noisy": True}, 10.0, (10.8, [KILL], "timed out", True)),
    "failed-and-drained": (FAILED | {"is_noisy": True, "drain_s": 2}, 10.0, (0.8, [KILL], "", True)),
    "leftovers": (ENDED | {"is_noisy": True, "kill_leftovers": True}, 10.0, (0.8, [KILL], "", True)),
    "not-started": (
        {"exited": True, "finished": True, "failure": ("exec", 2), "is_noisy": True},
        10.0,
        (0.2, [KILL], "", False),
    ),
    "lost": ({"exited": True, "finished": True, "lost": True, "is_noisy": True}, 10.0, (0.2, [KILL], "", True)),
    "answered": (ENDED | {"finished": True}, 10.0, (0.0, [LEAVE], "", False)),
    "cancelled": ({"wants_no_more": True}, 10.0, (0.6, [KILL], "cancelled", True)),
    "cancelled-and-noisy": (
        ENDED | {"is_noisy": True, "wants_no_more": True},
        10.0,
        (0.8, [KILL], "cancelled", True),
    ),
    "cancelled-and-drained": (
        ENDED | {"is_noisy": True, "wants_no_more": True, "drain_s": 2},
        10.0,
        (0.8, [KILL], "cancelled", True),
    ),
}
"""The hook, the limit, and what has to come of it: seconds, orders, the end, and whether the keeper is abandoned."""


@pytest.mark.parametrize(("hook", "limit", "expected"), FOLLOWED.values(), ids=FOLLOWED)
def test_following_a_hook(
    clock: Clock,
    calls: Calls,
    hook: dict[str, Any],
    limit: float | None,
    expected: tuple[float, list[bytes], str, bool],
) -> None:
    """A hook that does nothing more is waited for as long as its limits say, and then given up in a second."""
    clock.now = 5.0
    one = run_of(clock, **hook)
    calls.replace(one.process, "order")
    calls.replace(one.process, "abandon")
    one.follow(None if limit is None else 5.0 + limit)
    end = "cancelled" if one.cancelled else "timed out" if one.timed_out else ""
    orders = [order for (order,) in calls.of("order")]
    assert (orders, end, len(calls.of("abandon")) == 1) == expected[1:]
    assert one.wall_s == pytest.approx(expected[0])


@pytest.mark.parametrize(
    ("one", "other", "sooner"),
    [
        pytest.param(None, None, None, id="none"),
        pytest.param(1.0, None, 1.0, id="first"),
        pytest.param(None, 2.0, 2.0, id="second"),
        pytest.param(1.0, 2.0, 1.0, id="first-of-both"),
        pytest.param(3.0, 2.0, 2.0, id="second-of-both"),
        pytest.param(0.0, None, 0.0, id="at-once"),
    ],
)
def test_sooner(one: float | None, other: float | None, sooner: float | None) -> None:
    """A wait lasts until the limit or the next look, whichever comes first."""
    assert run._sooner(one, other) == sooner


@pytest.fixture
def watch(clock: Clock, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Iterator[keeper._Watch]:
    """What a keeper does, in this process, which no death wakes up."""
    ends = [*os.pipe(), *os.pipe(), *os.pipe()]
    monkeypatch.setattr(keeper, "_wake_up_on_deaths", lambda: ends[0])
    made = keeper._Watch(LEADER, orders=ends[2], reports=ends[5])
    made.poll.register(made.orders)
    calls.replace(made, "wait", clock.sleep)
    calls.replace(keeper, "signal_descendants")
    calls.replace(keeper, "send")
    yield made
    for fd in ends:
        os.close(fd)


def test_keeper_gives_up(clock: Clock, calls: Calls, watch: keeper._Watch) -> None:
    """What hangs in the kernel is killed again and again for half a second, every eighth time with all below it."""
    calls.replace(keeper, "signal_children", lambda *_: True)
    calls.replace(watch, "reap", lambda: False)
    watch.kill()
    rounds = len(calls.of("signal_children"))
    assert clock.now == pytest.approx(0.5, abs=0.006)
    assert set(calls.of("wait")) == {(0.005,)}
    assert len(calls.of("signal_descendants")) == rounds // 8
    assert set(calls.of("signal_children") + calls.of("signal_descendants")) == {(signal.SIGKILL,)}
    assert calls.of("send") == []


def test_keeper_looks_deeper_at_the_eighth_attempt(calls: Calls, watch: keeper._Watch) -> None:
    """A short kill is not slowed down by looking through all processes."""
    found: list[int] = []

    def reap() -> bool:
        found.append(len(calls.of("signal_descendants")))
        watch.alone = len(found) == 9
        return False

    calls.replace(keeper, "signal_children", lambda *_: True)
    calls.replace(watch, "reap", reap)
    watch.kill()
    assert found == [0] * 7 + [1, 1]


def test_keeper_without_proc(calls: Calls, watch: keeper._Watch) -> None:
    """Where no children are known the hook's own group is killed; while children are reaped nothing is waited for."""
    answers = [True, True, False]

    def reap() -> bool:
        watch.alone = len(answers) == 1
        return answers.pop(0)

    calls.replace(keeper, "signal_children", lambda *_: False)
    calls.replace(watch, "reap", reap)
    watch.kill()
    assert calls.of("send") == [(-LEADER, signal.SIGKILL)] * 3
    assert len(calls.of("wait")) == 1


@pytest.mark.parametrize(
    ("order", "is_last", "kills"),
    [(TERM, False, False), (KILL, True, True), (b"", True, True), (LEAVE, True, False)],
    ids=["term", "kill", "caller-is-gone", "leave"],
)
def test_orders(calls: Calls, watch: keeper._Watch, order: bytes, is_last: bool, kills: bool) -> None:
    """An order ends all that is left, asks it to end, or lets it live; only a request is not the last one."""
    calls.replace(keeper, "signal_children", lambda *_: True)
    calls.replace(watch, "kill")
    assert watch.obey(order) is is_last
    assert calls.of("signal_children") == ([(signal.SIGTERM,)] if order == TERM else [])
    assert (len(calls.of("kill")) == 1, watch.ending) == (kills, order != LEAVE)


@pytest.mark.parametrize(("number", "reports"), [(LEADER - 1, 0), (LEADER, 1), (LEADER + 1, 0)])
@pytest.mark.parametrize("ending", [True, False])
def test_deaths(calls: Calls, watch: keeper._Watch, number: int, reports: int, ending: bool) -> None:
    """Those that our signals ended are counted, and only the hook's own end is reported, whatever the numbers are."""
    calls.replace(keeper, "_report")
    watch.ending = ending
    for status in (0, 3, -signal.SIGSEGV, -signal.SIGKILL, -signal.SIGTERM, signal.SIGKILL):
        watch.note(number, status)
    assert (watch.killed, len(calls.of("_report"))) == (2 if ending else 0, 6 * reports)


def test_reaping_in_parts(calls: Calls, watch: keeper._Watch) -> None:
    """Children that end faster than they are reaped do not keep the keeper from its other work."""
    calls.replace(posix, "waitpid", lambda *_: (NOBODY, 0))
    assert watch.reap() is True
    assert 10 < len(calls.of("waitpid")) < 1000
    assert set(calls.of("waitpid")) == {(-1, posix.WNOHANG)}
    calls.replace(posix, "waitpid", lambda *_: (0, 0))
    assert (watch.reap(), watch.alone) == (False, False)


def test_nobody_left_to_reap(calls: Calls, watch: keeper._Watch) -> None:
    """A keeper without children is alone, and looks no further."""

    def none(*_: int) -> NoReturn:
        raise ChildProcessError

    calls.replace(posix, "waitpid", none)
    assert (watch.reap(), watch.alone, len(calls.of("waitpid"))) == (False, True, 1)


@pytest.fixture
def hook(clock: Clock, calls: Calls) -> SpawnedHook:
    """A hook that is to be our child, which was not started."""
    made = SpawnedHook([])
    calls.replace(made, "_fork_guard", lambda: setattr(made, "_guard", -1))
    return made


def test_looks_become_rarer(clock: Clock, calls: Calls, hook: SpawnedHook) -> None:
    """A hook is looked after for the first time after 10 ms, then less and less, but once a second at least."""
    answers = [False] * 9 + [True, False]
    calls.replace(hook, "_reap_children", lambda: answers.pop(0))
    clock.now = 0.004
    assert hook.look_after() == pytest.approx(0.006)
    assert (calls.of("_fork_guard"), len(answers)) == ([], 11)
    waits: list[float] = []
    clock.now = 0.01
    while answers and len(waits) < 20:
        waits.append(hook.look_after())
        clock.sleep(waits[-1])
    expected = [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0, 0.01, 0.02]
    assert waits == pytest.approx(expected)
    assert len(calls.of("_fork_guard")) == 1


def test_killing_what_does_not_end(clock: Clock, calls: Calls, hook: SpawnedHook) -> None:
    """What hangs in the kernel is killed again and again for half a second, every eighth time with all below it."""
    calls.replace(spawned, "signal_children")
    calls.replace(spawned, "signal_descendants")
    calls.replace(hook, "_reap_all", lambda: False)
    hook._kill()
    assert clock.now == pytest.approx(0.5, abs=0.0015)
    assert len(calls.of("signal_descendants")) == len(calls.of("signal_children")) // 8 == 500 // 8
    assert set(calls.of("signal_children") + calls.of("signal_descendants")) == {(signal.SIGKILL,)}


def test_killing_goes_on_as_long_as_something_ends(clock: Clock, calls: Calls, hook: SpawnedHook) -> None:
    """As long as one ends after the other killing goes on, but no longer than five seconds."""

    rounds = count()
    calls.replace(spawned, "signal_children")
    calls.replace(spawned, "signal_descendants")
    calls.replace(hook, "_reap_all", lambda: reap(hook, next(rounds) % 100 == 0))  # each tenth of a second
    hook._kill()
    assert clock.now == pytest.approx(5.0, abs=0.0015)


def reap(hook: SpawnedHook, has_died: bool) -> bool:
    """Stands in for reaping when others are left."""
    hook.killed += has_died
    return False


def test_killing_ends_half_a_second_after_the_last_that_ended(clock: Clock, calls: Calls, hook: SpawnedHook) -> None:
    """What is left when one has ended gets as much time again."""

    rounds = count()
    calls.replace(spawned, "signal_children")
    calls.replace(spawned, "signal_descendants")
    calls.replace(hook, "_reap_all", lambda: reap(hook, next(rounds) == 300))
    hook._kill()
    assert clock.now == pytest.approx(0.8, abs=0.0025)


@pytest.mark.parametrize(("rounds", "deeper"), [(0, 0), (2, 0), (7, 0), (8, 1), (15, 1), (16, 2)])
def test_killing_ends_with_the_last(calls: Calls, hook: SpawnedHook, rounds: int, deeper: int) -> None:
    """When nobody is left nobody is signalled; a short kill is not slowed down by looking through all processes."""
    answers = [False] * rounds + [True]
    calls.replace(spawned, "signal_children")
    calls.replace(spawned, "signal_descendants")
    calls.replace(hook, "_reap_all", lambda: answers.pop(0))
    hook._kill()
    assert (len(calls.of("signal_children")), len(calls.of("signal_descendants"))) == (rounds, deeper)


class LeftError(Exception):
    """Stands in for the end of a process."""


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "hangs"])
def test_guard(clock: Clock, calls: Calls, ends: bool) -> None:
    """A guard whose caller is gone kills the hook's tree and then its session, for a second at most."""

    def leave(_: int) -> NoReturn:
        raise LeftError

    answers = iter([True, True, False] if ends else [True] * 2000)
    calls.replace(keeper, "close_all_but")
    calls.replace(posix, "setsid")
    calls.replace(gc, "disable")
    calls.replace(posix, "read", lambda *_: b"")
    calls.replace(posix, "_exit", leave)
    calls.replace(spawned, "descendants", lambda _: [701, 702])
    calls.replace(spawned, "send")
    calls.replace(spawned, "signal_session", lambda *_: next(answers))
    with pytest.raises(LeftError):
        spawned.guard(LEADER, NOBODY)
    assert calls.of("close_all_but") == [({NOBODY},)]
    assert calls.of("read") == [(NOBODY, 1)]
    assert calls.of("descendants") == [(LEADER,)]
    assert calls.of("send") == [(701, signal.SIGKILL), (702, signal.SIGKILL)]
    assert set(calls.of("signal_session")) == {ALL_OF_IT}
    assert clock.now == pytest.approx(0.002 if ends else 1.0, abs=0.0015)
    assert calls.of("_exit") == [(0,)]
