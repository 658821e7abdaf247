"""
Notices that rule files have changed, without reading them: by a look at directories and files, often repeated.

Looking by path notices whatever happens: directories that appear, are replaced, renamed or mounted over, links that
lead elsewhere now, files changed where a link leads. inotify would tell of a part of this, some milliseconds sooner;
it watches inodes instead of names, overflows, and may not be had. As looks are needed anyway and cost little, they do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ocihooks.hooksd.readers import SUFFIX

Look = Mapping[str, object]
"""Path of each directory and rule file, and what tells one state of it from another."""


def look_at(directories: Iterable[str]) -> Look:
    """Look at *directories* and the rule files in them; takes 5 µs a file."""
    look: dict[str, object] = {}
    for directory in directories:
        try:
            with os.scandir(directory) as entries:
                status = os.stat(directory)
                look[directory] = status.st_dev, status.st_ino
                look.update((entry.path, _state(entry)) for entry in entries if entry.name.endswith(SUFFIX))
        except (OSError, ValueError) as error:
            look[directory] = str(error)
    return look


def _state(entry: os.DirEntry[str]) -> object:
    try:
        file = entry.stat()
    except OSError as error:
        return entry.inode(), error.errno
    return entry.inode(), file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


def differing(before: Look, after: Look) -> set[str]:
    """The paths whose state differs."""
    if before == after:
        return set()
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
