"""A keeper and its caller, step by step: what they tell each other, and what happens when one of them is gone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

import ocihooks
from ocihooks.execution import keeper, process
from ocihooks.execution.exec import Exec
from ocihooks.execution.process import HookProcess
from ocihooks.execution.program import Program
from ocihooks.execution.run import Run
from ocihooks.spec.hook import Hook

SOURCE = Path(ocihooks.__file__).parents[1]
NOBODY = 4194305


class Reports:
    """What a keeper says, written by the test, and the hook that takes it in."""

    def __init__(self) -> None:
        self.hook = HookProcess()
        self.hook.fd, self.writer = os.pipe()

    def say(self, text: str) -> bool:
        """Whether that was the last of it."""
        os.write(self.writer, text.encode())
        return self.hook.ready()


@pytest.fixture
def reports() -> Reports:
    """A keeper's reports."""
    return Reports()


def test_reports_of_a_run(reports: Reports) -> None:
    """The reports may come in any parts; the last one tells how many were killed and who is alive."""
    hook = reports.hook
    assert (hook.killed, hook.alive, hook.status, hook.failure) == (0, (), None, None)
    assert reports.say("started 70") is False
    assert reports.say("0\nexited ") is False
    assert (hook.pid, hook.exited) == (700, False)
    assert reports.say("-15\n") is False
    assert (hook.status, hook.exited, hook.finished) == (-15, True, False)
    assert reports.say("done 3 4 5\n") is True
    assert (hook.killed, hook.alive, hook.finished, hook.lost) == (3, (4, 5), True, False)
    os.close(reports.writer)
    hook.release()


def test_report_of_a_failure(reports: Reports) -> None:
    """A program that could not be started is told with the step and the cause, in one go with the end."""
    assert reports.say("failed exec 13\ndone 0\n") is True
    hook = reports.hook
    assert (hook.failure, hook.exited, hook.finished, hook.lost) == (("exec", 13), True, True, False)
    assert (hook.pid, hook.status, hook.killed, hook.alive) == (None, None, 0, ())
    os.close(reports.writer)
    hook.release()


def test_end_without_a_last_report(reports: Reports) -> None:
    """A keeper that says nothing more is lost."""
    os.close(reports.writer)
    assert reports.hook.ready() is True
    assert (reports.hook.exited, reports.hook.finished, reports.hook.lost) == (True, True, True)
    reports.hook.release()


def test_hook_that_was_not_started() -> None:
    """Nothing is closed and nobody waited for when nothing was begun."""
    before = sorted(os.listdir("/proc/self/fd"))
    HookProcess().release()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_keeper_that_somebody_else_has_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper may be gone when we want to wait for it, before or after we have looked."""
    hook = HookProcess()
    hook._keeper = NOBODY
    hook.release()
    monkeypatch.setattr(process, "_ends", lambda *_, **__: True)
    hook.release()
    assert hook.lost is False


def test_keeper_without_descriptors_to_be_had() -> None:
    """A keeper is waited for, and no longer than for a while, also where no more descriptor is to be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with subprocess.Popen(["sleep", "0.05"]) as ends, subprocess.Popen(["sleep", "60"]) as stays:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            found = (process._ends(ends.pid, within_s=20), process._ends(stays.pid, within_s=0.02))
            with pytest.raises(ChildProcessError):
                process._ends(os.getppid(), within_s=20)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            stays.kill()
    assert (found, ends.returncode) == ((True, False), 0)


@pytest.mark.parametrize("is_stranger", [True, False], ids=["stranger", "own"])
def test_session_of_a_hook_that_was_reaped(reports: Reports, is_stranger: bool) -> None:
    """A session of the hook's number is killed without a keeper only if somebody in it is older than the hook's end."""
    hook = reports.hook
    hook.lost = True
    if is_stranger:
        reports.say("exited 3\n")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as session:
        try:
            if not is_stranger:
                time.sleep(0.05)  # some ticks, in which starts are counted
                reports.say("exited 3\n")
            hook.pid = session.pid
            hook.abandon()
            assert (session.poll() is None) == is_stranger
        finally:
            session.kill()
            os.close(reports.writer)
            hook.release()


def marked(mark: str) -> int:
    """How many live processes have that in their environment."""
    return sum(has(path, mark) for path in Path("/proc").iterdir() if path.name.isdigit())


def has(path: Path, mark: str) -> bool:
    try:
        return mark.encode() in (path / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def wait_for(number: int, mark: str) -> None:
    deadline = time.monotonic() + 20
    while marked(mark) != number and time.monotonic() < deadline:
        time.sleep(0.01)
    assert marked(mark) == number


def interrupt(run: Run, hook: Hook, mark: str) -> None:
    """Start a hook that makes three more processes, and raise when all run."""
    run.start(Exec(Program.of(hook)), b"", cwd=None, capture=False, output_limit=None)
    wait_for(4, mark)
    raise KeyboardInterrupt


def test_exception_while_a_hook_runs() -> None:
    """After an exception a keeper has the time that it needs to kill all descendants, in whatever session."""
    mark = f"OCIHOOKS_TEST={uuid.uuid4().hex}"
    script = "for i in 1 2 3; do setsid sleep 60 & done; wait"
    hook = Hook(path="/bin/sh", args=("sh", "-c", script), env=("PATH=/usr/bin:/bin", mark))
    run = Run(drain_s=None, kill_grace_s=0, kill_leftovers=False, process=HookProcess())
    with pytest.raises(KeyboardInterrupt), run:
        interrupt(run, hook, mark)
    assert (marked(mark), run.process.lost) == (0, False)


def test_report_to_a_caller_that_is_gone() -> None:
    """A keeper whose caller is gone goes on with its work."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        keeper._report(writer, "started 700")
    finally:
        os.close(writer)


CLOSING = """
import os, posix, resource, sys
sys.path.insert(0, sys.argv[1])
from ocihooks.execution import keeper
if sys.argv[2] == "unlisted":
    def missing(path): raise FileNotFoundError(path)
    posix.listdir = missing
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
for number in (3, 9, 63):
    os.dup2(1, number)
keeper.close_all_but({1, 9})
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
print([fd for fd in range(64) if is_open(fd)])
"""


@pytest.mark.parametrize("way", ["listed", "unlisted"])
def test_descriptors_of_the_caller_are_closed(way: str) -> None:
    """All are closed but those that are needed, also where /proc does not list them."""
    words = [sys.executable, "-I", "-S", "-c", CLOSING, str(SOURCE), way]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "[1, 9]\n", done.stderr


def test_descriptors_of_a_keeper() -> None:
    """A keeper keeps its ends of the pipes, and the directory where there is one."""
    ends = {"stdin": 3, "stdout": 4, "stderr": 5, "orders": 6, "reports": 7}
    assert keeper.Descriptors(**ends, directory=None).all() == {3, 4, 5, 6, 7}
    assert keeper.Descriptors(**ends, directory=0).all() == {0, 3, 4, 5, 6, 7}


WITHOUT_KEEPER = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
from ocihooks.execution.exec import Exec
from ocihooks.execution.process import HookProcess
from ocihooks.execution.program import Program
from ocihooks.execution.run import Run
from ocihooks.spec.hook import Hook
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
hook = Hook(path="/bin/sh", args=("sh", "-c", "kill -KILL $PPID; exec /bin/sleep 60"))
with Run(drain_s=None, kill_grace_s=0, kill_leftovers=False, process=HookProcess()) as run:
    run.start(Exec(Program.of(hook)), b"", cwd=None, capture=False, output_limit=None)
    children = open("/proc/thread-self/children").read().split()
    while open(f"/proc/{children[0]}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    run.follow(time.monotonic())
print(run.timed_out, run.process.status)
"""


def test_keeper_that_is_gone_when_it_is_told_something() -> None:
    """A caller whose SIGPIPE is at its default is not killed by telling something to a keeper that is gone."""
    words = [sys.executable, "-I", "-S", "-c", WITHOUT_KEEPER, str(SOURCE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("True None\n", 0), done.stderr
