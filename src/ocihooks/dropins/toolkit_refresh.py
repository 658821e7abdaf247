"""
Reads the settings of ``container-hooks-runtime`` from their file and stores them parsed: its cold path.

For the launcher there is data besides, in the format of `ocihooks.compiled.skip`: the sources are the settings and all
places where the runtime was looked for, also those where it was not. Three texts follow: the PATH that was searched,
behind an equals sign, or a star where none was; the runtime; the log that gets a line for each call, or a star.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, NamedTuple

import ocihooks.version
from ocihooks.compiled.skip import encode
from ocihooks.compiled.snapshot import snapshot
from ocihooks.compiled.store import encode_value, is_quiet, store
from ocihooks.dropins.lookup import is_program, places
from ocihooks.dropins.toolkit_cache import data_file
from ocihooks.dropins.toolkit_log import LEVELS, level_of
from ocihooks.dropins.toolkit_settings import read_toolkit_settings

Plain = tuple[str, str, str, tuple[str, ...]]


class Shortcut(NamedTuple):
    """What the launcher's data is made of: the places that were looked at, and its texts."""

    looked_at: tuple[str, ...]
    texts: tuple[str, ...]


def refresh(file: str, kept: str, identity: tuple[Any, ...], *, start: str) -> Plain:
    """
    Read the settings in *file*.

    Args:
        kept: Where they are kept for the next call; "": nowhere.
        identity: What tells them from those of others.
        start: What the launcher may start the interpreter with; "": there is no launcher to make data for.

    Raises:
        SettingsError: They are broken.
    """
    own = (sys.executable, start) if start else ()
    sources = (file, os.path.abspath(ocihooks.version.__file__), *own)
    started_ns = time.time_ns()
    before = snapshot(sources)
    plain = read_toolkit_settings(file).plain()
    shortcut = find_shortcut(plain) if start and kept else None
    all_sources = (*sources, *(shortcut.looked_at if shortcut else ()))
    seen = snapshot(all_sources)
    unchanged = set(before) <= set(seen) and seen == snapshot(all_sources)
    if not kept or not unchanged or not is_quiet(seen, started_ns):
        return plain
    store(kept, encode_value(identity, before, plain))
    if shortcut is not None:
        store(data_file(kept), encode(seen, shortcut.texts))
    else:
        _remove(data_file(kept))
    return plain


def find_shortcut(plain: Plain) -> Shortcut | None:
    """What the launcher has to know to do without Python; None where it can't."""
    _, log, level, runtimes = plain
    if level.lower() not in ("", *LEVELS) or level_of(level) < LEVELS["info"]:
        return None  # there is more to log than one line
    looked_at: list[str] = []
    for name in runtimes:
        for place in places(name):
            looked_at.append(place)
            if is_program(place):
                path = "*" if all("/" in other for other in runtimes[: runtimes.index(name) + 1] if other) else _path()
                texts = (path, place, log if log and level_of(level) <= LEVELS["info"] else "*")
                return Shortcut(tuple(looked_at), texts) if _can_be_told(looked_at, texts) else None
    return None


def _path() -> str:
    return f"={os.environ.get('PATH', '')}"


def _can_be_told(looked_at: list[str], texts: tuple[str, ...]) -> bool:
    """Whether all places are the same for every caller, and the texts can stand in a line of the log."""
    plain = all(text.isascii() and text.isprintable() and not set(text) & set('"\\') for text in texts)
    return plain and texts[0] != "=" and all(place.startswith("/") for place in looked_at)


def _remove(file: str) -> None:
    try:
        os.unlink(file)
    except OSError:  # there is none
        return
