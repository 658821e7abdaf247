"""
Whether a container's dynamic linker uses a cache, and which directories it is to be made from.

All of it is read from files of the image, so nothing but regular files of a reasonable size is opened.
"""

from __future__ import annotations

import posix
import sys
from time import thread_time

from ocihooks.errors import OCIHooksError, quoted
from ocihooks.injector.elf import MAGIC, is_static
from ocihooks.injector.rootfs import Root
from ocihooks.trust import explained, read_trusted, trust_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Tell = Callable[[str, str], None]

CACHE = "/etc/ld.so.cache"
CONFIGURATION = "/etc/ld.so.conf"

LOADERS = (
    *("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-linux-armhf.so.3"),
    *("/lib64/ld64.so.2", "/lib/ld64.so.1", "/lib/ld-linux-riscv64-lp64d.so.1"),
)
"""Where programs expect a dynamic linker that uses a cache; those of other C libraries have other names, and none."""

PROGRAMS = ("/sbin/ldconfig.real", "/sbin/ldconfig", "/usr/sbin/ldconfig")
"""Where the program that makes the cache is; some distributions have a script in its usual place."""

USUAL = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
"""Directories that it looks into without being told, besides those of the architecture."""

MOST_FILES, MOST_BYTES, MOST_NAMES = 100, 1 << 18, 10_000
"""How much configuration of a container is read, and how many names of one directory."""

MOST_PATTERNS, MOST_DIRECTORIES = 100, 1000
"""How much of what it says is done."""

MOST_STEPS = 1_000_000
"""How much work patterns may be, see `_steps`; a step takes up to 0.35 microseconds."""

MOST_CPU_S = 1.0
"""How long it may keep a processor busy: a way through links costs up to 2 ms, and a file may need 40 of them."""

_PROGRAM_BYTES = 16 << 20
_MFD_EXEC = 0x10


def uses_cache(root: Root) -> bool:
    """Whether the image in *root* has a cache, or a dynamic linker that would use one, or the program that makes it."""
    if any(_is_there(root, path) for path in (CACHE, *LOADERS)):
        return True
    return any(_first_bytes(root, path) == MAGIC for path in PROGRAMS)


def _is_there(root: Root, path: str) -> bool:
    try:
        return root.place(path).status is not None
    except OSError:
        return False


def _first_bytes(root: Root, path: str) -> bytes:
    try:
        return root.read(path, len(MAGIC))
    except OSError:
        return b""


def usual_directories() -> tuple[str, ...]:
    """The directories that are looked into without being told."""
    multiarch = getattr(sys.implementation, "_multiarch", "")
    return (*USUAL, f"/lib/{multiarch}", f"/usr/lib/{multiarch}") if multiarch else USUAL


def host_program() -> int:
    """
    A descriptor of a sealed copy of the host's ldconfig, which nobody can change any more.

    Raises:
        FileNotFoundError: The host has none that needs no libraries itself.
        UntrustedError: Somebody else could have written it.
    """
    for path in PROGRAMS:
        try:
            data = read_trusted(path, trust_here(), _PROGRAM_BYTES)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise explained(path, error) from None
        fd = sealed(data)
        if is_static(fd):
            return fd
        posix.close(fd)
    raise FileNotFoundError


def sealed(data: bytes) -> int:
    """A descriptor of a file in memory with *data*, which can't be changed."""
    from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    try:
        fd = posix.memfd_create("ldconfig", flags | _MFD_EXEC)
    except OSError:  # a kernel before 6.3, where all of them can be executed
        fd = posix.memfd_create("ldconfig", flags)
    view = memoryview(data)
    while view:
        view = view[posix.write(fd, view) :]
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
    return fd


class Configuration:
    """
    What the files of an image say about directories with libraries, gathered into one text without further files.

    Attributes:
        directories: The directories, in order.
        unread: What could not be read, as sentences.
    """

    __slots__ = ("_bytes", "_files", "_patterns", "_root", "_started_s", "_steps", "directories", "unread")

    def __init__(self, root: Root) -> None:
        self.directories: list[str] = []
        self.unread: list[str] = []
        self._root = root
        self._files = 0
        self._bytes = 0
        self._patterns = 0
        self._steps = 0
        self._started_s = thread_time()
        if _is_there(root, CONFIGURATION):
            self._read(CONFIGURATION)

    @property
    def text(self) -> bytes:
        """The text."""
        return "".join(f"{directory}\n" for directory in self.directories).encode("utf-8", "surrogateescape")

    def _read(self, path: str) -> None:
        self._files += 1
        try:
            data = self._root.read(path, MOST_BYTES)
        except OSError as error:
            self.unread.append(f"{quoted(path, 200)} of the container is left out: {error.strerror}")
            return
        finally:
            self._root.forget()  # links may lead through any number of directories, and each one is a descriptor
        self._bytes += len(data)
        for line in (*data.decode("utf-8", "surrogateescape").split("\n"), ""):
            if self._is_too_much():
                self.unread.append(f"{quoted(path, 200)} of the container is not read to its end: it is too much")
                return
            self._take(line.partition("#")[0].strip(), path)

    def _is_too_much(self) -> bool:
        return (
            self._files > MOST_FILES
            or self._bytes >= MOST_BYTES
            or self._patterns > MOST_PATTERNS
            or self._steps > MOST_STEPS
            or len(self.directories) > MOST_DIRECTORIES
            or thread_time() - self._started_s > MOST_CPU_S
        )

    def _take(self, line: str, path: str) -> None:
        words = line.split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                self._patterns += 1
                if self._is_too_much():
                    return
                for file in self._files_of(pattern if pattern.startswith("/") else f"{_above(path)}/{pattern}"):
                    if self._is_too_much():
                        return
                    self._read(file)
        elif line.startswith("/") and "\0" not in line:
            self.directories.append(line)

    def _files_of(self, pattern: str) -> Iterator[str]:
        """The files whose names fit *pattern*; only its last part may be one."""
        directory, name = _above(pattern), pattern.rpartition("/")[2]
        try:
            names = self._root.names(directory, MOST_NAMES)
        except OSError:
            return
        finally:
            self._root.forget()
        self._steps += _steps(len(names), name)
        if self._is_too_much():
            return
        for found in sorted(_fitting(names, name)):
            if not found.startswith("."):
                yield f"{directory}/{found}"


def _steps(names: int, pattern: str) -> int:
    """
    How much work it is to find out which of so many *names* a *pattern* fits; `*.conf` and 50 files are 1,260 steps.

    Each character of the pattern may be tried at each of a name's 255 places, but once, since what a star has taken is
    never taken back. To read a name costs as much as eight characters, to understand a pattern as much as 40 names.
    """
    return (names + 40) * (len(pattern) + 8)


def _fitting(names: list[str], pattern: str) -> list[str]:
    """Those of *names* that *pattern* fits; the usual kind, `*.conf`, without what reads all kinds."""
    before, star, behind = pattern.partition("*")
    if not star or any(character in f"{before}{behind}" for character in "*?["):
        from fnmatch import filter as fitting

        return fitting(names, pattern)
    least = len(before) + len(behind)
    return [name for name in names if name.startswith(before) and name.endswith(behind) and len(name) >= least]


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def why_no_program(error: Exception) -> str:
    """The sentence for an *error* of `host_program`."""
    if isinstance(error, OCIHooksError):
        return str(error)
    return "the host has no ldconfig that needs no libraries itself"
