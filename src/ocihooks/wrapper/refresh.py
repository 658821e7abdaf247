"""
Reads settings and rules from their files, and stores them compiled: the wrapper's cold path.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import ocihooks.version
from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.skip import checksum_of, texts_of
from ocihooks.compiled.skip import encode as encode_skip
from ocihooks.compiled.snapshot import snapshot
from ocihooks.compiled.store import encode, is_quiet, store
from ocihooks.document import dumps
from ocihooks.places import records_file
from ocihooks.settings import Settings, read_settings
from ocihooks.wrapper.injectors import load_injectors
from ocihooks.wrapper.rules import Loaded, load_rules
from ocihooks.wrapper.static import read_static_hooks
from ocihooks.wrapper.switch import is_disabled, switch_file

if TYPE_CHECKING:
    from ocihooks.compiled.ruleset import RuleSet
    from ocihooks.compiled.sources import Snapshot
    from ocihooks.wrapper.cache import Cache


def read_rules(settings: Settings) -> RuleSet:
    """
    The rules of *settings*, read and compiled now; what forbids to use them stands in ``refused``.

    Raises:
        DocumentError: A static hook file can't be used.
        UntrustedError: Somebody else could have written a static hook file.
    """
    return compiled(load_rules(settings), settings)


def compiled(loaded: Loaded, settings: Settings) -> RuleSet:
    """The rules *loaded*, with what else *settings* name, which is read now; raises as `read_rules`."""
    trust = settings.trust()
    static = [(file, dumps(read_static_hooks(file, trust))) for file in settings.static_hooks]
    injectors, faults = load_injectors(settings)
    refused, tolerated = (faults, ()) if settings.on_invalid == "fail" else ((), faults)
    return compile_rules(
        loaded.rules,
        settings,
        static,
        injectors,
        refused=(*loaded.refused, *refused),
        tolerated=(*loaded.tolerated, *(tolerated if settings.on_invalid == "warn" else ())),
        records=records_file(os.environ),
    )


def refresh(cache: Cache) -> RuleSet | None:
    """
    Read settings and rules anew, and store them compiled where that is safe.

    Returns:
        The rules; None while the kill switch is on.

    Raises:
        SettingsError, UntrustedError, DocumentError: The settings or a static hook file can't be used.
    """
    before = snapshot(_settings_sources(cache))
    if is_disabled(cache.settings_file):
        return None
    settings = read_settings(cache.settings_file)
    if cache.hooks_dirs:
        settings = replace(settings, hooks_dirs=cache.hooks_dirs)
    started_ns = time.time_ns()
    seen = snapshot(_sources(cache, settings))
    rules = read_rules(settings)
    unchanged = set(before) <= set(seen) and seen == snapshot(_sources(cache, settings))
    if cache.file and unchanged and not rules.refused and is_quiet(seen, started_ns):
        _store(cache, seen, rules, shortcut=settings.shortcut)
    return rules


def _settings_sources(cache: Cache) -> tuple[str, ...]:
    own = os.path.abspath(ocihooks.version.__file__), *((sys.executable, cache.start) if cache.start else ())
    return cache.settings_file, switch_file(cache.settings_file), *own


def _sources(cache: Cache, settings: Settings) -> Iterable[str]:
    """All that the compiled rules depend on."""
    yield from _settings_sources(cache)
    yield from settings.static_hooks
    if settings.modifiers:
        from ocihooks.modifiers.load import files_of

        yield from files_of(settings.modifiers)
    for directory in (*settings.hooks_dirs, *([settings.injector_dir] if settings.injector_dir else ())):
        yield directory
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        yield from (f"{directory}/{name}" for name in sorted(names) if name.endswith(".json"))


def _store(cache: Cache, seen: Snapshot, rules: RuleSet, *, shortcut: bool) -> None:
    """Store the rules, and what the launcher asks before it starts Python; either of them alone is of use, too."""
    data = encode_skip(seen, (shortcut and texts_of(rules)) or ())
    # The rules come last: a process that is killed on the way leaves a next one that stores all, and clears up.
    store(cache.skip_file, data)
    store(cache.file, encode(cache.identity, seen, rules, checksum_of(data)))
