"""
Tells that a hook failed, where the engine shows errors.

runc shows what a hook wrote to standard error, so there the hook's own words and one sentence behind them do. crun
sends a hook's output to /dev/null and names nothing but the program, so the sentence goes where crun's own words go:
to its standard error, and to the log that the engine gave it; in their place if the log lies in the bundle.

Messages stay short: above about 4,000 bytes Podman shows a message of its own instead.
"""

import posix
import select

from ocihooks.errors import printable, quoted
from ocihooks.execution.words import last_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ocihooks.supervisor.main import Outcome
    from ocihooks.supervisor.task import Task

STREAM_BYTES = 1000
"""How much of each of the hook's streams is handed on when it failed: the runtime puts all of it into its message."""

WAIT_MS = 1000

ENDS_CREATE = ("prestart", "createRuntime")
"""The stages at which a hook that fails ends the runtime's call; at the others crun goes on."""

_LOG_BYTES = 1 << 20
_NULL = (1, 3)
_PIDFD_GETFD = 438


def tell(task: "Task", outcome: "Outcome") -> None:
    """Say in one sentence what went wrong."""
    sentence = sentence_of(task, outcome)
    if not _is_null(2):
        write(1, outcome.stdout[-STREAM_BYTES:])
        said = outcome.stderr[-STREAM_BYTES:]
        line_end = b"\n" if said and not said.endswith(b"\n") else b""
        write(2, said + line_end + f"{sentence}\n".encode("utf-8", "backslashreplace"))
    elif task.on_failure == "fail":
        _tell_in_the_runtimes_place(sentence + last_words(outcome.stderr), last=task.stage in ENDS_CREATE)


def sentence_of(task: "Task", outcome: "Outcome") -> str:
    """The whole sentence."""
    command = quoted([arg.decode("utf-8", "replace") for arg in outcome.argv], 200)
    end = {"fail": "", "warn": "; going on, since on-failure is warn", "ignore": "; going on"}[task.on_failure]
    return printable(f"ocihooks: {task.rule}: {task.stage} hook {command} {outcome.sentence}{end}")


def _is_null(descriptor: int) -> bool:
    try:
        status = posix.fstat(descriptor)
    except OSError:
        return True
    return status.st_mode & 0o170000 == 0o020000 and status.st_rdev == posix.makedev(*_NULL)


def _tell_in_the_runtimes_place(sentence: str, *, last: bool) -> None:
    """
    Write to the standard error of the runtime, our parent, and to the log on its command line.

    Args:
        last: Whether the runtime is going to fail with words of its own, which say less.
    """
    parent = posix.getppid()
    try:
        descriptor = _standard_error_of(parent)
    except OSError:  # an old kernel, or the runtime has none
        descriptor = posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
    posix.dup2(descriptor, 2)
    try:
        from ocihooks.wrapper.arguments import parse
        from ocihooks.wrapper.report import log_path, report

        with open(f"/proc/{parent}/cmdline", "rb") as stream:
            words = [word.decode("utf-8", "surrogateescape") for word in stream.read().split(b"\0")[1:-1]]
        call = parse(words, "crun")
        log = log_path(call) or ""
        if last and log.rpartition("/")[0] == call.bundle:
            _take_over(log)
        report(sentence.removeprefix("ocihooks: "), call, "ocihooks")
    except Exception:  # noqa: BLE001  (a package that is not whole: the sentence alone)
        write(2, f"{sentence}\n".encode("utf-8", "backslashreplace"))


def _take_over(log: str) -> None:
    """
    Put a copy in the place of *log*; the runtime goes on writing to the file that it has open, which nobody reads.

    Docker and containerd believe the last message. Only for a log in the bundle, which is this container's alone.
    """
    from ocihooks.errors import OCIHooksError
    from ocihooks.replace import replace_file, signature

    try:
        status = posix.lstat(log)
        if status.st_mode & 0o170000 != 0o100000 or status.st_size > _LOG_BYTES:
            return
        with open(log, "rb") as stream:
            replace_file(log, stream.read(_LOG_BYTES), expected=signature(status), durable=False)
    except (OSError, OCIHooksError):  # then both messages are there
        pass


def _standard_error_of(process: int) -> int:
    """
    A copy of another process' descriptor 2, as if we had inherited it.

    Opening it by /proc would not do: a file would be written from another place than the runtime writes, and a socket
    can't be opened at all.
    """
    import ctypes

    pidfd = posix.pidfd_open(process)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor: int = libc.syscall(_PIDFD_GETFD, pidfd, 2, 0)
    finally:
        posix.close(pidfd)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "")
    return descriptor


def write(descriptor: int, data: bytes) -> None:
    """Write *data* as long as it is taken within a second."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    rest = memoryview(data)
    try:
        while rest and waiting.poll(WAIT_MS):
            rest = rest[posix.write(descriptor, rest[:4096]) :]
    except OSError:
        pass  # closed, read-only, or nobody listens


def die(number: int) -> "NoReturn":
    """End by the signal *number*, without leaving a memory dump of ours."""
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    posix.kill(posix.getpid(), number)
    posix._exit(128 + number)  # noqa: SLF001  (a signal that ends nobody here, such as that of a stopped hook)
