"""
How a run ended, as parts of sentences: for the library's errors and for the supervisor's messages alike.

On the supervisor's warm path; what it needs besides is imported when something went wrong.
"""

_LAST_LINES = 5
_LAST_CHARACTERS = 600


def ending(status: int | None) -> str:
    """How a program ended, as the second half of a sentence."""
    if status is None:
        return "ended in an unknown way: the process that watched it was killed"
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal_name(-status) or f'signal {-status}'}"


def signal_name(number: int) -> str | None:
    """The name of a signal, or None where it has none."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def lateness(status: int | None, limit_s: float) -> str:
    """How a program passed its limit, as the second half of a sentence."""
    if status is None or status < 0:
        return f"did not end within {limit_s:g} s and was killed"
    return f"{ending(status)}, but a process it left behind held its output open for more than {limit_s:g} s"


def survivors(alive: tuple[int, ...]) -> str:
    """The processes that could not be killed as the end of a sentence; nothing if there are none."""
    return f"; can't be killed: process {', '.join(map(str, alive))}" if alive else ""


def last_words(stderr: bytes) -> str:
    """The last lines of *stderr* as the end of a sentence; nothing if it's empty."""
    from ocihooks.errors import quoted

    lines = stderr.decode("utf-8", "replace").rstrip().splitlines()[-_LAST_LINES:]
    text = "\n".join(lines)[-_LAST_CHARACTERS:]
    return f"; stderr: {quoted(text)}" if text else ""


def start_failure(step: str, number: int) -> tuple[str, str | None]:
    """Cause and remedy for *step* (``exec``, ``chdir`` or ``fork``) having failed with the error *number*."""
    import os

    if step == "exec":
        return _exec_failures().get(number, (os.strerror(number), None))
    if step == "chdir":
        return f"can't change to its working directory: {os.strerror(number)}", None
    return f"no process for it: {os.strerror(number)}", None


def _exec_failures() -> dict[int, tuple[str, str]]:
    import errno

    return {
        errno.ENOENT: (
            "program not found, or the interpreter in its #! line is missing",
            "install it, or correct the path",
        ),
        errno.EACCES: ("not an executable file, or a directory above it is closed", "make it executable with chmod +x"),
        errno.ENOTDIR: ("a part of the path is not a directory", "correct the path"),
        errno.ELOOP: ("too many symbolic links", "remove the loop of links"),
        errno.ENOEXEC: (
            "neither a binary for this machine nor a script with a #! line",
            "add a #! line such as #!/bin/sh",
        ),
        errno.E2BIG: ("args and env are longer than the kernel allows", "shorten args and env, or read a file instead"),
        errno.ETXTBSY: ("somebody is writing to the program", "try again when it is complete"),
    }
