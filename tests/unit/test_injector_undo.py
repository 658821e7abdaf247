"""What was put into a root is taken out when the container is gone, and what it replaced is given back."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.injecting import Told, everything, injector_file, leftovers, put

from ocihooks.errors import OCIHooksError, UntrustedError
from ocihooks.injector import undo as module
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.rootfs import Root
from ocihooks.injector.target import Target, record_file
from ocihooks.injector.undo import MOST_RECORDS, keep, undo

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="reads what only root could have written")

NAME = ("c1", "/run/bundle")


@pytest.fixture
def record(public_directory: Path, tmp_path: Path) -> str:
    """The file of the record; nobody else may write the directories above it."""
    return f"{public_directory}/{tmp_path.parent.name}-{tmp_path.name}/injected/r.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file and a directory."""
    (tmp_path / "root/opt").mkdir(parents=True)
    (tmp_path / "root/opt/old").write_text("old")
    (tmp_path / "root/opt/old").chmod(0o640)
    return tmp_path / "root"


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A file of the host."""
    (tmp_path / "tool").write_text("tool")
    return tmp_path / "tool"


def contents(root: Path) -> dict[str, tuple[int, int, str]]:
    """Every path in *root* with inode, mode and content."""
    return {path: (found[0], found[1], found[3]) for path, found in everything(root).items()}


def put_and_keep(root: Path, tool: Path, record: str, name: tuple[str, str] = NAME) -> None:
    """Replace a file and make others, to be undone."""
    file = injector_file(directories=["/new/deep"], binaries=[f"{tool}:/opt/old", f"{tool}:/new/deep/t", f"{tool}:/t"])
    put(root, file, record=record, name=name)


def undone(record: str, name: tuple[str, str] = NAME) -> Told:
    """Undo, and what was told."""
    told = Told()
    undo(record, name, told.tell)
    return told


def test_undo(root: Path, tool: Path, record: str) -> None:
    """Afterwards the root is as it was, with the very file that was replaced, and no record is left."""
    before = contents(root)
    put_and_keep(root, tool, record)
    assert (root / "opt/old").read_text() == "tool"
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (record, os.path.dirname(record))]
    assert modes == [0o600, 0o700]
    assert undone(record) == []
    assert contents(root) == before
    assert not os.path.exists(record)
    assert undone(record) == []


def replaced(root: Path) -> None:
    (root / "opt/old").unlink()
    (root / "opt/old").write_text("tool")


def relinked(root: Path) -> None:
    (root / "opt/old").unlink()
    (root / "opt/old").symlink_to("x")


def touched(root: Path) -> None:
    os.utime(root / "opt/old")


def moved(root: Path) -> None:
    """Another directory in the place of the one with the files."""
    (root / "opt").rename(root / "moved")
    (root / "opt").mkdir()
    (root / "opt/old").write_text("other")


CHANGES: dict[str, tuple[Callable[[Path], object], str, str | None]] = {
    "written": (lambda root: (root / "opt/old").write_text("mine"), "it was changed meanwhile", "mine"),
    "replaced": (replaced, "it was changed meanwhile", "tool"),
    "mode": (lambda root: (root / "opt/old").chmod(0o777), "it was changed meanwhile", "tool"),
    "times": (touched, "it was changed meanwhile", "tool"),
    "removed": (lambda root: (root / "opt/old").unlink(), "it was removed meanwhile", None),
    "link": (relinked, "it was changed", None),
    "directory-gone": (lambda root: shutil.rmtree(root / "opt"), "can't be undone: it does not exist", None),
    "directory-moved": (moved, "can't be undone: it does not exist", "other"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_meanwhile(name: str, root: Path, tool: Path, record: str) -> None:
    """What the container has changed is left alone and told; all else is taken out."""
    change, message, content = CHANGES[name]
    put_and_keep(root, tool, record)
    change(root)
    told = undone(record)
    assert [level for level, _ in told] == ["warning"]
    assert (
        f'"/opt/old" in the container\'s root {"" if "can" in message[:3] else "is left alone: "}{message}'
        in told[0][1]
    )
    old = root / "opt/old"
    assert (old.read_text() if old.is_file() else None) == content
    assert not (root / "new").exists()
    assert not (root / "t").exists()
    assert leftovers(root / "opt") == []


def test_directory_in_use(root: Path, tool: Path, record: str) -> None:
    """A directory into which the container has put something stays, without a word."""
    put_and_keep(root, tool, record)
    (root / "new/own").write_text("mine")
    assert undone(record) == []
    assert sorted(os.listdir(root)) == ["new", "opt"]
    assert os.listdir(root / "new") == ["own"]


def test_directory_replaced(root: Path, tool: Path, record: str) -> None:
    """A directory that is not the one that was made stays."""
    put(root, injector_file(directories=["/new"]), record=record, name=NAME)
    (root / "new").rename(root / "kept")
    (root / "new").mkdir()
    assert undone(record) == []
    assert sorted(os.listdir(root)) == ["kept", "new", "opt"]


def test_root_is_gone(root: Path, tool: Path, record: str) -> None:
    """Where the root is gone as well there is nothing to do, and the record goes."""
    put_and_keep(root, tool, record)
    shutil.rmtree(root)
    assert [level for level, _ in undone(record)] == ["debug"]
    assert not os.path.exists(record)


def test_hostile_root(root: Path, tool: Path, record: str, tmp_path: Path) -> None:
    """A container that has put a link in the place of a directory gets nothing removed outside of its root."""
    canary = tmp_path / "canary"
    canary.mkdir()
    put_and_keep(root, tool, record)
    for name in (*os.listdir(root / "opt"), "t"):
        (canary / name).write_text("canary")
    before = everything(canary)
    shutil.rmtree(root / "opt")
    (root / "opt").symlink_to(canary)
    undone(record)
    assert everything(canary) == before


def test_another_container(root: Path, tool: Path, record: str) -> None:
    """A record that is another container's is not used."""
    put_and_keep(root, tool, record, name=("c2", "/run/bundle"))
    assert undone(record) == []
    assert (root / "opt/old").read_text() == "tool"
    assert os.path.exists(record)


def test_failure_keeps_no_record(root: Path, tool: Path, record: str) -> None:
    """When something can't be put in, the root is as it was and nothing is kept."""
    before = contents(root)
    with pytest.raises(NotInjectedError):
        put(root, injector_file(binaries=[f"{tool}:/opt/old", f"{tool}:/none/t"]), record=record, name=NAME)
    assert contents(root) == before
    assert not os.path.exists(record)


def test_record_that_can_not_be_kept(root: Path, tool: Path, record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it can't be kept what has to be undone, nothing is put in."""
    before = contents(root)
    for broken in (f"{tool}/x/injected/r.json", f"{tool.parent}/none/none/injected/r.json"):
        with pytest.raises(NotInjectedError, match="what has to be undone can't be kept") as caught:
            put_and_keep(root, tool, broken)
        assert caught.value.hint
    monkeypatch.setattr(module, "RECORD_BYTES", 100)
    with pytest.raises(NotInjectedError, match="more than the 100 bytes"):
        put_and_keep(root, tool, record)
    assert contents(root) == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"version": 1}', '{"name": 5}'], ids=lambda text: text or "empty"
)
def test_odd_record(record: str, text: str) -> None:
    """A record that is none is refused with a hint, and stays."""
    os.makedirs(os.path.dirname(record))
    Path(record).write_text(text)
    with pytest.raises(NotInjectedError, match="not an undo record of this program") as caught:
        undone(record)
    assert (caught.value.hint or "").startswith("remove it: rm ")


@pytest.mark.parametrize("kind", ["mode", "owner", "directory", "fifo", "loop"])
def test_untrusted_record(root: Path, tool: Path, record: str, kind: str) -> None:
    """A record that somebody else could have written is not used."""
    put_and_keep(root, tool, record)
    changes: dict[str, Callable[[], object]] = {
        "mode": lambda: os.chmod(record, 0o666),
        "owner": lambda: os.chown(record, 1234, 0),
        "directory": lambda: os.chmod(os.path.dirname(record), 0o777),
        "fifo": lambda: os.mkfifo(record),
        "loop": lambda: os.symlink(record, record),
    }
    if kind in ("fifo", "loop"):
        os.unlink(record)
    changes[kind]()
    with pytest.raises(OCIHooksError) as caught:
        undone(record)
    assert isinstance(caught.value, UntrustedError)
    assert (root / "opt/old").read_text() == "tool"


def test_too_many_records(root: Path, tool: Path, record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records do not become more and more: those whose bundle is gone are removed, but nothing else."""
    directory = Path(record).parent
    put_and_keep(root, tool, record, name=("c1", str(root)))
    kept = {"r.json", "odd.json", "unsafe.json", "a.json", ".new.json", ".new.json.ocihooks-1-ab", "new.txt"}
    for name in kept - {"r.json", "a.json", "odd.json"}:
        shutil.copy(write_record(f"{directory}/gone.json", root, {"name": ["c2", "/none"]}), directory / name)
    (directory / "unsafe.json").chmod(0o666)
    (directory / "odd.json").write_text("x")
    (directory / "a.json").mkdir()
    monkeypatch.setattr(module, "MOST_RECORDS", 2)
    put(root, injector_file(directories=["/d"]), record=f"{directory}/last.json", name=("c3", str(root)))
    assert set(os.listdir(directory)) == {*kept, "last.json"}


def test_bundle_that_can_not_be_looked_at(root: Path, record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is removed only where its bundle is surely gone."""
    link = root / "loop"
    link.symlink_to(link)
    write_record(record, root, {"name": ["c1", f"{link}/bundle"]})
    monkeypatch.setattr(module, "MOST_RECORDS", 1)
    put(root, injector_file(directories=["/d"]), record=f"{Path(record).parent}/2.json", name=("c2", str(root)))
    assert os.path.exists(record)


def kept_at_once(root: Path, directory: Path, count: int) -> list[int]:
    """The statuses with which processes end that keep a record each at the same time; 0 for those that could."""
    children = []
    go, going = os.pipe()
    for number in range(count):
        child = os.fork()
        if not child:
            status = 1
            try:
                os.close(going)
                os.read(go, 1)
                with Root(str(root)) as opened:
                    keep(Target(str(root), record=f"{directory}/own{number}.json", name=("c", str(root))), opened, ())
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for fd in (go, going):
        os.close(fd)
    return [os.waitpid(child, 0)[1] for child in children]


def test_too_many_records_at_once(root: Path, record: str) -> None:
    """Containers that start at the same time don't hinder each other when they remove old records."""
    directory = Path(record).parent
    for number in range(MOST_RECORDS + 5):
        write_record(f"{directory}/{number}.json", root, {"name": ["c", "/none"]})
    assert kept_at_once(root, directory, 4) == [0] * 4
    assert sorted(os.listdir(directory)) == [f"own{number}.json" for number in range(4)]


def test_record_that_somebody_else_removes(root: Path, record: str) -> None:
    """A record that is removed while it is used has been used all the same."""
    write_record(record, root, {"root": f"{root}/none"})
    told = []

    def tell(level: str, text: str) -> None:
        told.append(level)
        os.unlink(record)

    undo(record, NAME, tell)
    assert told == ["debug"]


def test_record_file() -> None:
    """Each container has a file of its own, whatever its id."""
    names: list[tuple[str, str]] = [("a", "/b"), ("a/../x", "/b"), ("a", "/c"), ("\udcff", "/b")]
    files = {record_file({}, name) for name in names}
    assert len(files) == 4
    assert all(Path(file).parent == Path("/run/ocihooks/injected") for file in files)
    assert Path(record_file({"OCI_INJECTOR_UNDO_DIR": "/srv/undo/"}, names[0])).parent == Path("/srv/undo")


def test_record_is_json(root: Path, tool: Path, record: str) -> None:
    """A record can be read by people."""
    put_and_keep(root, tool, record)
    document: dict[str, Any] = json.loads(Path(record).read_text())
    assert (document["version"], document["name"], document["root"]) == (1, list(NAME), str(root))
    assert document["inode"] == [root.stat().st_dev, root.stat().st_ino]
    assert [row[:2] for row in document["made"]] == [
        ["", "new"],
        ["/new", "deep"],
        ["/new/deep", "t"],
        ["/opt", "old"],
        ["", "t"],
    ]


def test_another_root(root: Path, tool: Path, record: str) -> None:
    """Another tree in the place of the root stays as it is, with files of the very same names, and this is told."""
    put_and_keep(root, tool, record)
    root.rename(root.with_name("moved"))
    shutil.copytree(root.with_name("moved"), root)
    before = everything(root)
    told = undone(record)
    assert told == [("warning", f"{root}: nothing is undone, since another directory is in the root's place")]
    assert everything(root) == before
    assert not os.path.exists(record)


SIGNATURE = [1, 2, 3, 4, 5]
FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "no-inode": ({"inode": None}, "not an undo record"),
    "half-an-inode": ({"inode": [5]}, "not an undo record"),
    "no-name": ({"name": ["c1", 5]}, "not an undo record"),
    "relative-root": ({"root": "rootfs"}, "not an undo record"),
    "nul-in-root": ({"root": "/a\0b"}, "not an undo record"),
    "no-rows": ({"made": 5}, "not an undo record"),
    "no-file-name": ({"made": [["", "\ud800", "", SIGNATURE]]}, "not an undo record"),
    "no-row": ({"made": [["", "a", "", SIGNATURE], 5]}, "/made/1: expected a directory, a name, a second name and"),
    "no-signature": ({"made": [["", "a", "", [1, 2]]]}, "/made/0: expected a directory, a name, a second name and"),
    "name-above": ({"made": [["", "..", "/", SIGNATURE]]}, "/made/0: expected a name in a directory, found"),
    "name-with-slash": ({"made": [["", "../a", "", SIGNATURE]]}, "/made/0: expected a name in a directory, found"),
    "other-second-name": ({"made": [["", "a", "keep", SIGNATURE]]}, "/made/0: expected a second name that begins with"),
    "second-name-above": (
        {"made": [["", "a", ".ocihooks-/../../canary", SIGNATURE]]},
        "/made/0: expected a second name that begins with",
    ),
}


def write_record(record: str, root: Path, members: dict[str, Any]) -> str:
    """Write a record as root could."""
    os.makedirs(os.path.dirname(record), mode=0o700, exist_ok=True)
    inode = [root.stat().st_dev, root.stat().st_ino]
    document = {"version": 1, "name": NAME, "root": str(root), "inode": inode, "made": [], **members}
    Path(record).write_text(json.dumps(document))
    return record


@pytest.mark.parametrize("name", FORGED)
def test_forged_record(root: Path, record: str, name: str) -> None:
    """A record that names other things than we have made is refused as a whole, with the place, and stays."""
    members, message = FORGED[name]
    (root / "keep").write_text("x")
    (root.parent / "canary").write_text("x")
    before = everything(root.parent)
    write_record(record, root, members)
    with pytest.raises(NotInjectedError) as caught:
        undone(record)
    assert message in str(caught.value)
    assert caught.value.hint == f"remove it: rm {record}"
    assert (everything(root.parent), os.path.exists(record)) == (before, True)


def test_forged_record_that_is_believed(root: Path, record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without the look at second names such a record would have a file of the image removed."""
    (root / "keep").write_text("x")
    monkeypatch.setattr(module, "_wrong", lambda row: "")
    write_record(record, root, {"made": [["", "a", "keep", SIGNATURE]]})
    undone(record)
    assert not (root / "keep").exists()
