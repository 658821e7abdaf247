"""
Puts what injector files say into the root of a container: all of it, or nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ocihooks.errors import os_reason, quoted
from ocihooks.injector.changes import MOST_BYTES, Changes
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import LISTS, InjectorFile, inside
from ocihooks.injector.kernel import allow_writes_beneath
from ocihooks.injector.rootfs import Root

Tell = Callable[[str, str], None]
"""Takes a level ("debug", "warning") and a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """
    One thing for a container.

    Attributes:
        file: The injector file.
        pointer: Where it says so.
        source: The path on the host.
        target: The path in the container.
        is_directory: Whether it is an empty directory to be made.
    """

    file: str
    pointer: str
    source: str
    target: str
    is_directory: bool


def inject(root_path: str, files: Sequence[InjectorFile], tell: Tell) -> None:
    """
    Put what *files* say into the container whose root is at *root_path*.

    From here on this process can change nothing outside of that root any more, where the kernel has Landlock.

    Raises:
        NotInjectedError: Nothing was changed; the error tells why.
    """
    items = tuple(item for file in files for item in items_of(file))
    for item in items:
        check_source(item)
    if not items:
        return
    try:
        root = Root(root_path)
    except OSError as error:
        message, hint = f"can't be opened: {os_reason(error)}", "look at root.path in the bundle's config.json"
        raise NotInjectedError(message, code="read_failed", file=root_path, hint=hint) from None
    with root:
        if not allow_writes_beneath(root.fd):
            tell("warning", "the kernel has no Landlock, so nothing but our own care keeps writes inside the root")
        with Changes(root) as changes:
            for item in items:
                tell("debug", f"{item.source} -> {item.target}")
                _add(changes, item)
            with _explained(root_path, ""):
                changes.put_in_place()


def items_of(file: InjectorFile) -> tuple[Item, ...]:
    """
    What *file* wants put into a container, in order.

    Raises:
        NotInjectedError: It wants something that a hook can't give, or a path above the root.
    """
    for index, path in enumerate(file.paths["devices"]):
        message = f"a hook can't give devices to a container; found {quoted(path, 200)}"
        hint = "take it out, and let the engine give the device, with --device say"
        raise NotInjectedError(message, code="not_injected", file=file.file, pointer=f"/devices/{index}", hint=hint)
    return tuple(
        _item(file.file, name, index, path)
        for name in LISTS
        if name != "devices"
        for index, path in enumerate(file.paths[name])
    )


def _item(file: str, name: str, index: int, path: str) -> Item:
    pointer, target = f"/{name}/{index}", inside(path)
    if target is None:
        message, hint = f"{quoted(path, 200)} leads above the root of the container", "write the path from / down"
        raise NotInjectedError(message, code="not_injected", file=file, pointer=pointer, hint=hint)
    return Item(file=file, pointer=pointer, source=path, target=target, is_directory=name == "directories")


def check_source(item: Item) -> None:
    """Raise NotInjectedError unless the source of *item* is a regular file that may be copied."""
    if item.is_directory:
        return
    try:
        status = os.stat(item.source)
    except OSError as error:
        raise _unreadable(item, os_reason(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(item, "it is not a regular file")
    if status.st_size > MOST_BYTES:
        raise _unreadable(item, f"it is larger than {MOST_BYTES >> 30} GiB")


def _unreadable(item: Item, reason: str) -> NotInjectedError:
    message, hint = f"{quoted(item.source, 200)} can't be copied: {reason}", "name a file of the host that is there"
    return NotInjectedError(message, code="read_failed", file=item.file, pointer=item.pointer, hint=hint)


def _add(changes: Changes, item: Item) -> None:
    if item.is_directory:
        with _explained(item.file, item.pointer, item.target):
            changes.make_directory(item.target)
        return
    fd = _open_source(item)
    try:
        with _explained(item.file, item.pointer, item.target):
            changes.add_file(item.target, fd, stat.S_IMODE(os.fstat(fd).st_mode))
    finally:
        os.close(fd)


def _open_source(item: Item) -> int:
    """A descriptor of a regular file; whatever else may have taken its place is not opened for reading."""
    try:
        handle = os.open(item.source, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _unreadable(item, "it is not a regular file")
            return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(handle)
    except OSError as error:
        raise _unreadable(item, os_reason(error)) from None


_HINTS = {
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


@contextmanager
def _explained(file: str, pointer: str, target: str = "") -> Iterator[None]:
    """Turn an OSError into one of ours that names *target*."""
    try:
        yield
    except OSError as error:
        what = f"{quoted(target, 200)} can't be put into the container" if target else "can't be changed"
        raise NotInjectedError(
            f"{what}: {os_reason(error)}",
            code="not_injected",
            file=file,
            pointer=pointer or None,
            hint=_HINTS.get(error.errno or 0, "look at the container's root file system"),
        ) from None
