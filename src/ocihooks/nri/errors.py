"""What can go wrong between an engine and the plugin."""

from __future__ import annotations

from ocihooks.errors import OCIHooksError


class LinkError(OCIHooksError):
    """The link to the engine can't be used any more: closed, refused, or with something on it that is no chunk."""


class RequestError(OCIHooksError):
    """A request can't be understood, or its answer can't be given; the others are not touched by that."""
