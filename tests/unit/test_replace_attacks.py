"""Replacing a file while the process is killed at any system call, while calls fail, and while others read it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import ocihooks
from ocihooks.replace import replace_file

SOURCES = Path(ocihooks.__file__).parent.parent
SCRIPT = Path(__file__).parent / "replace_once.py"
RANDOM_KILLS = Path(__file__).parent / "random_kills.py"
NEW = b"new" * 2730 + b".."
OLD = b"old" * 1000

CALLS = (
    *("openat", "newfstatat", "fstat", "write", "fchmod", "fchown", "listxattr", "flistxattr", "getxattr", "fgetxattr"),
    *("fsetxattr", "fremovexattr", "fsync", "close", "renameat", "renameat2", "rename", "unlinkat", "getdents64"),
    *("readlink", "fcntl", "lseek", "mkdirat"),
)
"""The calls at which something may go wrong; others, such as those for memory, are not the file's."""

ERRORS = ("EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE", "ENOMEM", "EDQUOT", "EINTR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The *number*-th call of *name* in the process, counted from its start."""

    name: str
    number: int


class Traced:
    """One file, replaced by processes under strace."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "d" / "config.json"
        self.log = directory / "trace"
        self.file.parent.mkdir()
        self.reset()

    def reset(self) -> None:
        """The old file and nothing else."""
        for path in self.file.parent.iterdir():
            path.unlink()
        self.file.write_bytes(OLD)
        os.setxattr(self.file, "user.test", b"x")

    def run(self, how: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Replace the file once; *options* are for strace."""
        python = [sys.executable, "-I", "-S", "-B", str(SCRIPT), str(SOURCES), str(self.file), how]
        command = ["strace", "-qq", "-o", str(self.log), f"--trace=access,{','.join(f'?{c}' for c in CALLS)}"]
        return subprocess.run([*command, *options, *python], capture_output=True, text=True, check=False, timeout=60)

    def points(self, how: str) -> list[Point]:
        """All calls of one replacement."""
        assert self.run(how).returncode == 0
        found, counts, inside = [], Counter[str](), False
        for line in self.log.read_text().splitlines():
            name = line.partition("(")[0]
            counts[name] += 1
            if name == "access":
                inside = '"begin"' in line or (inside and '"end"' not in line)
            elif inside:
                found.append(Point(name=name, number=counts[name]))
        self.reset()
        return found

    def kill_at(self, point: Point, how: str) -> bytes:
        """Kill a replacement at *point*; returns what the file holds then."""
        killed = self.run(how, f"--inject={point.name}:signal=KILL:when={point.number}")
        assert killed.returncode in (-9, 137)
        assert '"begin"' in self.log.read_text()
        assert '"end"' not in self.log.read_text()
        return self.file.read_bytes()

    def fail_at(self, point: Point, error: str, how: str) -> subprocess.CompletedProcess[str]:
        """Let one call of a replacement fail."""
        return self.run(how, f"--inject={point.name}:error={error}:when={point.number}")


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    """A file under attack."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    try:
        return Traced(tmp_path)
    except OSError:
        pytest.skip("the file system of temporary directories has no extended attributes")


class TestKilled:
    """kill -9."""

    @pytest.mark.parametrize("how", ["durable", "quick"])
    def test_at_every_call(self, how: str, traced: Traced, record_property: Callable[[str, object], None]) -> None:
        """The file is the old one or the new one, and the next replacement cleans up."""
        points = traced.points(how)
        assert {"openat", "write", "renameat", "fchmod", "fsetxattr"} <= {point.name for point in points}
        contents = Counter[bytes]()
        for point in points:
            content = traced.kill_at(point, how)
            contents[content] += 1
            replace_file(str(traced.file), b"next")
            assert (traced.file.read_bytes(), os.listdir(traced.file.parent)) == (b"next", ["config.json"])
            traced.reset()
        assert contents.keys() == {OLD, NEW}
        assert contents[OLD] > 8
        record_property("amount", f"{len(points)} kills")

    def test_control(self, traced: Traced, record_property: Callable[[str, object], None]) -> None:
        """The same attack tears a file that is written in place."""
        points = traced.points("naive")
        torn = 0
        for point in points:
            torn += traced.kill_at(point, "naive") not in (OLD, NEW)
            traced.reset()
        assert torn > 0
        record_property("control", f"torn at {torn} of {len(points)} calls")


@pytest.mark.slow
class TestKilledAtRandom:
    """kill -9 at any time, also in the middle of a call."""

    @staticmethod
    def kill(directory: Path, how: str, count: int) -> dict[str, int]:
        """What hundreds of killed processes leave."""
        words = [sys.executable, "-I", "-S", "-B", RANDOM_KILLS, SOURCES, directory / "config.json", how, count, 1]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
        counts: dict[str, int] = json.loads(done.stdout)
        return counts

    @pytest.mark.parametrize("how", ["durable", "quick"])
    def test_whole(self, how: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
        """The file is always one of those that were written, and nothing is left beside it."""
        assert self.kill(tmp_path, how, 400) == {"whole": 400, "torn": 0, "beside": 0}
        record_property("amount", "400 kills")

    def test_control(self, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
        """Files that are written in place are torn in more than three of ten cases."""
        torn = self.kill(tmp_path, "naive", 200)["torn"]
        assert torn > 60
        record_property("control", f"{torn} of 200 torn")


class TestFailing:
    """System calls that fail."""

    @staticmethod
    def check(traced: Traced, points: list[Point], errors: tuple[str, ...]) -> Counter[int]:
        """Try all points; failure means the old file, and success the new one."""
        outcomes = Counter[int]()
        for point in points:
            for error in errors:
                run = traced.fail_at(point, error, "durable")
                context = (point, error, run.stdout, run.stderr)
                content, names = traced.file.read_bytes(), os.listdir(traced.file.parent)
                outcomes[run.returncode] += 1
                assert run.stderr == "", context
                if run.returncode == 0:
                    assert content == NEW, context
                    assert names == ["config.json"], context
                else:
                    lasting = "may be the old one again after a power loss" in run.stdout
                    assert content == (NEW if lasting else OLD), context
                    assert run.stdout.startswith(f"{traced.file}: "), context
                    assert len(run.stdout.splitlines()) == 2, context
                    assert names == ["config.json"] or point.name == "unlinkat", context
                traced.reset()
        return outcomes

    def test_at_every_call(self, traced: Traced) -> None:
        """A failure leaves the old file, no litter, and one sentence with path and cause."""
        outcomes = self.check(traced, traced.points("durable"), ("EIO",))
        assert outcomes.keys() == {0, 1}
        assert outcomes[1] > 8

    @pytest.mark.slow
    def test_all_errors(self, traced: Traced, record_property: Callable[[str, object], None]) -> None:
        """The same for whatever else the system may say."""
        outcomes = self.check(traced, traced.points("durable"), ERRORS)
        record_property("amount", f"{outcomes.total()} refused calls")

    def test_control(self, traced: Traced, record_property: Callable[[str, object], None]) -> None:
        """The same tears a file that is written in place."""
        points = [point for point in traced.points("naive") if point.name == "write"]
        torn = 0
        for point in points:
            assert traced.fail_at(point, "ENOSPC", "naive").returncode != 0
            torn += traced.file.read_bytes() not in (OLD, NEW)
        assert torn > 0
        record_property("control", f"torn at {torn} of {len(points)} writes")

    def test_short_writes(self, traced: Traced) -> None:
        """A write that took only a part is continued."""
        points = [point for point in traced.points("durable") if point.name == "write"]
        run = traced.run("durable", f"--inject=write:retval=0:when={points[0].number}")
        assert (run.returncode, traced.file.read_bytes()) == (0, NEW)


READER = """
import json, os, sys
file = sys.argv[1]
counts = {"reads": 0, "torn": 0, "missing": 0}
os.write(1, b"ready\\n")
while not os.path.exists(file + ".stop"):
    try:
        with open(file, "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        counts["missing"] += 1
        continue
    counts["reads"] += 1
    if len(data) != 300_000 or data.count(data[:1]) != len(data):
        counts["torn"] += 1
print(json.dumps(counts))
"""


def watched(file: Path, write: Callable[[Path, bytes], object], times: int) -> dict[str, int]:
    """What a process saw that read *file* in a loop while it was written *times* times."""
    stop = Path(f"{file}.stop")
    command = [sys.executable, "-I", "-S", "-c", READER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for number in range(times):
            write(file, bytes([65 + number % 20]) * 300_000)
        stop.touch()
        counts: dict[str, int] = json.loads(reader.stdout.read())
    stop.unlink()
    return counts


class TestReaders:
    """Processes that read meanwhile."""

    def test_whole(self, tmp_path: Path) -> None:
        """A reader sees the old or the new file whole, whenever it looks."""
        file = tmp_path / "config.json"
        file.write_bytes(b"A" * 300_000)
        counts = watched(file, lambda path, data: replace_file(str(path), data, durable=False), 600)
        assert counts["reads"] > 50
        assert (counts["torn"], counts["missing"]) == (0, 0)

    def test_control(self, tmp_path: Path) -> None:
        """The same reader sees torn files where they are written in place."""
        file = tmp_path / "config.json"
        file.write_bytes(b"A" * 300_000)
        assert watched(file, Path.write_bytes, 600)["torn"] > 0


def test_names_of_calls(traced: Traced) -> None:
    """Every call that one replacement makes on files is in the list of those that are attacked."""
    command = [sys.executable, "-I", "-S", "-B", str(SCRIPT), str(SOURCES), str(traced.file), "durable"]
    subprocess.run(["strace", "-qq", "-o", str(traced.log), "--trace=file,desc", *command], check=True)
    text = traced.log.read_text()
    between = text[text.index('access("begin"') : text.index('access("end"')]
    used = set(re.findall(r"^(\w+)\(", between, re.MULTILINE)) - {"access", "mmap"}
    assert used <= set(CALLS)
