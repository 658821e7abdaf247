"""
Gives a container devices while it is being created, where the kernel lets a hook do so.

The nodes go into the container's own /dev, a file system in memory that only its processes see, so it is reached
through the first of them. Access is allowed in its cgroup of version 1; with version 2 nobody but the runtime can, and
in a user namespace nobody can make nodes.
"""

from __future__ import annotations

import posix

from ocihooks.errors import os_reason, quoted
from ocihooks.injector.rootfs import Root
from ocihooks.trust import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocihooks.injector.changes import Changes
    from ocihooks.injector.errors import NotInjectedError
    from ocihooks.injector.items import Item
    from ocihooks.injector.target import Target

    Tell = Callable[[str, str], None]

DEV = "/dev"
ACCESS = "rwm"
"""What a container may do with its devices, as engines have it."""

_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_WRITE = posix.O_WRONLY | posix.O_CLOEXEC
_CHARACTER, _BLOCK = 0o020000, 0o060000
_HINT = "set injector-dir in the settings of ocihooks-runtime, which gives devices before a container is created"


class Devices:
    """
    The devices *items* on their way into the container *target*.

    Raises:
        NotInjectedError: A hook can't give devices to this container; in words about the first of *items*.

    Attributes:
        root: The container's /dev, as the root of all that is done here.
    """

    __slots__ = ("_allow", "_items", "root")

    def __init__(self, items: Sequence[Item], target: Target) -> None:
        self._items = items
        if not target.pid:
            raise _impossible(items[0], "the state has no process of the container")
        if in_user_namespace() or target.owner is not None:
            raise _impossible(items[0], "in a user namespace nobody can make devices")
        file = _allowing_file(target.pid)
        if not file:
            raise _impossible(items[0], "with cgroup version 2 only the runtime can allow access to devices")
        try:
            self._allow = posix.open(file, _WRITE)
        except OSError as error:
            raise _impossible(items[0], f"{quoted(file, 200)} can't be written: {os_reason(error)}") from None
        try:
            self.root = _own_dev(items[0], target)
        except BaseException:
            posix.close(self._allow)
            raise

    def close(self) -> None:
        """Close what was opened."""
        posix.close(self._allow)
        self.root.close()

    def add(self, item: Item, nodes: Changes) -> None:
        """Add the device *item* to *nodes*, which are changes to `root`; one that is there stays as it is."""
        node, path = item.node, item.place.removeprefix(DEV)
        if node is None:
            return
        above = path.rpartition("/")[0]
        if above:
            nodes.make_directory(above)
        kind = _CHARACTER if node.type == "c" else _BLOCK
        device = posix.makedev(node.major, node.minor)
        there = self.root.name(path).status
        if there is not None and (there.st_mode & 0o170000, there.st_rdev) == (kind, device):
            return
        if there is not None:
            message = f"{quoted(item.place, 200)} can't be given to the container: something else is there"
            raise item.refused(message, "choose another path")
        mode = node.mode if item.entry.mode is None else item.entry.mode
        nodes.add_device(path, device, kind | mode, (node.uid, node.gid))

    def allow(self, tell: Tell) -> None:
        """
        Let the container use the devices.

        Raises:
            NotInjectedError: The kernel refuses, and the device is not optional.
        """
        for item in self._items:
            if item.node is None:
                continue
            rule = f"{item.node.type} {item.node.major}:{item.node.minor} {ACCESS}"
            try:
                posix.write(self._allow, rule.encode())
            except OSError as error:
                refused = _impossible(item, f"its use can't be allowed: {os_reason(error)}")
                if not item.entry.optional:
                    raise refused from None
                tell("info", f"can't be used, and is optional: {refused}")


def _impossible(item: Item, reason: str) -> NotInjectedError:
    return item.refused(f"a hook can't give the device {quoted(item.source, 200)} to this container: {reason}", _HINT)


def _own_dev(item: Item, target: Target) -> Root:
    """The container's own /dev."""
    if target.mounts.get(DEV, ("", ""))[1] != "tmpfs":
        raise _impossible(item, "it has no /dev of its own")
    try:
        base = _root_of(target)
        try:
            fd = posix.open(DEV[1:], _DIRECTORY | posix.O_NOFOLLOW, dir_fd=base)
            outside = (posix.fstat(base).st_dev, posix.stat(DEV).st_dev)
        finally:
            posix.close(base)
        try:
            if posix.fstat(fd).st_dev in outside:
                raise _impossible(item, "its own /dev is not there yet, or not any more")
            return Root(f"/proc/self/fd/{fd}")
        finally:
            posix.close(fd)
    except OSError as error:
        raise _impossible(item, f"its own /dev can't be reached: {os_reason(error)}") from None


def _root_of(target: Target) -> int:
    """
    A descriptor of the container's root as its first process sees it.

    Until the runtime has changed the root of that process, the root is where it is on the host.
    """
    seen = f"/proc/{target.pid}/root"
    root = posix.stat(target.root)
    for path in (seen, f"{seen}{_absolute(target.root)}"):
        fd = posix.open(path, _DIRECTORY)
        status = posix.fstat(fd)
        if (status.st_dev, status.st_ino) == (root.st_dev, root.st_ino):
            return fd
        posix.close(fd)
    raise FileNotFoundError(2, "")


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{posix.getcwd()}/{path}"


def _allowing_file(pid: int) -> str:
    """The file of the process's cgroup of version 1 that takes further devices; "" where there is none."""
    try:
        cgroups, mounts = (_read(f"/proc/{name}") for name in (f"{pid}/cgroup", "self/mountinfo"))
    except OSError:
        return ""
    path = next((line.split(":", 2)[2] for line in cgroups if "devices" in line.split(":", 2)[1].split(",")), "")
    for line in mounts if path else ():
        fields, _, kind = line.partition(" - ")
        top, place = fields.split(" ")[3:5]
        words = kind.split(" ")
        if words[0] == "cgroup" and "devices" in words[-1].split(","):
            below = path if top == "/" else path.removeprefix(top)
            return f"{place}{below.rstrip('/')}/devices.allow"
    return ""


def _read(path: str) -> list[str]:
    """The lines of *path*; the kernel ends them by "\n" and lets all else be in names that stand in them."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
        return [line.removesuffix("\n") for line in stream]
