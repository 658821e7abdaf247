"""
One at a time: who changes engines' configurations holds a lock on a file of our own, never on the one that changes.

The kernel frees it when its holder ends, however that comes.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ocihooks.engines.errors import LockedError
from ocihooks.errors import UnavailableError, os_reason

WAIT_S = 10.0
_STEP_S = 0.02


@contextmanager
def locked(file: str) -> Iterator[None]:
    """
    Hold the lock *file*, whose directory exists, and wait for it if somebody else does.

    Raises:
        LockedError: Somebody else held it for too long; the error names the process.
        UnavailableError: The lock can't be made.
    """
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise UnavailableError(f"can't be made: {os_reason(error)}", file=file, hint="run it as root") from None
    try:
        _wait(fd, file, WAIT_S)
        with suppress(OSError):  # only messages need it
            os.pwrite(fd, f"{os.getpid():<10}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _wait(fd: int, file: str, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise _held(fd, file, wait_s) from None
            time.sleep(_STEP_S)
        except OSError as error:
            raise UnavailableError(f"can't be locked: {os_reason(error)}", file=file, hint="try again") from None
        else:
            return


def _held(fd: int, file: str, wait_s: float) -> LockedError:
    holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
    who = f"process {holder}" if holder.isdigit() else "another process"
    return LockedError(
        f"{who} has been changing an engine's configuration for more than {wait_s:g} s",
        code="locked",
        file=file,
        hint=f"look at what it does: ps -f -p {holder}" if holder.isdigit() else "try again",
    )
