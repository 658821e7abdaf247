"""
Where things are on this machine, for root and for rootless users. On the wrapper's warm path.
"""

import posix
from _imp import source_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS_FILE = "/etc/ocihooks/config.toml"
"""The settings, where nobody names others."""

CACHE_DIR = "/run/ocihooks"
"""Compiled rules; rootless users have theirs below $XDG_RUNTIME_DIR."""

STATE_DIR = "/var/lib/ocihooks"
"""How to undo changes to engines' configurations; rootless users have theirs below $XDG_STATE_HOME."""

RECORDS_FILE = "/var/log/ocihooks/records.jsonl"
"""Records, where nobody names another file; rootless users have theirs below their home."""

_HASH_KEY = 0x70616C63


def is_rootless() -> bool:
    """Whether this process has no privilege on the host: not root, or in a user namespace."""
    from ocihooks.trust import in_user_namespace

    return posix.geteuid() != 0 or in_user_namespace()


def settings_file(environ: "Mapping[str, str]") -> str:
    """Where the settings are when nobody says: rootless users have a file of their own, if they made one."""
    # Podman hands HOME to the runtime, but not XDG_CONFIG_HOME, which defaults to a directory there.
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    if not home.startswith("/") or not is_rootless():
        return SETTINGS_FILE
    own = f"{home.rstrip('/')}/ocihooks/config.toml"
    try:
        posix.stat(own)
    except OSError:
        return SETTINGS_FILE
    return own


def records_file(environ: "Mapping[str, str]") -> str:
    """Where records are when nobody says; "" where there is no place for them."""
    if not is_rootless():
        return RECORDS_FILE
    state = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return f"{state.rstrip('/')}/ocihooks/records.jsonl" if state.startswith("/") else ""


def cache_directory(environ: "Mapping[str, str]", given: str = "") -> str:
    """
    Where compiled rules are kept; "" where there is no safe place for them.

    Args:
        given: What was said at installation; "": the default place.
    """
    if given:
        return given
    if not is_rootless():
        return CACHE_DIR
    runtime_directory = environ.get("XDG_RUNTIME_DIR", "")
    return f"{runtime_directory.rstrip('/')}/ocihooks" if runtime_directory.startswith("/") else ""


def state_directory(environ: "Mapping[str, str]") -> str:
    """Where backups and undo records of engines' configurations are kept."""
    home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return f"{home.rstrip('/')}/ocihooks" if is_rootless() and home.startswith("/") else STATE_DIR


def cache_file(directory: str, *identity: str) -> str:
    """The file for the compiled rules of one installation, which *identity* tells from others."""
    return f"{directory}/{source_hash(_HASH_KEY, repr(identity).encode()).hex()}.rules"
