"""Finds the real runtime that a wrapper is to start, and tells whose command line it has."""

from __future__ import annotations

import os
import shutil
import subprocess

from ocihooks.errors import UnavailableError, quoted

RUNTIMES = ("runc", "crun")
"""Looked for in this order where nobody names one."""


def find_runtime(runtime: str | None) -> str:
    """
    The absolute path of *runtime*, a path or a name on PATH; None: the first of `RUNTIMES` that is there.

    Raises:
        UnavailableError: There is none, or it can't be executed.
    """
    for name in (runtime,) if runtime else RUNTIMES:
        found = shutil.which(name)
        if found:
            return os.path.abspath(found)
    wanted = f"runtime {quoted(runtime, 200)}" if runtime else f"none of {', '.join(RUNTIMES)}"
    reason = "is no program that can be executed" if runtime and "/" in runtime else "is not on PATH"
    raise UnavailableError(
        f"{wanted} {reason}", hint='install one ("apt-get install runc"), or name it with --runtime PATH'
    )


def flavour_of(runtime: str) -> str:
    """Whose command line *runtime* has: "runc", "crun", or "" where its name and its ``--version`` don't tell."""
    name = os.path.basename(os.path.realpath(runtime))  # some distributions link runc to crun
    for flavour in RUNTIMES:
        if flavour in name:
            return flavour
    try:
        answer = subprocess.run(
            [runtime, "--version"], capture_output=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    first = answer.stdout.split(b" ", 1)[0].decode("ascii", "replace")
    return first if first in RUNTIMES else ""
