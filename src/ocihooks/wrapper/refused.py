"""
Why the real runtime can't be executed.
"""

import errno
import posix

from ocihooks.errors import UnavailableError, os_reason


def refused(runtime: str, cause: str | OSError | ValueError) -> UnavailableError:
    """The error for *runtime*, which can't be executed because of *cause*: a sentence, or what the system said."""

    return UnavailableError(
        cause if isinstance(cause, str) else _cause(runtime, cause),
        code="runtime_unavailable",
        file=runtime or '""',
        hint="name an installed OCI runtime: ocihooks install --runtime PATH",
    )


def _cause(runtime: str, error: OSError | ValueError) -> str:
    """
    Why *runtime* can't be executed.

    Two usual phrases are avoided: docker and podman take "permission denied" and "no such file or directory" anywhere
    in a message for a fault of the container's own program, and change the exit status.
    """
    if not isinstance(error, OSError):
        return f"the OCI runtime can't be executed: {error}"
    if error.errno == errno.ENOENT:
        return _missing(runtime)
    if error.errno == errno.EACCES:
        return _forbidden(runtime)
    if error.errno == errno.ENOEXEC:
        return "expected an OCI runtime, found a file that this machine can't execute"
    return f"the OCI runtime can't be executed: {os_reason(error)}"


def _missing(runtime: str) -> str:
    try:
        posix.stat(runtime)
    except OSError:
        return "the OCI runtime does not exist"
    return "the OCI runtime needs an interpreter or dynamic loader that does not exist"


def _forbidden(runtime: str) -> str:
    """The cause of EACCES, which has many."""
    try:
        mode = posix.stat(runtime).st_mode
    except OSError:
        return f"uid {posix.geteuid()} has no access to a directory above the OCI runtime"
    if mode & 0o170000 == 0o040000:
        return "expected an OCI runtime, found a directory"
    if mode & 0o170000 != 0o100000:
        return "expected an OCI runtime, found something that is no regular file"
    if not mode & 0o111:
        return "the OCI runtime is not executable"
    return (
        f"uid {posix.geteuid()} may not execute the OCI runtime (its mode, a mount with noexec, or a security module)"
    )
