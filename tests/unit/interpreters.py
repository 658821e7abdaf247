"""The interpreters of this machine that can run the package."""

from __future__ import annotations

import functools
import glob
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ocihooks

SOURCES = Path(ocihooks.__file__).parent.parent
"""The directory of the package."""

OLDEST = (3, 11)

_ASK = "import sys; print(*sys.version_info[:3], sep='.', end=' of '); print(sys.base_prefix)"


@functools.cache
def interpreters() -> dict[str, str]:
    """One interpreter for each version and place of installation: a name for it, and its path."""
    found: dict[str, str] = {}
    for path in dict.fromkeys((sys.executable, *_candidates())):
        asked = subprocess.run([path, "-ISc", _ASK], capture_output=True, text=True, check=False)
        name = asked.stdout.strip()
        if asked.returncode == 0 and tuple(map(int, name.split(".")[:2])) >= OLDEST:
            found.setdefault(name, path)
    return found


def _candidates() -> Iterator[str]:
    """Interpreters beside the running one, on PATH, and in the usual directories."""
    beside = str(Path(sys.base_prefix).parent)
    for pattern in (f"{beside}/*/bin/python3", "/usr/bin/python3", "/usr/local/bin/python3", "/opt/*/bin/python3"):
        yield from sorted(glob.glob(pattern))
    for directory in os.get_exec_path():
        yield from sorted(glob.glob(f"{glob.escape(directory)}/python3.[0-9][0-9]"))


def read_by(python: str, script: Path, *words: str) -> dict[str, Any]:
    """The answer of *script*, run by *python* with nothing but the standard library and the package's sources."""
    command = [python, "-I", "-S", "-B", str(script), str(SOURCES), *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert (run.returncode, run.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer
