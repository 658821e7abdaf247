"""
While somebody exchanges what is in the root for links to the host, nothing is changed or seen where the links lead.

The control is somebody who looks at a path and then uses it, and is caught by the same attack.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.unit import racing
from tests.unit.racing import KERNELS, KINDS, Attack

from ocihooks.injector import rootfs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")

SHORT_S = 0.3
FULL_S, ON_OTHER_KERNELS_S, CONTROL_S = 60, 20, 5
LEAST_EXCHANGES = 200_000

CONFINED = "landlock"
INJECTED = [kind for kind in KINDS if kind != CONFINED]
GROUPS = [INJECTED[:5], INJECTED[5:]]
"""Kinds that race at the same time: with more of them, attacker and attacked would hardly ever run at once."""

Record = Callable[[str, object], None]


class Race(NamedTuple):
    """What came of one of several races at once."""

    escapes: int
    runs: int
    exchanges: int
    of_temporaries: int


def all_at_once(
    place: Path, kinds: Iterable[str], form: str, seconds: float, *, kernel: str = "openat2", least: int = 0
) -> dict[str, Race]:
    """Races of all *kinds* at the same time, each in a root and in processes of its own."""
    started = {}
    for kind in kinds:
        (place / form / kind / "root").mkdir(parents=True)
        words = [str(place / form / kind / "root"), kind, form, kernel, str(seconds), str(least)]
        command = [sys.executable, racing.__file__, *words]
        started[kind] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ended = {kind: process.communicate(timeout=5 * seconds + 60) for kind, process in started.items()}
    assert {kind: said for kind, (_, said) in ended.items() if said} == {}
    return {kind: Race(*json.loads(printed)) for kind, (printed, _) in ended.items()}


def assert_held(races: dict[str, Race], record_property: Record) -> None:
    """No race was lost, and each was one."""
    print(races)
    assert {kind: race.escapes for kind, race in races.items() if race.escapes} == {}
    for kind, race in races.items():
        assert race.runs > (0 if kind == CONFINED else 20), kind
    record_property("amount", f"{sum(race.runs for race in races.values()):,} runs")
    record_property("amount", f"{sum(race.exchanges for race in races.values()):,} exchanges of names")
    temporaries = sum(race.of_temporaries for race in races.values())
    record_property("amount", f"{temporaries:,} exchanges of files that were not in place yet")


@pytest.mark.parametrize("kind", INJECTED)
def test_short_race(root: Path, kind: str) -> None:
    """Nothing is made, changed, removed or read where the links lead."""
    attack = Attack(root, kind, "careful", SHORT_S)
    assert (attack.escapes, attack.runs > 0, attack.exchanges > 20) == (0, True, True), str(attack)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", GROUPS, ids="-".join)
def test_races(tmp_path: Path, kinds: list[str], record_property: Record) -> None:
    """In a minute and 200,000 exchanges for each kind nothing is made, changed, removed or read outside."""
    races = all_at_once(tmp_path, kinds, "careful", FULL_S, least=LEAST_EXCHANGES)
    assert_held(races, record_property)
    for kind, race in races.items():
        assert race.exchanges >= LEAST_EXCHANGES, kind
        assert race.of_temporaries > 0 or kind not in ("copy", "link", "mknod", "unlink"), kind


OTHER_KERNELS = [kernel for kernel in KERNELS if kernel != "openat2"]


@pytest.mark.parametrize("kernel", OTHER_KERNELS)
def test_short_race_on_other_kernels(root: Path, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the kernel can't resolve inside a root, or says most of the time that it is not sure."""
    monkeypatch.setattr(rootfs, "openat2", KERNELS[kernel])
    attack = Attack(root, "copy", "careful", SHORT_S)
    assert (attack.escapes, attack.runs > 0, attack.exchanges > 20) == (0, True, True), str(attack)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", OTHER_KERNELS)
def test_races_on_other_kernels(tmp_path: Path, kernel: str, record_property: Record) -> None:
    """The same where the kernel can't resolve inside a root, or says most of the time that it is not sure."""
    assert_held(all_at_once(tmp_path, INJECTED, "careful", ON_OTHER_KERNELS_S, kernel=kernel), record_property)


@pytest.mark.parametrize("seconds", [1, pytest.param(20, marks=pytest.mark.slow)], ids=["short", "full"])
def test_naive_under_landlock(tmp_path: Path, seconds: float, record_property: Record) -> None:
    """Even somebody who looks at a path and then uses it can't escape from the worker."""
    try:
        assert_held(all_at_once(tmp_path, [CONFINED], "careful", seconds), record_property)
    except AssertionError as error:
        if "no Landlock" in str(error):
            pytest.skip("the kernel has no Landlock")
        raise


@pytest.mark.parametrize("kind", ["copy", "read"])
def test_the_naive_escape(root: Path, kind: str, record_property: Record) -> None:
    """The same attack gets somebody who looks at a path and then uses it to write or read outside."""
    attack = Attack(root, kind, "naive", 4 * CONTROL_S, enough=1)
    assert attack.escapes == 1, str(attack)
    record_property("control", f"1 escapes of the naive {kind} (the first one ends the attack)")


@pytest.mark.slow
@pytest.mark.parametrize("kinds", GROUPS, ids="-".join)
def test_all_the_naive_escape(tmp_path: Path, kinds: list[str], record_property: Record) -> None:
    """Whatever somebody does who looks at a path and then uses it, the same attack gets them to do it outside."""
    races = all_at_once(tmp_path, kinds, "naive", CONTROL_S, least=1)
    print(races)
    assert [kind for kind, race in races.items() if not race.escapes] == []
    for kind, race in races.items():
        record_property("control", f"{race.escapes:,} escapes of the naive {kind}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"
