"""
The log of the wrapper: one JSON line per container, off unless the settings name a file.

A log that can't be written never fails a container.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ocihooks.errors import CONTAINER_TEXT_LIMIT
from ocihooks.trust import trust_here

_REGULAR = 0o100000


def write_line(file: str, level: str, message: str, **members: Any) -> None:
    """Append one line to *file*, a plain file of somebody trusted or a new one; give up silently otherwise."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {
        "time": now,
        "level": level,
        "msg": _cut(message),
        **{name: _cut(value) for name, value in members.items()},
    }
    line = json.dumps(record).encode() + b"\n"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(file, flags, 0o600)
    except OSError:
        return
    try:
        status = os.fstat(fd)
        if _is_ours(status):
            os.write(fd, line if _ends_a_line(fd) else b"\n" + line)
    except OSError:
        pass
    finally:
        os.close(fd)


def _is_ours(status: os.stat_result) -> bool:
    """Whether this is a file of somebody trusted, and not another name that somebody gave to a file of theirs."""
    regular = status.st_mode & 0o170000 == _REGULAR
    return regular and status.st_nlink == 1 and status.st_uid in trust_here().owners


def _ends_a_line(fd: int) -> bool:
    """
    Whether a new line can begin there: the last one may have been cut off by a full file system.

    While another process writes its line, the size can already count a part of it. Setting the file's times waits in
    the kernel for such a write: only if the size is the same after that, nobody is writing the rest.
    """
    size_bytes = os.fstat(fd).st_size
    while size_bytes and os.pread(fd, 1, size_bytes - 1) != b"\n":
        os.utime(fd)
        seen, size_bytes = size_bytes, os.fstat(fd).st_size
        if size_bytes == seen:
            return False
    return True


def _cut(value: Any) -> Any:
    """*value* with its texts cut, since containers choose some of them."""
    if isinstance(value, str):
        return (
            value
            if len(value) <= CONTAINER_TEXT_LIMIT
            else f"{value[:CONTAINER_TEXT_LIMIT]}… ({len(value)} characters)"
        )
    if isinstance(value, (list, tuple)):
        return [_cut(item) for item in value]
    if isinstance(value, dict):
        return {name: _cut(item) for name, item in value.items()}
    return value
