"""
Telling the user why no container started, where each engine looks for it.

docker, containerd and podman read the file named by ``--log``; podman, buildah and CRI-O read standard error; standard
output is never written. Either may be full, closed, read-only or something that nobody reads, and none of that matters:
nothing here raises, waits for long or follows a link. A log is a plain file in a directory of the engine, so a link, a
FIFO, a device or a directory in its place is left alone.

Messages stay below 3,500 bytes: above about 4,000 podman shows a message of its own instead.
"""

import posix

from ocihooks.wrapper.arguments import changes_container
from ocihooks.wrapper.logline import log_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.errors import OCIHooksError
    from ocihooks.wrapper.arguments import Call

_MESSAGE_BYTES = 3400
_SENTENCE_BYTES = 1800
_HINT_BYTES = 1000
_STDERR_WAIT_MS = 1000


def report(error: "OCIHooksError | str", call: "Call", program: str = "ocihooks-runtime") -> None:
    """
    Write *error* to the log of *call*, if it has one, and to standard error.

    Args:
        error: A text is one sentence, perhaps with a line ``hint: …`` behind it.
        program: Who says so; the message begins with it.
    """
    lines = _lines(error, program)
    if call.log:
        _append_to_log(call, "; ".join(lines))
    _write_to_stderr("\n".join(lines) + "\n")


def _lines(error: "OCIHooksError | str", program: str) -> list[str]:
    """A line for each problem and each hint, as many as there is room for, but always the first ones."""
    blocks = _blocks(error, program)
    lines: list[str] = []
    for number, block in enumerate(blocks):
        size = sum(len(line.encode()) + 2 for line in (*lines, *block))
        if lines and size > _MESSAGE_BYTES - 100:
            return [*lines, f"{program}: and {len(blocks) - number} more problems"]
        lines += block
    return lines


def _blocks(error: "OCIHooksError | str", program: str) -> list[list[str]]:
    """The lines of each problem: a sentence and perhaps a hint."""
    if isinstance(error, str):
        sentence, _, hint = error.rstrip("\n").partition("\n")
        return [_block(f"{program}: {sentence}", hint)]
    return [
        _block(f"{program}: {problem}", f"hint: {problem.hint}" if problem.hint else "") for problem in error.problems
    ]


def _block(sentence: str, hint: str) -> list[str]:
    from ocihooks.errors import printable

    line = _shortened(printable(sentence), _SENTENCE_BYTES)
    return [line, _shortened(printable(hint), _HINT_BYTES)] if hint else [line]


def _shortened(text: str, limit_bytes: int) -> str:
    """*text*, without its middle if it is longer than *limit_bytes*: the file's name and the cause are at the ends."""
    content = text.encode()
    if len(content) <= limit_bytes:
        return text
    half = limit_bytes // 2 - 5
    return f"{content[:half].decode(errors='ignore')} … {content[-half:].decode(errors='ignore')}"


def _append_to_log(call: "Call", message: str) -> None:
    path = log_path(call)
    if path is None:
        return
    try:
        _append(path, log_line("error", message, call.log_format))
    except (OSError, ValueError):
        pass  # a log that can't be written never matters


def log_path(call: "Call") -> str | None:
    """
    Where the runtime would open its log; None: not in a file.

    crun knows ``file:PATH``, ``syslog:ID`` and ``journald:ID``, and goes into the bundle before it opens the log.
    """
    path = call.log
    if path is None or call.flavour != "crun":
        return path
    if path.startswith(("syslog:", "journald:")):
        return None
    path = path.removeprefix("file:")
    if changes_container(call) and call.bundle and path[:1] != "/":
        return f"{call.bundle}/{path}"
    return path


def _append(path: str, line: bytes) -> None:
    """
    Add *line* in one write to a regular file, which is made if only it is missing.

    Raises:
        OSError: There is something else in its place, or it can't be written.
    """
    try:
        if not _is_regular(posix.lstat(path)):
            return  # opening a FIFO or a device may already do something
    except FileNotFoundError:
        pass
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT
    safely = posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
    descriptor = posix.open(path, flags | safely, 0o644)
    try:
        if _is_regular(posix.fstat(descriptor)):
            posix.write(descriptor, line)
    finally:
        posix.close(descriptor)


def _is_regular(status: posix.stat_result) -> bool:
    return status.st_mode & 0o170000 == 0o100000


def _write_to_stderr(text: str) -> None:
    """Write once, when standard error takes it: a pipe with room for one message takes this one whole."""
    from select import POLLOUT, poll

    waiting = poll()
    waiting.register(2, POLLOUT)
    try:
        if waiting.poll(_STDERR_WAIT_MS):
            posix.write(2, text.encode())
    except OSError:
        pass  # closed, read-only, or nobody listens
