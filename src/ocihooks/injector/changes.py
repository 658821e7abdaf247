"""
Changes to a container's root file system that are all made, or none of them.

Everything is first made beside its place, under a name of its own. Then all are renamed, each over what was there,
which keeps a second name until everything is done, or until the container is gone. No file that the container has is
ever opened for writing.

A new directory is made beside its place, too, and what goes into it is made in it: one rename for all of that, which
takes as long as making a file does.
"""

from __future__ import annotations

import errno
import posix

from ocihooks.injector.copying import make_file, make_files, remove
from ocihooks.injector.rootfs import Place, Root, remove_directories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from ocihooks.injector.copying import File, OpenSource, Source

    Key = tuple[int, str]
    Signature = tuple[int, int, int, int, int]
    Made = tuple[str, str, str, Signature]

PREFIX = ".ocihooks-"
"""What the names of files that are not in their place yet, or not any more, begin with."""


class _File:
    """
    One file on its way.

    Attributes:
        place: Where it is to be.
        temporary: Its name until then, in the same directory.
        former: The second name of what was there; "": there was nothing, or the file is not in its place yet.
    """

    __slots__ = ("former", "place", "temporary")

    def __init__(self, place: Place, temporary: str) -> None:
        self.place = place
        self.temporary = temporary
        self.former = ""


class Changes:
    """
    Changes to a *root*, undone when the ``with`` statement is left with an error.

    Its methods raise OSError.

    Attributes:
        keeps_former: Whether what is replaced keeps its second name when all is done, for `ocihooks.injector.undo`.
    """

    __slots__ = (
        "_beside",
        "_count",
        "_directories",
        "_done",
        "_inodes",
        "_names",
        "_owner",
        "_together",
        "_waiting",
        "keeps_former",
        "root",
    )

    def __init__(self, root: Root, owner: tuple[int, int] | None = None, *, beside: bool = True) -> None:
        """
        Begin.

        Args:
            owner: uid and gid of all that is made; None: those of this process.
            beside: Whether new directories are made beside their places, and not in them.
        """
        self.root = root
        self.keeps_former = False
        self._owner = owner
        self._beside = beside
        self._waiting: dict[Key, _File] = {}
        self._done: dict[Key, _File] = {}
        self._together: list[Sequence[File[object]]] = []
        self._directories: list[Place] = []
        self._inodes: dict[int, int] = {}
        self._names = f"{PREFIX}{posix.urandom(8).hex()}"
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._undo()
        elif not self.keeps_former:
            for file in self._done.values():
                if file.former:
                    remove(file.former, file.place.parent)

    def make_directory(self, path: str, mode: int | None = None) -> None:
        """Make the directory at *path*, of permission bits *mode*, and those above it, where they are missing."""
        made = self.root.make_directory(path, self._new_name() if self._beside else "")
        self._directories += made
        for place in made if self._owner else ():
            posix.chown(place.name, *self._owner, dir_fd=place.parent, follow_symlinks=False)  # type: ignore[misc]
        if made and mode is not None:
            _set_mode(made[-1], mode)

    def add_file(self, path: str, source: int, mode: int, size_bytes: int = 0) -> None:
        """Write *size_bytes* (0: all) that can be read from *source* beside *path*, with the permission bits *mode*."""
        place = self.root.hidden_place(path)
        if place is None or not self._add_hidden(place, source, mode, size_bytes):
            file = self._begin(path)
            make_file(file.place.parent, file.temporary, source, mode, size_bytes, owner=self._owner)
            self._add(file)

    def add_files(self, files: Sequence[File[Source]], open_source: OpenSource[Source]) -> frozenset[int]:
        """
        Write *files*, each with what *open_source* opens of its source; their places are of `Root.hidden_place`.

        Returns:
            The numbers of those that were not written, since one of them could not be.
        """
        self._together.append(files)  # before they are made: whatever happens, they are undone
        left = make_files(files, open_source, self._owner)
        if left:
            self._together[-1] = [file for number, file in enumerate(files) if number not in left]
        return left

    def add_link(self, path: str, target: str) -> None:
        """Make a symbolic link to *target* beside *path*."""
        file = self._begin(path, follow=False)
        posix.symlink(target, file.temporary, dir_fd=file.place.parent)
        self._add(file)
        if self._owner:
            posix.chown(file.temporary, *self._owner, dir_fd=file.place.parent, follow_symlinks=False)

    def add_device(self, path: str, device: int, mode: int, owner: tuple[int, int]) -> None:
        """Make a node of the *device* beside *path*; *mode* has its type, too."""
        file = self._begin(path, follow=False)
        posix.mknod(file.temporary, mode & ~0o7777, device, dir_fd=file.place.parent)
        self._add(file)
        posix.chown(file.temporary, *owner, dir_fd=file.place.parent, follow_symlinks=False)
        _set_mode(Place(file.place.parent, file.temporary), mode & 0o7777)

    def put_in_place(self) -> None:
        """
        Give everything that was added its name.

        Raises:
            NotInPlaceError: A new directory that was made beside its place has none.
        """
        self.root.put_in_place()
        if self._waiting:
            self._settle()
        for key, file in tuple(self._waiting.items()):
            place, before = file.place, self._done.get(key)
            if place.status is not None and before is None:
                self._keep_former(file)
            posix.rename(file.temporary, place.name, src_dir_fd=place.parent, dst_dir_fd=place.parent)
            if before is not None:  # what was there is of our own making
                file.former = before.former
            self._done[key] = self._waiting.pop(key)

    def made(self) -> tuple[Made, ...]:
        """
        What is in its place now, in the order in which it was put there.

        Each is the path of a directory without links, a name in it, the second name of what was replaced ("": nothing
        was, "/": it is a directory), and the signature of what is there.
        """
        self._settle()
        where = {place.parent: "" for place in (*self._directories, *(file.place for file in self._done.values()))}
        for parent in where:
            where[parent] = self.root.where(parent)
        places = [(place, "/") for place in self._directories]
        places += [(file.place, file.former) for file in self._done.values()]
        return tuple([(where[place.parent], place.name, former, signature(_status(place))) for place, former in places])

    def _begin(self, path: str, *, follow: bool = True) -> _File:
        place = self.root.place(path) if follow else self.root.name(path)
        if place.is_directory:
            raise IsADirectoryError(errno.EISDIR, posix.strerror(errno.EISDIR))
        return _File(place, self._new_name())

    def _new_name(self) -> str:
        self._count += 1
        return f"{self._names}-{self._count}"

    def _add_hidden(self, place: Place, source: int, mode: int, size_bytes: int) -> bool:
        """Write a file in *place*, which nobody sees yet; whether that could be done, since nothing was there."""
        try:
            make_file(place.parent, place.name, source, mode, size_bytes, owner=self._owner)
        except FileExistsError:
            return False
        self._done[self._key(place)] = _File(place, "")
        return True

    def _add(self, file: _File) -> None:
        """Keep *file*, and forget another one that was to be in its place, by whatever path."""
        key = self._key(file.place)
        other = self._waiting.pop(key, None)
        self._waiting[key] = file
        if other is not None:
            remove(other.temporary, other.place.parent)

    def _key(self, place: Place) -> Key:
        """What all places have in common that are one."""
        parent = place.parent
        if parent not in self._inodes:
            self._inodes[parent] = posix.fstat(parent).st_ino
        return self._inodes[parent], place.name

    def _keep_former(self, file: _File) -> None:
        """Give what is in the place of *file* a second name."""
        place, former = file.place, f"{file.temporary}-former"
        try:
            posix.link(place.name, former, src_dir_fd=place.parent, dst_dir_fd=place.parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        file.former = former

    def _settle(self) -> None:
        """Have everything that was added together among what is done, which takes long for what is rarely asked."""
        for parent, name, _ in [file for files in self._together for file in files]:
            place = Place(parent, name)
            self._done.setdefault(self._key(place), _File(place, ""))
        self._together.clear()

    def _undo(self) -> None:
        self._settle()
        for file in self._waiting.values():
            for name in (file.temporary, file.former):
                if name:
                    remove(name, file.place.parent)
        for file in reversed(self._done.values()):
            if file.former:
                _rename(file.former, file.place.name, file.place.parent)
            else:
                remove(file.place.name, file.place.parent)
        remove_directories(self._directories)


def signature(status: posix.stat_result) -> Signature:
    """What a file has lost when somebody changes its content or its attributes."""
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _status(place: Place) -> posix.stat_result:
    return posix.stat(place.name, dir_fd=place.parent, follow_symlinks=False)


def _set_mode(place: Place, mode: int) -> None:
    """Set the permission bits of what is in *place*, which is no link, or nothing's."""
    handle = posix.open(place.name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=place.parent)
    try:
        posix.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        posix.close(handle)


def _rename(name: str, other: str, parent: int) -> None:
    try:
        posix.rename(name, other, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        return
