"""Why the real runtime can't be executed: the sentence for everything that a system may answer."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.wrapper.refused import refused

NO_EXECUTION = "may not execute the OCI runtime (its mode, a mount with noexec, or a security module)"


def make_file(path: Path, mode: int = 0o755) -> None:
    path.touch()
    path.chmod(mode)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def message(path: Path | str, code: int) -> str:
    """The sentence for an answer of the system."""
    return refused(str(path), OSError(code, os.strerror(code))).message


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        pytest.param(errno.EPERM, "the OCI runtime can't be executed: it is not allowed", id="EPERM"),
        pytest.param(
            errno.ENOENT, "the OCI runtime needs an interpreter or dynamic loader that does not exist", id="ENOENT"
        ),
        pytest.param(errno.E2BIG, "the OCI runtime can't be executed: argument list too long", id="E2BIG"),
        pytest.param(
            errno.ENOEXEC, "expected an OCI runtime, found a file that this machine can't execute", id="ENOEXEC"
        ),
        pytest.param(errno.ENOMEM, "the OCI runtime can't be executed: cannot allocate memory", id="ENOMEM"),
        pytest.param(errno.EACCES, f"uid {os.geteuid()} {NO_EXECUTION}", id="EACCES"),
        pytest.param(errno.ETXTBSY, "the OCI runtime can't be executed: text file busy", id="ETXTBSY"),
    ],
)
def test_answer_of_the_system(code: int, sentence: str, tmp_path: Path) -> None:
    """Each answer about a file that looks like a program has its own sentence."""
    make_file(tmp_path / "runc")
    assert message(tmp_path / "runc", code) == sentence


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(Path.mkdir, "expected an OCI runtime, found a directory", id="directory"),
        pytest.param(
            lambda path: path.mkdir(0o600), "expected an OCI runtime, found a directory", id="private-directory"
        ),
        pytest.param(os.mkfifo, "expected an OCI runtime, found something that is no regular file", id="fifo"),
        pytest.param(make_socket, "expected an OCI runtime, found something that is no regular file", id="socket"),
        pytest.param(lambda path: make_file(path, 0o666), "the OCI runtime is not executable", id="no-program"),
        pytest.param(lambda path: make_file(path, 0o601), f"uid {os.geteuid()} {NO_EXECUTION}", id="for-others"),
        pytest.param(lambda path: make_file(path, 0o610), f"uid {os.geteuid()} {NO_EXECUTION}", id="for-the-group"),
        pytest.param(
            lambda path: None, f"uid {os.geteuid()} has no access to a directory above the OCI runtime", id="hidden"
        ),
    ],
)
def test_no_access(make: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    """Where the system refuses access, the sentence says what is there, and for whom it is no program."""
    make(tmp_path / "runc")
    assert message(tmp_path / "runc", errno.EACCES) == sentence


def test_nothing_there(tmp_path: Path) -> None:
    """A file that is missing is told apart from one that misses its interpreter."""
    assert message(tmp_path / "runc", errno.ENOENT) == "the OCI runtime does not exist"


def test_what_no_program_can_be_given() -> None:
    """A word that can't be handed over is told as Python says it."""
    error = refused("/usr/bin/runc", ValueError("embedded null byte"))
    assert (error.file, error.message) == ("/usr/bin/runc", "the OCI runtime can't be executed: embedded null byte")


def test_own_sentence() -> None:
    """A sentence of the wrapper's own stands as it is; a runtime without a name is shown as the empty text it is."""
    error = refused("", "expected the absolute path of an OCI runtime")
    assert str(error) == '"": expected the absolute path of an OCI runtime'
    assert error.hint == "name an installed OCI runtime: ocihooks install --runtime PATH"
