"""
Runs tests again and again in fresh children, so that the libraries of tests are imported once.

    python mutation/server.py SOURCE TEMPORARY SECONDS [OPTION...] -- TEST...     in the copy of the project

Each line on standard input asks for a run of pytest: 0 for all the TESTs, or the number of a line of SOURCE for those
that execute this line in their own process, the quickest first, and then all. Each line on standard output tells the
status. The first run is that of the unchanged project: its output goes to standard error, and it finds out which tests
those are.

A run has namespaces of its own, in which nothing but /tmp can be written, and which end with it: mutants of what is
made to run as root must not touch the machine.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18

PR_SET_PDEATHSIG = 1

PASSED, ENDED_EARLY = 96, 97
"""Statuses of a process whose tests have all passed, and of a run whose process ended by itself before that."""

BROKEN, TOO_LATE = 98, 99
"""Statuses of a run that could not be made, and of one that took too long."""

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Answer each line."""
    source, temporary, seconds, *words = sys.argv[1:]
    options, all_tests = words[: words.index("--")], words[words.index("--") + 1 :]
    watch: Watch | None = Watch(source)
    found: dict[str, Any] = {"lines": {}}
    for line in sys.stdin:
        status = 0
        for tests in filter(None, (found["lines"].get(line.strip()), all_tests)):
            run = partial(run_pytest, [*options, *tests], watch)
            status = status or in_child(partial(in_namespaces, temporary, float(seconds), run))
        if watch is not None and status == 0:
            with open(f"{temporary}/found") as stream:
                found, watch = json.load(stream), None
            for name in found["modules"]:
                importlib.import_module(name)
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


class Watch:
    """A plugin of pytest that notes which tests execute which lines of a file, and what is imported meanwhile."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.test = ""
        self.seconds: dict[str, float] = {}
        self.lines: dict[int, set[str]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """From here on lines are those of this test."""
        self.test = nodeid
        sys.settrace(self.trace)
        threading.settrace(self.trace)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """How long a part of a test has taken."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        """Keep what was found for the process that started this one."""
        sys.settrace(None)
        lines = {
            line: sorted(tests, key=lambda test: self.seconds.get(test, 0.0)) for line, tests in self.lines.items()
        }
        modules = [name for name, module in sys.modules.items() if is_of_others(name, module)]
        with open("/tmp/found", "w") as stream:  # noqa: S108  # a /tmp of our own
            json.dump({"lines": lines, "modules": modules}, stream)

    def trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        """Note lines of the file, and look into no other."""
        if frame.f_code.co_filename != self.source:
            return None
        if event == "line":
            self.lines.setdefault(frame.f_lineno, set()).add(self.test)
        return self.trace


def in_namespaces(temporary: str, seconds: float, run: Callable[[], int]) -> int:
    """The status of *run* in namespaces that end with it."""
    os.setsid()
    checked(libc.unshare(CLONE_NEWNS | CLONE_NEWPID))
    mount(None, "/", MS_REC | MS_PRIVATE)
    mount(temporary, "/tmp", MS_BIND)  # noqa: S108
    mount(None, "/", MS_REMOUNT | MS_BIND | MS_RDONLY)
    return in_child(partial(as_first_process, run), seconds)


def as_first_process(run: Callable[[], int]) -> int:
    """The status of *run* in another process; what that leaves is reaped meanwhile."""
    mount("proc", "/proc", 0, b"proc")
    tests = os.fork()
    if tests == 0:
        end_with(run)
    while True:
        pid, status = os.wait()
        if pid == tests:
            code = abs(os.waitstatus_to_exitcode(status))
            return 0 if code == PASSED else code or ENDED_EARLY  # code under test may leave by os._exit(0)


def run_pytest(arguments: list[str], watch: Watch | None) -> int:
    """The status of pytest, or that all has passed; it is silent after the first time."""
    import pytest

    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing if watch is None else 2, 1)
    os.dup2(1, 2)
    return int(pytest.main(arguments, [] if watch is None else [watch])) or PASSED


def is_of_others(name: str, module: object) -> bool:
    """Whether it is a module that stays the same for all runs, and can be imported by its name."""
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.name != name or name.partition(".")[0] in ("ocihooks", "conftest", "tests"):
        return False
    return spec.origin in ("built-in", "frozen") or not str(spec.origin).startswith(os.getcwd())


def in_child(act: Callable[[], int], seconds: float | None = None) -> int:
    """The status that *act* returns in another process, if it does so in time."""
    pid = os.fork()
    if pid == 0:
        end_with(act)
    ended = os.pidfd_open(pid)
    try:
        if select.select([ended], [], [], seconds)[0]:
            return abs(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    finally:
        os.close(ended)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return TOO_LATE


def end_with(act: Callable[[], int]) -> None:
    """End this process with the status that *act* returns, or with its parent."""
    status = BROKEN
    try:
        checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        status = act()
    except Exception as error:  # noqa: BLE001  # the status tells it
        sys.stderr.write(f"{error!r}\n")
    finally:
        os._exit(status)


def mount(source: str | None, target: str, flags: int, kind: bytes | None = None) -> None:
    """mount(2)."""
    checked(libc.mount(None if source is None else source.encode(), target.encode(), kind, flags, None))


def checked(result: int) -> None:
    """Raise for a system call that failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
