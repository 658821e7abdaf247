"""
Makes the cache of a container's dynamic linker anew, with the host's program and never with one of the image.
"""

from __future__ import annotations

import posix

from ocihooks.errors import OCIHooksError, os_reason, quoted
from ocihooks.injector.elf import soname
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.linker_cache import (
    CACHE,
    CONFIGURATION,
    Configuration,
    host_program,
    uses_cache,
    usual_directories,
    why_no_program,
)
from ocihooks.injector.rootfs import Root
from ocihooks.injector.sandbox import DEADLINE_S, NOT_ALLOWED, Ended, Start, file_system_in_memory, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocihooks.injector.changes import Changes

    Tell = Callable[[str, str], None]

CACHE_BYTES = 64 << 20
"""Largest cache that can be made."""

_WORDS = ("ldconfig", "-X", "-i")  # make no links; read and write no list of files that were seen before
_UNCHANGED = "the cache of the container's dynamic linker is left as it is"
_READ = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC | posix.O_NONBLOCK


class Refresh:
    """
    All that is needed to make one cache, opened before anything is changed.

    Args:
        program: A descriptor of the host's ldconfig.
        etc: A file system in memory with the configuration, in which the program leaves the cache.
        directories: Those that the program looks into, links followed.
    """

    __slots__ = ("_directories", "_etc", "_program", "_tell")

    def __init__(self, program: int, etc: int, directories: frozenset[str], tell: Tell) -> None:
        self._program = program
        self._etc = etc
        self._directories = directories
        self._tell = tell

    def close(self) -> None:
        """Close what was opened."""
        for fd in (self._program, self._etc):
            posix.close(fd)

    def add_link(self, changes: Changes, path: str, library: int) -> None:
        """Add a link to the *library* at *path* by the name by which programs ask for it, where it has another one."""
        place = changes.root.place(path)
        name = soname(library)
        if name in ("", place.name) or changes.root.where(place.parent) not in self._directories:
            return
        there = changes.root.name(f"{path.rpartition('/')[0]}/{name}")
        if there.status is None or there.is_link:
            changes.add_link(f"{path.rpartition('/')[0]}/{name}", place.name)

    def make(self, path: str, root: Root) -> bool:
        """
        Make the cache of the container whose root is at *path*; whether there is one now.

        Raises:
            NotInjectedError: The program failed, or did not end in time.
        """
        status = posix.fstat(root.fd)
        inode = (status.st_dev, status.st_ino)
        ended = run(Start(self._program, _WORDS, root=path, inode=inode, etc=self._etc))
        if ended.refused in NOT_ALLOWED:
            reason = os_reason(OSError(ended.refused, ""))
            self._tell("warning", f"{_UNCHANGED}: the kernel gives ldconfig no namespaces: {reason}")
            return False
        if ended.said:
            self._tell("debug", f"ldconfig: {quoted(_text(ended.said))}")
        if ended.status != 0 or ended.refused:
            raise _failed(ended, path)
        return True

    def add(self, changes: Changes) -> None:
        """Add the cache that was made to *changes*."""
        try:
            fd = posix.open(CACHE.rpartition("/")[2], _READ, dir_fd=self._etc)
        except OSError as error:
            raise _without(changes.root.path, f"ldconfig made no cache: {os_reason(error)}") from None
        try:
            if posix.fstat(fd).st_mode & 0o170000 != 0o100000:
                raise _without(changes.root.path, "ldconfig made no cache: it is not a regular file")
            changes.add_file(CACHE, fd, 0o644)
        except OSError as error:
            message = f"{quoted(CACHE)} can't be put into the container: {os_reason(error)}"
            raise _without(changes.root.path, message) from None
        finally:
            posix.close(fd)


def _without(root: str, message: str) -> NotInjectedError:
    return NotInjectedError(message, code="not_injected", file=root, hint="look at the libraries of the image")


def prepared(root: Root, tell: Tell) -> Refresh | None:
    """What is needed to make the cache of the container in *root*; None: it is left as it is, and why is told."""
    if not uses_cache(root):
        tell("info", f"{_UNCHANGED}: the image has none, and no dynamic linker that would use one")
        return None
    try:
        root.directory(CACHE.rpartition("/")[0])
    except OSError as error:
        tell("warning", f"{_UNCHANGED}: the container's /etc can't be used: {os_reason(error)}")
        return None
    configuration = Configuration(root)
    for sentence in configuration.unread:
        tell("warning", sentence)
    try:
        program = host_program()
    except (FileNotFoundError, OCIHooksError) as error:
        tell("warning", f"{_UNCHANGED}: {why_no_program(error)}")
        return None
    try:
        etc = file_system_in_memory(CACHE_BYTES, {CONFIGURATION.rpartition("/")[2]: configuration.text})
    except OSError as error:
        posix.close(program)
        if error.errno not in NOT_ALLOWED:
            raise
        tell("warning", f"{_UNCHANGED}: the kernel gives no file system in memory: {os_reason(error)}")
        return None
    directories = _followed(root, (*usual_directories(), *configuration.directories))
    return Refresh(program, etc, directories, tell)


def _followed(root: Root, paths: tuple[str, ...]) -> frozenset[str]:
    """Where in *root* the directories at *paths* are that are there; none of them stays open."""
    found = set()
    for path in paths:
        try:
            found.add(root.where(root.directory(path)))
        except OSError:
            continue
        finally:
            root.forget()
    return frozenset(found)


def _failed(ended: Ended, path: str) -> NotInjectedError:
    if ended.refused:
        reason = os_reason(OSError(ended.refused, ""))
        message = f"ldconfig could not be started in the container's root: {reason}"
    elif ended.status is None:
        message = f"ldconfig did not end within {DEADLINE_S:.0f} seconds in the container's root"
    else:
        said = f": {quoted(_text(ended.said))}" if ended.said else ""
        message = f"ldconfig failed in the container's root, with status {ended.status}{said}"
    return _without(path, message)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").strip()
