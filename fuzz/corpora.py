"""
The inputs that are kept: tests/data/fuzz has a file for each target, in which each line is an input.

A line is a JSON text in which each letter stands for the byte of its number, so most inputs can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "tests/data/fuzz"


def kept(target: str) -> tuple[bytes, ...]:
    """The inputs for *target* that are kept; none where there is no file."""
    file = DIRECTORY / f"{target}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return tuple(json.loads(line).encode("latin-1") for line in lines)


def keep(target: str, inputs: Iterable[bytes]) -> None:
    """Make *inputs* those that are kept for *target*, the shortest first."""
    ordered = sorted(set(inputs), key=lambda data: (len(data), data))
    text = "".join(json.dumps(data.decode("latin-1")) + "\n" for data in ordered)
    (DIRECTORY / f"{target}.jsonl").write_text(text)


def unpack(inputs: Iterable[bytes], directory: Path) -> None:
    """Write each of *inputs* into a file of its own, as fuzzers want them."""
    directory.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (directory / sha256(data).hexdigest()[:40]).write_bytes(data)


def packed(directory: Path) -> tuple[bytes, ...]:
    """The contents of all files in *directory*."""
    return tuple(file.read_bytes() for file in sorted(directory.iterdir()))
