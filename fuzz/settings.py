"""Settings files: ours, and that of the toolkit's programs."""

from __future__ import annotations

from fuzz.refusals import refused
from ocihooks.dropins.toolkit_settings import parse_toolkit_settings
from ocihooks.errors import SettingsError
from ocihooks.settings import parse_settings

FILE = "/etc/ocihooks/config.toml"


def settings(data: bytes) -> str:
    """Refused, or settings that can be asked about any rule."""
    try:
        found = parse_settings(data, FILE)
    except SettingsError as error:
        return refused(error, FILE)
    for name in (*found.rules, "other.json"):
        found.policy(name)
        found.supervision(name)
    found.trust()
    return "read"


def toolkit(data: bytes) -> str:
    """Refused, or settings with a value for each key."""
    try:
        found = parse_toolkit_settings(data, FILE)
    except SettingsError as error:
        return refused(error, FILE)
    assert all(path.startswith("/") for path in found.plain()[:2] if path)
    return "read"
