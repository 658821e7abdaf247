"""
The process that changes a container's root: a child that can change nothing else, and nothing when its parent is gone.

Parent and child take turns: what one tells, the other hears. When the parent ends before the last word, the child
hears so and takes back what it did.
"""

from __future__ import annotations

import marshal
import posix

from ocihooks.errors import Diagnostic
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.kernel import allow_writes_beneath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Work = Callable[["Line", bool], None]

FAILED, FAULT, WELL = "failed", "fault", "well"


class GoneError(Exception):
    """The process at the other end has ended."""


class Line:
    """One end of the line between parent and child."""

    __slots__ = ("_from", "_to")

    def __init__(self, source: int, target: int) -> None:
        self._from = source
        self._to = target

    def tell(self, value: Any) -> None:
        """Tell *value*, made of numbers, texts and tuples; raises GoneError."""
        data = marshal.dumps(value)
        view = memoryview(len(data).to_bytes(8, "little") + data)
        try:
            while view:
                view = view[posix.write(self._to, view) :]
        except BrokenPipeError:
            raise GoneError from None

    def hear(self) -> Any:
        """What the other end tells next; raises GoneError."""
        return marshal.loads(self._bytes(int.from_bytes(self._bytes(8), "little")))  # noqa: S302  (our own child's)

    def close(self) -> None:
        """Close this end."""
        for fd in (self._from, self._to):
            posix.close(fd)

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = posix.read(self._from, count - len(data))
            if not piece:
                raise GoneError
            data += piece
        return data


class Worker:
    """
    A child that does *work* with the right to change files beneath *directories* only, and to gain no privileges.

    Where *directories* is None, it has the rights of this process.

    *work* gets its end of the line, and whether the kernel takes these rights away. What it raises is raised by `hear`
    or `finish`.
    """

    __slots__ = ("_child", "_line")

    def __init__(self, directories: tuple[int, ...] | None, work: Work) -> None:
        down, up = posix.pipe(), posix.pipe()
        try:
            self._child = posix.fork()
        except OSError:
            for fd in (*down, *up):
                posix.close(fd)
            raise
        if not self._child:
            posix.close(down[1])
            posix.close(up[0])
            _be_worker(Line(down[0], up[1]), directories, work)
        posix.close(down[0])
        posix.close(up[1])
        self._line = Line(up[0], down[1])

    def tell(self, value: Any) -> None:
        """Tell the child to go on; one that has failed is heard of next."""
        try:
            self._line.tell(value)
        except GoneError:
            return

    def hear(self) -> Any:
        """
        What the child tells next.

        Raises:
            NotInjectedError: It could not do its work, and has changed nothing.
        """
        try:
            kind, value = self._line.hear()
        except GoneError:
            raise RuntimeError("the worker has ended without a word") from None
        if kind == FAILED:
            raise NotInjectedError(problems=[Diagnostic.from_members(members) for members in value])
        if kind == FAULT:
            raise RuntimeError(value)
        return value

    def close(self) -> None:
        """Wait for the child's end; it takes back what it did unless it was told the last word."""
        self._line.close()
        posix.waitpid(self._child, 0)


def _be_worker(line: Line, directories: tuple[int, ...] | None, work: Work) -> None:
    """Do the work and end, whatever happens."""
    try:
        _answer(line, directories, work)
    finally:
        posix._exit(0)  # noqa: SLF001


def _answer(line: Line, directories: tuple[int, ...] | None, work: Work) -> None:
    try:
        work(line, directories is not None and allow_writes_beneath(*directories))
        line.tell((WELL, None))
    except GoneError:
        return
    except NotInjectedError as error:
        line.tell((FAILED, tuple([tuple(problem.to_json().values()) for problem in error.problems])))
    except Exception as error:  # noqa: BLE001  (the parent tells it, and no container is created)
        line.tell((FAULT, f"{type(error).__name__}: {error}"))
