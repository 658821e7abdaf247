"""
Does something in a child process, so that whatever it does to its process ends with it.

The wrapper becomes the runtime, which has to find everything as the engine left it: working directory, environment,
signals, descriptors. What the child has to tell it writes to a file in memory, so that nobody waits for processes that
it leaves behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ocihooks.injector.kernel import library_call

_PR_SET_PDEATHSIG = 1
_NOWHERE = os.devnull

Tell = Callable[[Any], None]


def told_by_child(work: Callable[[Tell], None]) -> tuple[list[Any], int | None]:
    """
    What *work* tells while it runs in a child, and the status with which the child ended; None: nobody knows.

    The child reads nothing from standard input, which is the container's, and what it writes to standard output goes to
    standard error. It is killed when its parent ends.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    memory = os.memfd_create("ocihooks")
    try:
        parent = os.getpid()
        child = os.fork()
        if not child:
            _be_child(work, memory, parent)
        status = _wait(child)
        return list(_lines(memory)), status
    finally:
        os.close(memory)


def _wait(child: int) -> int | None:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:  # the engine had us ignore SIGCHLD, so the kernel keeps no status
        return None
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def _lines(memory: int) -> Iterator[Any]:
    data = b""
    while piece := os.pread(memory, 1 << 20, len(data)):
        data += piece
    for line in data.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield json.loads(line)


def _be_child(work: Callable[[Tell], None], memory: int, parent: int) -> None:
    """Do the work and end, whatever happens."""
    status = 1
    try:
        library_call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() == parent:
            _leave_streams()
            work(lambda value: _tell(memory, value))
            status = 0
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(status)


def _tell(memory: int, value: Any) -> None:
    view = memoryview(json.dumps(value).encode() + b"\n")
    while view:
        view = view[os.write(memory, view) :]


def _leave_streams() -> None:
    """Let standard input be empty, and standard output be standard error, also for programs that are started."""
    nowhere = os.open(_NOWHERE, os.O_RDWR)
    os.dup2(nowhere, 0)
    try:
        os.fstat(2)
    except OSError:  # the engine gave none
        os.dup2(nowhere, 2)
    os.dup2(2, 1)
    if nowhere > 2:
        os.close(nowhere)
