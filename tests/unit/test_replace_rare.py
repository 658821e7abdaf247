"""Replacing a file where the temporary one is elsewhere, and on file systems that lack or fail something."""

from __future__ import annotations

import errno
import os
import posix
import socket
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.errors import ReplaceError
from ocihooks.replace import replace_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    path = tmp_path / "d" / "config.json"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Another directory of the same file system."""
    path = tmp_path / "beside"
    path.mkdir()
    return path


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def refusal(file: Path, *, beside: Path | None = None) -> ReplaceError:
    with pytest.raises(ReplaceError) as caught:
        replace_file(str(file), b"new", beside=None if beside is None else str(beside))
    return caught.value


class TestBeside:
    """Temporary files in another directory."""

    @pytest.mark.parametrize("durable", [True, False], ids=["durable", "quick"])
    def test_only_there(self, durable: bool, file: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before the file is replaced nobody sees a second one in its directory, and afterwards none is anywhere."""
        before: list[list[str]] = []
        rename = posix.rename

        def look_and_rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
            before.extend((names(file.parent), names(beside)))
            rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        monkeypatch.setattr(posix, "rename", look_and_rename)
        file.chmod(0o640)
        replace_file(str(file), b"new", durable=durable, beside=str(beside))
        assert before[0] == ["config.json"]
        assert [name.startswith(f".config.json.ocihooks-{os.getpid()}-") for name in before[1]] == [True]
        assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o640)
        assert (names(file.parent), names(beside)) == (["config.json"], [])

    def test_litter(self, file: Path, beside: Path) -> None:
        """What killed processes left is removed where it is."""
        with subprocess.Popen(["true"]) as process:
            process.wait()
        (beside / f".config.json.ocihooks-{process.pid}-0123").touch()
        replace_file(str(file), b"new", beside=str(beside))
        assert names(beside) == []

    def test_missing(self, file: Path, beside: Path) -> None:
        """A directory that is not there is named, and the file stays."""
        beside.rmdir()
        error = refusal(file, beside=beside)
        assert (error.file, error.message, error.code, error.hint) == (
            str(beside),
            "can't be replaced: it does not exist",
            "not_replaced",
            "make its directory",
        )
        assert file.read_bytes() == b"old"

    def test_other_file_system(self, file: Path) -> None:
        """A directory of another file system is refused; no file is left in it."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            if Path(name).stat().st_dev == file.stat().st_dev:
                pytest.skip("temporary directories are in the same file system as /dev/shm")
            error = refusal(file, beside=Path(name))
            assert names(Path(name)) == []
        assert (error.file, error.message) == (
            str(file),
            "can't be replaced: invalid cross-device link",
        )
        assert file.read_bytes() == b"old"


class TestInTheWay:
    """What others have put where a file is expected, or put there while it is written."""

    @pytest.mark.parametrize("at", ["file", "beside"])
    def test_fifo_as_directory(self, at: str, tmp_path: Path, file: Path) -> None:
        """A FIFO in the place of a directory is refused at once, though nobody will ever write to it."""
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        error = refusal(fifo / "x") if at == "file" else refusal(file, beside=fifo)
        assert (error.message, file.read_bytes()) == ("can't be replaced: not a directory", b"old")

    def test_socket(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket is no regular file."""
        file.unlink()
        with socket.socket(socket.AF_UNIX) as bound:
            monkeypatch.chdir(file.parent)  # its path may be too long for a socket
            bound.bind(file.name)
            assert refusal(file).message == "expected a regular file"
        assert file.is_socket()

    def test_link_comes_meanwhile(self, file: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A link that takes the file's place while it is written is left alone, and so is what it leads to."""
        other, sync = beside / "other", posix.fsync
        other.write_bytes(b"other")

        def exchange(fd: int) -> None:
            sync(fd)
            file.unlink()
            file.symlink_to(other)

        monkeypatch.setattr(posix, "fsync", exchange)
        assert refusal(file).message == "expected a regular file"
        assert (file.readlink(), other.read_bytes(), names(file.parent)) == (other, b"other", ["config.json"])

    def test_temporary_name_is_taken(self, file: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What stands where the temporary file is to be made is neither written nor followed nor removed."""
        monkeypatch.setattr(posix, "urandom", bytes)
        canary, planted = beside / "canary", file.parent / f".config.json.ocihooks-{os.getpid()}-{bytes(8).hex()}"
        canary.write_bytes(b"x")
        for plant in (planted.symlink_to, planted.hardlink_to):
            plant(canary)
            assert refusal(file).message == "can't be replaced: file exists"
            assert (canary.read_bytes(), file.read_bytes()) == (b"x", b"old")
            planted.unlink()

    @pytest.mark.parametrize("mode", [0o600, 0o644], ids=oct)
    def test_nobody_reads_meanwhile(self, mode: int, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While it is written only its owner can open the new file, whatever may be read later."""
        modes: list[int] = []
        write = posix.write

        def look_and_write(fd: int, data: bytes) -> int:
            modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
            return write(fd, data)

        monkeypatch.setattr(posix, "write", look_and_write)
        file.chmod(mode)
        replace_file(str(file), b"new")
        assert modes == [0o600]
        assert stat.S_IMODE(file.stat().st_mode) == mode

    def test_usual_mode(self, file: Path) -> None:
        """A new file can be read by everybody and written by its owner, unless another mode is asked for."""
        replace_file(f"{file.parent}/new", b"new")
        assert stat.S_IMODE((file.parent / "new").stat().st_mode) == 0o644


def failing(code: int, only: Callable[[int], bool] = lambda fd: True) -> Callable[[int], None]:
    """A system call that fails for the descriptors that *only* names, and does nothing for others."""

    def call(fd: int) -> None:
        if only(fd):
            raise OSError(code, os.strerror(code))

    return call


def is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


class TestDurability:
    """What the disk says."""

    @pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
    def test_directory_lost(self, code: int, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the directory did not reach the disk the file is replaced, and the error tells what may come."""
        monkeypatch.setattr(posix, "fsync", failing(code, is_directory))
        error = refusal(file)
        assert (error.file, error.code, error.hint) == (str(file), "not_durable", "look at the disk, then do it again")
        told = "was replaced, but may be the old one again after a power loss: "
        assert error.message == told + os.strerror(code)[0].lower() + os.strerror(code)[1:]
        assert (file.read_bytes(), names(file.parent)) == (b"new", ["config.json"])

    def test_no_such_thing(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """File systems whose directories can't be synchronized are no failure."""
        monkeypatch.setattr(posix, "fsync", failing(errno.EINVAL, is_directory))
        replace_file(str(file), b"new")
        assert file.read_bytes() == b"new"

    def test_file_lost(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the new content did not reach the disk the old file stays, whatever the error is."""
        monkeypatch.setattr(posix, "fsync", failing(errno.EINVAL))
        assert refusal(file).message == "can't be replaced: invalid argument"
        assert (file.read_bytes(), names(file.parent)) == (b"old", ["config.json"])

    def test_quick(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who did not ask for durability does not wait for the disk."""
        monkeypatch.setattr(posix, "fsync", failing(errno.EIO))
        replace_file(str(file), b"new", durable=False)
        assert file.read_bytes() == b"new"


class TestFileSystems:
    """What some file systems lack, or tell late."""

    def test_long_name(self, file: Path) -> None:
        """A file whose name leaves no room for that of a temporary one is refused; nothing is left."""
        other = file.parent / ("x" * 240)
        other.write_bytes(b"old")
        assert (refusal(other).message, refusal(other).hint) == ("can't be replaced: file name too long", None)
        assert (other.read_bytes(), names(file.parent)) == (b"old", ["config.json", other.name])

    def test_no_attributes(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without extended attributes there are none to keep."""
        monkeypatch.setattr(posix, "listxattr", failing(errno.EOPNOTSUPP))
        replace_file(str(file), b"new")
        assert file.read_bytes() == b"new"

    def test_same_attribute(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the new file has from its directory is not set again, which might need rights."""
        entries = [(1, 6, 0xFFFFFFFF), (2, 4, 1234), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
        access = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)
        try:
            os.setxattr(file.parent, "system.posix_acl_default", access)
            os.setxattr(file, "system.posix_acl_access", access)
        except OSError:
            pytest.skip("the file system of temporary directories has no access lists")
        forbidden: list[str] = []
        monkeypatch.setattr(posix, "setxattr", lambda _, name, __: forbidden.append(name))
        replace_file(str(file), b"new")
        assert forbidden == []
        assert os.getxattr(file, "system.posix_acl_access") == access

    def test_unreadable_directory(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A directory that can't be listed may keep its litter."""
        monkeypatch.setattr(posix, "listdir", failing(errno.EIO))
        replace_file(str(file), b"new")
        assert file.read_bytes() == b"new"

    def test_directory_not_closed(self, file: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error on closing a directory, through which nothing was written, is none of the file."""
        close = posix.close

        def close_and_fail(fd: int) -> None:
            directory = is_directory(fd)
            close(fd)
            if directory:
                raise OSError(errno.EIO, "")

        monkeypatch.setattr(posix, "close", close_and_fail)
        replace_file(str(file), b"new", beside=str(beside))
        assert file.read_bytes() == b"new"

    def test_temporary_file_not_removed(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A temporary file that can't be removed does not hide why the file was not replaced."""
        monkeypatch.setattr(posix, "rename", lambda *_, **__: failing(errno.EBUSY)(0))
        monkeypatch.setattr(posix, "unlink", lambda *_, **__: failing(errno.EIO)(0))
        error = refusal(file)
        assert (error.message, error.hint) == (
            "can't be replaced: device or resource busy",
            "something is mounted on the file; unmount it",
        )
        assert file.read_bytes() == b"old"
