"""What people see on a terminal: boxes and colours, and neither where they are not wanted."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Mapping

import pytest
from tests.cli.place import PROGRAM, Place, environment

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(place: Place, *words: str, width: int = 100, changes: Mapping[str, str] | None = None) -> str:
    """The output of a command line whose standard output is a terminal of this width."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    command = [PROGRAM, *words, "--settings", str(place.settings)]
    kept = {name: value for name, value in environment(**(changes or {})).items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL, env=kept) as process:
        os.close(slave)
        chunks = []
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        process.wait(timeout=60)
    os.close(master)
    return b"".join(chunks).decode().replace("\r\n", "\n")


@pytest.fixture
def faulty(place: Place) -> Place:
    """A place with a good rule and a broken one."""
    place.rule("a/10-good.json", when={"commands": ["^/usr/bin/" + "x" * 60 + "$"]})
    place.write("a/20-broken.json", "{")
    return place


def test_list(faulty: Place) -> None:
    """Tables have boxes that fit the terminal; what is too long goes on in the next line of its cell."""
    lines = on_terminal(faulty, "list").splitlines()
    assert lines[0].startswith("┏")
    assert all(len(ESCAPE.sub("", line)) <= 100 for line in lines)
    narrow = "".join(on_terminal(faulty, "list", width=60).split("│"))
    assert narrow.count("x") >= 60


def test_colours(faulty: Place) -> None:
    """Errors are red, warnings yellow."""
    faulty.write("a/x.json~", "")
    text = on_terminal(faulty, "check")
    assert f"\x1b[31mocihooks: {faulty.root}/a/20-broken.json" in text
    assert f"\x1b[33mocihooks: warning: {faulty.root}/a/x.json~" in text


def test_explain(faulty: Place) -> None:
    """What is bad is red."""
    assert "\x1b[31minvalid  \x1b[0m  20-broken.json" in on_terminal(faulty, "explain", "--bind-mount")


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no-color", "dumb"])
@pytest.mark.parametrize("words", [["list"], ["check"], ["explain", "--bind-mount"]], ids=["list", "check", "explain"])
def test_no_colours(words: list[str], changes: dict[str, str], faulty: Place) -> None:
    """No escape sequence is written where colours are not wanted."""
    text = on_terminal(faulty, *words, changes=changes)
    assert "\x1b[3" not in text
    assert "20-b" in text


def test_dry_run_difference(place: Place) -> None:
    """A difference has its lines in green and red."""
    place.rule("a/1.json")
    place.bundle()
    text = on_terminal(place, "inject", "--dry-run", "--bundle", str(place.root / "bundle"))
    assert '\x1b[32m+  "hooks": {\x1b[0m' in text or '\x1b[32m+    "createRuntime": [\x1b[0m' in text
    assert "\x1b[36m@@ " in text
