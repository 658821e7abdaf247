"""
Runs one static program of the host with a container's root as its own, from which it can only read.

The program gets namespaces of its own, no capability but to read all files, limits, and a deadline; it ends with us.
What it writes goes into a file system in memory that stands in place of the container's /etc and is empty but for what
we put into it. Between the change of the root and the program nothing is imported or opened.
"""

from __future__ import annotations

import errno
import posix
from select import POLLIN, poll
from sys import byteorder
from time import monotonic

from ocihooks.injector.kernel import (
    IN_ROOT,
    NO_MAGICLINKS,
    NO_XDEV,
    forbid_new_privileges,
    library_call,
    openat2,
    packed,
    system_call,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_S = 15.0
SAID_BYTES = 2048
"""How much of what the program says is kept."""

COVERED = "var/cache/ldconfig"
"""A directory in the place of which the program finds an empty one, if the container has it: it would write there."""

_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_RESOLVE = IN_ROOT | NO_MAGICLINKS | NO_XDEV
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC

_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_SET_STRING, _CREATE = 1, 6
_BOTH_EMPTY = 0x04 | 0x40
_ATTR_HARMLESS = 0x02 | 0x04 | 0x08  # nosuid, nodev, noexec

_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _NOATIME, _NODIRATIME = 1, 2, 4, 8, 32, 1024, 2048
_BIND, _REC, _PRIVATE, _RELATIME = 4096, 16384, 1 << 18, 1 << 21
_ST_RELATIME = 4096
_DETACH = 2

_SET_PDEATHSIG, _CAPBSET_DROP, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 1, 24, 47, 4
_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_SIGKILL = 9
_BY_SIGNAL = 128

_PROGRAM, _ROOT, _REFUSING = 3, 4, 5
"""The descriptors that the last process has."""

NOT_ALLOWED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENODEV, errno.ENOSPC, errno.EUSERS)
"""What the kernel says where it gives this process no namespaces or no file system in memory."""


class Start:
    """
    What is to be run.

    Attributes:
        program: A static program, an open file.
        words: Its arguments.
        root: Path of the container's root.
        inode: Device and inode of the root, as it was opened before; nothing is run in another one.
        etc: The file system in memory for its /etc.
    """

    __slots__ = ("etc", "inode", "program", "root", "words")

    def __init__(self, program: int, words: Sequence[str], *, root: str, inode: tuple[int, int], etc: int) -> None:
        self.program = program
        self.words = words
        self.root = root
        self.inode = inode
        self.etc = etc


class Ended:
    """
    What became of the program.

    Attributes:
        status: Its exit status, 128 more than the signal's number if one ended it; None: it was killed, since it did
            not end in time.
        said: The beginning of its output.
        refused: What the kernel refused before the program was started, as an error number; 0: nothing.
    """

    __slots__ = ("refused", "said", "status")

    def __init__(self, status: int | None, said: bytes, refused: int) -> None:
        self.status = status
        self.said = said
        self.refused = refused


def file_system_in_memory(size_bytes: int, files: dict[str, bytes]) -> int:
    """
    A descriptor of an empty file system in memory, but for *files*; it is gone when the last one is closed.

    Raises:
        OSError: The kernel does not give us one, see `NOT_ALLOWED`.
    """
    context = system_call(_FSOPEN, b"tmpfs", _FSOPEN_CLOEXEC)
    try:
        for name, value in (("mode", "0755"), ("size", str(size_bytes)), ("nr_inodes", "64")):
            system_call(_FSCONFIG, context, _SET_STRING, name.encode(), value.encode(), 0)
        system_call(_FSCONFIG, context, _CREATE, None, None, 0)
        directory = system_call(_FSMOUNT, context, _FSMOUNT_CLOEXEC, _ATTR_HARMLESS)
    finally:
        posix.close(context)
    for name, data in files.items():
        fd = posix.open(name, _NEW, 0o644, dir_fd=directory)
        try:
            posix.write(fd, data)
        finally:
            posix.close(fd)
    return directory


def run(start: Start, deadline_s: float = DEADLINE_S) -> Ended:
    """Run a program and wait for its end."""
    readable, writable = posix.pipe()  # what the program says
    refusals, refusing = posix.pipe()  # what the kernel refuses; at its end when the process between has ended
    awaited, awaiting = posix.pipe()  # at its end when nobody waits any more
    child = posix.fork()
    if not child:
        _keep(start, writable, refusing, awaited, (readable, refusals, awaiting))
    for fd in (writable, refusing, awaited):
        posix.close(fd)
    try:
        said, refused, in_time = _listen(readable, refusals, deadline_s)
    finally:
        for fd in (readable, refusals, awaiting):
            posix.close(fd)
        _, status = posix.waitpid(child, 0)
    return Ended(posix.waitstatus_to_exitcode(status) if in_time else None, said, int.from_bytes(refused, byteorder))


def _listen(readable: int, refusals: int, deadline_s: float) -> tuple[bytes, bytes, bool]:
    """
    The beginning of what is said, what is refused, and whether all ended in time.

    The program may close its output long before it ends; the process between keeps its own end open.
    """
    end, waiting = monotonic() + deadline_s, poll()
    heard, still_open = {readable: b"", refusals: b""}, {readable, refusals}
    for fd in heard:
        waiting.register(fd, POLLIN)
    while still_open and (left := end - monotonic()) > 0:
        for fd, _ in waiting.poll(left * 1000):
            data = posix.read(fd, 65536)
            heard[fd] = (heard[fd] + data)[:SAID_BYTES]
            if not data:
                waiting.unregister(fd)
                still_open.remove(fd)
    return heard[readable], heard[refusals], not still_open


def _keep(start: Start, writable: int, refusing: int, awaited: int, others: Sequence[int]) -> None:
    """The process between: its only child is the first of its process namespace, and both end when nobody waits."""
    status = 1
    try:
        for fd in others:
            posix.close(fd)
        library_call("unshare", _NEWPID)
        child = posix.fork()
        if not child:
            _become(start, writable, refusing)
        posix.close(writable)
        status = _end_of(child, awaited)
    except OSError as error:
        posix.write(refusing, packed(error.errno or errno.EPERM, 4))
    finally:
        posix._exit(status)  # noqa: SLF001


def _end_of(child: int, awaited: int) -> int:
    """The status with which *child* ends; once it is not awaited any more it is killed, whatever it has done."""
    ended = False
    try:
        ended = _ends(child, awaited)
    finally:
        if not ended:
            posix.kill(child, _SIGKILL)
    if not ended:
        return _BY_SIGNAL + _SIGKILL
    code = posix.waitstatus_to_exitcode(posix.waitpid(child, 0)[1])
    return code if code >= 0 else _BY_SIGNAL - code


def _ends(child: int, awaited: int) -> bool:
    """Whether *child* ends while it is *awaited*."""
    waiting, end = poll(), posix.pidfd_open(child)
    for fd in (end, awaited):
        waiting.register(fd, POLLIN)
    return any(fd == end for fd, _ in waiting.poll())


def _become(start: Start, writable: int, refusing: int) -> None:
    """Enter the root and become the program."""
    try:
        library_call("prctl", _SET_PDEATHSIG, _SIGKILL)
        library_call("unshare", _NEWNS | _NEWNET | _NEWIPC | _NEWUTS)
        top = _mounted(start)
        _keep_one_for_programs()
        forbid_new_privileges()
        nothing = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
        _arrange({0: nothing, 1: writable, 2: writable, _PROGRAM: start.program, _ROOT: top, _REFUSING: refusing})
        refusing = _REFUSING
        _set_limits()
        posix.fchdir(_ROOT)
        library_call("pivot_root", b".", b".")
        library_call("umount2", b".", _DETACH)
        _keep_one_capability()
        posix.execve(_PROGRAM, list(start.words), {})
    except OSError as error:
        posix.write(refusing, packed(error.errno or errno.EPERM, 4))
    finally:
        posix._exit(1)  # noqa: SLF001


def _mounted(start: Start) -> int:
    """A descriptor of the root on a mount of its own that nobody else sees, with the other /etc in its place."""
    library_call("mount", b"none", b"/", None, _REC | _PRIVATE, None)
    place = _path(_same(start.root, start.inode))
    library_call("mount", place, place, None, _BIND, None)
    top = _same(start.root, start.inode)
    library_call("mount", None, _path(top), None, _REMOUNT | _BIND | _harmless(top), None)
    _put(start.etc, top, "etc")
    try:
        _put(file_system_in_memory(1 << 20, {}), top, COVERED)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return top


def _same(root: str, inode: tuple[int, int]) -> int:
    """The *root*, opened in this mount namespace, if it is the one that was opened before."""
    fd = posix.open(root, _DIRECTORY)
    status = posix.fstat(fd)
    if (status.st_dev, status.st_ino) != inode:
        raise OSError(errno.ESTALE, posix.strerror(errno.ESTALE))
    return fd


def _path(fd: int) -> bytes:
    return f"/proc/self/fd/{fd}".encode()


def _harmless(top: int) -> int:
    """The flags with which nothing on the mount *top* can be changed, be run, or be a device."""
    present = posix.fstatvfs(top).f_flag
    times = present & (_NOATIME | _NODIRATIME) | (_RELATIME if present & _ST_RELATIME else 0)
    return times | _RDONLY | _NOSUID | _NODEV | _NOEXEC


def _put(directory: int, top: int, path: str) -> None:
    """Mount *directory* over the directory at *path* in the root *top*."""
    place = openat2(top, path.encode(), _DIRECTORY, _RESOLVE)
    system_call(_MOVE_MOUNT, directory, b"", place, b"", _BOTH_EMPTY)


def _set_limits() -> None:
    from resource import RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, setrlimit

    limits = {RLIMIT_CORE: 0, RLIMIT_CPU: 20, RLIMIT_FSIZE: 64 << 20, RLIMIT_NOFILE: 64, RLIMIT_AS: 2 << 30}
    for limit, value in limits.items():
        try:
            setrlimit(limit, (value, value))
        except ValueError:  # a lower one is set already, and may not be raised
            continue


def _keep_one_for_programs() -> None:
    """Take out of what programs can get all capabilities but the one to read all files."""
    for capability in range(64):
        try:
            if capability != _DAC_OVERRIDE:
                library_call("prctl", _CAPBSET_DROP, capability, 0, 0, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return  # there is none of this number, nor a higher one


def _arrange(fds: dict[int, int]) -> None:
    """
    Have the descriptors *fds*, and no others; only the first three are the program's.

    They are moved out of their way first, to low numbers: higher ones than all that are open may not be allowed.
    """
    free = iter(range(max(fds) + 1, 1 << 20))
    places = {number: next(place for place in free if place not in fds.values()) for number in fds}
    moved = {number: posix.dup2(fd, places[number], inheritable=False) for number, fd in fds.items()}
    for number, fd in moved.items():
        posix.dup2(fd, number, inheritable=number <= 2)
    posix.closerange(max(fds) + 1, 1 << 20)


def _keep_one_capability() -> None:
    """Have no capability but the one to read all files."""
    library_call("prctl", _CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = packed(_CAPABILITY_VERSION_3, 4) + packed(0, 4)
    one = packed(1 << _DAC_OVERRIDE, 4)
    library_call("capset", header, one + one + packed(0, 4) + bytes(12))
