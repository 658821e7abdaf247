"""What goes wrong when files are put into a container."""

from __future__ import annotations

from ocihooks.errors import OCIHooksError


class NotInjectedError(OCIHooksError):
    """Something could not be put into a container; what had been put there before it has been taken out again."""
