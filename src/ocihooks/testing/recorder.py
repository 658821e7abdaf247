"""
Hooks that write down that they ran: one line a hook in one file, with what they were given.

They need nothing but a shell, so they also run inside the busybox of ``make_rootfs``, at startContainer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocihooks.spec.stage import STAGES

_ENV = ["PATH=/usr/bin:/bin"]
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
# One write a line: $0 is the word to write down, $1 the file. What the shell adds to its environment is not there yet.
_SCRIPT = r"""
namespaces=$(for kind in @; do readlink /proc/self/ns/$kind; done | tr '\n' ' ')
environment=$([ ! -e /proc/self ] || tr '\0' '\001' < /proc/self/environ)
line="$0	$(pwd)	$namespaces	$environment	$(cat)"
printf '%s\n' "$line" >> "$1"
""".replace("@", " ".join(_NAMESPACES))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedHook:
    """
    One run of a recording hook.

    Attributes:
        label: What ``recording_hook`` was told to write, usually the stage.
        cwd: Its working directory.
        namespaces: Its namespaces' names by kind (cgroup, ipc, mnt, net, pid, user, uts); empty without /proc.
        environment: ``NAME=value`` entries in their order, as the runtime gave them; empty without /proc.
        state: The container state that it read, parsed.
    """

    label: str
    cwd: str
    namespaces: Mapping[str, str]
    environment: tuple[str, ...]
    state: dict[str, Any]


def recording_hook(label: str, file: str | os.PathLike[str], *, exit_status: int = 0) -> dict[str, Any]:
    """
    A hook object that appends a line to *file* and exits.

    Args:
        label: Word that tells this hook from others, without tabs and line breaks.
        file: Absolute path as the hook sees it: inside the container for startContainer.
    """
    script = f"{_SCRIPT}exit {exit_status}" if exit_status else _SCRIPT
    return {"path": "/bin/sh", "args": ["sh", "-c", script, label, os.fspath(file)], "env": list(_ENV)}


def recording_hooks(
    file: str | os.PathLike[str], file_in_container: str | os.PathLike[str], stages: Iterable[str] = STAGES
) -> dict[str, list[dict[str, Any]]]:
    """
    A ``hooks`` member with one recording hook for each of *stages*, labelled with its stage.

    Args:
        file_in_container: Path of *file* inside the container, which has to be mounted there.
    """
    return {
        stage: [recording_hook(stage, file_in_container if stage == "startContainer" else file)] for stage in stages
    }


def read_recorded(file: str | os.PathLike[str]) -> tuple[RecordedHook, ...]:
    """What recording hooks wrote to *file*, in the order in which they ran; nothing when there is no file."""
    try:
        text = Path(file).read_text()
    except FileNotFoundError:
        return ()
    return tuple(map(_recorded, text.splitlines()))


def _recorded(line: str) -> RecordedHook:
    label, cwd, namespaces, environment, state = line.split("\t", 4)
    return RecordedHook(
        label=label,
        cwd=cwd,
        namespaces=dict(zip(_NAMESPACES, namespaces.split(), strict=False)),
        environment=tuple(filter(None, environment.split("\1"))),
        state=json.loads(state),
    )
