"""The inputs that fuzzers found worth keeping: no reader breaks a law on them, none is slow, and all readers agree."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import pytest
from fuzz.corpora import DIRECTORY, keep, kept, packed, unpack
from fuzz.seeds import SEEDS, seeds
from fuzz.targets import GROUPS, LAUNCHER, READERS
from fuzz.words import split
from tests.unit import launcher_programs
from tests.unit.document_limits import verdict_of
from tests.unit.interpreters import interpreters, read_by
from tests.unit.launcher_programs import Builds, Bundle, Case, answers
from tests.unit.test_document_limits import may_be_skipped
from tests.unit.test_launcher_agreement import is_create_in, is_no_create

from ocihooks.compiled.skip import MAGIC, _checksum

builds = launcher_programs.builds
sanitized = launcher_programs.sanitized
installed = launcher_programs.installed
bundle = launcher_programs.bundle

TARGETS = [target for targets in GROUPS.values() for target in targets]
MOST_BYTES = 200 << 10
"""What all kept inputs may take."""

LIMIT_S = 0.05
"""CPU seconds that an input may take where a container waits for it."""


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in LAUNCHER])
def test_readers(target: str) -> None:
    """Each kept input and each seed gets a verdict, none for all, and quickly where a container waits."""
    verdicts, slowest_s = set(), 0.0
    for data in (*seeds(target), *kept(target)):
        started = time.thread_time()
        verdicts.add(READERS[target](data))
        slowest_s = max(slowest_s, time.thread_time() - started)
    assert len(verdicts) > 1
    assert slowest_s <= LIMIT_S or target in GROUPS["administration"]


def test_all_are_kept() -> None:
    """Each target has kept inputs, which together are small, and nothing else is kept."""
    assert {file.stem for file in DIRECTORY.iterdir()} == set(TARGETS)
    assert all(len(kept(target)) > 2 for target in TARGETS)
    assert sum(file.stat().st_size for file in DIRECTORY.iterdir()) < MOST_BYTES


def test_targets() -> None:
    """Each target is in one group, and has seeds; one reader is there to be broken only."""
    assert len(TARGETS) == len(set(TARGETS))
    assert set(TARGETS) | {"careless"} == READERS.keys() | set(LAUNCHER) == SEEDS.keys()
    with pytest.raises(IndexError, match="the slip"):
        READERS["careless"](b"hooks!")


def test_kept_inputs_keep_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept comes back as it was, whatever bytes it has."""
    monkeypatch.setattr("fuzz.corpora.DIRECTORY", tmp_path)
    inputs = {bytes(range(256)), b"", b'{"a":"\xc3\xa9"}\n'}
    keep("any", inputs)
    assert set(kept("any")) == inputs
    unpack(inputs, tmp_path / "files")
    assert set(packed(tmp_path / "files")) == inputs
    assert kept("other") == ()


@pytest.mark.parametrize("target", ["config", "tolerant", "launcher-config"])
@pytest.mark.parametrize("python", interpreters().values(), ids=interpreters().keys())
def test_every_interpreter(python: str, target: str) -> None:
    """Each interpreter gives the same verdict on the same configuration."""
    file = DIRECTORY / f"{target}.jsonl"
    script = Path(__file__).parent / "document_limits.py"
    here = [verdict_of(data) for data in kept(target)]
    assert list(read_by(python, script, str(file)).values()) == here


class TestLauncher:
    """What was kept for the launcher, in the driver that its other tests use."""

    def test_words(self, builds: Builds, sanitized: Path, bundle: Bundle) -> None:
        """A line that becomes the runtime creates nothing by the rules of runc and crun, or what may be skipped."""
        inputs = [(data[0] & 3, data[1:].replace(b"/b", bytes(bundle.path))) for data in kept("launcher-words") if data]
        cases = [Case(line.split(b"\0"), failing=failing) for failing, line in inputs]
        found = answers(builds.driver, cases, data=bundle.data)
        assert set(found) == {"r", "p", "x"}
        assert answers(sanitized, cases, data=bundle.data) == found
        for (failing, line), answer in zip(inputs, found, strict=True):
            words = split(line)
            if answer == "r" and not failing:
                assert is_no_create(words) or is_create_in(words, str(bundle.path)), words

    def test_data(self, builds: Builds, sanitized: Path, bundle: Bundle) -> None:
        """Data about sources that are not there as they say is never believed."""
        cases = [Case(bundle.create, {bundle.data: data}) for data in map(whole, kept("launcher-data"))]
        found = answers(builds.driver, cases, data=bundle.data)
        assert set(found) <= {"r", "p"}
        assert answers(sanitized, cases, data=bundle.data) == found

    def test_configurations(self, builds: Builds, sanitized: Path, bundle: Bundle) -> None:
        """A configuration is skipped if it has one command and none of the texts, and no other is."""
        inputs = [*kept("launcher-config"), *kept("config"), *seeds("launcher-config")]
        cases = [Case(bundle.create, {bundle.config: data}) for data in inputs]
        found = answers(builds.driver, cases, data=bundle.data)
        assert set(found) == {"r", "p"}
        assert [answer == "r" for answer in found] == [may_be_skipped(data, bundle.texts) for data in inputs]
        assert answers(sanitized, cases, data=bundle.data) == found


def whole(data: bytes) -> bytes:
    """The launcher's data that is meant by an input: a letter that says whether the sum is right, and what follows."""
    body = data[1:] + bytes(-len(data[1:]) % 8)
    total = _checksum(body) if data[:1] and data[0] & 1 else 0
    return MAGIC + struct.pack("=Q", total) + body


def test_whole_is_what_the_launcher_takes(builds: Builds, bundle: Bundle) -> None:
    """The data that is made for an input is read by the launcher, so a refusal is not for its beginning."""
    chance = random.Random(1)
    good = whole(b"1" + bundle.encoded()[24:])
    assert good == bundle.encoded()
    damaged = whole(b"0" + bundle.encoded()[24:])
    assert answers(builds.driver, [Case(bundle.create, {bundle.data: good})], data=bundle.data) == "r"
    assert answers(builds.driver, [Case(bundle.create, {bundle.data: damaged})], data=bundle.data) == "p"
    assert whole(b"1" + chance.randbytes(9))[:16] == MAGIC
