"""Reading a config.json from its file: only plain files, without waiting, and knowing which version was read."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.document import MAX_BYTES, read_config
from ocihooks.errors import DocumentError
from ocihooks.replace import signature


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small configuration."""
    path = tmp_path / "config.json"
    path.write_text('{"ociVersion":"1.0.2"}')
    return path


def refusal(path: Path | str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read_config(str(path))
    assert caught.value.file == str(path)
    assert caught.value.hint
    return caught.value


def test_version(file: Path) -> None:
    """What was read is known again, and told from every later version."""
    config = read_config(str(file))
    assert config.text == file.read_text()
    assert config.signature == signature(file.stat())
    file.write_text('{"ociVersion":"1.0.3"}')
    assert config.signature != signature(file.stat())


def test_link(file: Path) -> None:
    """A link is followed; the version is that of the file behind it."""
    link = file.parent / "link"
    link.symlink_to(file)
    assert read_config(str(link)).signature == signature(file.stat())


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(Path.mkdir, "expected a regular file", id="directory"),
        pytest.param(os.mkfifo, "expected a regular file", id="fifo"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "expected a regular file", id="device"),
        pytest.param(make_socket, "can't be read: no such device or address", id="socket"),
        pytest.param(lambda path: path.symlink_to(path), "can't be read: too many levels of symbolic links", id="loop"),
        pytest.param(lambda path: path.symlink_to("none"), "can't be read: it does not exist", id="dangling"),
        pytest.param(lambda path: None, "can't be read: it does not exist", id="missing"),
    ],
)
def test_something_else(make: Callable[[Path], None], message: str, file: Path) -> None:
    """Anything but a plain file is refused at once."""
    file.unlink()
    make(file)
    error = refusal(file)
    assert (error.code, error.message) == ("read_failed", message)


def test_fifo_with_a_writer(file: Path) -> None:
    """Nobody is waited for, and nothing is taken from them."""
    file.unlink()
    os.mkfifo(file)
    reader = os.open(file, os.O_RDWR)
    try:
        os.write(reader, b"{}")
        assert refusal(file).message == "expected a regular file"
        assert os.read(reader, 10) == b"{}"
    finally:
        os.close(reader)


def test_below_a_file(file: Path) -> None:
    """A path through a file says so."""
    assert refusal(file / "config.json").message == "can't be read: not a directory"


@pytest.mark.parametrize(("size", "code"), [(MAX_BYTES + 1, "too_large"), (1 << 40, "too_large")], ids=["more", "huge"])
def test_too_large(size: int, code: str, file: Path) -> None:
    """No more is read than a configuration may have, be the file as large as it likes."""
    try:
        os.truncate(file, size)
    except OSError:
        pytest.skip("the file system of temporary directories has no files of this size")
    assert refusal(file).code == code


def test_empty(file: Path) -> None:
    """An empty file is what a killed writer leaves, and the message says so."""
    file.write_bytes(b"")
    error = refusal(file)
    assert (error.message, error.code, error.pointer) == ("the file is empty", "json_syntax", "line 1 column 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize(("mode", "directory_mode"), [(0o600, 0o755), (0o644, 0o700)], ids=["file", "directory"])
def test_unreadable(
    mode: int, directory_mode: int, private_directory: Path, ordinary_python: str, public_package: Path
) -> None:
    """A file that may not be read is named, in words that engines don't take for something else."""
    directory = private_directory / "bundle"
    directory.mkdir()
    file = directory / "config.json"
    file.write_text("{}")
    file.chmod(mode)
    directory.chmod(directory_mode)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ocihooks.document import read_config\n"
        "from ocihooks.errors import DocumentError\n"
        "import json\n"
        "try: read_config(sys.argv[2])\n"
        "except DocumentError as error: print(json.dumps([str(error), error.hint]))\n"
    )
    user = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
    command = [*user, ordinary_python, "-I", "-S", "-B", "-c", script, str(public_package), str(file)]
    message, hint = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert message == f"{file}: can't be read: access is not allowed"
    assert hint == "run as its owner, or as root"
