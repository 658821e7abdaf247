"""The programs of engines: where they are, which version they have, and how they run at the moment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ocihooks.errors import UnavailableError, os_reason

_ALSO_IN = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where programs of root are, whatever PATH the caller has."""

Version = tuple[int, ...]


def find_program(name: str, *, also_in: Sequence[str] = ()) -> str | None:
    """
    The absolute path of the program *name*, a path or a name; None where there is none that can be executed.

    Args:
        also_in: Directories that are looked into first.
    """
    places = [*also_in, *os.environ.get("PATH", "").split(":"), *_ALSO_IN]
    found = shutil.which(name, path=":".join(filter(None, places)))
    return os.path.abspath(found) if found else None


def version_of(program: str) -> Version:
    """The version that *program* tells; empty where it tells none."""
    try:
        answer = output_of([program, "--version"])
    except UnavailableError:
        return ()
    found = re.search(r"(?:^|[\sv:])(\d+(?:\.\d+)+)", answer)
    return tuple(map(int, found[1].split("."))) if found else ()


def version_text(version: Version) -> str:
    """*version* as people write it."""
    return ".".join(map(str, version))


def output_of(
    command: Sequence[str], *, timeout_s: float = 30, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> str:
    """
    What *command* prints on standard output.

    Args:
        env: Its whole environment; None: ours.

    Raises:
        UnavailableError: It can't be started, takes too long or fails; the message is the end of what it said.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False, env=env)
    except OSError as error:
        raise UnavailableError(f"can't be started: {os_reason(error)}", file=command[0]) from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"did not end within {timeout_s:g} s", file=command[0]) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
        last = said.rpartition("\n")[2] if len(said) > 2000 else said.replace("\n", "; ")
        raise UnavailableError(last or f"ended with status {done.returncode}", file=command[0])
    return done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """
    A running daemon of an engine.

    Attributes:
        pid: Its process id.
        arguments: Its command line behind the program.
    """

    pid: int
    arguments: tuple[str, ...]

    def option(self, *names: str) -> str | None:
        """The value of an option that it was started with; the last one counts, None where there is none."""
        value = None
        for index, word in enumerate(self.arguments):
            name, sign, behind = word.partition("=")
            if name in names:
                value = behind if sign else "".join(self.arguments[index + 1 : index + 2])
        return value


def daemons(program: str) -> Iterator[Daemon]:
    """The running processes of the program of this name."""
    for pid, words in running():
        if os.path.basename(words[0]) == program:
            yield Daemon(pid=pid, arguments=words[1:])


def running() -> Iterator[tuple[int, tuple[str, ...]]]:
    """
    Process ids and command lines of what root and the caller run.

    Other users may call theirs whatever they like; what runs in containers has files and daemons of its own.
    """
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or not _is_beside_us(entry) or not _is_believed(entry):
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                words = tuple(os.fsdecode(word) for word in stream.read().split(b"\0")[:-1])
        except OSError:
            continue
        if words:
            yield int(entry), words


def _is_beside_us(process: str) -> bool:
    """Whether *process* has our pid namespace; of a process that we may not ask that is taken for granted."""
    try:
        return os.readlink(f"/proc/{process}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return True


def _is_believed(process: str) -> bool:
    """Whether *process* is root's or the caller's by all of its user ids: anybody can start a set-user-id program."""
    try:
        with open(f"/proc/{process}/status", "rb") as stream:
            ids = next(line for line in stream if line.startswith(b"Uid:")).split()[1:]
    except (OSError, StopIteration):
        return False
    return {int(one) for one in ids} <= {0, os.geteuid()}


def daemons_with(program: str, options: Sequence[str], default: str, file: str) -> tuple[Daemon, ...]:
    """
    The running daemons of *program* whose configuration is *file*.

    Args:
        options: The options by which it is told.
        default: What it is when nobody tells.
    """
    wanted = os.path.realpath(file)
    named = [one for one in daemons(program) if os.path.realpath(one.option(*options) or default) == wanted]
    return tuple(one for one in named if _has_our_file(one.pid, wanted))


def _has_our_file(pid: int, path: str) -> bool:
    """
    Whether *path* is for the process what it is for us: a container can call its process like a daemon.

    Daemons may well have a root or mounts of their own, as snaps and services have, with the machine's configuration in
    it; so the file itself is compared, or the directory where it would be. Of a process that we may not ask it is taken
    for granted.
    """
    place = path
    while not os.path.exists(place):
        place = os.path.dirname(place)
    try:
        return os.path.samestat(os.stat(place), _seen_by(pid, place))
    except PermissionError:
        return True
    except OSError:
        return False


def _seen_by(pid: int, path: str) -> os.stat_result:
    """What the process finds at *path*, where no link is followed, since it would lead through our own root."""
    fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in filter(None, path.split("/")):
            inner = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        return os.fstat(fd)
    finally:
        os.close(fd)
