"""
The log of ``container-hooks-runtime``: one line per call, as runc's logger writes it. On the warm path.

A log that can't be written never fails a call.
"""

import posix

from ocihooks.wrapper.logline import log_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.dropins.toolkit_cache import Known

LEVELS = {"trace": 0, "debug": 1, "info": 2, "warn": 3, "warning": 3, "error": 4, "fatal": 5, "panic": 6}


def level_of(word: str) -> int:
    """The level that *word* names; for another word it is info."""
    return LEVELS.get(word.lower(), LEVELS["info"])


class Log:
    """
    Where a call's lines go.

    Attributes:
        file: The log file; "": none.
        least: The least level that is written.
        log_format: "json", or anything else for text.
    """

    __slots__ = ("file", "least", "log_format")

    def __init__(self, known: "Known", log_format: str, *, debug: bool) -> None:
        self.file = known.log
        self.log_format = log_format
        self.least = LEVELS["debug"] if debug else level_of(known.level)
        if self.file:
            make_directories(self.file)
        if known.level.lower() not in LEVELS and known.level:
            self.write("warning", f"{known.file}: container-hooks-runtime.log-level: unknown level, so it is info")

    def writes(self, level: str) -> bool:
        """Whether lines of *level* are written."""
        return bool(self.file) and LEVELS[level] >= self.least

    def write(self, level: str, message: str) -> None:
        """Append one line, if the level is to be written."""
        if not self.writes(level):
            return
        try:
            _append(self.file, log_line(level, message, self.log_format))
        except (OSError, ValueError):
            return


def make_directories(file: str) -> None:
    """Make the directories above *file* that are missing, with the modes that the umask leaves."""
    missing = []
    directory = file.rpartition("/")[0]
    while directory and not _exists(directory):
        missing.append(directory)
        directory = directory.rpartition("/")[0]
    try:
        for path in reversed(missing):
            posix.mkdir(path)
    except (OSError, ValueError):
        return


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except (OSError, ValueError):
        return False
    return True


def _append(path: str, line: bytes) -> None:
    """Add *line* in one write to a regular file, which is made if it is missing; a link is followed."""
    try:
        if not _is_regular(posix.stat(path)):
            return  # opening a FIFO or a device may already do something
    except FileNotFoundError:
        pass
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
    fd = posix.open(path, flags, 0o644)
    try:
        if _is_regular(posix.fstat(fd)):
            posix.write(fd, line)
    finally:
        posix.close(fd)


def _is_regular(status: posix.stat_result) -> bool:
    return status.st_mode & 0o170000 == 0o100000
