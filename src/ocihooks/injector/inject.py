"""
Puts what injector files say into the root of a container that is about to start: all of it, or nothing.

A child does so, which can change nothing else. Its parent makes the cache of the container's dynamic linker meanwhile,
keeps what has to be undone, and says the last word.
"""

from __future__ import annotations

import errno
import posix

from ocihooks.errors import os_reason, quoted
from ocihooks.injector.changes import Changes
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.items import Files, Item, check_visible, items_for, open_source
from ocihooks.injector.rootfs import NotInPlaceError, Root
from ocihooks.injector.worker import Line, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeGuard

    from ocihooks.injector.container_devices import Devices
    from ocihooks.injector.copying import File
    from ocihooks.injector.files import InjectorFile
    from ocihooks.injector.refresh import Refresh
    from ocihooks.injector.target import Target

    Tell = Callable[[str, str], None]
    """Takes a level ("debug", "info", "warning") and a sentence."""

KEEP = "keep"
"""The last word."""


def inject(target: Target, files: Sequence[InjectorFile], tell: Tell, *, details: bool = True) -> None:
    """
    Put what *files* say into the container *target*.

    Args:
        details: Whether sentences of the level "debug" are told as well.

    Raises:
        NotInjectedError: Nothing was changed; the error tells why.
    """
    items = items_for(files, target, tell)
    if not items:
        return
    with _opened(target.root) as root:
        devices = _devices(items, target, tell)
        if devices is None:
            items = tuple([item for item in items if not _is_device(item)])
        refresh = _refresh(items, root, tell)
        try:
            _inject(_Job(target, items=items, root=root, devices=devices, refresh=refresh, tell=tell, details=details))
        finally:
            for resource in (devices, refresh):
                if resource is not None:
                    resource.close()


class _Job:
    """What both processes know."""

    __slots__ = ("details", "devices", "items", "refresh", "root", "target", "tell")

    def __init__(
        self,
        target: Target,
        *,
        items: Sequence[Item | Files],
        root: Root,
        devices: Devices | None,
        refresh: Refresh | None,
        tell: Tell,
        details: bool,
    ) -> None:
        self.target = target
        self.items = items
        self.root = root
        self.devices = devices
        self.refresh = refresh
        self.tell = tell
        self.details = details


def _opened(path: str) -> Root:
    try:
        return Root(path)
    except OSError as error:
        message, hint = f"can't be opened: {os_reason(error)}", "look at root.path in the bundle's config.json"
        raise NotInjectedError(message, code="read_failed", file=path, hint=hint) from None


def _devices(items: Iterable[Item | Files], target: Target, tell: Tell) -> Devices | None:
    """The devices among *items* on their way; None where there are none, or only optional ones that can't be given."""
    wanted = sorted(filter(_is_device, items), key=lambda item: item.entry.optional)
    if not wanted:
        return None
    from ocihooks.injector.container_devices import Devices

    try:
        return Devices(wanted, target)
    except NotInjectedError as error:
        if not wanted[0].entry.optional:
            raise
        tell("info", f"left out, since it is optional: {error}")
        for item in wanted[1:]:
            tell("info", f"left out for the same reason: {quoted(item.source, 200)}")
    return None


def _is_device(item: Item | Files) -> TypeGuard[Item]:
    return isinstance(item, Item) and item.node is not None


def _refresh(items: Iterable[Item | Files], root: Root, tell: Tell) -> Refresh | None:
    if not any(item.is_library for item in items):
        return None
    from ocihooks.injector.refresh import prepared

    return prepared(root, tell)


def _inject(job: _Job) -> None:
    """The parent's part."""
    target, refresh, devices = job.target, job.refresh, job.devices
    writable = (job.root.fd,) if devices is None else (job.root.fd, devices.root.fd)
    worker = Worker(writable, lambda line, is_confined: _work(job, line, is_confined))
    try:
        if refresh is not None:
            has_libraries = worker.hear()
            worker.tell(has_libraries and refresh.make(target.root, job.root))
        made = worker.hear()
        if devices is not None:
            devices.allow(job.tell)
        if made and target.record:
            from ocihooks.injector.undo import keep

            keep(target, job.root, made)
        worker.tell(KEEP)
        worker.hear()
    finally:
        worker.close()


def _work(job: _Job, line: Line, is_confined: bool) -> None:
    """The child's part."""
    if not is_confined:
        job.tell("warning", "the kernel has no Landlock, so nothing but our own care keeps writes inside the root")
    try:
        _attempt(job, line, beside=True)
    except NotInPlaceError:  # two containers that share a root may make the same directory
        for root in (job.root, *(() if job.devices is None else (job.devices.root,))):
            root.forget()
        _attempt(job, line, beside=False)


def _attempt(job: _Job, line: Line, *, beside: bool) -> None:
    with Changes(job.root, job.target.owner, beside=beside) as changes:
        changes.keeps_former = bool(job.target.record)
        if job.devices is None:
            _change(job, changes, None, line)
            return
        with Changes(job.devices.root, beside=beside) as nodes:
            _change(job, changes, nodes, line)


def _change(job: _Job, changes: Changes, nodes: Changes | None, line: Line) -> None:
    mounts = _Mounts(job.root, job.target.mounts)
    has_libraries = _add_all(job, changes, nodes, mounts)
    _put(changes, job.root.path)
    if nodes is not None:
        _put(nodes, "/dev")
    if job.refresh is not None:
        line.tell(("placed", has_libraries))
        if line.hear():
            job.refresh.add(changes)
            _put(changes, job.root.path)
    line.tell(("made", changes.made() if job.target.record else ()))
    if line.hear() != KEEP:
        raise RuntimeError("an unknown word")


class _Mounts:
    """
    The *mounts* of a container that are directories, as links in its *root* lead to them.

    They hide what a hook puts there, by whatever path.
    """

    __slots__ = ("_found", "_root", "_visible")

    def __init__(self, root: Root, mounts: Iterable[str]) -> None:
        self._root = root
        self._found: set[str] = set()
        self._visible: set[int] = set()
        for mount in mounts:
            try:
                self._found.add(root.where(root.directory(mount)))
            except OSError:
                continue

    def check(self, item: Item) -> None:
        """Raise if *item* would be hidden; OSError if there is no place for it."""
        if not self._found:
            return
        directory = self._root.nearest(item.place) if item.is_directory else self._parent(item.place)
        if directory not in self._visible:
            check_visible(item, self._root.where(directory), self._found)
            self._visible.add(directory)

    def _parent(self, path: str) -> int:
        """The directory that a file at *path* would be in."""
        return (self._root.hidden_place(path) or self._root.place(path)).parent


def _add_all(job: _Job, changes: Changes, nodes: Changes | None, mounts: _Mounts) -> bool:
    """Add all items, files for new directories together; whether there is a library for the linker's cache."""
    adding = _Adding(job, changes, nodes, mounts)
    for item in job.items:
        if isinstance(item, Item):
            adding.take(item)
        else:
            adding.take_files(item)
    adding.add_together()
    return adding.has_libraries


class _Adding:
    """
    Adds items, and those that are files for new directories, with which nothing else is to be done, together.

    What is added together has one source for each place, since two processes add it.

    Attributes:
        has_libraries: Whether there was a library for the linker's cache.
    """

    __slots__ = ("_changes", "_job", "_lists", "_mounts", "_nodes", "_places", "_together", "has_libraries")

    def __init__(self, job: _Job, changes: Changes, nodes: Changes | None, mounts: _Mounts) -> None:
        self._job = job
        self._changes = changes
        self._nodes = nodes
        self._mounts = mounts
        self._together: list[File[Item | str]] = []
        self._lists: list[tuple[int, Files, int]] = []
        self._places: set[str] = set()
        self.has_libraries = False

    def take(self, item: Item) -> None:
        """Add *item*, by and by."""
        if self._job.details:
            self._job.tell("debug", f"{item.source or item.place} -> {item.place}")
        parent = self._hidden(item)
        if parent is None or self._lists or item.place in self._places:
            self.add_together()
        if parent is None:
            self._add(item)
        else:
            self._places.add(item.place)
            self._together.append((parent, item.place.rpartition("/")[2], item))

    def take_files(self, files: Files) -> None:
        """Add *files*, by and by."""
        paths = files.paths.paths
        for path in paths if self._job.details else ():
            self._job.tell("debug", f"{path} -> {path}")
        if self._places:
            self.add_together()
        for _, names, first in files.paths.runs:
            parent, end = self._hidden(files.item(first)), first + len(names)
            if parent is None:
                self.add_together()
                for number in range(first, end):
                    self._add(files.item(number))
            else:
                self._lists.append((len(self._together), files, first))
                self._together += [(parent, name, path) for name, path in zip(names, paths[first:end], strict=True)]

    def add_together(self) -> None:
        """Add what waits; what can't be added together is added by itself, or it is told why it can't be."""
        together, lists = self._together, self._lists
        self._together, self._lists, self._places = [], [], set()
        for number in sorted(self._changes.add_files(together, open_source)) if together else ():
            source = together[number][2]
            if isinstance(source, str):
                start, files, first = next(row for row in reversed(lists) if row[0] <= number)
                source = files.item(first + number - start)
            self._add(source)

    def _hidden(self, item: Item) -> int | None:
        """The new directory of *item* if it is a file for one, with which nothing else is to be done."""
        kind = item.entry.kind
        if kind in ("devices", "directories") or (kind == "libraries" and self._job.refresh is not None):
            return None
        try:
            place = self._changes.root.hidden_place(item.place)
            if place is not None:
                self._mounts.check(item)
        except (OSError, NotInjectedError):  # it is told when the item is added by itself
            return None
        return None if place is None else place.parent

    def _add(self, item: Item) -> None:
        added = _is_added(self._job, item, self._changes, self._nodes, self._mounts)
        self.has_libraries |= added and item.is_library


def _is_added(job: _Job, item: Item, changes: Changes, nodes: Changes | None, mounts: _Mounts) -> bool:
    """Add *item*, or tell that it is left out."""
    try:
        if item.node is not None and nodes is not None and job.devices is not None:
            job.devices.add(item, nodes)
        else:
            _add(job, item, changes, mounts)
    except OSError as error:
        refused = item.refused(*_not_put(item.place, error))
    except NotInjectedError as error:
        refused = error
    else:
        return True
    if not item.entry.optional:
        raise refused
    job.tell("info", f"left out, since it is optional: {refused}")
    return False


def _add(job: _Job, item: Item, changes: Changes, mounts: _Mounts) -> None:
    mounts.check(item)
    if item.is_directory:
        changes.make_directory(item.place, item.entry.mode)
        return
    fd, mode, size_bytes = open_source(item)
    try:
        changes.add_file(item.place, fd, mode, size_bytes)
        if item.is_library and job.refresh is not None:
            job.refresh.add_link(changes, item.place, fd)
    finally:
        posix.close(fd)


def _put(changes: Changes, where: str) -> None:
    try:
        changes.put_in_place()
    except OSError as error:
        message, hint = _not_put("", error)
        raise NotInjectedError(message, code="not_injected", file=where, hint=hint) from None


def _not_put(place: str, error: OSError) -> tuple[str, str]:
    """What can't be done at *place* ("": in all of the root), and a hint."""
    what = f"{quoted(place, 200)} can't be put into the container" if place else "can't be changed"
    hint = HINTS.get(error.errno or 0, "look at the container's root file system")
    return f"{what}: {os_reason(error)}", hint


HINTS = {
    errno.ENOENT: 'list the directory above it under "directories", or have the image bring it',
    errno.ENOTDIR: "something else is in the place of a directory; choose another path",
    errno.EISDIR: "a directory is there; choose another path",
    errno.EXDEV: "the path leads to a volume or another file system, into which nothing is put; choose another path",
    errno.ELOOP: "links in the container lead nowhere; choose another path",
    errno.EEXIST: "a link to nowhere is in the place of a directory; choose another path",
    errno.EAGAIN: "somebody moves directories on this path all the time; stop them",
    errno.EROFS: "the container's root file system can't be written; mount the files with the engine instead",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "name a smaller file",
}
"""What users can do about an error, by its number."""
