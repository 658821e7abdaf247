"""
What a hook has to know about the container that it puts files into.
"""

from __future__ import annotations

import posix
from _imp import source_hash

from ocihooks.injector.files import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


UNDO_DIR = "OCI_INJECTOR_UNDO_DIR"
"""The variable that names another directory for undo records."""

_KEY = 0x696E6A65


class Target:
    """
    The container.

    Attributes:
        root: Absolute path of its root, or relative to the working directory.
        mounts: What is mounted in it: source and type ("": none) by the place.
        devices: The places of the devices that its configuration names.
        environment: The entries of its process's environment.
        owner: uid and gid on the host of the container's root user; None: those of this process.
        pid: The container's first process; 0: none that we know.
        record: The file for what has to be undone when the container is gone; "": nothing is undone.
        name: The container's id and its bundle.
    """

    __slots__ = ("devices", "environment", "mounts", "name", "owner", "pid", "record", "root")

    def __init__(
        self,
        root: str,
        *,
        mounts: Mapping[str, tuple[str, str]] | None = None,
        devices: frozenset[str] = frozenset(),
        environment: frozenset[str] = frozenset(),
        owner: tuple[int, int] | None = None,
        pid: int = 0,
        record: str = "",
        name: tuple[str, str] = ("", ""),
    ) -> None:
        self.root = root
        self.mounts = dict(mounts or {})
        self.devices = devices
        self.environment = environment
        self.owner = owner
        self.pid = pid
        self.record = record
        self.name = name

    def has(self, source: str, place: str) -> bool:
        """Whether the configuration gives *source* ("": a directory of its own) at *place* already."""
        if not source:
            return any(f"{mount}/".startswith(f"{place}/") for mount in self.mounts)
        mount = self.mounts.get(place)
        return place in self.devices or (mount is not None and inside(mount[0]) == inside(source))


def record_file(environ: Mapping[str, str], name: tuple[str, str]) -> str:
    """The file for what has to be undone in the root of the container *name*; "" where there is no place for it."""
    directory = environ.get(UNDO_DIR) or _usual_directory(environ)
    key = source_hash(_KEY, repr(name).encode("utf-8", "surrogateescape")).hex()
    return f"{directory.rstrip('/')}/{key}.json" if directory else ""


def _usual_directory(environ: Mapping[str, str]) -> str:
    from ocihooks.places import cache_directory

    directory = cache_directory(environ)
    return f"{directory}/injected" if directory else ""


def mounts_of(config: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What *config* mounts: source and type by the place in the container."""
    found = {}
    for mount in _objects(config.get("mounts")):
        place = _place(mount.get("destination"))
        if place:
            source, kind = mount.get("source"), mount.get("type")
            found[place] = (source if isinstance(source, str) else "", kind if isinstance(kind, str) else "")
    return found


def devices_of(config: Mapping[str, Any]) -> frozenset[str]:
    """The places of the devices in *config*."""
    linux = config.get("linux")
    devices = _objects(linux.get("devices")) if isinstance(linux, dict) else []
    return frozenset(filter(None, (_place(device.get("path")) for device in devices)))


def _place(path: Any) -> str:
    return inside(path) or "" if isinstance(path, str) else ""


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def owner_of(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """uid and gid on the host of the root user of the container of *config*; None: those of this process."""
    linux = config.get("linux")
    if not isinstance(linux, dict):
        return None
    uid, gid = _of_root(linux.get("uidMappings")), _of_root(linux.get("gidMappings"))
    if uid is None or gid is None or (uid, gid) == (posix.geteuid(), posix.getegid()):
        return None
    return uid, gid


def _of_root(mappings: Any) -> int | None:
    """The id on the host to which *mappings* map 0."""
    for row in _objects(mappings):
        try:
            first, host, size = (int(row.get(name) or 0) for name in ("containerID", "hostID", "size"))
        except (TypeError, ValueError):
            continue
        if first <= 0 < first + size:
            return host - first
    return None


def is_undone(config: Mapping[str, Any], program: str) -> bool:
    """Whether *program* is a poststop hook of the container, too, or what a supervisor runs as one."""
    hooks = config.get("hooks")
    entries = _objects(hooks.get("poststop")) if isinstance(hooks, dict) else []
    return any(_is_same(word, program) for entry in entries for word in _words(entry))


def _words(entry: Mapping[str, Any]) -> list[str]:
    args = entry.get("args")
    words = [entry.get("path"), *(args if isinstance(args, list) else ())]
    return [word for word in words if isinstance(word, str) and word.startswith("/")]


def _is_same(path: str, program: str) -> bool:
    if path == program:
        return True
    try:
        one, other = posix.stat(path), posix.stat(program)
    except (OSError, ValueError):
        return False
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
