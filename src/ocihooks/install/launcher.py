"""
The compiled launcher, given the paths of one installation.

It is part of the package where a C compiler was there when the package was built; the wrapper works without it, too.
"""

from __future__ import annotations

import os

from ocihooks.errors import UnavailableError, UsageError, os_reason, quoted

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ocihooks-launcher")
"""Where the build puts it."""

DROPINS = f"{PROGRAM}-dropins"
"""Where it puts the one for programs whose runtime is not known at installation."""

MARK = b"@ocihooks-launcher-settings@\0"
SETTINGS_BYTES = 8192


def is_built() -> bool:
    """Whether the package was built with the launchers."""
    return os.access(PROGRAM, os.X_OK)


def launcher_for(*, runtime: str, python: str, script: str, data: str, name: str) -> bytes:
    """
    The launcher's program file with the settings of one installation written into it.

    Args:
        runtime: "": it is not known; this is another launcher then.
        data: Path of the wrapper's data; "": there is none.

    Raises:
        UnavailableError: The package was built without it.
        UsageError: A path is not absolute or has characters that its messages could not show, or all are too long
            together.
    """
    file = PROGRAM if runtime else DROPINS
    try:
        with open(file, "rb") as stream:
            program = stream.read()
    except FileNotFoundError:
        hint = "install a C compiler and build the package again, or use --no-launcher"
        raise UnavailableError("this package was built without the launcher", file=file, hint=hint) from None
    except OSError as error:
        raise UnavailableError(f"can't be read: {os_reason(error)}", file=file) from None
    texts = (runtime, python, script, data, name)
    for path in (runtime or "/", python, script, data or "/"):
        if not path.startswith("/"):
            raise UsageError(f"{quoted(path, 200)}: expected an absolute path")
    for text in texts:
        if not text.isprintable() or '"' in text or "\\" in text:
            raise UsageError(
                f"{quoted(text, 200)}: the launcher takes no path with quotes, backslashes or control characters"
            )
    settings = MARK + b"".join(os.fsencode(text) + b"\0" for text in texts)
    at = program.find(MARK)
    if at < 0 or program.find(MARK, at + 1) >= 0:
        raise UnavailableError("has no place for settings", file=file, hint="build the package again")
    if len(settings) > SETTINGS_BYTES:
        raise UsageError(f"the paths have {len(settings)} bytes together, more than {SETTINGS_BYTES}")
    return program[:at] + settings + program[at + len(settings) :]
