"""Configurations with damaged bytes: read as they are, or refused by us, quickly, and alike by every interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.interpreters import SOURCES, interpreters, read_by

from ocihooks.testing.configs import bind_mount, make_config

SCRIPT = Path(__file__).parent / "mutate_documents.py"
Record = Callable[[str, object], None]

EVERY_INTERPRETER = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters().keys())

COUNT, SOME = 20_000, 3_000
MANY = 250_000
"""For each of the four seeds in the slow test."""

LIMIT_S = 0.05
"""CPU seconds that one document may take."""


def documents() -> Iterator[tuple[str, str]]:
    """Configurations as engines write them, of 3 to 11 KiB."""
    annotations = {f"io.kubernetes.example/{number}": "é \U0001f600 \\ \" '" * number for number in range(20)}
    hooks = {stage: [{"path": "/bin/h", "args": ["h"], "env": ["A=1"], "timeout": 5}] for stage in ("poststop",)}
    mounts = [bind_mount(f"/srv/{number}", f"/mnt/{number}") for number in range(15)]
    small = make_config(rootfs="rootfs")
    large = make_config(rootfs="rootfs", annotations=annotations, hooks=hooks, mounts=mounts, args=["sh", "-c", "x"])
    yield "docker.json", json.dumps(small, separators=(",", ":"), ensure_ascii=False)
    yield "indented.json", json.dumps(small, indent=1)
    yield "pod.json", json.dumps(large, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads mutated documents with some interpreter."""

    directory: Path

    def read(self, python: str, count: int, mode: str, seed: int = 1) -> dict[str, Any]:
        return read_by(python, SCRIPT, str(self.directory), str(count), str(seed), mode)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The documents in a directory of their own."""
    directory = tmp_path_factory.mktemp("documents")
    for name, text in documents():
        (directory / name).write_text(text)
        assert 3 * 1024 <= len(text.encode()) <= 11 * 1024
    return Reader(directory=directory)


def check(answer: dict[str, Any], count: int) -> None:
    assert answer["unexpected"] == []
    verdicts = answer["verdicts"]
    assert sum(verdicts.values()) == count
    assert {"ok", "json_syntax", "not_utf8"} <= verdicts.keys()
    assert answer["slowest_s"] <= LIMIT_S


def test_mutations(reader: Reader) -> None:
    """Of 20,000 damaged documents each is read or refused by us, within 50 ms."""
    answer = reader.read(sys.executable, COUNT, "fresh")
    check(answer, COUNT)
    codes = {"ok", "json_syntax", "not_utf8", "json_type", "repeated_member", "member_case", "too_deep"}
    assert codes <= answer["verdicts"].keys()


@pytest.mark.parametrize("mode", ["json", "forgotten"])
def test_json_imported(mode: str, reader: Reader) -> None:
    """The verdicts do not depend on whether somebody imported the standard library's reader before."""
    fresh, other = (reader.read(sys.executable, 300, one, seed=2) for one in ("fresh", mode))
    check(other, 300)
    assert other["verdicts"] == fresh["verdicts"]
    assert other["digest"] == fresh["digest"]


@pytest.fixture(scope="module")
def here(reader: Reader) -> dict[str, Any]:
    """What the running interpreter says of some documents."""
    return reader.read(sys.executable, SOME, "fresh", seed=3)


@EVERY_INTERPRETER
def test_interpreters(python: str, reader: Reader, here: dict[str, Any]) -> None:
    """Every interpreter gives the same verdict on the same document."""
    there = reader.read(python, SOME, "fresh", seed=3)
    check(there, SOME)
    assert there["verdicts"] == here["verdicts"]
    assert there["digest"] == here["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 8))
def test_many_mutations(reader: Reader, seed: int, record_property: Record) -> None:
    """The same for a million damaged documents."""
    check(reader.read(sys.executable, MANY, "fresh", seed), MANY)
    record_property("amount", f"{MANY:,} damaged documents")


def test_careless(reader: Reader, record_property: Record) -> None:
    """Somebody who parses documents and writes them again breaks the laws, so keeping them means something."""
    answer = reader.read(sys.executable, SOME, "careless")
    assert answer["broken"] > SOME / 20
    record_property("control", f"a parser that writes again broke {answer['broken']:,} of {SOME:,} documents")


DEEP = """
import sys
sys.path.insert(0, sys.argv[1])
from ocihooks.document import parse_config, with_member
for depth in (1023, 1024, 1025):
    for text in ('{"x":' + '[' * (depth - 1) + ']' * (depth - 1) + '}',
                 '{"hooks":{"poststop":[{"path":"/p","x":' + '[' * (depth - 4) + ']' * (depth - 4) + '}]}}'):
        try:
            config = parse_config(text.encode(), "c")
            print("read", parse_config(with_member(config, "hooks", config.hooks), "c").hooks == config.hooks)
        except Exception as error:
            print(type(error).__name__, error)
"""


@EVERY_INTERPRETER
def test_depth(python: str) -> None:
    """Every interpreter reads, compares and writes 1,024 levels, and refuses one more."""
    run = subprocess.run(
        [python, "-I", "-S", "-B", "-c", DEEP, str(SOURCES)], capture_output=True, text=True, check=True
    )
    refused = "DocumentError c: nested deeper than 1024 levels"
    assert run.stdout.splitlines() == ["read True"] * 4 + [refused] * 2
