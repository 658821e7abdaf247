"""What can go wrong with an engine and its configuration."""

from __future__ import annotations

from ocihooks.errors import OCIHooksError


class EngineError(OCIHooksError):
    """An engine's configuration can't be read or changed; nothing was written."""


class LockedError(OCIHooksError):
    """Somebody else has been changing an engine's configuration for too long."""
