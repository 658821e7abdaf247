"""Changes of engines' files that are taken back: nothing that somebody else has saved meanwhile is lost."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocihooks.engines.docker import Docker
from ocihooks.engines.errors import LeftError
from ocihooks.engines.files import Change, read_config_file
from ocihooks.engines.programs import Daemon
from ocihooks.engines.reloading import reload
from ocihooks.engines.taking_back import take_back
from ocihooks.errors import ReplaceError, UnavailableError
from ocihooks.install.configure import write_all


def written(file: Path, text: str | None) -> Change:
    """That *file* has got *text*."""
    change = Change(old=read_config_file(str(file)), text=text)
    change.write()
    return change


@pytest.mark.parametrize("former", [None, "", "a = 1\n"])
@pytest.mark.parametrize("text", ["b = 2\n", None])
def test_former_text(former: str | None, text: str | None, tmp_path: Path) -> None:
    """A file that nobody else has changed gets its former text, or goes."""
    file = tmp_path / "x.toml"
    if former is not None:
        file.write_text(former)
    take_back(written(file, text))
    assert (file.read_text() if file.exists() else None) == former


def test_left(tmp_path: Path) -> None:
    """A file that somebody else has changed stays as it is, where nobody can say what else it would be."""
    file = tmp_path / "x.toml"
    file.write_text("a = 1\n")
    change = written(file, "b = 2\n")
    file.write_text("c = 3\n")
    with pytest.raises(LeftError, match="was changed by somebody else meanwhile and can't get its former text"):
        take_back(change)
    assert file.read_text() == "c = 3\n"


def test_edited_once_more(tmp_path: Path) -> None:
    """Somebody who saves again, just before it is written, loses nothing either."""
    file = tmp_path / "x.toml"
    change = written(file, "b = 2\n")
    file.write_text("b = 2\nc = 3\n")
    saved = ["b = 2\nd = 4\n", "b = 2\nnew = 5\n"]

    def without_us(now: object) -> str:
        text = file.read_text()
        if saved:
            file.write_text(saved.pop(0))
        return text.replace("b = 2\n", "")

    take_back(change, without_us)
    assert file.read_text() == "new = 5\n"


def test_always_edited(tmp_path: Path) -> None:
    """Somebody who never stops saving is left alone after a few attempts."""
    file = tmp_path / "x.toml"
    change = written(file, "b = 2\n")
    file.write_text("b = 2\n# 0\n")
    count = 0

    def without_us(now: object) -> str:
        nonlocal count
        count += 1
        file.write_text(f"b = 2\n# {'x' * count}\n")
        return ""

    with pytest.raises(LeftError, match="meanwhile"):
        take_back(change, without_us)
    assert file.read_text() == f"b = 2\n# {'x' * count}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing(Change):
    """A change that can't be made; meanwhile somebody saves *saved* in the file *edited*."""

    edited: Path
    saved: str

    def write(self) -> None:
        """Fail."""
        self.edited.write_text(self.saved)
        raise ReplaceError("no space", code="not_replaced")


@pytest.mark.parametrize(
    ("saved", "error", "kept"),
    [
        pytest.param("b = 2\n", ReplaceError, "a = 1\n", id="as-written"),
        pytest.param("b = 2\nc = 3\n", LeftError, "b = 2\nc = 3\n", id="edited"),
    ],
)
def test_all_or_none(saved: str, error: type[ReplaceError], kept: str, tmp_path: Path) -> None:
    """When one of several files can't be written, those before it get their former text, unless it was edited."""
    files = [tmp_path / name for name in ("first", "edited", "failing")]
    for file in files:
        file.write_text("a = 1\n")
    first, second, third = (read_config_file(str(file)) for file in files)
    changes = [Change(old=first, text="b = 2\n"), Change(old=second, text="b = 2\n")]
    failing = Failing(old=third, text="b = 2\n", edited=files[1], saved=saved)
    with pytest.raises(ReplaceError) as caught:
        write_all([*changes, failing])
    assert type(caught.value) is error
    assert [file.read_text() for file in files] == ["a = 1\n", kept, "a = 1\n"]


def test_daemon_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dockerd that ends before it can be told is named in a sentence."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(Docker, "running", lambda *_: (Daemon(pid=ended.pid, arguments=()),))
    with pytest.raises(UnavailableError, match=f"dockerd {ended.pid} has ended before it could be told to reload"):
        reload(Docker(), str(tmp_path / "daemon.json"), "ocihooks", present=True)
