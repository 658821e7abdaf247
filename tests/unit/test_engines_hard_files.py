"""Configuration files that are not plain files in plain directories: each engine's, and what becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
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


def test_edited_while_planned(target: Target) -> None:
    """A change is not written over a file that somebody else has changed since it was read."""
    planned = configure(target, dry_run=True)
    file = main_of(target)
    file.write_text(BEFORE[target.engine] + "\n")
    with pytest.raises(ReplaceError) as caught:
        planned.changes[0].write()
    assert caught.value.code == "changed_meanwhile"
    assert file.read_text() == BEFORE[target.engine] + "\n"
