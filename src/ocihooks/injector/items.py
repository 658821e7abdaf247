"""
What a hook is to put into a container, one thing at a time, checked as far as the host can tell.
"""

from __future__ import annotations

import posix

from ocihooks.errors import os_reason, quoted
from ocihooks.injector.copying import MOST_BYTES
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import EVERYWHERE, MOUNT, Entry, InjectorFile, Paths, inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from ocihooks.injector.host import Node
    from ocihooks.injector.target import Target

    Tell = Callable[[str, str], None]

_KIND, _REGULAR, _SET_UID, _SET_GID = 0o170000, 0o100000, 0o4000, 0o2000
_SPECIAL = _KIND | _SET_UID | _SET_GID
_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
"""Whatever a source is: this neither waits nor gets a terminal."""

_BEFORE_CREATE = "set injector-dir in the settings of ocihooks-runtime, which does so before a container is created"


class Item:
    """
    One thing for a container.

    Attributes:
        file: The injector file.
        entry: Where it says so.
        source: The path on the host; "" for a directory to be made.
        place: The place in the container, from / down.
        node: What the host has there, for devices; None for all others.
    """

    __slots__ = ("entry", "file", "node", "place", "source")

    def __init__(self, file: str, entry: Entry, source: str, place: str, node: Node | None = None) -> None:
        self.file = file
        self.entry = entry
        self.source = source
        self.place = place
        self.node = node

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory to be made."""
        return self.entry.kind == "directories"

    @property
    def is_library(self) -> bool:
        """Whether the dynamic linker is to find it."""
        return self.entry.kind == "libraries"

    def refused(self, message: str, hint: str, code: str = "not_injected") -> NotInjectedError:
        """The error that names the place in the injector file."""
        return NotInjectedError(message, code=code, file=self.file, pointer=self.entry.pointer, hint=hint)


class Files:
    """
    Files of the host that go to the same paths in the container, and about which nothing else is to be said.

    Attributes:
        file: The injector file.
        paths: The list in it.
        is_library: Whether the dynamic linker is to find them.
    """

    __slots__ = ("file", "is_library", "paths")

    def __init__(self, file: str, paths: Paths) -> None:
        self.file = file
        self.paths = paths
        self.is_library = paths.kind == "libraries"

    def item(self, index: int) -> Item:
        """The file number *index* by itself."""
        entry = self.paths.entry(index)
        return Item(self.file, entry, entry.source, entry.destination)

    def is_touched_by(self, target: Target) -> bool:
        """Whether the configuration of *target* has one of these, or something that could hide one."""
        places = (*target.mounts, *target.devices)
        return any(
            _hiding(above, target.mounts)
            or any(place.startswith(above) and place[len(above) :] in names for place in places)
            for above, names, _ in self.paths.runs
        )


def items_for(files: Sequence[InjectorFile], target: Target, tell: Tell) -> tuple[Item | Files, ...]:
    """
    What *files* say is to be put into *target*: all but what is in its configuration, or optional and not there.

    Raises:
        NotInjectedError: Something can't be given.
    """
    items: list[Item | Files] = []
    for file in files:
        try:
            _check_variables(file, target)
        except NotInjectedError as error:
            _leave_out(error, tell, optional=file.optional)
        for part in file.parts:
            if isinstance(part, Entry):
                items += _of_entry(file, part, target, tell)
            elif file.way == MOUNT or (listed := Files(file.file, part)).is_touched_by(target):
                items += [item for entry in part.entries() for item in _of_entry(file, entry, target, tell)]
            else:
                items.append(listed)
    return tuple(items)


def _of_entry(file: InjectorFile, entry: Entry, target: Target, tell: Tell) -> list[Item]:
    """What *entry* says is to be put into *target*."""
    try:
        found = _devices(file, entry) if entry.kind == "devices" else (_plain(file, entry),)
        return [item for item in found if _is_needed(item, file, target)]
    except NotInjectedError as error:
        _leave_out(error, tell, optional=entry.optional)
    return []


def _leave_out(error: NotInjectedError, tell: Tell, *, optional: bool) -> None:
    """Raise *error*, or tell it where the thing is *optional*."""
    if not optional:
        raise error
    tell("info", f"left out, since it is optional: {error}")


def _check_variables(file: InjectorFile, target: Target) -> None:
    """Raise unless the container has the variables of *file*, which a hook can't give."""
    for index, variable in enumerate(file.env):
        if variable not in target.environment:
            message = f"a hook can't give the variable {quoted(variable.partition('=')[0], 200)}"
            raise NotInjectedError(
                message, code="not_injected", file=file.file, pointer=f"/env/{index}", hint=_BEFORE_CREATE
            )


def _is_needed(item: Item, file: InjectorFile, target: Target) -> bool:
    """Whether *target* lacks *item*; raises if a hook can't give it."""
    is_there = item.node is not None and item.source == item.place and item.place in EVERYWHERE
    if is_there or target.has(item.source, item.place):
        return False
    if file.way == MOUNT:
        message = f'{quoted(item.place, 200)} is to be given by "way": "mount", and the container was made without'
        raise item.refused(message, _BEFORE_CREATE)
    if item.node is None:
        _check(item, target)
    return True


def _plain(file: InjectorFile, entry: Entry) -> Item:
    """What an *entry* for anything but a device says."""
    place = inside(entry.destination)
    item = Item(file.file, entry, entry.source, place or "/")
    if place is None:
        message = f"{quoted(entry.destination, 200)} leads above the root of the container"
        raise item.refused(message, "write the path from / down")
    return item


def _devices(file: InjectorFile, entry: Entry) -> Iterator[Item]:
    """The devices that *entry* names, by a pattern perhaps."""
    from ocihooks.injector.host import things_of

    for thing in things_of(InjectorFile(file.file, file.flag, (entry,))):
        if thing.problem is not None:
            raise thing.problem
        item = Item(file.file, entry, thing.source, thing.destination, thing.node)
        if not item.place.startswith("/dev/"):
            raise item.refused(f"{quoted(item.place, 200)}: devices go below /dev only", "choose another path")
        yield item


def _check(item: Item, target: Target) -> None:
    """Raise unless the container would see a copy of *item*, and a hook can make one."""
    if target.mounts:
        check_visible(item, item.place, target.mounts)
    if item.is_directory and item.source:
        raise item.refused(f"a hook can't copy the directory {quoted(item.source, 200)}", _BEFORE_CREATE)


def check_visible(item: Item, place: str, mounts: Container[str]) -> None:
    """Raise if *place* lies in one of *mounts* below the root, which hides what a hook puts there."""
    mount = _hiding(place, mounts)
    if mount:
        message = (
            f"{quoted(item.place, 200)} can't be put into the container: its mount at {quoted(mount, 200)} hides it"
        )
        raise item.refused(message, "choose another path, outside of the container's mounts")


def _hiding(place: str, mounts: Container[str]) -> str:
    """Which of *mounts* below the root *place* is in; "" for none."""
    while place.strip("/"):
        if place in mounts:
            return place
        place = place.rpartition("/")[0]
    return ""


def open_source(source: Item | str) -> tuple[int, int, int]:
    """
    A descriptor of the regular file that *source* is copied from, the permission bits of the copy, its size in bytes.

    Args:
        source: The path stands for an item about which nothing else is to be said, see `Files`.

    Raises:
        NotInjectedError: It can't be copied; for a path, without the place in the injector file.
    """
    path, given = (source, None) if type(source) is str else (source.source, source.entry.mode)  # type: ignore[union-attr]
    try:
        fd = posix.open(path, _READ)
        status = posix.fstat(fd)
    except OSError as error:
        raise _unreadable(source, os_reason(error)) from None
    mode, size_bytes = status.st_mode, status.st_size
    if mode & _SPECIAL == _REGULAR and size_bytes <= MOST_BYTES and given is None:
        return fd, mode ^ _REGULAR, size_bytes
    if mode & _KIND != _REGULAR or size_bytes > MOST_BYTES:
        posix.close(fd)
        larger = f"it is larger than {MOST_BYTES >> 30} GiB"
        raise _unreadable(source, larger if mode & _KIND == _REGULAR else "it is not a regular file")
    return fd, _mode_of_copy(status) if given is None else given, size_bytes


def _unreadable(source: Item | str, reason: str) -> NotInjectedError:
    hint = "name a file of the host that is there"
    if isinstance(source, str):
        return NotInjectedError(f"{quoted(source, 200)} can't be copied: {reason}", code="read_failed", hint=hint)
    return source.refused(f"{quoted(source.source, 200)} can't be copied: {reason}", hint, code="read_failed")


def _mode_of_copy(status: posix.stat_result) -> int:
    """
    The permission bits of a copy, whose owner and group are the container's root.

    A program that runs with the rights of another user or group would run with those of root: it loses that.
    """
    mode = status.st_mode & 0o7777
    if not mode & (_SET_UID | _SET_GID):
        return mode
    if status.st_uid not in (0, posix.geteuid()):
        mode &= ~_SET_UID
    if status.st_gid not in (0, posix.getegid()):
        mode &= ~_SET_GID
    return mode
