"""
Injector files: what goes into containers whose environment asks for it. On the path of containers that ask for nothing.

A file is a JSON object. ``activation_flag`` is the name of a variable, or ``NAME=VALUE``; the lists say what goes into
a container. The usual entry is the path of something on the host, which gets the same path in the container; all other
entries and members are read by `ocihooks.injector.forms`, which is imported for them only.
"""

import posix

from ocihooks.document import parse_document, read_file
from ocihooks.errors import DocumentError, os_reason, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeAlias

    from ocihooks.document import Document

    Parse = Callable[[bytes, str], Document]
    Part: TypeAlias = "Entry | Paths"
    Run = tuple[str, list[str], int]

DIRECTORY = "/etc/oci-injector-hook"
ENDING = ".json"
FLAG = "activation_flag"
LISTS = ("devices", "directories", "binaries", "libraries", "miscellaneous")
"""The members that are lists of entries, in the order in which they are put into a container."""

_OF_FILES = LISTS[2:]

EXTRAS = ("way", "optional", "env")
"""The members that say something about all of a file."""

EVERYWHERE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
"""The devices that every runtime gives to every container."""

WAYS = AUTO, MOUNT, COPY = ("auto", "mount", "copy")
"""How a file goes into a container: before it is created, by its configuration; or by a hook, which copies."""


class Entry:
    """
    One thing for a container.

    Attributes:
        kind: The list that it stands in, one of `LISTS`.
        source: The path on the host, for devices also a pattern; "" for a directory that is only made.
        destination: The path in the container as it is written; see `inside`.
        mode: The permission bits that it is to have; None: those of the source.
        optional: Whether it is left out where it can't be given.
        pointer: Where the file says so.
    """

    __slots__ = ("destination", "kind", "mode", "optional", "pointer", "source")

    def __init__(
        self, kind: str, source: str, destination: str, pointer: str, *, mode: int | None = None, optional: bool = False
    ) -> None:
        self.kind = kind
        self.source = source
        self.destination = destination
        self.mode = mode
        self.optional = optional
        self.pointer = pointer


class Paths:
    """
    A list of files of the host that get the same paths in a container: most lists are so, and may be long.

    Attributes:
        kind: The list that it is, one of `LISTS`.
        paths: The paths, in order.
        runs: The same by directory: its path with a slash, names in it that follow each other, the number of the first.
        optional: Whether each is left out where it can't be given.
    """

    __slots__ = ("kind", "optional", "paths", "runs")

    def __init__(self, kind: str, paths: "list[str]", runs: "list[Run]", *, optional: bool) -> None:
        self.kind = kind
        self.paths = paths
        self.runs = runs
        self.optional = optional

    def entries(self) -> "list[Entry]":
        """Each path by itself."""
        return [self.entry(index) for index in range(len(self.paths))]

    def entry(self, index: int) -> Entry:
        """The path number *index* by itself."""
        path = self.paths[index]
        return Entry(self.kind, path, path, f"/{self.kind}/{index}", optional=self.optional)


class InjectorFile:
    """
    What one injector file says.

    Attributes:
        file: Its path.
        flag: The entry of an environment that asks for it, or only its name.
        parts: What goes into a container, in order: entries, and lists of paths that need none.
        way: One of `WAYS`.
        optional: Whether a container that asks is created without it where it can't be given as a whole.
        env: Entries, NAME=VALUE, that the environment of a container gets.
    """

    __slots__ = ("env", "file", "flag", "optional", "parts", "way")

    def __init__(
        self,
        file: str,
        flag: str,
        parts: "tuple[Part, ...]",
        *,
        way: str = AUTO,
        optional: bool = False,
        env: tuple[str, ...] = (),
    ) -> None:
        self.file = file
        self.flag = flag
        self.parts = parts
        self.way = way
        self.optional = optional
        self.env = env

    @property
    def entries(self) -> "tuple[Entry, ...]":
        """All parts as entries, in order."""
        return tuple(
            [entry for part in self.parts for entry in (part.entries() if isinstance(part, Paths) else (part,))]
        )

    def is_wanted(self, environment: "Iterable[str]") -> bool:
        """Whether *environment* has the variable, with the value if the flag has one."""
        if "=" in self.flag:
            return self.flag in environment
        return any(entry.startswith(f"{self.flag}=") for entry in environment)


def read_injector_files(
    directory: str, parse: "Parse" = parse_document, read: "Callable[[str], bytes] | None" = None
) -> "tuple[InjectorFile, ...]":
    """
    The injector files in *directory*, sorted by name; none where there is no such directory.

    Args:
        parse: Reads a document; the caller's own where members may be there more than once.
        read: Reads a file; None: as config.json is read.

    Raises:
        DocumentError: A file can't be used, whether or not a container wants it.
    """
    files = injector_paths(directory)
    return tuple([parse_injector_file(read(file) if read else read_file(file)[0], file, parse) for file in files])


def injector_paths(directory: str) -> "list[str]":
    """
    The paths of the injector files in *directory*, sorted by name; none where there is no such directory.

    Raises:
        DocumentError: It can't be listed.
    """
    try:
        names = posix.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        message, hint = f"can't be read: {os_reason(error)}", "look at its owner and mode"
        raise DocumentError(message, code="read_failed", file=directory, hint=hint) from None
    return [f"{directory.rstrip('/')}/{name}" for name in sorted(names) if name.endswith(ENDING)]


def parse_injector_file(data: bytes, file: str, parse: "Parse" = parse_document) -> InjectorFile:
    """
    What *data*, which was read from *file*, says; members that are not known are not looked at.

    Raises:
        DocumentError: It is no JSON object, or a member has another type than it should.
    """
    members = {name.lower(): value for name, value in parse(data, file).members.items()}
    flag, optional = _flag(members, file), members.get("optional") is True
    parts = tuple([part for kind in LISTS for part in _parts(members.get(kind), file, kind, optional)])
    if members.keys().isdisjoint(EXTRAS):
        return InjectorFile(file, flag, parts)
    from ocihooks.injector.forms import with_extras

    return with_extras(InjectorFile(file, flag, parts), members)


def _flag(members: "dict[str, Any]", file: str) -> str:
    flag = members.get(FLAG)
    if isinstance(flag, str) and flag.partition("=")[0]:
        return str(flag)
    hint = 'write the variable that asks for these files, such as "activation_flag": "WITH_TOOLS"'
    if flag is None:
        raise DocumentError(f"missing required member {quoted(FLAG)}", code="missing_property", file=file, hint=hint)
    message = f"expected the name of a variable or NAME=VALUE, found {quoted(flag, 80)}"
    raise DocumentError(message, code="json_type", file=file, pointer=f"/{FLAG}", hint=hint)


def _parts(value: "Any", file: str, kind: str, optional: bool) -> "Sequence[Part]":
    if value is None:
        return []
    if isinstance(value, list):
        if kind in _OF_FILES and (runs := _runs(value)):
            return [Paths(kind, value, runs, optional=optional)]
        return [_entry(item, file, kind, f"/{kind}/{index}", optional) for index, item in enumerate(value)]
    return [_entry(value, file, kind, f"/{kind}", optional)]


def _runs(items: "list[Any]") -> "list[Run]":
    """The runs of `Paths`; none where an item is anything but an absolute path that is the same in a container."""
    if set(map(type, items)) != {str} or is_no_path("".join(items)):
        return []
    runs = _one_run(items) or _several_runs(items)
    return runs if all(_is_plain(above, names) for above, names, _ in runs) else []


def _one_run(paths: "list[str]") -> "list[Run]":
    """The run of *paths* that are all in one directory; none where they are not."""
    above = paths[0][: paths[0].rfind("/") + 1]
    names = "\0".join(["", *paths]).split(f"\0{above}")[1:]
    rest = "".join(names)
    return [(above, names, 0)] if len(names) == len(paths) and "/" not in rest and "\0" not in rest else []


def _several_runs(paths: "list[str]") -> "list[Run]":
    runs: list[Run] = []
    names: list[str] = []
    above = ""
    for index, path in enumerate(paths):
        start = path.rfind("/") + 1
        if path[:start] != above or not index:
            above, names = path[:start], []
            runs.append((above, names, index))
        names.append(path[start:])
    return runs


def _is_plain(above: str, names: "list[str]") -> bool:
    """Whether neither the directory *above* nor *names* in it have anything to look for but names."""
    has_odd = "//" in above or "/." in above or ":/" in above
    return above[:1] == "/" and not has_odd and min(names) > "/"


def _entry(item: "Any", file: str, kind: str, pointer: str, optional: bool) -> Entry:
    if type(item) is str and item and ":/" not in item and not is_no_path(item):
        return Entry(kind, "" if kind == "directories" else item, item, pointer, optional=optional)
    from ocihooks.injector.forms import entry_of

    return entry_of(item, file, kind, pointer, optional)


def is_no_path(text: str) -> bool:
    """Whether *text* has what no path can hold: a NUL character, or half a surrogate pair."""
    if text.isascii():
        return "\0" in text
    try:
        return b"\0" in text.encode()
    except UnicodeEncodeError:
        return True


def inside(path: str) -> str | None:
    """The place in a container for *path*: without doubled slashes and dots; None if it would be above the root."""
    if path[:1] == "/" and path[-1:] != "/" and "//" not in path and "/." not in path:
        return path
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            if not names:
                return None
            names.pop()
        elif name not in ("", "."):
            names.append(name)
    return "/" + "/".join(names)


def wanted(files: "Sequence[InjectorFile]", environment: "Sequence[str]") -> "tuple[InjectorFile, ...]":
    """Those of *files* that a container with *environment* asks for."""
    return tuple([file for file in files if file.is_wanted(environment)])
