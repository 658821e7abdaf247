"""Changes to the root of a container: all of them, or none, and nothing of ours is left."""

from __future__ import annotations

import errno
import fcntl
import os
import posix
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

import pytest
from tests.unit.injecting import everything, leftovers

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.injector import copying, rootfs
from ocihooks.injector.changes import PREFIX, Changes
from ocihooks.injector.copying import copy
from ocihooks.injector.rootfs import NotInPlaceError, Place, Root

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes, or gives files away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_all_or_nothing(root: Path, tmp_path: Path) -> None:
    """When the last file can't be put in, nothing of the others is there, and what was replaced is back."""
    source = tmp_path / "tool"
    source.write_text("new")
    old = root / str(source)[1:]
    old.parent.mkdir(parents=True)
    old.write_text("old")
    before = everything(root)

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, source.open("rb") as stream:
            made.make_directory("/new/deep")
            made.add_file(str(source), stream.fileno(), 0o755)
            made.add_file("/new/deep/tool", stream.fileno(), 0o755)
            made.put_in_place()
            made.add_file("/later", stream.fileno(), 0o755)
            assert old.read_text() == "new"
            made.add_file("/none/tool", stream.fileno(), 0o755)

    with pytest.raises(FileNotFoundError):
        attempt()
    assert everything(root) == before


def test_failure_while_renaming(root: Path) -> None:
    """When a place can't be taken after all, the file that keeps its former content stays whole."""
    (root / "a").write_text("old")

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
            made.add_file("/a", stream.fileno(), 0o644)
            made.add_file("/b", stream.fileno(), 0o644)
            (root / "b").mkdir()
            made.put_in_place()

    with pytest.raises(IsADirectoryError):
        attempt()
    assert (root / "a").read_text() == "old"
    assert sorted(os.listdir(root)) == ["a", "b"]


def test_former_file_that_can_not_be_replaced(root: Path) -> None:
    """A second name of a file that was not replaced goes again."""
    (root / "a").write_text("old")

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
            made.add_file("/a", stream.fileno(), 0o644)
            for name in os.listdir(root):
                if name.startswith(PREFIX):
                    (root / name).unlink()
            made.put_in_place()

    with pytest.raises(FileNotFoundError):
        attempt()
    assert os.listdir(root) == ["a"]


def test_former_file_that_goes_meanwhile(root: Path) -> None:
    """A file that somebody removes before it is replaced is no reason to fail, and does not come back."""
    (root / "a").write_text("old")
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.add_file("/a", stream.fileno(), 0o644)
        (root / "a").unlink()
        made.put_in_place()
    assert os.listdir(root) == ["a"]


def test_nothing_is_left_over(root: Path) -> None:
    """When all is well, no other name is there; other names of a replaced file keep their content."""
    (root / "a").write_text("old")
    os.link(root / "a", root / "other")
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.add_file("/a", stream.fileno(), 0o4711)
        made.put_in_place()
    assert sorted(os.listdir(root)) == ["a", "other"]
    assert ((root / "a").stat().st_mode & 0o7777, (root / "other").read_text()) == (0o4711, "old")


def test_one_place_twice(root: Path, tmp_path: Path) -> None:
    """The last of several files for one place counts, by whatever path; undone, the first content is back."""
    (root / "lib").mkdir()
    (root / "also").symlink_to("lib")
    (root / "lib/a").write_text("old")
    for name in ("1", "2", "3"):
        (tmp_path / name).write_text(name)

    def attempt(*, fail: bool) -> None:
        with Root(str(root)) as opened, Changes(opened) as made:
            for name, path in (("1", "/lib/a"), ("2", "/also/a"), ("3", "/lib/a")):
                with (tmp_path / name).open("rb") as stream:
                    made.add_file(path, stream.fileno(), 0o644)
                if name == "2":
                    made.put_in_place()
                    assert (root / "lib/a").read_text() == "2"
            made.put_in_place()
            assert (root / "lib/a").read_text() == "3"
            if fail:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        attempt(fail=True)
    assert ((root / "lib/a").read_text(), leftovers(root)) == ("old", [])
    attempt(fail=False)
    assert ((root / "lib/a").read_text(), leftovers(root)) == ("3", [])


def test_one_place_twice_in_the_account(root: Path, tmp_path: Path) -> None:
    """What was in a place before us is what the account names, however often we put something there."""
    (root / "a").write_text("old")
    (tmp_path / "s").write_text("new")
    with Root(str(root)) as opened, Changes(opened) as made, (tmp_path / "s").open("rb") as stream:
        made.keeps_former = True
        for _ in range(3):
            made.add_file("/a", stream.fileno(), 0o644)
            made.put_in_place()
        ((directory, name, former, _),) = made.made()
    assert (directory, name, (root / former).read_text()) == ("", "a", "old")
    assert sorted(os.listdir(root)) == sorted(["a", former])


def test_new_directory_appears_as_a_whole(root: Path) -> None:
    """Nobody sees a new directory by its name before everything is in it; what it takes is one rename."""
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.make_directory("/new/deep")
        made.make_directory("/other")
        made.add_file("/new/deep/a", stream.fileno(), 0o640)
        made.add_file("/new/b", stream.fileno(), 0o4755)
        assert all(name.startswith(PREFIX) for name in os.listdir(root))
        assert opened.where(opened.directory("/new/deep")) == "/new/deep"
        made.put_in_place()
        assert sorted(os.listdir(root)) == ["new", "other"]
    assert sorted(str(path.relative_to(root)) for path in (root / "new").rglob("*")) == [
        "new/b",
        "new/deep",
        "new/deep/a",
    ]
    modes = [stat.S_IMODE((root / path).stat().st_mode) for path in ("new/deep/a", "new/b")]
    assert modes == [0o640, 0o4755]


def test_nearest_directory(root: Path) -> None:
    """The directory that a path has above it is told, made or not, without putting a new one in its place."""
    (root / "old").mkdir()
    with Root(str(root)) as opened, Changes(opened) as made:
        made.make_directory("/old/new")
        paths = ("/old/none/none", "/none", "/old/new/none")
        assert [opened.where(opened.nearest(path)) for path in paths] == ["/old", "", "/old/new"]
        assert os.listdir(root / "old")[0].startswith(PREFIX)


def test_new_directory_of_a_file_that_fails(root: Path) -> None:
    """Half a copy leaves nothing in a new directory either, and what follows is put there all the same."""
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as good:
        made.make_directory("/new")
        closed = os.open("/", os.O_PATH)
        with pytest.raises(OSError, match="Bad file descriptor"):
            made.add_file("/new/half", closed, 0o644)
        os.close(closed)
        made.add_file("/new/whole", good.fileno(), 0o644)
        made.put_in_place()
    assert os.listdir(root / "new") == ["whole"]


def test_links_into_a_new_directory(root: Path) -> None:
    """A link of the image that leads to a new directory does so at once, for files and for directories in it."""
    (root / "also").symlink_to("new")
    (root / "link").symlink_to("other")
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.make_directory("/new")
        made.make_directory("/also/deep")
        made.make_directory("/other")
        made.add_file("/link/a", stream.fileno(), 0o644)
        made.add_file("/also/deep/a", stream.fileno(), 0o644)
        made.put_in_place()
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == ["also", "link", "new", "new/deep", "new/deep/a", "other", "other/a"]


def test_file_in_the_place_of_a_new_directory(root: Path) -> None:
    """A file does not take the place of a directory that is to be there, and the directory stays."""
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.make_directory("/new/deep")
        for path in ("/new", "/new/deep"):
            with pytest.raises(IsADirectoryError):
                made.add_file(path, stream.fileno(), 0o644)
        made.add_file("/new/deep/a", stream.fileno(), 0o644)
        made.put_in_place()
    assert os.listdir(root / "new/deep") == ["a"]


def test_new_directory_in_the_place_of_a_link(root: Path) -> None:
    """A link to nowhere is not replaced by a directory."""
    (root / "dangling").symlink_to("nowhere")
    with Root(str(root)) as opened, Changes(opened) as made:
        made.make_directory("/new")
        with pytest.raises(FileExistsError):
            made.make_directory("/dangling/deep")
        made.put_in_place()
    assert sorted(os.listdir(root)) == ["dangling", "new"]


def test_directory_that_can_not_be_made(root: Path) -> None:
    """When one of several steps fails, none is left or remembered, and the rest can be put in place."""
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.make_directory("/new")
        for path in (f"/a/b/{'n' * 300}", f"/new/b/{'n' * 300}"):
            with pytest.raises(OSError, match="File name too long"):
                made.make_directory(path)
        for path in ("/a/b/file", "/new/b/file"):
            with pytest.raises(FileNotFoundError):
                made.add_file(path, stream.fileno(), 0o644)
        made.put_in_place()
    assert (os.listdir(root), os.listdir(root / "new")) == (["new"], [])


def test_somebody_is_in_a_new_directory(root: Path) -> None:
    """What somebody puts into a new directory before it has its name is replaced as everywhere, and comes back."""

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
            made.make_directory("/new")
            (hidden,) = root.iterdir()
            (hidden / "a").write_text("mine")
            for path in ("/new/b", "/new/a", "/new/b", "/new/a"):
                stream.seek(0)
                made.add_file(path, stream.fileno(), 0o644)
            made.put_in_place()
            assert (root / "new/a").read_text() == Path(__file__).read_text()
            assert (root / "new/b").read_text() == Path(__file__).read_text()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        attempt()
    ((path, left),) = ((path, path.read_text()) for path in root.rglob("*") if path.is_file())
    assert (str(path.relative_to(root)), left) == ("new/a", "mine")


@pytest.mark.parametrize("kind", ["directory", "file", "gone"])
def test_somebody_makes_the_directory_meanwhile(root: Path, kind: str) -> None:
    """A new directory whose name is taken meanwhile is told, nothing of ours stays, and what is there does."""

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
            made.make_directory("/new")
            made.make_directory("/second")
            made.add_file("/new/a", stream.fileno(), 0o644)
            if kind == "directory":
                (root / "new").mkdir()
                (root / "new/theirs").write_text("x")
            elif kind == "file":
                (root / "new").write_text("x")
            else:
                shutil.rmtree(next(path for path in root.iterdir() if os.listdir(path)))
            made.put_in_place()

    with pytest.raises(NotInPlaceError):
        attempt()
    assert os.listdir(root) == ([] if kind == "gone" else ["new"])
    assert kind != "directory" or os.listdir(root / "new") == ["theirs"]


@pytest.mark.parametrize("beside", [False, True], ids=["in-its-place", "below-a-new-one"])
def test_somebody_is_faster(root: Path, monkeypatch: pytest.MonkeyPatch, beside: bool) -> None:
    """A directory that somebody makes between our look and our making it is as good; in a new one it is refused."""
    real = rootfs.look

    def slow(parent: int, name: str) -> Place:
        place = real(parent, name)
        if place.status is None:
            os.mkdir(name, dir_fd=parent)
        return place

    with Root(str(root)) as opened, Changes(opened, beside=beside) as made, Path(__file__).open("rb") as stream:
        if beside:
            made.make_directory("/new")
            (next(root.iterdir()) / "deep").mkdir()
            with pytest.raises(FileExistsError):
                made.make_directory("/new/deep")
        else:
            monkeypatch.setattr(rootfs, "look", slow)
            made.make_directory("/new/deep")
            monkeypatch.undo()
            made.add_file("/new/deep/a", stream.fileno(), 0o644)
        made.put_in_place()
    assert os.listdir(root / "new/deep") == ([] if beside else ["a"])


PUT = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from tests.unit.injecting import injector_file, put
from ocihooks.injector.errors import NotInjectedError
root, tool = sys.argv[3:]
pairs = [f"{tool}:{place}" for place in ("/old/a", "/old/b", "/new/a", "/new/deep/b")]
try:
    put(Path(root), injector_file(directories=["/new/deep"], binaries=pairs))
except (NotInjectedError, RuntimeError) as error:
    sys.exit(str(error))
"""


def shown(root: Path) -> dict[str, str | None]:
    """Every path in *root* but our own names, with the content of files."""
    paths = [path for path in sorted(root.rglob("*")) if PREFIX not in str(path)]
    return {str(path.relative_to(root)): path.read_text() if path.is_file() else None for path in paths}


class Attempts:
    """A root, anew for each attempt to put the same files into it, of which one system call does something else."""

    def __init__(self, place: Path) -> None:
        self.root = place / "attempted"
        self.tool = place / "tool"
        self.tool.write_text("tool")

    def put(self, call: str, number: str, what: str) -> bool:
        """Whether that went well where the *number*-th *call* ("+": and all behind it) does *what*."""
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "old").mkdir(parents=True)
        (self.root / "old/a").write_text("old")
        project = Path(__file__).parents[2]
        inject = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:{what}:when={number}"]
        words = [sys.executable, "-c", PUT, str(project / "src"), str(project), str(self.root), str(self.tool)]
        return not subprocess.run([*inject, *words], capture_output=True, check=False, timeout=60).returncode


@pytest.fixture
def attempts(tmp_path: Path, unavailable: Callable[[OCIHooksError], NoReturn]) -> Attempts:
    """Such attempts."""
    if shutil.which("strace") is None:
        unavailable(UnavailableError("strace: not found on PATH", hint="apt-get install strace"))
    return Attempts(tmp_path)


OLD = {"old": None, "old/a": "old"}
NEW = {"new": None, "new/a": "tool", "new/deep": None, "new/deep/b": "tool"}
ALL = {**NEW, "old": None, "old/a": "tool", "old/b": "tool"}


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("mkdirat", "2"),
        ("copy_file_range", "3+"),
        ("fchmod", "2"),
        ("linkat", "1"),
        ("renameat", "2"),
        ("renameat", "3"),
    ],
    ids=["directory", "content", "mode", "second-name", "replaced", "added"],
)
def test_calls_that_fail(attempts: Attempts, call: str, number: str) -> None:
    """After an error at a call that changes the root it is as it was; after a kill each file is old or new."""
    assert not attempts.put(call, number, "error=EIO")
    assert (shown(attempts.root), leftovers(attempts.root)) == (OLD, [])
    assert not attempts.put(call, number, "signal=KILL")
    found = shown(attempts.root)
    assert {path: text for path, text in found.items() if path.startswith("new")} in ({}, NEW)
    assert (found["old/a"] in ("old", "tool"), found.get("old/b", "tool")) == (True, "tool")


def test_directories_that_can_not_be_renamed(attempts: Attempts) -> None:
    """Where a new directory gets no other name, all is done anew, with the directory made in its place."""
    assert attempts.put("renameat", "1", "error=EXDEV")
    assert (shown(attempts.root), leftovers(attempts.root)) == (ALL, [])


def test_a_directory_is_in_the_place(root: Path) -> None:
    """A file does not take the place of a directory."""
    (root / "a").mkdir()
    with Root(str(root)) as opened, pytest.raises(IsADirectoryError), Changes(opened) as made:
        made.add_file("/a", 0, 0o755)


def test_links(root: Path) -> None:
    """A link takes the place of another one, and goes again when something fails."""
    (root / "l").symlink_to("old")
    with Root(str(root)) as opened, Changes(opened) as made:
        made.add_link("/l", "new")
        made.put_in_place()
    assert os.readlink(root / "l") == "new"

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made:
            made.add_link("/l", "newer")
            made.add_link("/m", "newer")
            made.put_in_place()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        attempt()
    assert (os.listdir(root), os.readlink(root / "l")) == (["l"], "new")


@needs_root
def test_devices(root: Path) -> None:
    """A node has type, numbers, mode and owner as they were given, whatever the umask."""
    with Root(str(root)) as opened, Changes(opened) as made:
        made.add_device("/n", os.makedev(1, 3), stat.S_IFCHR | 0o666, (3, 4))
        made.add_device("/b", os.makedev(7, 1), stat.S_IFBLK | 0o640, (0, 0))
        made.put_in_place()
    status = (root / "n").stat()
    assert (status.st_mode, status.st_rdev, status.st_uid, status.st_gid) == (0o020666, os.makedev(1, 3), 3, 4)
    assert (root / "b").stat().st_mode == 0o060640


@needs_root
def test_owner(root: Path, tmp_path: Path) -> None:
    """Everything that is made belongs to the given owner, and special bits survive that."""
    (tmp_path / "s").write_text("x")
    with Root(str(root)) as opened, Changes(opened, (1234, 5678)) as made, (tmp_path / "s").open("rb") as stream:
        made.make_directory("/d/e", 0o700)
        made.add_file("/d/e/f", stream.fileno(), 0o4755)
        made.add_link("/d/l", "f")
        made.put_in_place()
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}
    assert owners == {(1234, 5678)}
    assert stat.S_IMODE((root / "d/e/f").stat().st_mode) == 0o4755
    assert [stat.S_IMODE((root / path).stat().st_mode) for path in ("d", "d/e")] == [0o755, 0o700]


def size(source: IO[bytes]) -> int:
    """The size that a file has, or says that it has."""
    return os.fstat(source.fileno()).st_size


def test_copy_of_a_file_that_shrinks(tmp_path: Path) -> None:
    """A file that is shorter than it was is copied to its end."""
    (tmp_path / "s").write_bytes(b"x" * 100)
    with (tmp_path / "s").open("rb") as source, (tmp_path / "t").open("wb") as target:
        copy(source.fileno(), target.fileno(), 1000)
    assert (tmp_path / "t").read_bytes() == b"x" * 100


def test_copy_without_sharing(tmp_path: Path) -> None:
    """Files of the kernel's own, which have no size and can't be shared, are copied as well."""
    with Path("/proc/self/status").open("rb") as source, (tmp_path / "t").open("wb") as target:
        copy(source.fileno(), target.fileno(), size(source))
    assert "Name:" in (tmp_path / "t").read_text()


def test_copy_to_another_kind_of_file(tmp_path: Path) -> None:
    """Where the kernel can't copy by itself, the content is passed on."""
    (tmp_path / "s").write_bytes(b"x" * 100)
    readable, writable = os.pipe()
    with (tmp_path / "s").open("rb") as source, os.fdopen(readable, "rb") as stream:
        copy(source.fileno(), writable, 100)
        os.close(writable)
        assert stream.read() == b"x" * 100


MEBIBYTE = 1 << 20


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is large, and mapped in several pieces."""
    monkeypatch.setattr(copying, "MAPPED_BYTES", MEBIBYTE)
    (tmp_path / "large").write_bytes(os.urandom(MEBIBYTE) * 2 + b"the end")
    return tmp_path / "large"


def copied(path: Path, target: Path, size_bytes: int | None = None) -> bytes:
    """What a copy of *path* at *target* has."""
    with path.open("rb") as source, target.open("wb", buffering=0) as stream:
        copy(source.fileno(), stream.fileno(), size(source) if size_bytes is None else size_bytes)
    return target.read_bytes()


@pytest.mark.parametrize("size_bytes", [MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 2 * MEBIBYTE + 7])
def test_copy_of_a_large_file(size_bytes: int, large: Path, tmp_path: Path) -> None:
    """Large files are copied to the last byte."""
    os.truncate(large, size_bytes)
    assert copied(large, tmp_path / "t") == large.read_bytes()


def test_copy_that_shares(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What two large files can share is not written."""
    asked: list[tuple[object, ...]] = []

    def sharing(*words: object) -> int:
        asked.append(words)
        return 0

    monkeypatch.setattr(copying, "library_call", sharing)
    assert copied(large, tmp_path / "t") == b""
    ((name, _, request, _),) = asked
    assert (name, request) == ("ioctl", getattr(fcntl, "FICLONE", 0x40049409))


@pytest.mark.parametrize("size_bytes", [MEBIBYTE, 2 * MEBIBYTE + 7, 5 * MEBIBYTE], ids=["mapped", "less", "much-less"])
def test_copy_of_a_large_file_that_was_cut(size_bytes: int, large: Path, tmp_path: Path) -> None:
    """A large file that is shorter than it was is copied to its end."""
    os.truncate(large, MEBIBYTE // 2)
    assert copied(large, tmp_path / "t", size_bytes) == large.read_bytes()


def test_copy_of_a_large_file_that_is_being_cut(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is cut while it is mapped is copied to its end: no signal ends us."""
    write, calls = posix.write, []

    def cutting(fd: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 2:
            os.truncate(large, MEBIBYTE + MEBIBYTE // 2)
        return write(fd, data)

    monkeypatch.setattr(posix, "write", cutting)
    assert copied(large, tmp_path / "t") == large.read_bytes()
    assert calls == [MEBIBYTE, MEBIBYTE, MEBIBYTE // 2]


def test_copy_of_a_large_file_that_can_not_be_mapped(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system maps no files the content is passed on."""
    tried = []

    def unmapped(source: int, offset: int, length: int) -> NoReturn:
        tried.append(length)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(copying, "_mapped", unmapped)
    assert copied(large, tmp_path / "t") == large.read_bytes()
    assert tried == [MEBIBYTE]


def test_copy_of_a_large_file_to_a_full_place(large: Path) -> None:
    """A full file system is told for large files, too."""
    with large.open("rb") as source, Path("/dev/full").open("wb", buffering=0) as target:  # noqa: SIM117
        with pytest.raises(OSError, match="No space"):
            copy(source.fileno(), target.fileno(), size(source))


def test_copy_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source without a size whose content is beyond the limit is refused."""
    monkeypatch.setattr(copying, "MOST_BYTES", 10)
    with Path("/proc/self/status").open("rb") as source, (tmp_path / "t").open("wb") as target:  # noqa: SIM117
        with pytest.raises(OSError, match="too large"):
            copy(source.fileno(), target.fileno(), size(source))


def test_copy_to_a_full_place() -> None:
    """A full file system is told."""
    with Path(__file__).open("rb") as source, Path("/dev/full").open("wb", buffering=0) as target:  # noqa: SIM117
        with pytest.raises(OSError, match="No space"):
            copy(source.fileno(), target.fileno(), size(source))


def test_half_a_copy_is_no_change(root: Path) -> None:
    """A file that can't be copied to its end leaves nothing, and the others can be put in place all the same."""
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as good:
        closed = os.open("/", os.O_PATH)
        with pytest.raises(OSError, match="Bad file descriptor"):
            made.add_file("/half", closed, 0o644)
        os.close(closed)
        made.add_file("/whole", good.fileno(), 0o644)
        made.put_in_place()
    assert os.listdir(root) == ["whole"]


@needs_root
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_file_systems(kind: str, root: Path, tmp_path: Path) -> None:
    """On a full or read-only file system nothing is half done, and the reason is told."""
    (tmp_path / "large").write_bytes(os.urandom(200_000))
    again = "size=64k" if kind == "full" else "ro"
    script = (
        f"mount -t tmpfs -o size=64k t {root} && mkdir {root}/opt && echo old > {root}/opt/a && "
        f'mount -o remount,{again} {root} && "$@"; echo "status $?"; ls -A {root}/opt; cat {root}/opt/a'
    )
    put = [sys.executable, str(Path(__file__).with_name("put_once.py")), str(root)]
    put += [f"{__file__}:/opt/b", f"{tmp_path}/large:/opt/a"]
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *put]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "status 1\na\nold\n" in done.stdout, done
    reason = "no space left on device" if kind == "full" else "read-only file system"
    assert reason in done.stderr
    assert "hint: " in done.stderr
