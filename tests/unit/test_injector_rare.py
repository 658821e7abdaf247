"""Rare things in a container's root: sockets, and directories that can be made in part only."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocihooks.injector.rootfs import Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """An empty root, opened."""
    (tmp_path / "root").mkdir()
    with Root(str(tmp_path / "root")) as opened:
        yield opened


def bind(path: Path) -> None:
    """Make a socket; its path may be too long for one, but its name is not."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


KINDS: dict[str, tuple[Callable[[Path], object], bool, bool]] = {
    "nothing": (lambda path: None, False, False),
    "file": (Path.touch, False, False),
    "directory": (Path.mkdir, True, False),
    "link": (lambda path: path.symlink_to("elsewhere"), False, True),
    "fifo": (os.mkfifo, False, False),
    "socket": (bind, False, False),
}


@pytest.mark.parametrize(("make", "is_directory", "is_link"), KINDS.values(), ids=KINDS.keys())
def test_kinds(make: Callable[[Path], object], is_directory: bool, is_link: bool, root: Root) -> None:
    """A place knows directories and links from all else that may be there."""
    make(Path(root.path) / "x")
    place = root.name("/x")
    assert (place.is_directory, place.is_link) == (is_directory, is_link)
    assert root.place("/x").name == ("elsewhere" if is_link else "x")


@pytest.mark.parametrize("make", [bind, os.mkfifo, Path.mkdir], ids=["socket", "fifo", "directory"])
def test_only_files_are_read(make: Callable[[Path], object], root: Root) -> None:
    """What is no regular file is refused for that reason, before it is opened for reading."""
    make(Path(root.path) / "x")
    with pytest.raises(OSError, match="it is not a regular file"):
        root.read("/x", 100)


def test_directories_made_in_part(root: Root) -> None:
    """When a directory can't be made, those above it that were made for it are gone, and forgotten."""
    (Path(root.path) / "a").mkdir()
    kept = root.directory("/a")
    with pytest.raises(OSError, match="File name too long"):
        root.make_directory(f"/a/b/c/{'n' * 300}")
    assert os.listdir(f"{root.path}/a") == []
    assert root.directory("/a") == kept
    for path in ("/a/b", "/a/b/c"):
        with pytest.raises(FileNotFoundError):
            root.directory(path)


def test_nothing_stays_open(tmp_path: Path) -> None:
    """A root that is closed has closed all of its directories, and one that forgets them, too."""
    for name in ("a", "b"):
        (tmp_path / "root" / name).mkdir(parents=True)
    before = sorted(os.listdir("/proc/self/fd"))
    with Root(str(tmp_path / "root")) as root:
        alone = sorted(os.listdir("/proc/self/fd"))
        root.directory("/a")
        root.make_directory("/b/c")
        root.forget()
        assert sorted(os.listdir("/proc/self/fd")) == alone
        root.directory("/b/c")
    assert sorted(os.listdir("/proc/self/fd")) == before
