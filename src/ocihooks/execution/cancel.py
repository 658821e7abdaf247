"""Ending a run from another thread or a signal handler."""

from __future__ import annotations

import os
import select
from typing import Protocol, Self

from ocihooks.execution.output import Stream


class HasFileno(Protocol):
    """Anything with a descriptor that becomes readable when the run is to end."""

    def fileno(self) -> int: ...


class Cancellation:
    """
    A switch that ends all runs it was handed to; a context that closes it.

    ``request`` may be called from any thread and any signal handler, before or during the run, and more than once.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self) -> None:
        """End the runs, now or when they start."""
        os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """The descriptor; readable once the end was requested."""
        return self._fd

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


class CancelWatch(Stream):
    """Sees the caller's request; it has a descriptor of its own, so closing it harms nobody."""

    def __init__(self, source: int | HasFileno) -> None:
        super().__init__(os.dup(source if isinstance(source, int) else source.fileno()))
        self.requested = False

    def ready(self) -> bool:
        self.requested = True
        return True

    def is_ready(self) -> bool:
        """Whether the request is there already."""
        poll = select.poll()
        poll.register(self.fd, self.events)
        return bool(poll.poll(0)) and self.ready()
