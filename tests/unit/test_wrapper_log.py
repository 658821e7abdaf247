"""The wrapper's log: one JSON line per container, and never a reason for a container to fail."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import CONTAINER_TEXT_LIMIT
from ocihooks.wrapper.log import write_line

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is to be."""
    return tmp_path / "ocihooks.log"


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


class TestLines:
    """What is written."""

    def test_members(self, log: Path) -> None:
        """A line has the time, the level, the message and what the caller adds."""
        write_line(str(log), "info", "hooks added", container="c1", rules=["a.json createRuntime"], sandbox=False)
        (line,) = lines(log)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("time"))
        assert line == {
            "level": "info",
            "msg": "hooks added",
            "container": "c1",
            "rules": ["a.json createRuntime"],
            "sandbox": False,
        }

    def test_appended(self, log: Path) -> None:
        """A line goes behind those that are there; a new file is for root alone."""
        before = os.umask(0)
        try:
            write_line(str(log), "info", "first")
        finally:
            os.umask(before)
        write_line(str(log), "error", "second")
        assert [line["msg"] for line in lines(log)] == ["first", "second"]
        assert stat.S_IMODE(log.stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        "text", ['a\nb\r\x1b[31m"\\', "\u2028\u0085\x7f", "\ud800", '"}\n{"level":"info"}', "é\U0001f600"], ids=ascii
    )
    def test_hostile_text(self, text: str, log: Path) -> None:
        """Text of a container stays on one line of plain ASCII, and comes back as it was."""
        write_line(str(log), "error", text, container=text, warnings=[text])
        data = log.read_bytes()
        assert data.isascii()
        assert data.count(b"\n") == 1
        assert all(byte >= 0x20 for byte in data[:-1])
        (line,) = lines(log)
        assert (line["msg"], line["container"], line["warnings"]) == (text, text, [text])

    def test_long_text(self, log: Path) -> None:
        """Long texts are cut, and say how long they were."""
        write_line(str(log), "info", "x" * 1_000_000, nested={"a": ["y" * (CONTAINER_TEXT_LIMIT + 1)]}, n=5, none=None)
        (line,) = lines(log)
        assert line["msg"] == "x" * CONTAINER_TEXT_LIMIT + "… (1000000 characters)"
        assert line["nested"]["a"] == ["y" * CONTAINER_TEXT_LIMIT + f"… ({CONTAINER_TEXT_LIMIT + 1} characters)"]
        assert (line["n"], line["none"]) == (5, None)
        assert log.stat().st_size < 5000

    def test_text_of_the_limit(self, log: Path) -> None:
        """A text of just the limit is not cut."""
        write_line(str(log), "info", "x" * CONTAINER_TEXT_LIMIT)
        assert lines(log)[0]["msg"] == "x" * CONTAINER_TEXT_LIMIT

    def test_parallel(self, log: Path) -> None:
        """Many writers at once don't mix their lines, and none takes another's half-written line for a cut one."""

        def write_some() -> None:
            for _ in range(400):
                write_line(str(log), "info", "x" * 900)

        writers = [multiprocessing.get_context("fork").Process(target=write_some) for _ in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [line["msg"] for line in lines(log)] == ["x" * 900] * 3200

    @pytest.mark.parametrize("mode", [0o777, 0o601, 0o640], ids=oct)
    def test_mode(self, mode: int, log: Path) -> None:
        """A log that somebody made beforehand keeps the mode that they chose."""
        log.touch()
        log.chmod(mode)
        write_line(str(log), "info", "x")
        assert [line["msg"] for line in lines(log)] == ["x"]
        assert stat.S_IMODE(log.stat().st_mode) == mode

    def test_line_that_is_being_written(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rest of a line that somebody else is writing is waited for."""
        log.write_text('{"msg": ')

        def wait_for_the_rest(fd: int) -> None:
            os.write(fd, b'"first"}\n')

        monkeypatch.setattr(os, "utime", wait_for_the_rest)
        write_line(str(log), "info", "second")
        assert [line["msg"] for line in lines(log)] == ["first", "second"]

    @pytest.mark.parametrize("left", ['{"level": "in', '{"level":\t', "\0\0"], ids=["text", "blank", "nuls"])
    def test_cut_line(self, left: str, log: Path) -> None:
        """What a full file system, or a machine that lost its power, left of a line doesn't swallow the next one."""
        log.write_text(left)
        write_line(str(log), "info", "x")
        write_line(str(log), "info", "y")
        cut, *whole = log.read_text().splitlines()
        assert cut == left
        assert [json.loads(line)["msg"] for line in whole] == ["x", "y"]


IN_A_SESSION = """
import sys

from ocihooks.wrapper.log import write_line

write_line(sys.argv[1], "info", "x")
try:
    found = open("/dev/tty").name
except OSError:
    found = None
print(found)
"""
"""Writes to a log, and prints the terminal that the process has then."""


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


class TestNeverMatters:
    """A log that can't be written."""

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda path: path.mkdir(), id="directory"),
            pytest.param(os.mkfifo, id="fifo"),
            pytest.param(make_socket, id="socket"),
            pytest.param(lambda path: path.symlink_to("/dev/full"), id="link-to-device"),
            pytest.param(lambda path: path.symlink_to("nothing"), id="link-to-nothing"),
        ],
    )
    def test_something_else(self, make: Callable[[Path], None], log: Path) -> None:
        """Something else in its place is left alone, and makes nobody wait."""
        make(log)
        before = log.lstat()
        write_line(str(log), "info", "x")
        assert (log.lstat().st_ino, log.lstat().st_mode) == (before.st_ino, before.st_mode)
        assert os.listdir(log.parent) == [log.name]

    def test_fifo_with_a_reader(self, log: Path) -> None:
        """A FIFO gets nothing, even if somebody reads."""
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        try:
            write_line(str(log), "info", "x")
            assert os.read(reader, 100) == b""
        finally:
            os.close(reader)

    def test_terminal(self) -> None:
        """A terminal gets nothing, and does not become ours, whose Ctrl-C would then end us."""
        ours, terminal = pty.openpty()
        try:
            command = [sys.executable, "-c", IN_A_SESSION, os.ttyname(terminal)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
            os.set_blocking(ours, False)
            with pytest.raises(BlockingIOError):
                os.read(ours, 100)
        finally:
            os.close(terminal)
            os.close(ours)
        assert done.stdout == "None\n"

    def test_link(self, log: Path) -> None:
        """A link is not followed."""
        target = log.parent / "target"
        target.touch()
        log.symlink_to(target)
        write_line(str(log), "info", "x")
        assert target.read_bytes() == b""

    def test_hard_link(self, log: Path) -> None:
        """A file that has another name, too, may not be a log at all."""
        target = log.parent / "target"
        target.touch()
        os.link(target, log)
        write_line(str(log), "info", "x")
        assert target.read_bytes() == b""

    @needs_root
    def test_file_of_another(self, log: Path) -> None:
        """A file that somebody else put there is left alone."""
        log.touch()
        os.chown(log, 1234, 1234)
        write_line(str(log), "info", "x")
        assert log.read_bytes() == b""

    @pytest.mark.parametrize("path", ["none/x.log", "file/x.log", "x" * 300], ids=["missing", "file", "long"])
    def test_no_such_place(self, path: str, tmp_path: Path) -> None:
        """A directory that is missing is not made."""
        (tmp_path / "file").touch()
        write_line(str(tmp_path / path), "info", "x")
        assert os.listdir(tmp_path) == ["file"]

    @needs_root
    def test_full(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk is no failure."""

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        write_line(str(log), "info", "x")
        monkeypatch.undo()
        assert log.read_bytes() == b""
