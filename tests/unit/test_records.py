"""Records: what is written, by how many at once, how much is kept, and what is read back."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocihooks.records.append import KEPT_FILES, TEXT_LIMIT, Excerpt, append
from ocihooks.records.read import Record, Selection, follow, hooks_of, parsed, read_records
from ocihooks.records.statistics import percentile, statistics

WRITER = """
import sys
sys.path.insert(0, {package!r})
from ocihooks.records.append import append
for number in range({count}):
    members = {{"writer": int(sys.argv[1]), "number": number, "stdout": "x" * {size}}}
    append({path!r}, "run", members, file_bytes={limit})
"""


def writer(path: Path, number: int, *, count: int, size: int = 50, limit: int = 4 << 20) -> subprocess.Popen[bytes]:
    """A process that writes *count* records."""
    package = str(Path(__file__).parents[2] / "src")
    code = WRITER.format(package=package, path=str(path), count=count, size=size, limit=limit)
    return subprocess.Popen([sys.executable, "-IS", "-c", code, str(number)])


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_record_is_one_line_of_json(tmp_path: Path) -> None:
    """A record is a JSON object on one line, in ASCII, with its kind and the time in front."""
    path = tmp_path / "records.jsonl"
    append(str(path), "injection", {"container": "c\n\u2028é", "hooks": [{"rule": "/r", "n": 1}], "a": None, "b": True})
    (line,) = lines(path)
    assert line.isascii()
    record = json.loads(line)
    assert list(record)[:2] == ["kind", "time"]
    assert record["container"] == "c\n\u2028é"
    assert (record["hooks"], record["a"], record["b"]) == ([{"rule": "/r", "n": 1}], None, True)


def test_long_texts_are_cut(tmp_path: Path) -> None:
    """Of a text that a container chose a thousand characters are kept; what was cut before is kept whole."""
    path = tmp_path / "records.jsonl"
    append(str(path), "run", {"id": "x" * 100_000, "names": ["y" * 2000], "stdout": Excerpt("z" * 4000)})
    (record,) = read_records(str(path))
    assert record["id"] == "x" * TEXT_LIMIT + "… (100000 characters)"
    assert len(record["names"][0]) < TEXT_LIMIT + 30
    assert record["stdout"] == "z" * 4000


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """File and directory are made for their owner alone, whatever the umask; a file that others may read is closed."""
    path = tmp_path / "log/records.jsonl"
    before = os.umask(0)
    try:
        append(str(path), "run", {})
        path.chmod(0o644)
        append(str(path), "run", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(lines(path)) == 2


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "target")


def _hard_link(path: Path) -> None:
    (path.parent / "target").touch()
    path.hardlink_to(path.parent / "target")


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _foreign(path: Path) -> None:
    path.touch()
    os.chown(path, 4711, 4711)


@pytest.mark.parametrize("make", [_link, _hard_link, _directory, _fifo, _foreign], ids=lambda make: make.__name__[1:])
def test_odd_file_is_left_alone(tmp_path: Path, make: Any) -> None:
    """Nothing is written through a link, to a FIFO or to somebody else's file, and nothing fails or waits."""
    path = tmp_path / "records.jsonl"
    if make is _foreign and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    make(path)
    append(str(path), "run", {})
    assert all(file.stat().st_size == 0 for file in tmp_path.iterdir() if file.is_file())
    assert make.__name__ != "_link" or not (tmp_path / "target").exists()


def test_full_disk_is_no_error() -> None:
    """A record that can't be written is dropped."""
    append("/proc/records.jsonl", "run", {})
    append("/no/such/place/records.jsonl", "run", {})
    append("", "run", {})


def test_hundred_writers_at_once(tmp_path: Path) -> None:
    """What a hundred processes write at the same time is all there, each line whole."""
    path = tmp_path / "records.jsonl"
    for process in [writer(path, number, count=50, size=500) for number in range(100)]:
        assert process.wait() == 0
    found = [(record["writer"], record["number"]) for record in read_records(str(path))]
    assert sorted(found) == [(number, n) for number in range(100) for n in range(50)]
    assert len(lines(path)) == 5000


def test_size_is_bounded(tmp_path: Path) -> None:
    """Many writers fill file after file; only the newest files are kept, none larger than twice the limit."""
    path = tmp_path / "records.jsonl"
    limit = 20_000
    for process in [writer(path, number, count=200, limit=limit) for number in range(8)]:
        assert process.wait() == 0
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [path.name, *(f"{path.name}.{n}" for n in range(1, KEPT_FILES + 1))]
    assert [file.stat().st_size for file in files if file.stat().st_size > 2 * limit + 8 * 200] == []
    records = list(read_records(str(path)))
    assert len(records) > 3 * limit // 200 - 8
    for number in range(8):
        own = [record["number"] for record in records if record["writer"] == number]
        assert own == sorted(own)


def test_interrupted_move_loses_nothing(tmp_path: Path) -> None:
    """A gap that a killed process left among the files is filled before the oldest file goes."""
    path = tmp_path / "records.jsonl"
    for name, text in ((path.name, "new"), (f"{path.name}.2", "old"), (f"{path.name}.3", "oldest")):
        (tmp_path / name).write_text(f'{{"kind":"run","text":"{text}"}}\n')
    append(str(path), "run", {"text": "newest"}, file_bytes=10)
    assert [record["text"] for record in read_records(str(path))] == ["oldest", "old", "new", "newest"]


def test_killed_writers_cost_at_most_their_own_record(tmp_path: Path) -> None:
    """Writers that are killed again and again harm no record of the others."""
    path = tmp_path / "records.jsonl"
    steady = writer(path, 0, count=2000, size=3000, limit=1 << 30)
    while steady.poll() is None:
        victim = writer(path, 1, count=100_000, size=3000, limit=1 << 30)
        time.sleep(0.05)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    found = [record["number"] for record in read_records(str(path)) if record["writer"] == 0]
    assert found == list(range(2000))


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        pytest.param(b'{"kind":"run","n":1}\n', [1], id="whole"),
        pytest.param(b'{"kind":"run","text":"ab{"kind":"run","n":2}\n', [2], id="behind-a-piece"),
        pytest.param(b'{"kind":"run","n":1,"text":"{\\"kind\\":\\"run\\",\\"n\\":3}"}', [1], id="looks-like-one"),
        pytest.param(b'{"kind":"run","te\n', [], id="piece"),
        pytest.param(b"\n", [], id="empty"),
        pytest.param(b"[1]\n", [], id="something-else"),
        pytest.param(b"\xff\n", [], id="no-text"),
        pytest.param(b"[" * 100_000, [], id="deep"),
    ],
)
def test_broken_lines(line: bytes, numbers: list[int]) -> None:
    """A record behind the piece of another is found; what is none is passed over."""
    assert [record["n"] for record in parsed(line)] == numbers


def test_stopped_mover_does_not_let_the_file_grow(tmp_path: Path) -> None:
    """While somebody holds the lock for moving the file, it grows to twice its size at most, and nobody waits."""
    path = tmp_path / "records.jsonl"
    append(str(path), "run", {})
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for _ in range(100):
            append(str(path), "run", {}, file_bytes=300)
        assert 300 < path.stat().st_size <= 600
    append(str(path), "run", {}, file_bytes=300)
    assert len(lines(path)) == 1


def test_following_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """Who follows gets each new record once and in order, also when files are put aside or come later."""
    path = tmp_path / "records.jsonl"
    numbers = iter(range(40))

    def write_more(_: float) -> None:
        number = next(numbers, None)
        if number is None:
            raise TimeoutError
        append(str(path), "run", {"number": number}, file_bytes=300)

    found: list[Record] = []
    stream: Iterator[Record] = follow(str(path), wait=write_more)
    with pytest.raises(TimeoutError):  # extend keeps what came before the end
        found.extend(stream)
    assert [record["number"] for record in found] == list(range(40))


def empty_and_append(path: Path, number: int) -> None:
    """What logrotate does with copytruncate, and the next record."""
    path.write_bytes(b"")
    append(str(path), "run", {"number": number})


def test_following_a_file_that_is_emptied(tmp_path: Path) -> None:
    """Who follows goes on at the beginning of a file that somebody has copied and emptied."""
    path = tmp_path / "records.jsonl"
    append(str(path), "run", {"number": "before, and longer than all that follows"})
    steps: Iterator[Callable[[], object]] = iter(
        [
            lambda: append(str(path), "run", {"number": 1}),
            lambda: empty_and_append(path, 2),
            lambda: append(str(path), "run", {"number": 3}),
        ]
    )

    def go_on(_: float) -> None:
        step = next(steps, None)
        if step is None:
            raise TimeoutError
        step()

    found: list[Record] = []
    with pytest.raises(TimeoutError):
        found.extend(follow(str(path), wait=go_on))
    assert [record["number"] for record in found] == [1, 2, 3]


@pytest.mark.parametrize("hooks", [5, "x", {"rule": 1}, [5, None]])
def test_odd_hooks(hooks: object) -> None:
    """A record whose hooks are none says nothing of hooks."""
    assert hooks_of({"kind": "injection", "hooks": hooks, "injector_files": 5}) == []


RUN: Record = {"kind": "run", "container": "abc1", "rule": "/etc/h/10-a.json", "stage": "poststop", "outcome": "failed"}
INJECTION: Record = {
    "kind": "injection",
    "container": "abc2",
    "hooks": [{"rule": "/etc/h/10-a.json", "stage": "prestart"}, {"rule": "/etc/h/20-b.json", "stage": "poststop"}],
}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param(Selection(), [RUN, INJECTION], id="all"),
        pytest.param(Selection(container="abc"), [RUN, INJECTION], id="both-containers"),
        pytest.param(Selection(container="abc1"), [RUN], id="container"),
        pytest.param(Selection(rule="20-b.json"), [INJECTION], id="rule-name"),
        pytest.param(Selection(rule="/etc/h/10-a.json"), [RUN, INJECTION], id="rule-path"),
        pytest.param(Selection(stage="poststop"), [RUN, INJECTION], id="stage"),
        pytest.param(Selection(rule="10-a.json", stage="poststop"), [RUN], id="rule-at-that-stage"),
        pytest.param(Selection(failed=True), [RUN], id="failed"),
        pytest.param(Selection(failed=True, stage="prestart"), [], id="none"),
    ],
)
def test_selection(selection: Selection, expected: list[Record]) -> None:
    """Records are chosen by container, rule, stage and failure, all of which have to fit."""
    assert [record for record in (RUN, INJECTION) if selection.has(record)] == expected


@pytest.mark.parametrize(("outcome", "counts"), [("warned", True), ("ignored", False), ("succeeded", False)])
def test_failures_that_count(outcome: str, counts: bool) -> None:
    """A failure that somebody asked to be warned about counts, one that is ignored does not."""
    assert Selection(failed=True).has(RUN | {"outcome": outcome}) == counts


def test_statistics() -> None:
    """Runs are counted by rule and stage, every failure among them, and times are those of real runs."""
    runs = [RUN | {"wall_s": n / 100, "outcome": "succeeded"} for n in range(1, 101)]
    other = RUN | {"rule": "/etc/h/05-x.json", "outcome": "ignored", "wall_s": 2.5}
    first, second = statistics([INJECTION, *runs, RUN | {"wall_s": 9.0}, other])
    assert first.to_json() == {
        "rule": "/etc/h/05-x.json",
        "stage": "poststop",
        "count": 1,
        "failures": 1,
        "p50_s": 2.5,
        "p95_s": 2.5,
        "max_s": 2.5,
    }
    assert (second.count, second.failures, second.p50_s, second.p95_s, second.max_s) == (101, 1, 0.51, 0.96, 9.0)
    assert [percentile([1.0, 2.0], share) for share in (0, 50, 51, 100)] == [1.0, 1.0, 2.0, 2.0]
