"""
Runs one hook in the namespaces of a container, or makes the container's root file system the root there.

Started as ``python -I -S enter.py pivot PID ROOT`` or ``python -I -S enter.py hook PID FILE``, the latter with a JSON
document in the file, which only the same user can read:

- ``path``, ``args``, ``env``: of the hook;
- ``cwd``: its working directory on the host, or null for one that is in the container;
- ``process``: for a hook in the container, the ``process`` of config.json, whose user, groups and capabilities it gets;
- ``failure``: a file that gets a word and the number of an error if the program can't be started: `EXEC` where it was
  the program's own fault, else `ENTER`.

This process never enters the container's mounts, its child does; and behind that step there is nothing but system
calls that were looked up before, the last one being the exec of the hook. No file of the container is loaded here.

Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NOT_STARTED = 127
ENTER, EXEC = "enter", "exec"

NAMESPACES = ("ipc", "uts", "net", "cgroup")

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    *("CHECKPOINT_RESTORE",),
)
"""Names without ``CAP_`` by number, as linux/capability.h has them."""

WITHHELD = ("MKNOD", "SYS_PTRACE")
"""
What no container of the simulation gets: no cgroup keeps it from the devices of the host, and what stands for its first
process has the privileges of the host's root.
"""

_SYS_CHROOT, _SYS_ADMIN = CAPABILITIES.index("SYS_CHROOT"), CAPABILITIES.index("SYS_ADMIN")
_CAPBSET_READ, _CAPBSET_DROP = 23, 24
_SET_KEEPCAPS, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _CAP_AMBIENT_CLEAR = 8, 38, 47, 4
_CAPABILITY_VERSION = 0x20080522
_DETACH = 2
_NUMBERS = range(64)
_IN_MEMORY = "/memfd:"
_MFD_EXEC = 0x10
_ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_libc = ctypes.CDLL(None, use_errno=True)
_setns, _execve, _chdir, _prctl, _umount2, _pivot_root = (
    getattr(_libc, name) for name in ("setns", "execve", "chdir", "prctl", "umount2", "pivot_root")
)


def main(words: list[str]) -> int:
    """Do what the command line says; returns the exit status."""
    if words[0] == "pivot":
        pivot(words[1], os.fsencode(words[2]))
    with open(words[2], encoding="utf-8") as file:
        hook = json.load(file)
    if hook["process"] is not None:
        try:
            start_from_memory()
        except OSError as error:
            note(hook["failure"], f"{ENTER} {error.errno}".encode())
            return NOT_STARTED
    return enter(words[1], hook)


def start_from_memory() -> None:
    """
    Start again from a copy of the interpreter in memory that nobody can change, unless this is it.

    A program in the container can open what its process was before, by /proc/self/exe, and as root write to it as soon
    as nobody runs it any more. So that must not be a file of the host.

    Raises:
        OSError: There is no memory for it, or no /proc.
    """
    if os.readlink("/proc/self/exe").startswith(_IN_MEMORY):
        return
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create("python", flags | _MFD_EXEC)
    except OSError:  # a kernel before 6.3, where all of them can be executed
        copy = os.memfd_create("python", flags)
    with open("/proc/self/exe", "rb", buffering=0) as interpreter:
        while os.sendfile(copy, interpreter.fileno(), None, 1 << 24):
            pass
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _ALL_SEALS)
    os.execve(copy, sys.orig_argv, os.environ)  # noqa: S606  (there is no shell to be wanted)


def pivot(pid: str, root: bytes) -> NoReturn:
    """Make *root* the root of the mounts of process *pid*, and end; a failure is the number of its error."""
    try:
        mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    except OSError as error:
        os._exit(error.errno or 1)
    failed = _setns(mounts, 0) or _chdir(root) or _pivot_root(b".", b".") or _umount2(b".", _DETACH) or _chdir(b"/")
    os._exit(ctypes.get_errno() if failed else 0)


def enter(pid: str, hook: dict[str, Any]) -> int:
    """Run *hook* in the namespaces of process *pid*, and end as it ends."""
    reading, writing = os.pipe()
    try:
        others, mounts = joined(pid)
        child = os.fork()
    except OSError as error:
        note(hook["failure"], f"{ENTER} {error.errno}".encode())
        return NOT_STARTED
    if child == 0:
        try:
            become(hook, others, mounts, writing)
        except (OSError, ValueError) as error:
            os.write(writing, f"{ENTER} {getattr(error, 'errno', 0)}".encode())
        os._exit(NOT_STARTED)
    os.close(writing)
    failure = os.read(reading, 32)
    _, status = os.waitpid(child, 0)
    if failure:
        note(hook["failure"], failure)
        return NOT_STARTED
    return end(os.waitstatus_to_exitcode(status))


def joined(pid: str) -> tuple[list[int], int]:
    """Let children be born into the pid namespace of process *pid*; descriptors of its other namespaces, and mounts."""
    mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    others = [
        os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in NAMESPACES if differs(pid, kind)
    ]
    if differs(pid, "pid") and _setns(os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC), 0):
        raise OSError(ctypes.get_errno(), "setns")
    return others, mounts


def differs(pid: str, kind: str) -> bool:
    """Whether process *pid* has another namespace of this *kind* than we have."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    except FileNotFoundError:  # a kernel without namespaces of this kind
        return False


def become(hook: dict[str, Any], others: list[int], mounts: int, writing: int) -> None:
    """
    Become the hook; returns never, but tells on *writing* what fails once the container's mounts are there.

    Raises:
        OSError: Something fails before.
    """
    cwd = None if hook["cwd"] is None else os.fsencode(hook["cwd"])
    path, args, env = program(hook)
    for namespace in others:
        if _setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "setns")
    if hook["process"] is not None:
        reduce_privileges(hook["process"])
    if _setns(mounts, 0):
        raise OSError(ctypes.get_errno(), "setns")
    _ = (_chdir(cwd) if cwd is not None else 0) or _execve(path, args, env)
    os.write(writing, b"exec %d" % ctypes.get_errno())
    os._exit(NOT_STARTED)


def program(hook: dict[str, Any]) -> tuple[bytes, object, object]:
    """The arguments of execve."""
    words = [text.encode("utf-8", "surrogateescape") for text in hook["args"]]
    entries = [text.encode("utf-8", "surrogateescape") for text in hook["env"]]
    args = (ctypes.c_char_p * (len(words) + 1))(*words)
    env = (ctypes.c_char_p * (len(entries) + 1))(*entries)
    return str(hook["path"]).encode("utf-8", "surrogateescape"), args, env


def reduce_privileges(process: dict[str, Any]) -> None:
    """
    Take away what the container's program would not have, but for what joining the container's mounts needs.

    The latter goes with the exec: then root has what the bounding set leaves it of what it had, and others nothing.
    """
    user: dict[str, Any] = process.get("user") or {}
    sets: dict[str, list[str]] = process.get("capabilities") or {}
    kept = {name.removeprefix("CAP_") for name in sets.get("bounding") or ()} - set(WITHHELD)
    uid, gid = int(user.get("uid") or 0), int(user.get("gid") or 0)
    for number in _NUMBERS:
        if number >= len(CAPABILITIES) or CAPABILITIES[number] not in kept:
            _prctl(_CAPBSET_DROP, number, 0, 0, 0)
            if _prctl(_CAPBSET_READ, number, 0, 0, 0) == 1:
                raise PermissionError(errno.EPERM, "prctl")
    _prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR, 0, 0, 0)
    if process.get("noNewPrivileges"):
        _prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.setgroups(user.get("additionalGids") or [])
    os.setresgid(gid, gid, gid)
    _prctl(_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(uid, uid, uid)
    joining = 1 << _SYS_ADMIN | 1 << _SYS_CHROOT
    own = sum(1 << number for number, name in enumerate(CAPABILITIES) if name in kept)
    keep_only(joining if uid else joining | own)


def keep_only(capabilities: int) -> None:
    """Have these capabilities, and hand on none of them."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(capabilities, capabilities, 0, 0, 0, 0)
    if _libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def note(file: str, failure: bytes) -> None:
    """Leave the number of the error where the caller looks for it."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fd, failure)
    os.close(fd)


def end(status: int) -> int:
    """The exit status *status*; a negative one is a signal by which this process ends, too."""
    if status < 0 and -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    if status < 0:
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
