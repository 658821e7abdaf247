"""
What ``oci-injector-hook`` says: on standard error, and to the machine's log daemon where there is one.

Nobody who reads too slowly, or not at all, makes a container wait or fail.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_DAEMON = "/dev/log"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 2}
"""By level; those that the log daemon gets."""

_TRUE = ("1", "t", "T", "true", "TRUE", "True")


def wants_debug(environ: "Mapping[str, str]") -> bool:
    """Whether the variable ``DEBUG`` asks for more words."""
    return environ.get("DEBUG", "") in _TRUE


class Log:
    """
    Where sentences go.

    Attributes:
        name: The program's name.
        debug: Whether sentences of the level "debug" go anywhere.
    """

    __slots__ = ("debug", "name")

    def __init__(self, name: str, *, debug: bool) -> None:
        self.name = name
        self.debug = debug

    def tell(self, level: str, text: str) -> None:
        """Say *text*, each line of it by itself."""
        if level == "debug" and not self.debug:
            return
        for line in text.splitlines():
            shown = line if level in ("error", "info") else f"{level}: {line}"
            _write(f"{self.name}: {shown}\n" if not line.startswith("hint: ") else f"{line}\n")
            _send(f"<{PRIORITIES[level]}>{_moment()} {self.name}[{posix.getpid()}]: {line}")


def _moment() -> str:
    from time import localtime, strftime

    return strftime("%b %e %H:%M:%S", localtime())


def _write(text: str) -> None:
    try:
        posix.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _send(message: str) -> None:
    """Give *message* to the log daemon, if there is one that takes it at once."""
    if not _is_socket(LOG_DAEMON):
        return
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket

    daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
    try:
        daemon.connect(LOG_DAEMON)
        daemon.send(message.encode("utf-8", "backslashreplace"))
    except OSError:
        return
    finally:
        daemon.close()


def _is_socket(path: str) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o140000
    except OSError:
        return False
