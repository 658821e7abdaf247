"""
The two system calls that the interpreter does not offer as they are, execve with any environment and prctl; and what
such an environment comes to.

``ctypes`` costs five milliseconds; the module that it is made of costs one. On the supervisor's warm path.
"""

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Program(Protocol):
        """The arguments of one execve."""

        @property
        def path(self) -> bytes: ...
        @property
        def argv(self) -> tuple[bytes, ...]: ...
        @property
        def env(self) -> tuple[bytes, ...]: ...


_NOW = 2  # RTLD_NOW
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001
    _type_ = "i"


class _Text(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001
    _type_ = "z"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


_LIBC = _ctypes.dlopen(None, _NOW)  # type: ignore[arg-type]  # None is the program itself
_PRCTL = _Function(_ctypes.dlsym(_LIBC, "prctl"))


class Exec:
    """
    An execve ready to be called.

    Attributes:
        program: Its arguments.
        environ: Its environment as a dict; None where an entry has no name or no ``=``, which only execve itself takes.
    """

    __slots__ = ("_argv", "_env", "_execve", "environ", "program")

    def __init__(self, program: "Program") -> None:
        self.program = program
        self.environ = _as_dict(program.env)
        if self.environ is None or not program.argv[0]:
            self.environ = None
            self._execve = _Function(_ctypes.dlsym(_LIBC, "execve"))
            self._argv = (_Text * (len(program.argv) + 1))(*program.argv)
            self._env = (_Text * (len(program.env) + 1))(*program.env)

    def __call__(self) -> int:
        """Become the program, whose environment is odd; return only on failure, with the number of the error."""
        self._execve(self.program.path, self._argv, self._env)
        return _ctypes.get_errno()


def _as_dict(env: tuple[bytes, ...]) -> dict[bytes, bytes] | None:
    pairs = {}
    for entry in env:
        name, equals, value = entry.partition(b"=")
        if not name or not equals:
            return None
        pairs[name] = value
    return pairs


def set_subreaper(wanted: bool) -> None:
    """Let orphaned descendants of this process become its children, or no longer."""
    _PRCTL(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def is_subreaper() -> bool:
    """Whether orphaned descendants of this process become its children."""
    value = _Int()
    _PRCTL(_PR_GET_CHILD_SUBREAPER, _ctypes.byref(value), 0, 0, 0)
    return bool(value.value)


def effective_env(entries: "Iterable[str]") -> list[str]:
    """
    The entries that a program gets: without empty ones, and of those with one name only the last, at its place.

    Entries without a name or without ``=`` are odd but legal, and handed on.
    """
    kept: list[str] = []
    seen: set[str] = set()
    for entry in reversed(list(entries)):
        name = variable_name(entry) if "=" in entry else None
        if entry and name not in seen:
            kept.append(entry)
        if name is not None:
            seen.add(name)
    return kept[::-1]


def variable_name(entry: str) -> str:
    """What stands before the first ``=`` after the first character; a leading ``=`` belongs to the name."""
    end = entry.find("=", 1)
    if end > 0:
        return entry[:end]
    return "" if entry.startswith("=") else entry
