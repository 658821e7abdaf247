"""
Whatever the launcher is sure about is what the wrapper reads without a doubt, for runc and for crun; and whatever bytes
it gets, it touches no memory that isn't its own.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds, Bundle, Case, Installed, answers, make_config

from ocihooks.compiled.skip import MAGIC, _checksum
from ocihooks.wrapper import arguments
from ocihooks.wrapper.arguments import CHANGING, changes_container, config_file, parse

builds = launcher_programs.builds
sanitized = launcher_programs.sanitized
installed = launcher_programs.installed
bundle = launcher_programs.bundle

FLAVOURS = ("runc", "crun")
OPERATIONS = (*CHANGING, *arguments.OTHER)
OPTIONS = sorted(arguments._GLOBAL | arguments._CRUN | arguments._RUNC | arguments._VERSION | arguments._NEW_CONTAINER)
PLAIN_OPTIONS = (
    *("--root", "--log", "--log-format", "--rootless", "--criu", "--cgroup-manager", "--bundle", "--pid-file"),
    *("--console-socket", "--preserve-fds"),
)
PLAIN_FLAGS = ("--debug", "--systemd-cgroup", "--no-pivot", "--no-new-keyring")
NOISE = (
    "",
    "-",
    "--",
    "---",
    "-1",
    "=",
    "--=",
    "x",
    "json",
    "/l",
    ".",
    " x",
    "x ",
    "\u00a0x",
    "\x85",
    "id\n",
    "-b/x",
    "-dbx",
)


def random_words(rng: random.Random, bundle: str) -> list[str]:
    """A command line that begins as a usual one more often than not, with anything in between."""
    words = [*_options(rng, bundle), rng.choice(OPERATIONS if rng.random() < 0.4 else ("create", "start"))]
    if rng.random() < 0.6:
        words += rng.choice((["--bundle", bundle], [f"--bundle={bundle}"]))
    words += _options(rng, bundle)
    words += [rng.choice(("id", "a.b-c_d+e0", rng.choice(NOISE)))]
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        words.insert(rng.randrange(len(words) + 1), _word(rng, bundle))
    if rng.random() < 0.1:
        del words[rng.randrange(len(words))]
    return words


def _options(rng: random.Random, bundle: str) -> list[str]:
    return [word for _ in range(rng.choice((0, 0, 1, 2, 3))) for word in _option(rng, bundle)]


def _option(rng: random.Random, bundle: str) -> list[str]:
    """An option that the launcher knows, mostly."""
    kind = rng.random()
    if kind < 0.3:
        return [rng.choice(PLAIN_FLAGS)]
    if kind < 0.9:
        option, value = rng.choice(PLAIN_OPTIONS), _value(rng, bundle)
        return [f"{option}={value}"] if rng.random() < 0.4 else [option, value]
    return [_word(rng, bundle)]


def _value(rng: random.Random, bundle: str) -> str:
    return rng.choice(("/r", "json", "1", bundle, rng.choice(NOISE), rng.choice(OPERATIONS), rng.choice(PLAIN_FLAGS)))


def _word(rng: random.Random, bundle: str) -> str:
    """Any word from the tables, in any spelling, or noise."""
    if rng.random() < 0.3:
        return rng.choice((*NOISE, *OPERATIONS))
    name = rng.choice(OPTIONS)
    dashes = rng.choice(("-", "--", "--", "---"))
    cut = name[: rng.randint(1, len(name))] if rng.random() < 0.3 else name
    return dashes + cut + rng.choice(("", "", f"={_value(rng, bundle)}", "=false", _value(rng, bundle)))


def is_no_create(words: Sequence[str]) -> bool:
    """Whether both runtimes surely read no config.json."""
    return not any(changes_container(parse(words, flavour)) for flavour in FLAVOURS)


def is_create_in(words: Sequence[str], bundle: str) -> bool:
    """Whether both runtimes surely create a container from this very bundle."""
    calls = [parse(words, flavour) for flavour in (*FLAVOURS, "")]
    return all(
        (call.operation, call.bundle, config_file(call)) == ("create", bundle, f"{bundle}/config.json")
        and (call.doubt, call.refused, call.prints, changes_container(call)) == (None, False, False, True)
        for call in calls
    )


@pytest.mark.parametrize(("seed", "count"), [(1, 20_000), pytest.param(2, 100_000, marks=pytest.mark.slow)])
def test_what_becomes_the_runtime_is_certain(builds: Builds, bundle: Bundle, seed: int, count: int) -> None:
    """A line that becomes the runtime creates nothing by the rules of runc and crun, or just what may be skipped."""
    rng = random.Random(seed)
    lines = [random_words(rng, str(bundle.path)) for _ in range(count)]
    found = answers(builds.driver, [Case(words) for words in lines], data=bundle.data)
    wrong = []
    skipped = harmless = 0
    for words, answer in zip(lines, found, strict=True):
        if answer != "r":
            continue
        if is_no_create(words):
            harmless += 1
        elif is_create_in(words, str(bundle.path)):
            skipped += 1
        else:
            wrong.append(words)
    assert not wrong, wrong[:3]
    assert min(skipped, harmless) > count / 100, "the lines are not of the kind that this is about"


def test_without_interpreter_creates_are_refused(builds: Builds) -> None:
    """A line by which both runtimes would create a container is refused when no interpreter can judge it."""
    rng = random.Random(3)
    lines = [random_words(rng, "/proc/nowhere") for _ in range(8_000)]
    found = answers(builds.driver, [Case(words, failing=2) for words in lines])
    refused = 0
    for words, answer in zip(lines, found, strict=True):
        calls = [parse(words, flavour) for flavour in FLAVOURS]
        if sum(word in OPERATIONS for word in words) > 1 or not is_familiar(words):
            continue  # the name of an operation may be a value here, which no engine does
        if all(changes_container(call) and not call.refused and not call.doubt for call in calls):
            refused += 1
            assert answer == "x", words
        elif all(call.operation in arguments.OTHER[:12] for call in calls) and words[0] == calls[0].operation:
            assert answer == "r", words
    assert refused > 200


def is_familiar(words: Sequence[str]) -> bool:
    """Whether all options are in the wrapper's tables."""
    readers = [arguments.Reader(flavour, words, {}) for flavour in FLAVOURS]
    for reader in readers:
        reader.read_all()
    return all(reader.unfamiliar is None for reader in readers)


class TestFuzzing:
    """With AddressSanitizer and UndefinedBehaviorSanitizer, which end the program at the first fault."""

    @pytest.mark.parametrize(("seed", "count"), [(1, 3_000), pytest.param(2, 50_000, marks=pytest.mark.slow)])
    def test_words(self, sanitized: Path, bundle: Bundle, seed: int, count: int) -> None:
        """Lines of any bytes, with all programs there or some missing."""
        rng = random.Random(seed)
        cases = [Case(random_bytes(rng, str(bundle.path)), failing=rng.choice((0, 0, 1, 2, 3))) for _ in range(count)]
        assert set(answers(sanitized, cases, data=bundle.data)) == {"r", "p", "x"}

    @pytest.mark.parametrize(("seed", "count"), [(3, 4_000), pytest.param(4, 40_000, marks=pytest.mark.slow)])
    def test_data(self, sanitized: Path, bundle: Bundle, seed: int, count: int) -> None:
        """Damaged data, half of it under a sum that is right, so that what follows is looked at."""
        rng = random.Random(seed)
        whole = bundle.encoded()
        cases = [Case(bundle.create, {bundle.data: damaged_data(rng, whole)}) for _ in range(count)]
        found = answers(sanitized, [Case(bundle.create), *cases], data=bundle.data)
        assert found[0] == "r"
        assert found.count("p") > count / 2

    @pytest.mark.parametrize(("seed", "count"), [(5, 4_000), pytest.param(6, 50_000, marks=pytest.mark.slow)])
    def test_configurations(self, sanitized: Path, bundle: Bundle, seed: int, count: int) -> None:
        """Damaged configurations, of all sizes."""
        rng = random.Random(seed)
        whole = make_config(annotations={"org.example": 'a"b\\'}, hooks={"prestart": [{"args": ["x"]}]})
        cases = [Case(bundle.create, {bundle.config: damaged(rng, whole)}) for _ in range(count)]
        found = answers(sanitized, cases, data=bundle.data)
        assert set(found) == {"r", "p"}

    def test_it_sees_what_it_is_for(self, sanitized: Path, builds: Builds, tmp_path: Path) -> None:
        """A launcher that looks one byte behind what it read is ended, so silence means something."""
        source = (launcher_programs.ROOT / "launcher" / "launcher.c").read_text()
        careless = source.replace("letters + 4 <= config + size", "letters + 3 <= config + size")
        assert careless != source
        (tmp_path / "testing").mkdir()
        (tmp_path / "launcher.c").write_text(careless)
        driver = launcher_programs.ROOT / "launcher" / "testing" / "driver.c"
        (tmp_path / "testing" / "driver.c").write_bytes(driver.read_bytes())
        flags = (*launcher_programs.DEBUGGING, *launcher_programs.SANITIZERS)
        program = launcher_programs._compiled(tmp_path / "testing" / "driver.c", tmp_path / "driver", flags)
        bundle = Bundle(tmp_path, tmp_path / "skip")
        with pytest.raises(AssertionError, match="AddressSanitizer"):
            answers(program, [Case(bundle.create)], data=bundle.data)


def random_bytes(rng: random.Random, bundle: str) -> list[bytes]:
    """A command line with some of its bytes exchanged."""
    words = [word.encode("utf-8", "surrogateescape") for word in random_words(rng, bundle)]
    for _ in range(rng.choice((0, 0, 1, 1, 3))):
        if words:
            at = rng.randrange(len(words))
            words[at] = damaged(rng, words[at]).replace(b"\0", b"\1")
    if rng.random() < 0.02:
        words += [b"x" * rng.choice((0, 1, 5_000))] * rng.choice((1, 100, 5_000 if rng.random() < 0.1 else 10))
    return words


def damaged(rng: random.Random, data: bytes) -> bytes:
    """*data* cut, or with some places changed."""
    if rng.random() < 0.2:
        return data[: rng.randrange(len(data) + 1)]
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(content) + 1)
        old = content[at : at + rng.choice((0, 1, 1, 4, 8))]
        piece = rng.choice(
            (rng.randbytes(len(old)), b"", bytes(old) * 2, b"\0" * len(old), b"\xff" * len(old), b'"', b"\\")
        )
        content[at : at + len(old)] = piece
    return bytes(content)


def damaged_data(rng: random.Random, whole: bytes) -> bytes:
    """Damaged data; half of it has the size and the sum that it should."""
    if rng.random() < 0.5:
        return damaged(rng, whole)
    body = damaged(rng, whole[24:]) if rng.random() < 0.7 else with_counts(rng, whole[24:])
    body += bytes(-len(body) % 8)
    return MAGIC + struct.pack("=Q", _checksum(body)) + body


def with_counts(rng: random.Random, body: bytes) -> bytes:
    """*body* with other numbers of sources and texts."""
    counts = [rng.choice((0, 1, 2, 3, 5, 100, 2**31, 2**32 - 1)) for _ in range(2)]
    return struct.pack("=II", *counts) + body[8:]


def test_the_installed_program_agrees_with_the_driver(installed: Installed, builds: Builds, bundle: Bundle) -> None:
    """What the driver says of a line is what the program does that engines call."""
    rng = random.Random(7)
    lines = [random_words(rng, str(bundle.path)) for _ in range(150)]
    found = answers(builds.driver, [Case(words) for words in lines], data=bundle.data)
    for words, answer in zip(lines, found, strict=True):
        assert (installed.call(*words).program or "x")[0] == answer, words
