"""Fuzzers find no input that breaks a reader's laws; and they would find one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from fuzz.reach import fewest, reached
from fuzz.runs import ROOT, fuzz, minimised
from fuzz.targets import GROUPS, READERS

from ocihooks.errors import OCIHooksError, UnavailableError

SECONDS = 120
"""For each group of targets, shared by them."""

ENOUGH_S = 60
"""More than the careless survive."""

Record = Callable[[str, object], None]
Unavailable = Callable[[OCIHooksError], NoReturn]


@contextmanager
def fuzzers(unavailable: Unavailable) -> Iterator[None]:
    """What needs a fuzzer."""
    try:
        yield
    except UnavailableError as error:
        unavailable(error)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_nothing_is_found(group: str, tmp_path: Path, unavailable: Unavailable, record_property: Record) -> None:
    """Two minutes of inputs that are guided by what they reach break no law, and reach as much as what is kept."""
    targets = GROUPS[group]
    with fuzzers(unavailable):
        runs = [fuzz(target, SECONDS // len(targets), tmp_path / target) for target in targets]
    assert [(run.target, run.finding, run.said) for run in runs if run.finding is not None] == []
    assert all(run.tries > 20 and run.reached > 10 for run in runs)
    record_property("amount", f"{sum(run.tries for run in runs):,} guided inputs")
    record_property("amount", f"{SECONDS} s of fuzzers")


@pytest.mark.slow
def test_careless_reader(tmp_path: Path, unavailable: Unavailable, record_property: Record) -> None:
    """A reader in Python with a slip behind five comparisons is broken, and the input that does it is told."""
    with fuzzers(unavailable):
        run = fuzz("careless", ENOUGH_S, tmp_path / "run")
    assert run.finding is not None
    assert run.finding.startswith(b"hooks")
    assert "IndexError: the slip" in run.said
    record_property("control", f"a careless reader was broken by input {run.tries:,}")


@pytest.mark.slow
def test_careless_launcher(tmp_path: Path, unavailable: Unavailable, record_property: Record) -> None:
    """A launcher that looks one byte behind what it read is ended."""
    source = (ROOT / "launcher/launcher.c").read_text()
    careless = source.replace("while (at && at < end && memchr", "while (at && memchr")
    assert careless != source
    (tmp_path / "launcher.c").write_text(careless)
    with fuzzers(unavailable):
        run = fuzz("launcher-config", ENOUGH_S, tmp_path / "run", launcher=tmp_path / "launcher.c")
    assert run.finding is not None
    assert "AddressSanitizer: use-after-poison" in run.said
    record_property("control", f"a careless launcher was broken by input {run.tries:,}")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["words", "launcher-data"])
def test_few_inputs_are_kept(target: str, tmp_path: Path, unavailable: Unavailable) -> None:
    """Of all that a run collects only some inputs are needed to reach as much."""
    with fuzzers(unavailable):
        fuzz(target, 5, tmp_path / "run")
        smallest = minimised(target, tmp_path / "run")
    assert 3 < len(smallest) < len(list((tmp_path / "run/corpus").iterdir()))


def test_fewest() -> None:
    """What the chosen inputs reach is what all of them reach, and an input that adds nothing is not chosen."""
    inputs = [
        b"",
        b"{",
        b"{}",
        b"{ }",
        b'{"hooks":{}}',
        b'{"hooks":{}} ',
        b'{"hooks":[]}',
        b'{"process":{"args":["sh"]}}',
    ]
    chosen = fewest(READERS["config"], inputs)
    assert len(chosen) < len(inputs)
    assert frozenset().union(*(reached(READERS["config"], data) for data in chosen)) == frozenset().union(
        *(reached(READERS["config"], data) for data in inputs)
    )
    assert b'{"hooks":{}} ' not in chosen
