"""
Becoming the real runtime: same process, same words, and everything else as if we had never been there.

Engines wait for this very process and hand it descriptors, signals and an environment; all of them reach the runtime.
Two traces of CPython are removed first: it ignores SIGPIPE and SIGXFSZ, which crun hands on to hooks, and in the C
locale it sets LC_CTYPE, which hooks without ``env`` see.

This module is on the wrapper's warm path. It uses posix, since os costs a millisecond more.
"""

import posix

import ocihooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from typing import Never

else:
    import _signal  # what signal is made of, without enum

_IGNORED_BY_CPYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")  # the values of LC_CTYPE that CPython may set, see PEP 538


def become(runtime: str, argv: "Sequence[str]", *, own: str, ignored: int = 0, relative: bool = False) -> "Never":
    """
    Replace this process by *runtime*.

    Args:
        runtime: Path of the runtime; handed on as argv[0], too.
        argv: The words behind the program's name.
        own: Path of the program that engines call, which *runtime* must not be.
        ignored: The signals that were ignored when we were called, bit N-1 for signal N; only the launcher knows.
        relative: Whether the path may be one from the working directory.

    Raises:
        UnavailableError: It can't be executed; signals are then again as they were.
    """
    _check_place(runtime, own, relative)
    _restore_locale()
    dispositions = [
        (number, _signal.signal(number, _signal.SIG_IGN if ignored >> (number - 1) & 1 else _signal.SIG_DFL))
        for number in _IGNORED_BY_CPYTHON
    ]
    try:
        posix.execv(runtime, (runtime, *argv))
    except (OSError, ValueError) as error:
        for number, disposition in dispositions:
            _signal.signal(number, disposition)
        raise _refused(runtime, error) from None


def check_runtime(runtime: str, own: str, *, relative: bool = False) -> None:
    """Raise what `become` would, as far as that can be told beforehand."""
    _check_place(runtime, own, relative)
    try:
        mode = posix.stat(runtime).st_mode
    except OSError as error:
        raise _refused(runtime, error) from None
    if mode & 0o170000 != 0o100000 or not posix.access(runtime, posix.X_OK):
        raise _refused(runtime, PermissionError(13, ""))


def _check_place(runtime: str, own: str, relative: bool) -> None:
    if runtime[:1] != "/" and not (relative and "/" in runtime):
        raise _refused(runtime, "expected the absolute path of an OCI runtime")
    if _same_file(runtime, own):
        raise _refused(runtime, "expected an OCI runtime, found the wrapper that stands in front of it")


def _same_file(one: str, other: str) -> bool:
    try:
        a, b = posix.stat(one), posix.stat(other)
    except OSError:
        return False
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def _restore_locale() -> None:
    """Give LC_CTYPE back the value with which we were started, or none; every other byte of the environment stays."""
    if posix.environ.get(b"LC_CTYPE") not in _COERCED:
        return
    try:
        entries = _initial_environment().split(b"\0")
    except OSError:
        return  # without /proc nobody knows
    given = next((entry[9:] for entry in entries if entry[:9] == b"LC_CTYPE="), None)
    if given is None:
        posix.unsetenv(b"LC_CTYPE")
    elif given not in _COERCED:
        posix.putenv(b"LC_CTYPE", given)


def _initial_environment() -> bytes:
    """What the kernel laid out when this process was started, whatever was set since."""
    descriptor = posix.open("/proc/self/environ", posix.O_RDONLY | posix.O_CLOEXEC)
    chunks = []
    try:
        while chunk := posix.read(descriptor, 65536):
            chunks.append(chunk)
    finally:
        posix.close(descriptor)
    return b"".join(chunks)


def _refused(runtime: str, cause: "str | OSError | ValueError") -> "ocihooks.errors.UnavailableError":
    from ocihooks.wrapper.refused import refused

    return refused(runtime, cause)
