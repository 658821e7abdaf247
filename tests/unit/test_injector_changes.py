"""Changes to the root of a container: all of them, or none, and nothing of ours is left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from tests.unit.injecting import everything, leftovers

from ocihooks.injector import changes
from ocihooks.injector.changes import PREFIX, Changes, copy
from ocihooks.injector.rootfs import Root

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


def test_copy_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source without a size whose content is beyond the limit is refused."""
    monkeypatch.setattr(changes, "MOST_BYTES", 10)
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
