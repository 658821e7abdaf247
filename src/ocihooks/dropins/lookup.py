"""
Which program is meant by a runtime's name, and whether the kernel can start it. On the warm path.
"""

import posix

import ocihooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

USUAL_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Searched behind PATH: engines may call their runtime without one, as Podman does to kill and delete."""


def find(name: str) -> str | None:
    """The program *name*, as it is to be started; None where there is none."""
    return next(filter(is_program, places(name)), None)


def places(name: str) -> "Iterable[str]":
    """
    Where the program *name* may be, the first one first.

    A name with a slash is a path. Others are looked up on PATH, where an empty entry counts for nothing: the working
    directory is the bundle, or whatever an engine happens to be in.
    """
    if "/" in name or not name:
        return (name,) if name else ()
    path = posix.environ.get(b"PATH", b"").decode("utf-8", "surrogateescape").split(":")
    return tuple(f"{directory.rstrip('/')}/{name}" for directory in (*path, *USUAL_DIRECTORIES) if directory)


def first_found(names: "Iterable[str]") -> str | None:
    """The first of *names* that is a program, as it is to be started."""
    return next((found for name in names if (found := find(name))), None)


def is_program(path: str) -> bool:
    """Whether *path* is a regular file that may be executed."""
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o100000 and posix.access(path, posix.X_OK)
    except (OSError, ValueError):
        return False


def check_format(runtime: str, hint: str) -> None:
    """
    Raise unless the kernel can start the executable file *runtime*, as far as its first bytes tell.

    Raises:
        UnavailableError: It is neither a binary nor a script whose interpreter is there.
    """
    try:
        fd = posix.open(runtime, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY)
    except OSError:  # it may be executable without being readable
        return
    try:
        first = posix.read(fd, 256).partition(b"\n")[0]
    finally:
        posix.close(fd)
    if first[:4] == b"\x7fELF":
        return
    message = "expected an OCI runtime, found a file that this machine can't execute"
    if first[:2] == b"#!":
        interpreter = (first[2:].split() or [b""])[0].decode("utf-8", "surrogateescape")
        if is_program(interpreter):
            return
        message = "the OCI runtime needs an interpreter or dynamic loader that does not exist"
    raise ocihooks.errors.UnavailableError(message, code="runtime_unavailable", file=runtime, hint=hint)
