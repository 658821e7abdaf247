"""Configuration files that are not plain files in plain directories: each engine's, and what becomes of them."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.engine_places import MAIN, EnginePlace, make_place

from ocihooks.engines.errors import EngineError
from ocihooks.errors import OCIHooksError, ReplaceError
from ocihooks.install.configure import configure
from ocihooks.install.scene import Target
from ocihooks.install.unconfigure import unconfigure

BEFORE = {
    "docker": '{\n  "debug": true\n}\n',
    "containerd": 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\nruntime_type = ""\n',
    "crio": "[crio.network]\nx = 1\n",
    "podman": "[network]\nx = 1\n",
}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnginePlace:
    """A machine without a file."""
    place = make_place(tmp_path, monkeypatch)
    place.version("containerd", "1.7.2")
    place.version("crio", "1.31.0")
    return place


@pytest.fixture(params=BEFORE)
def target(request: pytest.FixtureRequest, place: EnginePlace) -> Target:
    """Each engine, whose main file is changed."""
    place.write(MAIN[request.param], BEFORE[request.param])
    options = {} if request.param == "docker" else {"drop_in": False}
    base = None if request.param == "crio" else "runc"
    return place.target(request.param, base=base, **options)


@pytest.fixture(autouse=True)
def counted(record_property: Callable[[str, object], None]) -> None:
    """Each test is one case of one engine."""
    record_property("amount", "1 cases")


def main_of(target: Target) -> Path:
    """The main file."""
    assert target.file is not None
    return Path(target.file)


def attributes(path: Path) -> tuple[object, ...]:
    """What has to stay as it is when a file is replaced."""
    status = path.stat()
    names = sorted(os.listxattr(path))
    return status.st_mode, status.st_uid, status.st_gid, [(name, os.getxattr(path, name)) for name in names]


@needs_root
def test_attributes(target: Target) -> None:
    """Mode, owner and extended attributes stay, there and back."""
    file = main_of(target)
    file.chmod(0o640)
    os.chown(file, 0, 12345)
    try:
        os.setxattr(file, "user.label", b"kept")
    except OSError:
        pytest.skip("the file system of the test has no extended attributes")
    before = attributes(file)
    configure(target)
    assert attributes(file) == before
    unconfigure(target)
    assert attributes(file) == before


def test_link(target: Target, place: EnginePlace) -> None:
    """A link stays a link, and the file that it leads to changes."""
    file = main_of(target)
    real = place.root / "managed"
    file.rename(real)
    file.symlink_to("../managed")
    configure(target)
    assert file.is_symlink()
    assert "ocihooks" in real.read_text()
    unconfigure(target)
    assert (file.is_symlink(), real.read_text()) == (True, BEFORE[target.engine])


def test_link_to_a_link(target: Target, place: EnginePlace) -> None:
    """Links through linked directories stay, and the file at their end changes, there and back."""
    file = main_of(target)
    managed = place.root / "managed"
    managed.mkdir()
    file.rename(managed / "real")
    (managed / "current").symlink_to("real")
    (place.root / "linked").symlink_to(managed)
    file.symlink_to(place.root / "linked/current")
    configure(target)
    assert (file.is_symlink(), (managed / "current").is_symlink()) == (True, True)
    assert "ocihooks" in (managed / "real").read_text()
    unconfigure(target)
    assert (managed / "real").read_text() == BEFORE[target.engine]
    assert sorted(os.listdir(managed)) == ["current", "real"]


def test_link_to_nothing(target: Target, place: EnginePlace) -> None:
    """A link to a file that is not there is refused, since its target would be forgotten when the change is undone."""
    file = main_of(target)
    file.unlink()
    file.symlink_to(place.root / "later")
    with pytest.raises(ReplaceError) as caught:
        configure(target)
    assert str(caught.value) == f"{file}: is a link that leads nowhere"
    assert caught.value.hint == "make the file that it leads to, or remove the link"
    assert (file.is_symlink(), file.exists()) == (True, False)
    assert "engines" not in os.listdir(target.state_dir)


def test_linked_directory(target: Target, place: EnginePlace) -> None:
    """A linked directory of configuration stays one."""
    place.etc.rename(place.root / "real-etc")
    place.etc.symlink_to("real-etc")
    configure(target)
    unconfigure(target)
    assert place.etc.is_symlink()
    assert main_of(target).read_text() == BEFORE[target.engine]
    assert os.listdir(place.etc) == [main_of(target).name]


def test_loop(target: Target) -> None:
    """A link to itself is refused with what is wrong."""
    file = main_of(target)
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(OCIHooksError) as caught:
        configure(target)
    assert "too many levels of symbolic links" in str(caught.value)


def test_hard_link(target: Target, place: EnginePlace) -> None:
    """The other name of a file with two names keeps what was in it."""
    file = main_of(target)
    other = place.root / "other"
    other.hardlink_to(file)
    configure(target)
    assert other.read_text() == BEFORE[target.engine]
    assert "ocihooks" in file.read_text()


def test_fifo(target: Target) -> None:
    """A FIFO is refused at once, instead of waiting for somebody to write into it."""
    file = main_of(target)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(EngineError) as caught:
        configure(target)
    assert str(caught.value) == f"{file}: expected a regular file"


def test_socket(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is refused."""
    file = main_of(target)
    file.unlink()
    monkeypatch.chdir(file.parent)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(file.name)
    with pytest.raises(OCIHooksError, match="no such device or address"):
        configure(target)
    assert stat.S_ISSOCK(file.lstat().st_mode)


@needs_root
def test_device(target: Target) -> None:
    """A device, here an endless one, is refused at once and left as it is."""
    file = main_of(target)
    file.unlink()
    os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with pytest.raises(EngineError, match="expected a regular file"):
        configure(target)
    assert stat.S_ISCHR(file.lstat().st_mode)


def test_not_text(target: Target) -> None:
    """A file that is not UTF-8 is refused with the line, and not changed."""
    file = main_of(target)
    file.write_bytes(b"\n\xff\xfe")
    with pytest.raises(EngineError) as caught:
        configure(target)
    assert str(caught.value).startswith(f"{file}: line 2: not UTF-8")
    assert file.read_bytes() == b"\n\xff\xfe"


def test_endless(target: Target) -> None:
    """A file of more than four MiB is refused before it fills memory."""
    file = main_of(target)
    with file.open("r+b") as stream:
        stream.truncate(64 << 30)
    with pytest.raises(EngineError, match="larger than the 4194304 bytes that are read"):
        configure(target)
    assert file.stat().st_size == 64 << 30


def test_odd_path(place: EnginePlace) -> None:
    """Spaces, quotes and the like in the path of the file are no reason to fail."""
    place.write("a b'\"%$ä/daemon.json", BEFORE["docker"])
    target = place.target("docker", file=str(place.etc / "a b'\"%$ä/daemon.json"))
    configure(target)
    assert "ocihooks" in main_of(target).read_text()
    unconfigure(target)
    assert main_of(target).read_text() == BEFORE["docker"]


def test_directory(target: Target) -> None:
    """A directory in the place of the file is refused."""
    file = main_of(target)
    file.unlink()
    file.mkdir()
    with pytest.raises(EngineError, match="expected a regular file"):
        configure(target)


@pytest.fixture
def immutable(target: Target) -> Iterator[Path]:
    """The main file with the attribute that forbids to change it."""
    file = main_of(target)
    if os.geteuid() != 0 or subprocess.run(["chattr", "+i", file], capture_output=True, check=False).returncode:
        pytest.skip("the file system of the test has no immutable files")
    yield file
    subprocess.run(["chattr", "-i", file], check=True)


def test_immutable(target: Target, immutable: Path) -> None:
    """An immutable file is refused with the way to see why; nothing is left beside it, nor remembered."""
    with pytest.raises(ReplaceError) as caught:
        configure(target)
    assert caught.value.hint == "look for an immutable attribute with lsattr"
    assert os.listdir(immutable.parent) == [immutable.name]
    assert "engines" not in os.listdir(target.state_dir)


MOUNTED = """
mount --bind "$1" "$1" && {options} shift && exec "$@"
"""


@needs_root
@pytest.mark.parametrize(
    ("what", "options", "words", "hint"),
    [
        pytest.param("file", "", "device or resource busy", "something is mounted on the file", id="bind-mount"),
        pytest.param(
            "directory", 'mount -o remount,bind,ro "$1" &&', "read-only file system", "mount the file", id="read-only"
        ),
    ],
)
def test_mounted(target: Target, what: str, options: str, words: str, hint: str) -> None:
    """A file that is a mount of its own, or on a read-only file system, is refused with the remedy."""
    file = main_of(target)
    point = file if what == "file" else file.parent
    script = MOUNTED.replace("{options}", options)
    code = "from ocihooks.cli import main; main()"
    command = ["configure", target.engine, "--config", str(file), "--path", str(target.program)]
    command += ["--state-dir", target.state_dir, *([] if target.engine == "docker" else ["--no-drop-in"])]
    private = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(point)]
    call = subprocess.run(
        [*private, sys.executable, "-I", "-c", code, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert call.returncode == 3, call
    assert f"ocihooks: {file}: can't be replaced: {words}" in call.stderr
    assert f"hint: {hint}" in call.stderr
    assert file.read_text() == BEFORE[target.engine]
    assert os.listdir(file.parent) == [file.name]


FULL = """
cp -a "$1/." "$1.saved" && mount -t tmpfs -o size=64k none "$1" && cp -a "$1.saved/." "$1" && rm -r "$1.saved" &&
{ cat /dev/zero > "$1/fill" 2>/dev/null; cd "$1" && shift && "$@"; echo $?; cat "$0"; ls -A; }
"""


@needs_root
def test_full(target: Target) -> None:
    """On a full file system the old file stays, and nothing is left beside it."""
    file = main_of(target)
    code = "from ocihooks.cli import main; main()"
    command = ["configure", target.engine, "--config", str(file), "--path", str(target.program)]
    command += ["--state-dir", target.state_dir, *([] if target.engine == "docker" else ["--no-drop-in"])]
    private = ["unshare", "-m", "--propagation", "private", "sh", "-c", FULL, file.name, str(file.parent)]
    words = [*private, sys.executable, "-I", "-c", code, *command]
    call = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert call.stdout == f"3\n{BEFORE[target.engine]}" + "".join(f"{n}\n" for n in sorted((file.name, "fill"))), call
    assert f"ocihooks: {file}: can't be replaced: no space left on device\nhint: free some space" in call.stderr
    assert "engines" not in os.listdir(target.state_dir)


def test_secrets_stay_secret(target: Target) -> None:
    """What is in a file that only root can read stays with root: in the new file, and in the copy that is kept."""
    file = main_of(target)
    file.chmod(0o600)
    file.write_text('{"labels": ["s3cr3t"]}' if target.engine == "docker" else f"{BEFORE[target.engine]}# s3cr3t\n")
    configure(target)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = [path for path in Path(target.state_dir).rglob("*") if path.is_file() and "s3cr3t" in path.read_text()]
    assert len(kept) == 1
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_read_only_mode(target: Target) -> None:
    """A file that its owner may not write is still replaced, as editors do, and keeps its mode."""
    file = main_of(target)
    file.chmod(0o444)
    configure(target)
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    unconfigure(target)
    assert (stat.S_IMODE(file.stat().st_mode), file.read_text()) == (0o444, BEFORE[target.engine])


def test_temporary_file_of_the_dead(target: Target, place: EnginePlace) -> None:
    """What a killed process left beside the file goes with the next change."""
    file = main_of(target)
    place.write(f".{file.name}.ocihooks-999999999-0", "half")
    configure(target)
    assert os.listdir(file.parent) == [file.name]


def test_removed_while_planned(target: Target) -> None:
    """A file that somebody removes meanwhile is not made anew from what it was."""
    planned = configure(target, dry_run=True)
    main_of(target).unlink()
    with pytest.raises(ReplaceError) as caught:
        planned.changes[0].write()
    assert caught.value.code == "changed_meanwhile"
    assert not main_of(target).exists()


def test_edited_while_configured(target: Target) -> None:
    """What somebody adds while the handler is there stays when it goes, and the rest is as before."""
    configure(target)
    file = main_of(target)
    comment = "\n" if target.engine == "docker" else "# added\n"
    file.write_text(file.read_text() + comment)
    unconfigure(target)
    assert file.read_text() == BEFORE[target.engine] + comment


def test_exchanged_while_configured(target: Target, place: EnginePlace) -> None:
    """A file that was exchanged for a link meanwhile stays a link, and loses the handler."""
    configure(target)
    file = main_of(target)
    file.rename(place.root / "moved")
    file.symlink_to(place.root / "moved")
    unconfigure(target)
    assert (file.is_symlink(), file.read_text()) == (True, BEFORE[target.engine])


def test_edited_while_planned(target: Target) -> None:
    """A change is not written over a file that somebody else has changed since it was read."""
    planned = configure(target, dry_run=True)
    file = main_of(target)
    file.write_text(BEFORE[target.engine] + "\n")
    with pytest.raises(ReplaceError) as caught:
        planned.changes[0].write()
    assert caught.value.code == "changed_meanwhile"
    assert file.read_text() == BEFORE[target.engine] + "\n"
