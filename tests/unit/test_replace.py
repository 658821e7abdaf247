"""Replacing a file whole: what is kept, what is refused, and that a refusal leaves everything as it was."""

from __future__ import annotations

import json
import os
import posix
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocihooks.errors import ReplaceError
from ocihooks.replace import replace_file, signature

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    path = tmp_path / "d" / "config.json"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def refusal(path: Path | str, data: bytes = b"new") -> ReplaceError:
    with pytest.raises(ReplaceError) as caught:
        replace_file(str(path), data)
    assert caught.value.file == str(path)
    assert caught.value.hint
    return caught.value


class TestContent:
    """Old and new content."""

    @pytest.mark.parametrize("durable", [True, False], ids=["durable", "quick"])
    @pytest.mark.parametrize("data", [b"", b"new", bytes(3 << 20)], ids=["empty", "short", "long"])
    def test_replaced(self, data: bytes, durable: bool, file: Path) -> None:
        """The file has the new content, whole, and nothing else is left in its directory."""
        replace_file(str(file), data, durable=durable)
        assert file.read_bytes() == data
        assert names(file) == ["config.json"]

    def test_new_file(self, file: Path) -> None:
        """Where there is no file, one is made; its mode does not depend on the umask."""
        other = file.parent / "new"
        before = os.umask(0o077)
        try:
            replace_file(str(other), b"x", mode=0o751)
        finally:
            os.umask(before)
        assert (other.read_bytes(), stat.S_IMODE(other.stat().st_mode)) == (b"x", 0o751)

    def test_open_readers(self, file: Path) -> None:
        """Who has the old file open keeps reading the old content."""
        with file.open("rb") as stream:
            replace_file(str(file), b"new")
            assert stream.read() == b"old"

    def test_relative_path(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is one below the working directory, as the command line of a runtime has it."""
        monkeypatch.chdir(file.parent)
        replace_file("config.json", b"new")
        assert file.read_bytes() == b"new"


class TestMetadata:
    """What an existing file keeps."""

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o000, 0o2755, 0o4711])
    def test_mode(self, mode: int, file: Path) -> None:
        """All permission bits are kept, whatever *mode* says about new files."""
        file.chmod(mode)
        replace_file(str(file), b"new", mode=0o777)
        assert stat.S_IMODE(file.stat().st_mode) == mode

    @needs_root
    @pytest.mark.parametrize("mode", [0o644, 0o4755])
    def test_owner(self, mode: int, file: Path) -> None:
        """Owner and group are kept, and the permission bits in spite of that."""
        os.chown(file, 1234, 2345)
        file.chmod(mode)
        replace_file(str(file), b"new")
        status = file.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, mode)

    @needs_root
    def test_directory_with_setgid(self, file: Path) -> None:
        """A directory that hands on its group does not hand it to a file that had another one."""
        os.chown(file.parent, 0, 2345)
        file.parent.chmod(0o2755)
        replace_file(str(file), b"new")
        assert file.stat().st_gid == os.getegid()

    def test_extended_attributes(self, file: Path) -> None:
        """Extended attributes are kept, binary values too."""
        values = {"user.one": b"1\x00\xff", "user.two": b""}
        try:
            for name, value in values.items():
                os.setxattr(file, name, value)
        except OSError:
            pytest.skip("the file system of temporary directories has no extended attributes")
        replace_file(str(file), b"new")
        assert {name: os.getxattr(file, name) for name in os.listxattr(file)} == values

    def test_access_list_of_the_directory(self, file: Path) -> None:
        """A default access list of the directory gives nobody access to a file that they had none to."""
        # version 2; entries (tag, permissions, id): owner rwx, user 1234 rwx, group r-x, mask rwx, others r-x
        entries = [(1, 7, 0xFFFFFFFF), (2, 7, 1234), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 5, 0xFFFFFFFF)]
        data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)
        try:
            os.setxattr(file.parent, "system.posix_acl_default", data)
        except OSError:
            pytest.skip("the file system of temporary directories has no access lists")
        (file.parent / "control").touch()
        assert "system.posix_acl_access" in os.listxattr(file.parent / "control")
        replace_file(str(file), b"new")
        assert os.listxattr(file) == []
        assert stat.S_IMODE(file.stat().st_mode) == 0o644

    @needs_root
    def test_trusted_attribute(self, file: Path) -> None:
        """Attributes of other classes, such as labels, are kept, too."""
        try:
            os.setxattr(file, "trusted.label", b"x")
        except OSError:
            pytest.skip("this root may not set trusted attributes")
        replace_file(str(file), b"new")
        assert os.getxattr(file, "trusted.label") == b"x"


class TestLinks:
    """Files with several names."""

    def test_symbolic_link(self, file: Path, tmp_path: Path) -> None:
        """A link stays a link; the file that it leads to is replaced, in its own directory."""
        link = tmp_path / "link"
        link.symlink_to("d/config.json")
        replace_file(str(link), b"new")
        assert (link.readlink(), file.read_bytes()) == (Path("d/config.json"), b"new")
        assert sorted(os.listdir(tmp_path)) == ["d", "link"]

    def test_link_to_nothing(self, file: Path) -> None:
        """A link whose target is missing gets one."""
        file.unlink()
        link = file.parent / "link"
        link.symlink_to("config.json")
        replace_file(str(link), b"new")
        assert (link.is_symlink(), file.read_bytes()) == (True, b"new")

    def test_link_to_itself(self, file: Path) -> None:
        """A link that leads nowhere is refused."""
        file.unlink()
        file.symlink_to("config.json")
        assert refusal(file).message == "can't be replaced: too many levels of symbolic links"
        assert file.is_symlink()

    @pytest.mark.parametrize("target", ["../../e/config.json", "{tmp}/e/config.json", "../../e/./link"])
    def test_link_to_elsewhere(self, target: str, file: Path, tmp_path: Path) -> None:
        """A link is followed to other directories, step by step, and from where it stands."""
        other = tmp_path / "e" / "config.json"
        other.parent.mkdir()
        other.write_bytes(b"other")
        (other.parent / "link").symlink_to("config.json")
        (file.parent / "sub").mkdir()
        link = file.parent / "sub" / "link"
        link.symlink_to(target.format(tmp=tmp_path))
        replace_file(str(link), b"new")
        assert (link.is_symlink(), other.read_bytes()) == (True, b"new")

    def test_hard_link(self, file: Path) -> None:
        """Another name of the old file keeps the old content."""
        other = file.parent / "other"
        os.link(file, other)
        replace_file(str(file), b"new")
        assert (file.read_bytes(), other.read_bytes(), other.stat().st_nlink) == (b"new", b"old", 1)


class TestRefusals:
    """What can't be replaced stays as it was."""

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda path: path.mkdir(), id="directory"),
            pytest.param(os.mkfifo, id="fifo"),
            pytest.param(lambda path: path.symlink_to("/dev/null"), id="device"),
        ],
    )
    def test_not_a_file(self, make: Callable[[Path], None], file: Path) -> None:
        """Whatever is no regular file is refused at once."""
        file.unlink()
        make(file)
        assert refusal(file).message == "expected a regular file"
        assert names(file) == ["config.json"]

    def test_no_directory(self, tmp_path: Path) -> None:
        """A directory that is missing is no reason to make one."""
        error = refusal(tmp_path / "none" / "file")
        assert (error.message, error.hint) == ("can't be replaced: it does not exist", "make its directory")

    def test_below_a_file(self, file: Path) -> None:
        """A path below a file says so."""
        assert refusal(file / "x").message == "can't be replaced: not a directory"

    @needs_root
    def test_immutable(self, file: Path) -> None:
        """An immutable file stays as it is, and the hint tells how to see that."""
        if subprocess.run(["chattr", "+i", file], check=False, capture_output=True).returncode:
            pytest.skip("the file system of temporary directories has no immutable files")
        try:
            error = refusal(file)
        finally:
            subprocess.run(["chattr", "-i", file], check=True)
        assert (error.message, error.hint) == (
            "can't be replaced: it is not allowed",
            "look for an immutable attribute with lsattr",
        )
        assert (file.read_bytes(), names(file)) == (b"old", ["config.json"])

    def test_signal(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who is interrupted leaves the old file and nothing beside it."""

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(posix, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replace_file(str(file), b"new")
        assert (file.read_bytes(), names(file)) == (b"old", ["config.json"])


class TestChangedMeanwhile:
    """Data that was made from a version of the file."""

    def test_same_version(self, file: Path) -> None:
        """The version that was read is replaced, and the next version is another one."""
        version = signature(file.stat())
        replace_file(str(file), b"new", expected=version)
        assert file.read_bytes() == b"new"
        assert signature(file.stat()) != version

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda path: path.write_bytes(b"OLD"), id="content"),
            pytest.param(lambda path: replace_file(str(path), b"old"), id="replaced"),
            pytest.param(lambda path: path.chmod(0o600), id="mode"),
            pytest.param(lambda path: os.truncate(path, 1), id="shorter"),
        ],
    )
    def test_other_version(self, change: Callable[[Path], None], file: Path) -> None:
        """Any change since the file was read is kept, and told."""
        version = signature(file.stat())
        change(file)
        content = file.read_bytes()
        with pytest.raises(ReplaceError, match="was changed by somebody else meanwhile") as caught:
            replace_file(str(file), b"new", expected=version)
        assert (caught.value.code, caught.value.hint) == ("changed_meanwhile", "try again")
        assert (file.read_bytes(), names(file)) == (content, ["config.json"])

    def test_removed(self, file: Path) -> None:
        """A file that was removed does not come back."""
        version = signature(file.stat())
        file.unlink()
        with pytest.raises(ReplaceError, match="was removed meanwhile") as caught:
            replace_file(str(file), b"new", expected=version)
        assert (caught.value.code, names(file)) == ("changed_meanwhile", [])

    def test_during_writing(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A change that comes while the new file is written is kept, too."""
        version, sync = signature(file.stat()), posix.fsync

        def edit_meanwhile(descriptor: int) -> None:
            file.write_bytes(b"edited")
            sync(descriptor)

        monkeypatch.setattr(posix, "fsync", edit_meanwhile)
        with pytest.raises(ReplaceError, match="was changed by somebody else meanwhile"):
            replace_file(str(file), b"new", expected=version)
        assert (file.read_bytes(), names(file)) == (b"edited", ["config.json"])


@pytest.fixture
def dead_process() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


class TestLitter:
    """What killed processes leave."""

    def test_swept(self, dead_process: int, file: Path) -> None:
        """Temporary files of dead processes are removed by the next replacement, all others stay."""
        kept = [f".config.json.ocihooks-{os.getpid()}-0123", ".config.json.ocihooks-backup", ".other.ocihooks-1-0"]
        for name in (*kept, f".config.json.ocihooks-{dead_process}-0123", f".config.json.ocihooks-{dead_process}"):
            (file.parent / name).touch()
        replace_file(str(file), b"new")
        assert names(file) == sorted([*kept, "config.json"])

    def test_directory_of_that_name(self, dead_process: int, file: Path) -> None:
        """Litter that can't be removed is no failure."""
        litter = file.parent / f".config.json.ocihooks-{dead_process}-0123"
        litter.mkdir()
        replace_file(str(file), b"new")
        assert (file.read_bytes(), litter.is_dir()) == (b"new", True)


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    """Sixteen threads."""
    with ThreadPoolExecutor(16) as executor:
        yield executor


class TestConcurrency:
    """Many at once."""

    def test_threads(self, worker: ThreadPoolExecutor, file: Path) -> None:
        """Threads that replace one file leave the whole content of one of them."""
        contents = [bytes([number]) * 50_000 for number in range(64)]
        list(worker.map(lambda data: replace_file(str(file), data, durable=False), contents))
        assert file.read_bytes() in contents
        assert names(file) == ["config.json"]

    def test_only_one_of_a_version(self, worker: ThreadPoolExecutor, file: Path) -> None:
        """Of many who made theirs from one version, those who come too late are told so."""
        version = signature(file.stat())

        def attempt(number: int) -> str | None:
            try:
                replace_file(str(file), b"%d" % number, expected=version, durable=False)
            except ReplaceError as error:
                return error.code
            return None

        outcomes = list(worker.map(attempt, range(64)))
        assert set(outcomes) == {None, "changed_meanwhile"}
        assert int(file.read_bytes()) in [number for number, outcome in enumerate(outcomes) if outcome is None]
        assert names(file) == ["config.json"]


@needs_root
class TestOrdinaryUsers:
    """Users without privileges."""

    SCRIPT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ocihooks.errors import ReplaceError
from ocihooks.replace import replace_file
try:
    replace_file(sys.argv[2], b"new")
    print(json.dumps(None))
except ReplaceError as error:
    print(json.dumps([error.message, error.hint]))
"""

    def attempt(self, python: str, package: Path, file: Path) -> list[str] | None:
        user = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
        command = [*user, python, "-I", "-S", "-B", "-c", self.SCRIPT, str(package), str(file)]
        answer: list[str] | None = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return answer

    @pytest.fixture
    def own_file(self, private_directory: Path) -> Path:
        """A file of user 1234 in a directory of theirs."""
        directory = private_directory / "d"
        directory.mkdir()
        (directory / "file").write_bytes(b"old")
        for path in (directory, directory / "file"):
            shutil.chown(path, 1234, 1234)
        return directory / "file"

    def test_own_file(self, own_file: Path, ordinary_python: str, public_package: Path) -> None:
        """They can replace their own files."""
        assert self.attempt(ordinary_python, public_package, own_file) is None
        assert (own_file.read_bytes(), own_file.stat().st_uid) == (b"new", 1234)

    def test_read_only_directory(self, own_file: Path, ordinary_python: str, public_package: Path) -> None:
        """A directory that can't be written to stops them."""
        own_file.parent.chmod(0o555)
        assert self.attempt(ordinary_python, public_package, own_file) == [
            "can't be replaced: access is not allowed",
            "do it as root, or as the owner of its directory",
        ]
        assert own_file.read_bytes() == b"old"

    def test_file_of_another(self, own_file: Path, ordinary_python: str, public_package: Path) -> None:
        """A file of somebody else keeps its owner and so its content, even in a directory of theirs."""
        os.chown(own_file, 0, 0)
        answer = self.attempt(ordinary_python, public_package, own_file) or []
        assert answer[:1] == ["can't be replaced: it is not allowed"]
        assert (own_file.read_bytes(), names(own_file)) == (b"old", ["file"])
