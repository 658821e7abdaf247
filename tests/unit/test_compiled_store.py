"""The file of compiled rules: whole or not there, and what killed processes left beside it goes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ocihooks.compiled.store import store

NOBODY = 1 << 22
"""Greater than the number of any process."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where rules are kept, in a directory that is not there yet."""
    return tmp_path / "cache" / "0123.rules"


def leftover(file: Path, process: int) -> Path:
    """What the process of that number leaves when it is killed while it stores *file*."""
    made = file.parent / f".{file.name}.ocihooks-{process}-0123456789abcdef"
    made.write_bytes(b"a part")
    return made


def test_directory_and_file_are_private(file: Path) -> None:
    """The directory is made, and it and the file are for their owner alone, whatever the umask."""
    before = os.umask(0)
    try:
        assert store(str(file), b"rules") is None
    finally:
        os.umask(before)
    assert file.read_bytes() == b"rules"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]


def test_leftovers_of_dead_processes_go(file: Path) -> None:
    """Storing removes what dead processes left, and nothing else: no leftover of the living, no file of others."""
    file.parent.mkdir()
    dead = leftover(file, NOBODY)
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as alive:
        kept = [leftover(file, alive.pid), leftover(file.with_name("other.rules"), NOBODY), file.parent / ".0123.rules"]
        kept += [file.parent / f".{file.name}.{end}" for end in ("swp", f"ocihooks-{NOBODY}x-1", "ocihooks-")]
        for each in kept[2:]:
            each.touch()
        assert store(str(file), b"rules") is None
        assert not dead.exists()
        assert sorted(path.name for path in file.parent.iterdir()) == sorted([*(path.name for path in kept), file.name])
    assert store(str(file), b"rules") is None
    assert not kept[0].exists()


def test_a_leftover_of_the_same_number_is_in_nobodys_way(file: Path) -> None:
    """A leftover of a process that had our number keeps us from nothing."""
    file.parent.mkdir()
    leftover(file, os.getpid())
    assert store(str(file), b"rules") is None
    assert file.read_bytes() == b"rules"


@pytest.mark.parametrize("kind", ["directory is a file", "file is a directory", "no such place"])
def test_what_can_not_be_stored_is_told(file: Path, kind: str) -> None:
    """Where nothing can be stored the reason is returned, and nothing is left."""
    if kind == "directory is a file":
        file.parent.write_bytes(b"")
    elif kind == "file is a directory":
        file.mkdir(parents=True)
    else:
        file = file.parent / "missing" / file.name
    before = sorted(file.parents[1].rglob("*"))
    assert store(str(file), b"rules")
    assert sorted(file.parents[1].rglob("*")) == before


def test_a_full_device_is_told(file: Path) -> None:
    """A limit that stops the writing in the middle is returned as the reason, and the part goes."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from ocihooks.compiled.store import store; print(store(sys.argv[1], bytes(5000)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert "File too large" in ran.stdout
    assert list(file.parent.iterdir()) == []


def test_a_directory_that_goes_meanwhile_is_no_failure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who clears the cache while rules are stored costs time, and nothing else."""
    real = os.replace

    def cleared(source: str, target: str) -> None:
        os.unlink(source)
        real(source, target)

    monkeypatch.setattr("ocihooks.compiled.store.posix.replace", cleared)
    assert "No such file" in str(store(str(file), b"rules"))
