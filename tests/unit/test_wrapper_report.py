"""Telling the user: the log file that engines read, standard error, and everything that may be wrong with either."""

from __future__ import annotations

import json
import os
import posix
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ocihooks
from ocihooks.errors import Diagnostic, DocumentError, OCIHooksError
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.report import log_path, report

SOURCE = Path(ocihooks.__file__).parents[1]

ERROR = DocumentError(
    "expected an object, found an array; container not created",
    file="/run/c1/config.json",
    pointer="/hooks",
    hint='run "ocihooks check /run/c1" for all problems in this bundle',
)
SENTENCE = "ocihooks-runtime: /run/c1/config.json: /hooks: expected an object, found an array; container not created"
HINT = 'hint: run "ocihooks check /run/c1" for all problems in this bundle'

REPORTING = """
import resource, sys

sys.path.insert(0, sys.argv[1])
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.report import report

if sys.argv[2] != "-1":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
report("it broke\\nhint: mend it", parse(sys.argv[3:]))
"""

MESSAGE = b"ocihooks-runtime: it broke\nhint: mend it\n"


def _report_in_a_process(
    *argv: str, limit: int = -1, stdout: int | IO[bytes] = subprocess.PIPE, stderr: int | IO[bytes] = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Report one error in a process of its own, started as engines start the wrapper; it must end by itself."""
    command = [sys.executable, "-I", "-S", "-c", REPORTING, str(SOURCE), str(limit), *argv]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=60)


def test_standard_error_has_the_sentence_and_the_hint(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a log the message goes to standard error alone: a line that says what and where, one with the remedy."""
    report(ERROR, parse(["create", "--bundle", "/run/c1", "c1"]))
    captured = capfd.readouterr()
    assert captured.err == f"{SENTENCE}\n{HINT}\n"
    assert captured.out == ""


def test_a_json_log_gets_what_docker_reads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One JSON object on one line, with the level "error", the message and a time of RFC 3339; standard error, too."""
    log = tmp_path / "log.json"
    report(ERROR, parse(["--log", str(log), "--log-format", "json", "create", "c1"]))
    (line,) = log.read_text().splitlines(keepends=True)
    assert line.endswith("}\n")
    entry = json.loads(line)
    assert list(entry) == ["level", "msg", "time"]
    assert entry["level"] == "error"
    assert entry["msg"] == f"{SENTENCE}; {HINT}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    assert abs(datetime.fromisoformat(entry["time"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert capfd.readouterr().err == f"{SENTENCE}\n{HINT}\n"


def test_a_text_log_gets_a_line_as_runc_writes_it(tmp_path: Path) -> None:
    """Without a format the log gets the fields time, level and msg, the latter quoted."""
    log = tmp_path / "log"
    report(ERROR, parse([f"--log={log}", "create", "c1"]))
    quoted = f"{SENTENCE}; {HINT}".replace('"', '\\"')
    expected = rf'time="\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=error msg="{re.escape(quoted)}"\n'
    assert re.fullmatch(expected, log.read_text())


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    """Earlier entries stay: one log serves all calls of a container, and the last error counts."""
    log = tmp_path / "log.json"
    log.write_text('{"level":"info","msg":"earlier"}\n')
    log.chmod(0o600)
    for text in ("first", "second"):
        report(text, parse(["--log", str(log), "--log-format=json", "create", "c1"]))
    messages = [json.loads(line)["msg"] for line in log.read_text().splitlines()]
    assert messages == ["earlier", "ocihooks-runtime: first", "ocihooks-runtime: second"]
    assert log.stat().st_mode & 0o7777 == 0o600


def test_a_new_log_can_be_read_by_everybody(tmp_path: Path) -> None:
    """The log of an engine that left none behind is made as runtimes make it."""
    log = tmp_path / "log"
    before = os.umask(0)
    try:
        report(ERROR, parse([f"--log={log}", "create", "c1"]))
    finally:
        os.umask(before)
    assert log.stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("mode", [0o777, 0o601, 0o200], ids=oct)
def test_the_mode_of_a_log_does_not_matter(tmp_path: Path, mode: int) -> None:
    """Any regular file that we may write to is a log."""
    log = tmp_path / "log"
    log.touch()
    log.chmod(mode)
    report(ERROR, parse([f"--log={log}", "create", "c1"]))
    assert SENTENCE in log.read_text()


def test_a_log_format_that_nobody_knows_is_text(tmp_path: Path) -> None:
    """Only "json" makes a line JSON."""
    log = tmp_path / "log"
    report(ERROR, parse([f"--log={log}", "--log-format=ascii", "create", "c1"]))
    assert log.read_text().startswith('time="')


def test_a_text_may_carry_a_hint(capfd: pytest.CaptureFixture[str]) -> None:
    """A plain text is shown like an error: the sentence behind the program's name, the hint on a line of its own."""
    report("it broke\nhint: mend it\n", parse(["create", "c1"]), program="container-hooks-runtime")
    assert capfd.readouterr().err == "container-hooks-runtime: it broke\nhint: mend it\n"


def test_all_problems_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """An error with several problems shows each with its own place and hint."""
    problems = [Diagnostic("wrong", file="/a"), Diagnostic("bad", file="/b", hint="mend it")]
    report(OCIHooksError(problems=problems), parse(["create", "c1"]))
    assert capfd.readouterr().err == "ocihooks-runtime: /a: wrong\nocihooks-runtime: /b: bad\nhint: mend it\n"


def test_many_problems_are_counted(capfd: pytest.CaptureFixture[str]) -> None:
    """When there is no room for all problems, the last line says how many are left."""
    problems = [
        Diagnostic("unknown stage", file=f"/etc/hooks.d/{number}.json", hint="mend it") for number in range(200)
    ]
    report(OCIHooksError(problems=problems), parse(["create", "c1"]))
    lines = capfd.readouterr().err.splitlines()
    shown = sum(line.endswith("unknown stage") for line in lines)
    assert shown > 20
    assert lines[-1] == f"ocihooks-runtime: and {200 - shown} more problems"


def test_many_short_problems_fill_the_message(tmp_path: Path) -> None:
    """As many problems are told as there is room for, and not one more."""
    log = tmp_path / "log"
    problems = [Diagnostic("x") for _ in range(2000)]
    report(OCIHooksError(problems=problems), parse([f"--log={log}", "--log-format=json", "create", "c1"]), "w")
    message = json.loads(log.read_text())["msg"]
    assert 3200 < len(message) < 3500
    shown = message.count("w: x")
    assert message.endswith(f"; w: and {2000 - shown} more problems")


def test_one_long_problem_is_shown_whatever_its_length(capfd: pytest.CaptureFixture[str]) -> None:
    """A first problem that takes nearly all the room is shown with its hint, and the others are counted."""
    problems = [Diagnostic("x" * 1700, hint="y" * 900), *[Diagnostic("z" * 900)] * 2]
    report(OCIHooksError(problems=problems), parse(["create", "c1"]), "w")
    assert capfd.readouterr().err == f"w: {'x' * 1700}\nhint: {'y' * 900}\nw: and 2 more problems\n"


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_sentence_that_is_too_long_keeps_what_there_is_room_for(
    capfd: pytest.CaptureFixture[str], letter: str
) -> None:
    """A message is cut in its middle only, and no more than it has to be; letters are never cut."""
    report(letter * 5000, parse(["create", "c1"]), "w")
    begin, _, end = capfd.readouterr().err.removeprefix("w: ").rstrip("\n").partition(" … ")
    assert set(begin) == set(end) == {letter}
    assert 1700 < len((begin + end).encode()) <= 1800
    assert abs(len(begin) - len(end)) < 10


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    file=st.text(max_size=5000) | st.just("/x" * 2048),
    message=st.text(min_size=1, max_size=5000) | st.just("😀" * 3000),
    hint=st.text(max_size=5000) | st.none(),
    count=st.sampled_from([1, 2, 50]),
    log_format=st.sampled_from(["json", "text"]),
)
def test_messages_stay_short_and_on_their_lines(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    file: str,
    message: str,
    hint: str | None,
    count: int,
    log_format: str,
) -> None:
    """Whatever a container or a user wrote, the message stays below 3,500 bytes, without control characters."""
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    problems = [Diagnostic(message, file=file, hint=hint)] * count
    report(OCIHooksError(problems=problems), parse(["--log", str(log), "--log-format", log_format, "create", "c1"]))
    text = capfd.readouterr().err
    assert len(text.encode()) < 3500
    assert text.replace("\n", "").isprintable()
    assert text.startswith("ocihooks-runtime: ")
    assert ("\nhint: " in text) == bool(hint)
    (line,) = log.read_text().splitlines()
    msg = json.loads(line)["msg"] if log_format == "json" else json.loads(line.partition(" msg=")[2])
    assert msg == text.rstrip("\n").replace("\n", "; ")


def test_a_long_value_loses_its_middle(capfd: pytest.CaptureFixture[str]) -> None:
    """A message that is too long keeps its ends, where file and cause are, and the hint."""
    error = DocumentError("found something else", file="/begin" + "/x" * 2000, hint="see " + "y" * 3000 + " end")
    report(error, parse(["create", "c1"]))
    sentence, hint = capfd.readouterr().err.splitlines()
    assert sentence.startswith("ocihooks-runtime: /begin/x/x")
    assert " … " in sentence
    assert sentence.endswith("/x/x: found something else")
    assert hint.startswith("hint: see yyy")
    assert hint.endswith("yyy end")


@pytest.mark.parametrize(
    ("flavour", "line", "place"),
    [
        ("runc", "--log rel.log create --bundle b c1", "rel.log"),
        ("crun", "--log rel.log create --bundle b c1", "b/rel.log"),
        ("crun", "--log file:rel.log create --bundle b c1", "b/rel.log"),
        ("crun", "--log ./rel.log create --bundle b c1", "b/rel.log"),
        ("crun", "--log rel.log create c1", "rel.log"),
        ("crun", "--log rel.log start c1", "rel.log"),
        ("runc", "--log file:rel.log create --bundle b c1", "file:rel.log"),
        ("", "--log rel.log create --bundle b c1", "rel.log"),
    ],
)
def test_a_relative_log_is_where_the_runtime_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavour: str, line: str, place: str
) -> None:
    """crun goes into the bundle before it opens its log and knows prefixes, runc does neither."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    report("it broke", parse(line.split(), flavour))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == [place]


def test_an_absolute_log_is_not_looked_for_in_the_bundle() -> None:
    """An absolute path is where it says, for crun as for runc; without a log there is none."""
    for flavour in ("runc", "crun"):
        assert log_path(parse(["--log", "/var/log", "create", "--bundle", "/b", "c1"], flavour)) == "/var/log"
        assert log_path(parse(["create", "--bundle", "/b", "c1"], flavour)) is None


@pytest.mark.parametrize("log", ["syslog:x", "journald:x", ""])
def test_a_log_that_is_no_file_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str) -> None:
    """Where crun would write to syslog or the journal, no file of that name appears."""
    monkeypatch.chdir(tmp_path)
    report("it broke", parse(["--log", log, "create", "c1"], "crun"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_log_directory_is_not_made(tmp_path: Path) -> None:
    """A log in a directory that doesn't exist is left out; the message still reaches standard error."""
    done = _report_in_a_process("--log", str(tmp_path / "no" / "log"), "create", "c1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", MESSAGE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [True, False], ids=["target there", "dangling"])
def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path, there: bool) -> None:
    """A link is neither followed nor replaced, so nobody can direct our writing somewhere else."""
    target = tmp_path / "target"
    if there:
        target.write_text("as it was")
    log = tmp_path / "log"
    log.symlink_to(target)
    done = _report_in_a_process("--log", str(log), "create", "c1")
    assert (done.returncode, done.stderr) == (0, MESSAGE)
    assert log.is_symlink()
    assert (target.read_text() == "as it was") if there else not target.exists()


def test_a_fifo_nobody_reads_does_not_hold_us(tmp_path: Path) -> None:
    """A FIFO in place of the log is left alone."""
    log = tmp_path / "log"
    os.mkfifo(log)
    done = _report_in_a_process("--log", str(log), "create", "c1")
    assert (done.returncode, done.stderr) == (0, MESSAGE)


def test_a_fifo_with_a_reader_gets_nothing(tmp_path: Path) -> None:
    """Also a FIFO that somebody reads gets no byte and no end of file from us."""
    log = tmp_path / "log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDWR | os.O_NONBLOCK)
    try:
        done = _report_in_a_process("--log", str(log), "create", "c1")
        assert (done.returncode, done.stderr) == (0, MESSAGE)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        os.close(reader)


@pytest.mark.parametrize("device", ["/dev/full", "/dev/null", "/dev/tty"])
def test_a_device_in_place_of_the_log_is_left_alone(device: str) -> None:
    """A device is not opened, and the message still reaches standard error."""
    done = _report_in_a_process("--log", device, "create", "c1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", MESSAGE)


def test_a_directory_in_place_of_the_log_is_left_alone(tmp_path: Path) -> None:
    """A directory stays empty."""
    done = _report_in_a_process("--log", str(tmp_path), "create", "c1")
    assert (done.returncode, done.stderr) == (0, MESSAGE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "log", ["x" * 300, "x/" * 3000, "\udcff", "no\nsuch\udc80"], ids=["name", "path", "byte", "odd"]
)
def test_an_odd_name_of_a_log_does_not_matter(tmp_path: Path, log: str) -> None:
    """Too long a name fails quietly, an odd one is as good as any."""
    path = f"{tmp_path}/{log}"
    done = _report_in_a_process("--log", path, "create", "c1")
    assert (done.returncode, done.stderr) == (0, MESSAGE)
    assert os.path.lexists(path) == (len(log) < 255)


def test_a_name_that_no_file_can_have_does_not_matter(capfd: pytest.CaptureFixture[str]) -> None:
    """A log whose name holds a NUL is left out; the message still reaches standard error."""
    report("it broke\nhint: mend it", parse(["--log", "a\0b", "create", "c1"]))
    assert capfd.readouterr().err.encode() == MESSAGE


@pytest.mark.parametrize(
    "put",
    [
        pytest.param(os.mkfifo, id="fifo"),
        pytest.param(lambda path: path.symlink_to(path.with_name("target")), id="link"),
        pytest.param(Path.mkdir, id="directory"),
    ],
)
def test_a_log_that_is_exchanged_meanwhile_is_left_alone(
    tmp_path: Path, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes the log's place between our look and the opening is not followed, gets nothing, and holds nobody."""
    log, target = tmp_path / "log", tmp_path / "target"
    log.touch()
    target.touch()
    really = posix.open

    def exchange(path: str, flags: int, mode: int = 0o777) -> int:
        if path == str(log):
            log.unlink()
            put(log)
        return really(path, flags, mode)

    monkeypatch.setattr(posix, "open", exchange)
    report("it broke", parse(["--log", str(log), "create", "c1"]))
    assert target.read_bytes() == b""


def test_a_full_disk_does_not_matter(tmp_path: Path) -> None:
    """A log that can't grow doesn't end us by SIGXFSZ, nor keep the message from standard error."""
    log = tmp_path / "log"
    done = _report_in_a_process("--log", str(log), "create", "c1", limit=0)
    assert (done.returncode, done.stderr) == (0, MESSAGE)
    assert log.read_bytes() == b""


def test_a_read_only_standard_error_does_not_matter(tmp_path: Path) -> None:
    """CRI pause containers have a read-only /dev/null there; the log gets the message all the same."""
    log = tmp_path / "log"
    with open(os.devnull, "rb") as null:
        done = _report_in_a_process("--log", str(log), "create", "c1", stdout=null, stderr=null)
    assert done.returncode == 0
    assert "it broke" in log.read_text()


def test_a_closed_standard_error_does_not_matter(tmp_path: Path) -> None:
    """Without standard error the log gets the message, and nothing lands in a file that took its number."""
    log = tmp_path / "log"
    script = 'exec "$@" 2>&-'
    command = [sys.executable, "-I", "-S", "-c", REPORTING, str(SOURCE), "-1", "--log", str(log), "create", "c1"]
    done = subprocess.run(["sh", "-c", script, "sh", *command], check=False, stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
    assert log.read_text().count("it broke") == 1


def test_a_full_standard_error_does_not_matter(tmp_path: Path) -> None:
    """A file system without room for standard error is no reason to fail."""
    log = tmp_path / "log"
    with open("/dev/full", "wb") as full:
        done = _report_in_a_process("--log", str(log), "create", "c1", stderr=full)
    assert done.returncode == 0
    assert "it broke" in log.read_text()


def test_a_pipe_without_a_reader_does_not_matter(tmp_path: Path) -> None:
    """A reader that went away neither ends us by SIGPIPE nor keeps the message from the log."""
    log = tmp_path / "log"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = _report_in_a_process("--log", str(log), "create", "c1", stderr=writer)
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert "it broke" in log.read_text()


def _fill(pipe: int) -> None:
    """Write to *pipe* until it takes no more."""
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b"x" * 4096)
    except BlockingIOError:
        return


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "not blocking"])
def test_a_pipe_that_nobody_empties_does_not_hold_us(tmp_path: Path, blocking: bool) -> None:
    """A full pipe is given up after a second."""
    log = tmp_path / "log"
    reader, writer = os.pipe()
    try:
        _fill(writer)
        os.set_blocking(writer, blocking)
        begin = time.monotonic()
        done = _report_in_a_process("--log", str(log), "create", "c1", stderr=writer)
        assert time.monotonic() - begin < 30
        assert os.get_blocking(writer) == blocking
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0
    assert "it broke" in log.read_text()


def test_a_log_written_by_many_stays_readable(tmp_path: Path) -> None:
    """Reports of several processes at once are whole lines."""
    log = tmp_path / "log.json"
    command = [sys.executable, "-I", "-S", "-c", REPORTING, str(SOURCE), "-1"]
    call = ["--log", str(log), "--log-format=json", "create", "c1"]
    processes = [subprocess.Popen([*command, *call], stderr=subprocess.DEVNULL) for _ in range(8)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 8
    assert [json.loads(line)["level"] for line in log.read_text().splitlines()] == ["error"] * 8
