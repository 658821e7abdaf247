"""Starting a program in chosen surroundings: words and environment of any bytes, signals, descriptors, limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# Prepares a process as told and becomes the program; runs in an interpreter of its own.
_STARTER = """
import ctypes, fcntl, json, os, resource, signal, sys
told = json.loads(sys.argv[1])
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_IGN if number in told["ignored"] else signal.SIG_DFL)
for number, path in told["descriptors"].items():
    fd = os.open(path, os.O_RDONLY)
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200); os.close(fd)
    os.dup2(high, int(number))
for number in told["closed"]:
    os.close(number)
for name, limits in told["limits"].items():
    resource.setrlimit(getattr(resource, name), limits)
os.umask(told["umask"])
os.nice(told["nice"])
if told["session"]:
    os.setsid()
if told["cwd"] is not None:
    os.chdir(told["cwd"])
if told["cwd_removed"]:
    os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
words, entries = ([item.encode("latin-1") for item in told[name]] for name in ("words", "environment"))
arrays = [(ctypes.c_char_p * (len(items) + 1))(*items) for items in (words, entries)]
signal.pthread_sigmask(signal.SIG_SETMASK, told["blocked"])
ctypes.CDLL(None).execve(words[0], *arrays)
"""

USUAL: dict[str, Any] = {
    "environment": ["PATH=/usr/bin:/bin"],
    "ignored": [],
    "blocked": [],
    "descriptors": {},
    "closed": [],
    "limits": {},
    "umask": 0o022,
    "nice": 0,
    "session": False,
    "cwd": None,
    "cwd_removed": False,
}


def latin(*texts: str | bytes) -> list[str]:
    """*texts* as the starter takes them: one letter for each byte."""
    return [(text if isinstance(text, bytes) else os.fsencode(text)).decode("latin-1") for text in texts]


def start(program: Path, *words: str | bytes, stdin: bytes = b"", **told: Any) -> subprocess.CompletedProcess[bytes]:
    """Start *program* as told, without a word in the usual way, and wait for its end."""
    order = USUAL | {"words": latin(str(program), *words)} | told
    command = [sys.executable, "-ISc", _STARTER, json.dumps(order)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)
