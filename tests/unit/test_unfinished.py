"""Files that are empty for a moment: when they are looked at again, and when nobody goes on with them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ocihooks.errors import UntrustedError
from ocihooks.unfinished import Patience


class Reader:
    """Reads a file, and counts how often; *written* is put into it when it was read that often."""

    def __init__(self, file: Path, *, written: int | None = None) -> None:
        self.file = file
        self.written = written
        self.looks = 0

    def __call__(self, path: str) -> bytes:
        data = Path(path).read_bytes()
        self.looks += 1
        if self.looks == self.written:
            self.file.write_bytes(b"whole")
            os.utime(self.file, (0, 0))
        return data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty file that was just made."""
    made = tmp_path / "a.json"
    made.touch()
    return made


def aged(file: Path, seconds: float) -> None:
    """Give *file* a time that is so long ago."""
    os.utime(file, (time.time() - seconds,) * 2)


def test_nobody_writes(file: Path) -> None:
    """A file that stays empty is refused after a few looks; the message says what was found, and what to do."""
    reader, started = Reader(file), time.monotonic()
    with pytest.raises(UntrustedError) as caught:
        Patience().read(str(file), reader)
    assert time.monotonic() - started < 10
    assert reader.looks == 5
    (problem,) = caught.value.problems
    assert (problem.file, problem.code) == (str(file), "unfinished")
    assert problem.message == "is empty and was changed less than 2 seconds ago, so it may be just being written"
    assert problem.hint == "if it is meant to be empty, try again in a moment; write files elsewhere and rename them"


@pytest.mark.parametrize("written", [1, 2, 4])
def test_somebody_writes(file: Path, written: int) -> None:
    """What is written meanwhile counts, whatever time the file then has."""
    reader = Reader(file, written=written)
    assert Patience().read(str(file), reader) == b"whole"
    assert reader.looks == written + 1


def test_whole_file(file: Path) -> None:
    """A file that is not empty is read once."""
    file.write_bytes(b"whole")
    reader = Reader(file)
    assert (Patience().read(str(file), reader), reader.looks) == (b"whole", 1)


@pytest.mark.parametrize("age_s", [3, 1e9, -4, -1e9], ids=["past", "long-ago", "soon", "far-future"])
def test_meant_to_be_empty(file: Path, age_s: float) -> None:
    """A file whose last change is neither just now nor a matter of a clock that is hardly wrong is meant as it is."""
    aged(file, age_s)
    reader = Reader(file)
    assert (Patience().read(str(file), reader), reader.looks) == (b"", 1)


@pytest.mark.parametrize("age_s", [0.5, -1], ids=["past", "future"])
def test_in_doubt(file: Path, age_s: float) -> None:
    """A clock that was set back a little takes no doubt away."""
    aged(file, age_s)
    with pytest.raises(UntrustedError):
        Patience().read(str(file), Reader(file))


def test_link_to_the_null_device(tmp_path: Path) -> None:
    """A link to /dev/null is empty at once, whatever time the device has."""
    link = tmp_path / "a.json"
    link.symlink_to("/dev/null")
    reader = Reader(link)
    assert (Patience().read(str(link), reader), reader.looks) == (b"", 1)


def test_link_to_a_file(file: Path) -> None:
    """What counts is the file that a link leads to."""
    link = file.with_name("link.json")
    link.symlink_to(file)
    with pytest.raises(UntrustedError):
        Patience().read(str(link), Reader(file))
    aged(file, 3)
    assert Patience().read(str(link), Reader(file)) == b""


def test_gone_meanwhile(file: Path) -> None:
    """A file that goes while it is looked at is missing."""

    def read(path: str) -> bytes:
        os.unlink(path)
        return b""

    with pytest.raises(FileNotFoundError):
        Patience().read(str(file), read)


def test_many_files(file: Path) -> None:
    """All files of one reading share its patience, so that many of them don't add up."""
    patience, last = Patience(), Reader(file)
    with pytest.raises(UntrustedError):
        patience.read(str(file), Reader(file))
    with pytest.raises(UntrustedError):
        patience.read(str(file), last)
    assert last.looks == 1
