"""
The kill switch: while a file named ``disabled`` lies beside the settings, containers start without our hooks.

The file may hold one line that says why.
"""

from __future__ import annotations

import posix

from ocihooks.errors import UnavailableError, UsageError, os_reason, quoted
from ocihooks.trust import check_trusted, explained, read_trusted, trust_here

NAME = "disabled"

REASON_LIMIT = 200
"""Characters of a reason."""


class Switch:
    """
    A kill switch that is on.

    Attributes:
        file: The file that is the switch.
        reason: Why, in the words of whoever did it; "" where nothing was said.
        since: When the file was written, in seconds since 1970.
    """

    __slots__ = ("file", "reason", "since")

    def __init__(self, file: str, reason: str, since: float) -> None:
        self.file = file
        self.reason = reason
        self.since = since


def switch_file(settings_file: str) -> str:
    """Where the switch of an installation with these settings is."""
    return settings_file[: settings_file.rfind("/") + 1] + NAME


def is_disabled(settings_file: str) -> bool:
    """
    Whether the switch is on.

    Raises:
        UntrustedError: Somebody other than root could have put it there.
    """
    file = switch_file(settings_file)
    try:
        posix.lstat(file)
    except (OSError, ValueError):
        return False
    try:
        check_trusted(file, trust_here())
    except FileNotFoundError:  # "ocihooks enable" was quicker
        return False
    except OSError as error:
        raise explained(file, error) from None
    return True


def read_switch(settings_file: str) -> Switch | None:
    """
    The switch if it is on, with its reason; None where containers get hooks.

    Raises:
        UntrustedError: Somebody other than root could have put it there.
    """
    if not is_disabled(settings_file):
        return None
    file = switch_file(settings_file)
    try:
        reason = read_trusted(file, trust_here()).decode("utf-8", "replace").partition("\n")[0]
        return Switch(file, reason[:REASON_LIMIT], posix.stat(file).st_mtime)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explained(file, error) from None


def disable(settings_file: str, reason: str = "") -> bool:
    """
    Switch hooks off, or give the switch another *reason*; the directory is made if it is missing.

    Returns:
        Whether anything was to be done.

    Raises:
        UsageError: *reason* is not one line of at most `REASON_LIMIT` characters.
        UnavailableError: The directory can't be made.
        UntrustedError: Somebody other than root could write there, so the wrapper would not look at it.
        ReplaceError: The file can't be written.
    """
    from ocihooks.replace import replace_file

    if not reason.isprintable() or len(reason) > REASON_LIMIT:
        message = f"reason {quoted(reason, 80)}: expected one line of at most {REASON_LIMIT} characters"
        raise UsageError(message, hint="keep it short, without control characters")
    present = read_switch(settings_file)
    if present is not None and reason in ("", present.reason):
        return False
    file = switch_file(settings_file)
    _make_directory(file.rpartition("/")[0])
    replace_file(file, f"{reason}\n".encode() if reason else b"")
    return True


def _make_directory(directory: str) -> None:
    import os

    try:
        if not os.path.isdir(directory):
            os.makedirs(directory)
            os.chmod(directory, 0o755)  # noqa: S103  (whatever the umask: rootless users look for the switch, too)
        check_trusted(directory, trust_here())
    except OSError as error:
        raise UnavailableError(f"can't be made: {os_reason(error)}", file=directory) from None


def enable(settings_file: str) -> bool:
    """
    Switch hooks on again.

    Returns:
        Whether they were off.

    Raises:
        UnavailableError: The file can't be removed.
    """
    file = switch_file(settings_file)
    try:
        posix.unlink(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UnavailableError(f"can't be removed: {os_reason(error)}", file=file) from None
    return True
