"""
The mounts of a configuration in a root file system, in a mount namespace of our own.

Made before that root becomes the namespace's. The tree is the image's, so the kernel resolves every place inside of it,
and nothing is made there: a mount whose place is missing is left out and told. proc and sysfs are read-only, since
nothing else keeps a container of the simulation from changing the kernel's settings.

Spec: runtime-spec 1.3.0, config.md "Mounts".
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ocihooks.injector.kernel import IN_ROOT, NO_MAGICLINKS, openat2

_libc = ctypes.CDLL(None, use_errno=True)

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, SLAVE = 0x1, 0x2, 0x4, 0x8, 0x20, 0x1000, 0x4000, 0x80000

_FLAGS = {
    "ro": RDONLY,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "bind": BIND,
    "rbind": BIND | REC,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "relatime": 0x200000,
    "strictatime": 0x1000000,
}
_PASSED_OVER = (
    *("rw", "suid", "dev", "exec", "defaults", "atime", "diratime", "norelatime", "nostrictatime"),
    *("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable", "tmpcopyup"),
)
"""Options that say what holds anyway, or what matters to nobody outside of this namespace."""

_KERNELS = ("proc", "sysfs")
_KINDS = ("bind", "tmpfs", "devpts", "mqueue", *_KERNELS)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_KEPT_ON_REMOUNT = RDONLY | NOSUID | NODEV | NOEXEC


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """
    Mount as mount(2) does.

    Raises:
        OSError: It can't be done.
    """
    words = [os.fsencode(text) or None for text in (source, target, kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) or None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Tree:
    """
    A root file system, bound onto itself so that it can become the root of this mount namespace.

    Attributes:
        left_out: What could not be mounted, each with the reason.
    """

    def __init__(self, root: str) -> None:
        mount(root, root, flags=BIND | REC)
        mount("", root, flags=BIND | REMOUNT | NODEV)
        self._root = root
        self._fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._own: set[int] = set()
        self.left_out: list[str] = []

    def close(self, *, readonly: bool) -> None:
        """Make the tree read-only if *readonly*; the mounts in it stay as they are."""
        os.close(self._fd)
        if readonly:
            mount("", self._root, flags=BIND | REMOUNT | NODEV | RDONLY)

    def mount_all(self, mounts: Iterable[Mapping[str, Any]], bundle: str) -> None:
        """Mount what can be mounted, in order; relative sources are looked up from *bundle*."""
        for entry in mounts:
            destination = str(entry.get("destination", ""))
            try:
                self._mount(entry, destination, bundle)
            except OSError as error:
                self.left_out.append(f"{destination}: {os.strerror(error.errno or 0).lower()}")

    def _mount(self, entry: Mapping[str, Any], destination: str, bundle: str) -> None:
        options = [str(option) for option in entry.get("options") or ()]
        flags = 0
        for option in options:
            flags |= _FLAGS.get(option, 0)
        kind = "bind" if flags & BIND else str(entry.get("type", ""))
        if kind not in _KINDS:
            self.left_out.append(f"{destination}: mounts of type {kind or 'none'} are not simulated")
            return
        source = os.path.join(bundle, str(entry.get("source") or kind))
        data = ",".join(option for option in options if option not in _FLAGS and option not in _PASSED_OVER)
        if kind == "bind":
            self._bind(source, destination, flags)
            return
        place = self._place(destination, directory=True)
        mount(kind, place, kind, flags | (RDONLY if kind in _KERNELS else 0), data)
        if kind == "tmpfs":
            self._made_of_memory(destination)

    def _bind(self, source: str, destination: str, flags: int) -> None:
        mount(source, self._place(destination, directory=os.path.isdir(source)), flags=BIND | (flags & REC))
        kept = flags & _KEPT_ON_REMOUNT
        if kept:
            mount("", self._place(destination, directory=os.path.isdir(source)), flags=BIND | REMOUNT | kept)

    def _made_of_memory(self, destination: str) -> None:
        """Note that we may make places below *destination*, and give /dev its devices."""
        fd = self._open(destination)
        self._own.add(os.fstat(fd).st_dev)
        if destination.rstrip("/") == "/dev":
            for name, target in _LINKS.items():
                os.symlink(target, name, dir_fd=fd)
            for name in _DEVICES:
                mount(f"/dev/{name}", self._place(f"/dev/{name}", directory=False), flags=BIND)
        os.close(fd)

    def _place(self, path: str, *, directory: bool) -> str:
        """A name of *path* that nothing in the tree can lead elsewhere; it holds until the process ends."""
        try:
            return f"/proc/self/fd/{self._open(path)}"
        except FileNotFoundError:
            above, _, name = path.rstrip("/").rpartition("/")
            parent = self._open(above or "/")
            if os.fstat(parent).st_dev not in self._own:
                raise
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))
            return f"/proc/self/fd/{self._open(path)}"

    def _open(self, path: str) -> int:
        return openat2(self._fd, os.fsencode(path), os.O_PATH, IN_ROOT | NO_MAGICLINKS)
