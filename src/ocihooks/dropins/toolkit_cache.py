"""
The settings of ``container-hooks-runtime`` as it needs them, kept parsed while their file is unchanged. Warm path.
"""

import posix

import ocihooks
from ocihooks.compiled.load import load_value
from ocihooks.places import cache_directory, cache_file
from ocihooks.wrapper.cache import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ocihooks.wrapper.installation import Installation

DEFAULT_FILE = "/etc/container-hooks/config.toml"
DEFAULT_RUNTIMES = ("runc", "docker-runc")


class Known:
    """
    What the settings say.

    Attributes:
        file: The settings file.
        hooks: The hook file; "": none.
        log: The log file; "": none.
        level: The least level that is logged, as written.
        runtimes: The runtime's candidates.
        error: Why they can't be used; None: they can. The other attributes then have the last good values, or defaults.
    """

    __slots__ = ("error", "file", "hooks", "level", "log", "runtimes")

    def __init__(
        self,
        file: str,
        plain: "tuple[str, str, str, tuple[str, ...]]",
        error: "ocihooks.errors.OCIHooksError | None" = None,
    ) -> None:
        self.file = file
        self.hooks, self.log, self.level, self.runtimes = plain
        self.error = error


def kept_file(installation: "Installation", environ: "Mapping[str, str]") -> str:
    """Where the parsed settings of *installation* are kept; "" where there is no safe place."""
    directory = cache_directory(environ, installation.cache_dir)
    return cache_file(directory, "container-hooks", installation.settings or DEFAULT_FILE) if directory else ""


def data_file(kept: str) -> str:
    """Where the launcher's data is, beside the parsed settings."""
    return f"{kept}.skip" if kept else ""


def load_settings(installation: "Installation", before_reading: "Callable[[], None]", unchanged: int) -> Known:
    """
    The settings of *installation*; never raises, since most operations go on without them.

    Args:
        before_reading: Called before the file is read, and the library for that imported.
        unchanged: Whether the launcher found its data to be fresh; if it has data that is not, that is made anew.
    """
    file = installation.settings or DEFAULT_FILE
    kept = kept_file(installation, environment())
    identity = ("container-hooks", file, posix.geteuid(), posix.getegid())
    plain: Any
    plain, fresh = load_value(kept, identity, posix.geteuid()) if kept else (None, False)
    if fresh and (unchanged or not installation.launched or not _is_there(data_file(kept))):
        return Known(file, plain)
    before_reading()
    from ocihooks.dropins.toolkit_refresh import refresh

    try:
        return Known(file, refresh(file, kept, identity, start=installation.start))
    except ocihooks.errors.OCIHooksError as error:
        return Known(file, plain or ("", "", "info", DEFAULT_RUNTIMES), error)


def _is_there(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
