"""
Paths inside a container's root file system: the one module that follows them.

The tree is whatever the author of the image made of it, and a running container may change it while we look. So the
root is opened once, the kernel resolves every path inside of it, and what follows is done by descriptor and name, which
no link can lead elsewhere.
"""

from __future__ import annotations

import errno
import posix
from time import monotonic

from ocihooks.injector.kernel import IN_ROOT, NO_MAGICLINKS, NO_XDEV, openat2
from ocihooks.reading import read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

MOST_LINKS = 40
MOST_TRIES, TRIES_S = 128, 1.0
"""How often, and for how long, a path is tried anew while somebody moves directories on it."""

_DIRECTORY = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY | posix.O_NONBLOCK
_RESOLVE = IN_ROOT | NO_MAGICLINKS | NO_XDEV
_KIND, _LINK, _FOLDER, _REGULAR = 0o170000, 0o120000, 0o040000, 0o100000


class Place:
    """
    Where a file is or is to be.

    Attributes:
        parent: Descriptor of its directory; it belongs to the `Root`.
        name: Its name there.
        status: What is there, links not followed; None: nothing.
    """

    __slots__ = ("name", "parent", "status")

    def __init__(self, parent: int, name: str, status: posix.stat_result | None = None) -> None:
        self.parent = parent
        self.name = name
        self.status = status

    @property
    def is_directory(self) -> bool:
        """Whether a directory is there."""
        return self.status is not None and self.status.st_mode & _KIND == _FOLDER

    @property
    def is_link(self) -> bool:
        """Whether a link is there."""
        return self.status is not None and self.status.st_mode & _KIND == _LINK


class NotInPlaceError(Exception):
    """A new directory that was made beside its place can't get its name; without that it may be made all the same."""


class Root:
    """
    The root of a container, open until it is closed.

    Its methods raise OSError, and NotInPlaceError where it has made directories beside their places. Directories that
    were reached once stay open and are not looked for again; new ones that are not in their places yet, nor seen there
    by anybody, are reached by the paths that they are going to have.
    """

    __slots__ = ("_beside", "_directories", "_hidden", "fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = posix.open(path, _DIRECTORY)
        self._directories: dict[str, int] = {}
        self._beside: list[tuple[Place, str]] = []
        self._hidden: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the root and all directories in it."""
        self.forget()
        posix.close(self.fd)

    def forget(self) -> None:
        """Close all directories in it, to look for them again."""
        for fd in self._directories.values():
            posix.close(fd)
        self._directories.clear()
        self._hidden.clear()
        self._beside.clear()

    def directory(self, path: str) -> int:
        """An O_PATH descriptor, which belongs to the root, of the directory at *path*; links lead inside the root."""
        try:
            return self._reached(path)
        except FileNotFoundError:
            if not self.put_in_place():  # a link may lead into a new directory, which the kernel does not see there
                raise
        return self._reached(path)

    def nearest(self, path: str) -> int:
        """The directory at *path*, or the nearest one above it that is there."""
        while True:
            try:
                return self._reached(path)
            except FileNotFoundError:
                path = path.rpartition("/")[0]

    def hidden_place(self, path: str) -> Place | None:
        """The place of *path* if it is in a new directory that is not in its place yet, where nobody has anything."""
        above, _, name = path.rpartition("/")
        parent = self._directories.get(above)
        if parent not in self._hidden or parent is None:
            return None
        _check(name)
        return Place(parent, name)

    def place(self, path: str) -> Place:
        """Where *path* leads: if it is a link, where that leads, whether anything is there or not."""
        for _ in range(MOST_LINKS):
            place = self.name(path)
            if not place.is_link:
                return place
            target = posix.readlink(place.name, dir_fd=place.parent)
            path = target if target.startswith("/") else f"{path.rstrip('/').rpartition('/')[0]}/{target}"
        raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))

    def name(self, path: str) -> Place:
        """The place of *path* itself, also where a link is there."""
        above, _, name = path.rstrip("/").rpartition("/")
        _check(path)
        if name in ("", ".", ".."):
            raise IsADirectoryError(errno.EISDIR, posix.strerror(errno.EISDIR))
        parent = self.directory(above)
        if self._directories.get(path) in self._hidden:
            self.put_in_place()  # else nothing is seen where a new directory is to be
        return look(parent, name)

    def where(self, directory: int) -> str:
        """The path in the root, without links, that a *directory* of it has or is to have; "" for the root itself."""
        own, found = (posix.readlink(f"/proc/self/fd/{fd}") for fd in (self.fd, directory))
        for place, name in self._beside:
            found = f"{found}/".replace(f"/{place.name}/", f"/{name}/", 1)
        return found[len(own.rstrip("/")) :].rstrip("/")

    def read(self, path: str, limit_bytes: int) -> bytes:
        """The first *limit_bytes* of the regular file at *path*; nothing else is opened for reading."""
        place = self.place(path)
        handle = posix.open(place.name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=place.parent)
        try:
            status = posix.fstat(handle)
            if status.st_mode & _KIND != _REGULAR:
                raise OSError(errno.EINVAL, "it is not a regular file")
            fd = posix.open(f"/proc/self/fd/{handle}", _READ)
        finally:
            posix.close(handle)
        try:
            return read_whole(fd, status.st_size, limit_bytes)[:limit_bytes]
        finally:
            posix.close(fd)

    def names(self, path: str, most: int) -> list[str]:
        """The names in the directory at *path*, at most so many."""
        fd = posix.open(".", _READ | posix.O_DIRECTORY, dir_fd=self.directory(path))
        try:
            with posix.scandir(fd) as entries:
                return [entry.name for entry, _ in zip(entries, range(most), strict=False)]
        finally:
            posix.close(fd)

    def make_directory(self, path: str, beside: str = "") -> tuple[Place, ...]:
        """
        Make the directory at *path* with those above it, and return what was made, the outermost first.

        Args:
            beside: The name that the outermost has until `put_in_place`; "": it is made in its place.
        """
        made: list[Place] = []
        known = len(self._directories)
        parent, reached = self.fd, ""
        try:
            for name in filter(None, path.split("/")):
                reached += f"/{name}"
                found = self._existing(parent, name, reached)
                parent = self._make(parent, name, reached, beside, made) if found is None else found
        except BaseException:
            remove_directories(made)
            self._forget(made, known)
            raise
        return tuple(made)

    def put_in_place(self) -> bool:
        """
        Give the new directories that were made beside their places their names; whether there were any.

        Raises:
            NotInPlaceError: It can't be done, since somebody was there first, perhaps.
        """
        beside, self._beside = self._beside, []
        self._hidden.clear()
        for place, name in beside:
            try:
                posix.rename(place.name, name, src_dir_fd=place.parent, dst_dir_fd=place.parent)
            except OSError as error:
                raise NotInPlaceError(name) from error
            place.name = name
        return bool(beside)

    def _existing(self, parent: int, name: str, path: str) -> int | None:
        """The directory at *path*, which is *name* in *parent*; None if nothing is there."""
        if parent in self._hidden:
            return self._directories.get(path)
        try:
            return self._reached(path)
        except FileNotFoundError:
            if look(parent, name).status is None:
                return None
        if self.put_in_place():  # a link is there; it may lead into a new directory
            return self._existing(parent, name, path)
        raise FileExistsError(errno.EEXIST, posix.strerror(errno.EEXIST))

    def _make(self, parent: int, name: str, path: str, beside: str, made: list[Place]) -> int:
        """Make the directory at *path*, which is *name* in *parent*, and add it to *made*."""
        is_below = parent in self._hidden
        if not is_below and not beside:
            return self._make_in_place(Place(parent, name), path, made)
        place = Place(parent, name if is_below else beside)
        posix.mkdir(place.name, 0o755, dir_fd=parent)
        made.append(place)
        if not is_below:
            self._beside.append((place, name))
        found = self._directories[path] = _step(place.name, parent, posix.fstat(self.fd).st_dev)
        self._hidden.add(found)
        return found

    def _make_in_place(self, place: Place, path: str, made: list[Place]) -> int:
        try:
            posix.mkdir(place.name, 0o755, dir_fd=place.parent)
        except FileExistsError:  # somebody was faster
            return self._reached(path)
        made.append(place)
        return self._reached(path)

    def _forget(self, made: Sequence[Place], known: int) -> None:
        """Forget what was *made*, and all directories but the *known* first."""
        self._beside = [(place, name) for place, name in self._beside if place not in made]
        while len(self._directories) > known:
            fd = self._directories.popitem()[1]
            self._hidden.discard(fd)
            posix.close(fd)

    def _reached(self, path: str) -> int:
        found = self._directories.get(path)
        if found is None:
            _check(path)
            found = self._directories[path] = self._resolved(path)
        return found

    def _resolved(self, path: str) -> int:
        end = monotonic() + TRIES_S
        for _ in range(MOST_TRIES):
            try:
                return openat2(self.fd, path.encode("utf-8", "surrogateescape") or b"/", _DIRECTORY, _RESOLVE)
            except BlockingIOError:
                if monotonic() > end:
                    break
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.EPERM):
                    return self._walked(path)
                raise
        raise BlockingIOError(errno.EAGAIN, posix.strerror(errno.EAGAIN))

    def _walked(self, path: str) -> int:
        """What `_resolved` returns, where the kernel can't resolve inside a root: no link on the way is followed."""
        device = posix.fstat(self.fd).st_dev
        current = posix.open(".", _DIRECTORY, dir_fd=self.fd)
        for name in path.split("/"):
            if name in ("", "."):
                continue
            above = current
            try:
                current = _step(name, above, device)
            finally:
                posix.close(above)
        return current


def _check(path: str) -> None:
    """Raise if *path* can't be one for the kernel, or would be a shorter one."""
    try:
        is_one = b"\0" not in path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair
        is_one = False
    if not is_one:
        raise OSError(errno.EINVAL, posix.strerror(errno.EINVAL))


def look(parent: int, name: str) -> Place:
    """The place *name* in *parent*, with what is there now."""
    try:
        return Place(parent, name, posix.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return Place(parent, name)


def remove_directories(places: Sequence[Place]) -> None:
    """Remove what `Root.make_directory` has made, as far as it's empty."""
    for place in reversed(places):
        try:
            posix.rmdir(place.name, dir_fd=place.parent)
        except OSError:
            continue


def _step(name: str, above: int, device: int) -> int:
    if name == "..":
        raise OSError(errno.EXDEV, posix.strerror(errno.EXDEV))
    fd = posix.open(name, _DIRECTORY | posix.O_NOFOLLOW, dir_fd=above)
    if posix.fstat(fd).st_dev != device:
        posix.close(fd)
        raise OSError(errno.EXDEV, posix.strerror(errno.EXDEV))
    return fd
