"""docs/explanation/trust.md: each message of its table appears, and its remedy mends what it is about."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.markdown import PROJECT, tables

from ocihooks.errors import OCIHooksError, UnavailableError, UntrustedError
from ocihooks.trust import Trust, read_trusted

ROWS = tables(PROJECT / "docs/explanation/trust.md")["When a file is refused"]

STRANGER = 1000

ROOT = Trust((0,))


def own(path: Path) -> None:
    os.chown(path, STRANGER, 0, follow_symlinks=False)


def open_to_all(path: Path) -> None:
    path.chmod(0o777 if path.is_dir() else 0o666)


def open_to_group(path: Path) -> None:
    os.chown(path, 0, STRANGER)
    path.chmod(0o664)


CASES: list[tuple[str, Callable[[Path], None]]] = [
    ("FILE", own),
    ("FILE", open_to_all),
    ("FILE", open_to_group),
    ("DIRECTORY", own),
    ("DIRECTORY", open_to_all),
    ("LINK", own),
]
"""For each row of the table what it is about, and how it comes about."""


@pytest.fixture
def places(private_directory: Path, unavailable: Callable[[OCIHooksError], NoReturn]) -> dict[str, Path]:
    """A rule file in a directory, reached through a link, by the words of the table."""
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))
    directory = private_directory / "hooks.d"
    directory.mkdir(mode=0o755)
    link = private_directory / "link"
    link.symlink_to("hooks.d")
    file = directory / "rule.json"
    file.write_text("{}")
    file.chmod(0o644)
    return {"FILE": file, "DIRECTORY": directory, "LINK": link}


@pytest.mark.parametrize(
    ("row", "case"), list(zip(ROWS, CASES, strict=True)), ids=[f"{place}-{act.__name__}" for place, act in CASES]
)
def test_remedy(row: list[str], case: tuple[str, Callable[[Path], None]], places: dict[str, Path]) -> None:
    """The message is that of the table, and after its remedy the file is read; the message's own hint says the same."""
    place, spoil = case
    path = str(places["LINK"] / "rule.json") if place == "LINK" else str(places["FILE"])
    assert read_trusted(path, ROOT) == b"{}"
    spoil(places[place])
    with pytest.raises(UntrustedError) as caught:
        read_trusted(path, ROOT)
    message, remedy = (cell.replace(word, str(where)) for cell in row for word, where in [(place, places[place])])
    assert caught.value.message == message
    command = re.search(r"`([^`]+)`", remedy)
    assert command
    assert str(caught.value.hint).startswith(command[1])
    subprocess.run(command[1].split(), check=True)
    assert read_trusted(path, ROOT) == b"{}"


def test_trusted_group(places: dict[str, Path]) -> None:
    """A group that the settings trust may write."""
    open_to_group(places["FILE"])
    assert read_trusted(str(places["FILE"]), Trust((0,), (STRANGER,))) == b"{}"


def test_sticky_directory(places: dict[str, Path]) -> None:
    """A directory with the sticky bit may be writable by all, as long as what follows belongs to root."""
    places["DIRECTORY"].chmod(0o1777)
    assert read_trusted(str(places["FILE"]), ROOT) == b"{}"
    own(places["FILE"])
    with pytest.raises(UntrustedError):
        read_trusted(str(places["FILE"]), ROOT)


def test_link_to_dev_null(places: dict[str, Path]) -> None:
    """A link to /dev/null can be trusted, and is empty."""
    places["FILE"].unlink()
    places["FILE"].symlink_to("/dev/null")
    assert read_trusted(str(places["FILE"]), ROOT) == b""
