"""
Where the compiled rules of one installation are, and whether they can be used. On the wrapper's warm path.
"""

import posix

from ocihooks.compiled.load import load
from ocihooks.places import cache_directory, cache_file, settings_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ocihooks.compiled.ruleset import RuleSet
    from ocihooks.wrapper.installation import Installation


class Cache:
    """
    The compiled rules of an installation for the present user.

    Attributes:
        settings_file: The settings that they come from.
        settings_fixed: Whether the installation names them, so that no user has others.
        hooks_dirs: Hooks directories in place of those of the settings; empty: none.
        file: Where they are kept; "" where there is no safe place.
        skip_file: Where the launcher's data is.
        start: What the launcher starts the interpreter with while all is unchanged; "": there is none.
        identity: What tells them from those of other settings, directories or users.
    """

    __slots__ = ("file", "hooks_dirs", "identity", "settings_file", "settings_fixed", "skip_file", "start")

    def __init__(self, installation: "Installation", environ: "Mapping[str, str]") -> None:
        self.settings_file = installation.settings or settings_file(environ)
        self.settings_fixed = bool(installation.settings)
        self.hooks_dirs = installation.hooks_dirs
        self.start = installation.start
        directory = cache_directory(environ, installation.cache_dir)
        self.file = cache_file(directory, self.settings_file, *self.hooks_dirs) if directory else ""
        self.skip_file = f"{self.file}.skip" if self.file else ""
        self.identity: tuple[Any, ...] = (self.settings_file, self.hooks_dirs, posix.geteuid(), posix.getegid())


def load_cached(cache: Cache, unchanged: int = 0) -> "tuple[RuleSet | None, str]":
    """The rules in *cache* if they are fresh, and why they can be used or not; see `ocihooks.compiled.load.load`."""
    if not cache.file:
        return None, "no safe place: $XDG_RUNTIME_DIR is not set"
    return load(cache.file, cache.identity, posix.geteuid(), unchanged)


def environment() -> "dict[str, str]":
    """The variables that say where things are, as text."""
    found = {}
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        value = posix.environ.get(name.encode())
        if value is not None:
            found[name] = value.decode("utf-8", "surrogateescape")
    return found
