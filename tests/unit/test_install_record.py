"""The record of an installation, from JSON and back."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import UnavailableError, UntrustedError
from ocihooks.install.record import Record, read_record, record_file, sha256

RECORD = Record(
    name="w",
    program="ocihooks-runtime",
    script="/p/bin/w",
    script_sha256=sha256(b"x"),
    runtime="/r",
    flavour="",
    settings="",
    hooks_dirs=("/h",),
    python="/py",
    version="1",
    cache_dir="",
    launcher=True,
    files=("/p/lib/ocihooks/w.py",),
    made_directories=(),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A written record."""
    path = Path(record_file(str(tmp_path), "w"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(RECORD.to_json()))
    path.chmod(0o644)
    return path


def test_round_trip(file: Path, tmp_path: Path) -> None:
    """What was written is read."""
    assert read_record(str(tmp_path), "w") == RECORD
    assert Record.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


def test_unknown_members(file: Path, tmp_path: Path) -> None:
    """A record of a later version is read as far as it is known."""
    file.write_text(json.dumps(RECORD.to_json() | {"later": 1}))
    assert read_record(str(tmp_path), "w") == RECORD


def test_none(tmp_path: Path) -> None:
    """No record means that nothing is installed."""
    assert read_record(str(tmp_path), "w") is None
    assert read_record(str(tmp_path / "none"), "w") is None


def test_relative_prefix(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative prefix is one below the working directory."""
    monkeypatch.chdir(tmp_path)
    assert read_record(".", "w") == RECORD


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("[]", id="array"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="object"),
        pytest.param("\xff", id="not-utf8"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(json.dumps(RECORD.to_json() | {"files": 5}), id="wrong-type"),
        *(
            pytest.param(json.dumps({k: v for k, v in RECORD.to_json().items() if k != field.name}), id=field.name)
            for field in fields(Record)
        ),
    ],
)
def test_no_record(content: str, file: Path, tmp_path: Path) -> None:
    """Something else is named, with the remedy."""
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UnavailableError, match="is no record of an installation") as caught:
        read_record(str(tmp_path), "w")
    assert (caught.value.file, bool(caught.value.hint)) == (str(file), True)


def test_untrusted(file: Path, tmp_path: Path) -> None:
    """A record says which files are to be removed, so one that others could have written is not read."""
    file.chmod(0o666)
    with pytest.raises(UntrustedError, match="everybody may write it"):
        read_record(str(tmp_path), "w")
    file.chmod(0o644)
    file.parent.chmod(0o777)
    with pytest.raises(UntrustedError, match="everybody may write"):
        read_record(str(tmp_path), "w")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_something_else(make: Any, file: Path, tmp_path: Path) -> None:
    """What is no file makes nobody wait."""
    file.unlink()
    make(file)
    file.chmod(0o755)
    with pytest.raises(UntrustedError, match="expected a regular file"):
        read_record(str(tmp_path), "w")
