"""Gives a file that we wrote its former text back, and never loses what somebody else has saved in it meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from ocihooks.engines.errors import EngineError, LeftError
from ocihooks.engines.files import Change, ConfigFile, read_config_file
from ocihooks.errors import ReplaceError, UnavailableError

ATTEMPTS = 5
"""How often a change is planned anew because somebody else was quicker."""


def take_back(written: Change, without_us: Callable[[ConfigFile], str | None] | None = None) -> None:
    """
    Undo the change *written*.

    Args:
        without_us: What is to be in the file that somebody else has changed since, None for no file; raises EngineError
            where that can't be said. None: nobody can say it.

    Raises:
        LeftError: Somebody else has changed the file, and it is as they saved it.
        ReplaceError: It can't be written.
    """
    for attempt in range(1, ATTEMPTS + 1):
        now, text = _wanted(written, without_us)
        try:
            Change(old=now, text=text, beside=written.beside).write()
            return
        except ReplaceError as error:
            if error.code != "changed_meanwhile":
                raise
            if attempt == ATTEMPTS:
                raise _left(written, error.message) from None


def _wanted(written: Change, without_us: Callable[[ConfigFile], str | None] | None) -> tuple[ConfigFile, str | None]:
    """The file as it is, and what is to be in it."""
    try:
        now = read_config_file(written.old.path)
        if written.text == (now.text if now.exists else None):
            return now, written.old.text if written.old.exists else None
        if without_us is not None:
            return now, without_us(now)
    except (EngineError, UnavailableError) as error:
        raise _left(written, error.message) from None
    raise _left(written, "nobody can say what it would be without that")


def _left(written: Change, reason: str) -> LeftError:
    return LeftError(
        f"was changed by somebody else meanwhile and can't get its former text, so it stays as it is: {reason}",
        code="changed_meanwhile",
        file=written.old.path,
        hint="look at the file, and take out by hand what should not be there",
    )
