"""
The hook's three streams, seen from the caller: none of them ever makes it wait.

On the supervisor's warm path.
"""

import posix
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OUTPUT_LIMIT = 64 * 1024
"""Bytes kept per stream where the wrapper runs hooks; the library keeps all unless told otherwise."""

_CHUNK = 64 * 1024


class Stream:
    """
    A descriptor to poll, and what to do when it is ready. It owns the descriptor, which is -1 when closed.

    Attributes:
        ready: Each kind's own method: does what can be done without waiting; True when nothing more will come.
    """

    events = select.POLLIN
    if TYPE_CHECKING:
        ready: "Callable[[], bool]"

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Give the descriptor back, once."""
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1


def pipe() -> tuple[int, int]:
    """A pipe whose ends are above the three standard descriptors, even if the caller had closed these."""
    reader, writer = posix.pipe()
    return above_standard(reader), above_standard(writer)


def above_standard(fd: int) -> int:
    """*fd*, or its replacement above the three standard descriptors, which a hook gets its own of."""
    if fd > 2:
        return fd
    import fcntl

    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    posix.close(fd)
    return moved


class Ends:
    """
    Descriptors at the start of a hook.

    Attributes:
        lent: The hook's.
        kept: The other ends, as long as no stream owns them.
    """

    __slots__ = ("kept", "lent")

    def __init__(self) -> None:
        self.lent: list[int] = []
        self.kept: list[int] = []

    def lend(self, fd: int) -> int:
        """Have *fd* closed when the hook has it."""
        self.lent.append(fd)
        return fd

    def reader(self) -> int:
        """The hook's end of a pipe that we write to."""
        reader, writer = pipe()
        self.kept.append(writer)
        return self.lend(reader)

    def writer(self) -> int:
        """The hook's end of a pipe that we read from."""
        reader, writer = pipe()
        self.kept.append(reader)
        return self.lend(writer)

    def close(self) -> None:
        """Close all that nobody else owns."""
        for fd in (*self.lent, *self.kept):
            posix.close(fd)


class Capture(Stream):
    """Reads one output stream to its end and keeps the last *limit* bytes (None: all), since errors come last."""

    def __init__(self, fd: int, limit: int | None) -> None:
        super().__init__(fd)
        posix.set_blocking(fd, False)
        self.limit = limit
        self.kept = bytearray()
        self.truncated = False

    def ready(self) -> bool:
        data = posix.read(self.fd, _CHUNK)
        self.kept += data
        if self.limit is not None and len(self.kept) > self.limit:
            del self.kept[: len(self.kept) - self.limit]
            self.truncated = True
        return not data


class Feed(Stream):
    """
    Writes *data* to standard input; a reader that goes away or never reads is no error.

    Nor is one that fills the pipe itself, through ``/proc``, before we write.
    """

    events = select.POLLOUT

    def __init__(self, fd: int, data: bytes) -> None:
        super().__init__(fd)
        posix.set_blocking(fd, False)
        self.rest = memoryview(data)

    def ready(self) -> bool:
        try:
            self.rest = self.rest[posix.write(self.fd, self.rest) :]
        except BrokenPipeError:
            return True
        except BlockingIOError:
            pass
        return not self.rest


class Pump:
    """Waits for streams, lets the ready ones work, and closes those that are through."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._streams: dict[int, Stream] = {}

    def add(self, stream: Stream) -> None:
        """Take over *stream* and its descriptor."""
        self._streams[stream.fd] = stream
        self._poll.register(stream.fd, stream.events)

    def has(self, *streams: Stream) -> bool:
        """Whether any of *streams* is still open."""
        return any(self._streams.get(stream.fd) is stream for stream in streams)

    def wait(self, seconds: float | None) -> None:
        """Let one round of ready streams work; return after *seconds* (None: no limit) at the latest."""
        for fd, _ in self._poll.poll(None if seconds is None else min(seconds, 3600) * 1000):
            if self._streams[fd].ready():
                self._close(fd)

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._streams.pop(fd).close()

    def close_all(self) -> None:
        """Close all streams."""
        for fd in tuple(self._streams):
            self._close(fd)
