"""What compiled rules were made from is compared with what it was: files, directories, links, and what is missing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocihooks.compiled.snapshot import snapshot, youngest_ns
from ocihooks.compiled.sources import look, pack, packed_unchanged, sources_unchanged

if TYPE_CHECKING:
    from ocihooks.compiled.sources import Snapshot


class Place:
    """
    A hooks directory with a rule, reached through links: ``hooks -> data/current/hooks`` and ``current -> v1``.

    Attributes:
        paths: What somebody compiled rules from.
    """

    def __init__(self, directory: Path) -> None:
        self.top = directory
        self.data = directory / "data"
        self.rules = self.data / "v1" / "hooks"
        self.rules.mkdir(parents=True)
        self.rule = self.rules / "10.json"
        self.rule.write_text("{}")
        (self.data / "v2" / "hooks").mkdir(parents=True)
        (self.data / "current").symlink_to("v1")
        self.hooks = directory / "hooks"
        self.hooks.symlink_to(self.data / "current" / "hooks")
        (self.hooks / "20.json").symlink_to("../../other.json")
        (self.data / "other.json").write_text("{}")
        self.paths = tuple(map(str, (self.hooks, self.hooks / "10.json", self.hooks / "20.json", self.top / "missing")))

    def switch(self) -> None:
        """Let ``current`` lead to ``v2``, in one step."""
        (self.data / "new").symlink_to("v2")
        (self.data / "new").rename(self.data / "current")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def rewrite_with_old_times(path: Path) -> None:
    """Change the content of *path* and nothing else that one can set."""
    status = path.stat()
    path.write_text("[]")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_link(link: Path, target: Path) -> None:
    """Let *link* lead to *target*, as a new link."""
    link.unlink()
    link.symlink_to(target)


CHANGES: dict[str, Callable[[Place], object]] = {
    "content": lambda place: place.rule.write_text("[ ]"),
    "content of the same size and time": lambda place: rewrite_with_old_times(place.rule),
    "content behind a link": lambda place: (place.data / "other.json").write_text("[]"),
    "times": lambda place: os.utime(place.rule, (1, 1)),
    "mode": lambda place: place.rule.chmod(0o640),
    "another name for it": lambda place: (place.top / "name").hardlink_to(place.rule),
    "removed": lambda place: place.rule.unlink(),
    "added": lambda place: (place.rules / "30.json").touch(),
    "made": lambda place: (place.top / "missing").touch(),
    "link made": lambda place: (place.top / "missing").symlink_to("nowhere"),
    "link leads elsewhere": lambda place: place.switch(),
    "link of the same name": lambda place: replace_link(place.hooks, place.data / "v1" / "hooks"),
    "target removed": lambda place: (place.data / "other.json").unlink(),
    "mode of a directory above": lambda place: place.top.chmod(0o711),
    "mode of a directory above a link's target": lambda place: place.data.chmod(0o711),
    "mode of a directory that a link above leads to": lambda place: (place.data / "v1").chmod(0o711),
    "directory above exchanged": lambda place: (
        place.data.rename(place.top / "old"),
        shutil.copytree(place.top / "old", place.data, symlinks=True),
    ),
}


def unchanged(seen: Snapshot) -> bool:
    """Whether everything looks as in *seen*, on which both ways to compare agree."""
    answer = sources_unchanged(seen)
    assert packed_unchanged(pack(seen)) is answer
    return answer


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_is_seen(place: Place, change: Callable[[Place], object]) -> None:
    """Whatever happens to a source, to what a link leads to, or to the mode of a directory above shows."""
    seen = snapshot(place.paths)
    assert unchanged(seen)
    change(place)
    assert not unchanged(seen)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["data/v1/hooks/10.json", "data/v1/hooks", "data/v1", "data", "data/current", "hooks"])
def test_owners_count(place: Place, name: str) -> None:
    """Another owner or group of a source, of a link, or of a directory above shows."""
    for owner, group in ((65534, -1), (-1, 65534)):
        seen = snapshot(place.paths)
        os.lchown(place.top / name, owner, group)
        assert not unchanged(seen)


@pytest.mark.parametrize(
    "change",
    [lambda place: (place.top / "x").touch(), lambda place: (place.data / "v1" / "x").touch()],
    ids=["beside a source", "beside a directory of sources"],
)
def test_what_happens_beside_does_not_count(place: Place, change: Callable[[Place], object]) -> None:
    """Files come and go in the directories above without any effect."""
    seen = snapshot(place.paths)
    change(place)
    assert unchanged(seen)


def test_everything_on_the_way_is_there(place: Place) -> None:
    """The snapshot has each source, each link's target, and all directories above, once each."""
    seen = snapshot(place.paths)
    names = [path for path, _, _ in seen]
    assert len(set(names)) == len(names)
    wholes = {path for path, whole, _ in seen if whole}
    expected = {*place.paths, f"{place.data}/current/hooks", f"{place.hooks}/../../other.json"}
    assert wholes == expected
    above = {"/", str(place.top), str(place.data), f"{place.data}/current", f"{place.data}/v1"}
    assert above <= set(names) - wholes


@pytest.mark.parametrize(
    "paths", [(), ("/nowhere/at/all",), ("",), ("/a\0b",)], ids=["none", "missing", "empty", "NUL"]
)
def test_what_is_not_there_stays_so(paths: tuple[str, ...]) -> None:
    """Paths that lead nowhere are sources that are missing."""
    seen = snapshot(paths)
    assert unchanged(seen)
    assert {path: then for path, whole, then in seen if whole} == dict.fromkeys(paths)


@pytest.mark.parametrize(
    ("name", "target"),
    [("a", "a"), ("a", "b"), ("a", "a/a"), ("a", "d/../a"), ("a", "."), ("a", ".."), ("a", "/")],
    ids=["itself", "each other", "below itself", "a longer way", "here", "above", "root"],
)
def test_links_that_run_in_circles_end(tmp_path: Path, name: str, target: str) -> None:
    """Links to themselves, to each other, or to longer and longer paths are followed forty times at most."""
    (tmp_path / "d").mkdir()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / name).symlink_to(target)
    seen = snapshot([str(tmp_path / name)])
    assert unchanged(seen)
    assert len(seen) < 500


def test_a_look_has_the_numbers_of_the_file_system(tmp_path: Path) -> None:
    """Mode, inode, device, owner and group; for a whole look also links, size and both times in nanoseconds."""
    file = tmp_path / "file"
    file.write_text("abc")
    status = file.lstat()
    identity, owners = (status.st_mode, status.st_ino, status.st_dev), (status.st_uid, status.st_gid)
    assert look(str(file), False) == (*identity, *owners)
    assert look(str(file), True) == (*identity, 1, *owners, 3, status.st_mtime_ns, status.st_ctime_ns)
    assert look(str(tmp_path / "missing"), True) is None


def test_the_youngest_time_counts_content_and_attributes(tmp_path: Path) -> None:
    """The latest of all times of whole sources: of a change of mode, too, and those in the future."""
    old, new = tmp_path / "old", tmp_path / "new"
    for file in (old, new):
        file.touch()
        os.utime(file, (1, 1))
    before = time.time_ns()
    new.chmod(0o600)
    found = youngest_ns(snapshot([str(old), str(new)]))
    assert found == new.stat().st_ctime_ns
    assert found >= before - 1_000_000_000
    os.utime(old, (4e9, 4e9))
    assert youngest_ns(snapshot([str(old), str(new)])) == 4_000_000_000_000_000_000
    assert youngest_ns(snapshot([])) == youngest_ns(snapshot([str(tmp_path / "missing")])) == 0
