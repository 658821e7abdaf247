"""
Reads settings and rules from their files, and stores them compiled: the wrapper's cold path.
"""

from __future__ import annotations

import posix
import sys
import time
from dataclasses import replace

import ocihooks.version
from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.skip import checksum_of, texts_of
from ocihooks.compiled.skip import encode as encode_skip
from ocihooks.compiled.snapshot import snapshot
from ocihooks.compiled.store import encode, is_quiet, store
from ocihooks.document import dumps
from ocihooks.places import RECORDS_FILE, is_rootless, records_file
from ocihooks.settings import read_settings
from ocihooks.wrapper.rules import load_rules
from ocihooks.wrapper.switch import is_disabled, switch_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocihooks.compiled.ruleset import RuleSet
    from ocihooks.compiled.sources import Snapshot
    from ocihooks.errors import Diagnostic
    from ocihooks.injector.files import InjectorFile
    from ocihooks.settings import Settings
    from ocihooks.wrapper.cache import Cache
    from ocihooks.wrapper.rules import Loaded


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
    injectors, faults = _injectors(settings)
    refused, tolerated = (faults, ()) if settings.on_invalid == "fail" else ((), faults)
    return compile_rules(
        loaded.rules,
        settings,
        _static_hooks(settings),
        injectors,
        refused=(*loaded.refused, *refused),
        tolerated=(*loaded.tolerated, *(tolerated if settings.on_invalid == "warn" else ())),
        records=_records_file(),
    )


def _injectors(settings: Settings) -> tuple[tuple[InjectorFile, ...], tuple[Diagnostic, ...]]:
    if settings.injector_dir is None:
        return (), ()
    from ocihooks.wrapper.injectors import load_injectors

    return load_injectors(settings)


def _static_hooks(settings: Settings) -> list[tuple[str, str]]:
    if not settings.static_hooks:
        return []
    from ocihooks.wrapper.static import read_static_hooks

    trust = settings.trust()
    return [(file, dumps(read_static_hooks(file, trust))) for file in settings.static_hooks]


def _records_file() -> str:
    if not is_rootless():
        return RECORDS_FILE
    import os

    return records_file(os.environ)


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
    if cache.file and not rules.refused and is_quiet(seen, started_ns):
        unchanged = set(before) <= set(seen) and seen == snapshot(_sources(cache, settings))
        if unchanged:
            _store(cache, seen, rules, shortcut=settings.shortcut and _decides_for_all(cache))
    return rules


def _settings_sources(cache: Cache) -> tuple[str, ...]:
    own = ocihooks.version.__file__, *((sys.executable, cache.start) if cache.start else ())
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
            names = posix.listdir(directory)
        except OSError:
            continue
        yield from [f"{directory}/{name}" for name in sorted(names) if name.endswith(".json")]


def _decides_for_all(cache: Cache) -> bool:
    """Whether nobody gets other settings: a rootless user may make some, where the launcher does not look for them."""
    return cache.settings_fixed or not is_rootless()


def _store(cache: Cache, seen: Snapshot, rules: RuleSet, *, shortcut: bool) -> None:
    """Store the rules, and what the launcher asks before it starts Python; either of them alone is of use, too."""
    data = encode_skip(seen, (shortcut and texts_of(rules)) or ())
    # The rules come last: a process that is killed on the way leaves a next one that stores all, and clears up.
    store(cache.skip_file, data)
    store(cache.file, encode(cache.identity, seen, rules, checksum_of(data)))
