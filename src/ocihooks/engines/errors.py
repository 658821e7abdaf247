"""What can go wrong with an engine and its configuration."""

from __future__ import annotations

from ocihooks.errors import OCIHooksError, ReplaceError


class EngineError(OCIHooksError):
    """An engine's configuration can't be read or changed; nothing was written."""


class LeftError(ReplaceError):
    """A change of ours could not be taken back, since somebody else has changed the file."""


class LockedError(OCIHooksError):
    """Somebody else has been changing an engine's configuration for too long."""
