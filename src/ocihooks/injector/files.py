"""
Injector files: what goes into containers whose environment asks for it. On the path of containers that ask for nothing.

A file is a JSON object. ``activation_flag`` is the name of a variable, or ``NAME=VALUE``; the other members are paths
on the host, each of which gets the same path in the container.
"""

import posix

from ocihooks.document import JSONNumber, parse_document, read_file
from ocihooks.errors import DocumentError, os_reason, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ocihooks.document import Document

    Parse = Callable[[bytes, str], Document]

DIRECTORY = "/etc/oci-injector-hook"
ENDING = ".json"
FLAG = "activation_flag"
LISTS = ("devices", "directories", "binaries", "libraries", "miscellaneous")
"""The members that are lists of paths, in the order in which they are put into a container."""


class InjectorFile:
    """
    What one injector file says.

    Attributes:
        file: Its path.
        flag: The entry of an environment that asks for it, or only its name.
        paths: The paths of each of `LISTS`.
    """

    __slots__ = ("file", "flag", "paths")

    def __init__(self, file: str, flag: str, paths: "dict[str, tuple[str, ...]]") -> None:
        self.file = file
        self.flag = flag
        self.paths = paths

    def is_wanted(self, environment: "Iterable[str]") -> bool:
        """Whether *environment* has the variable, with the value if the flag has one."""
        if "=" in self.flag:
            return self.flag in environment
        return any(entry.startswith(f"{self.flag}=") for entry in environment)


def read_injector_files(directory: str, parse: "Parse" = parse_document) -> "tuple[InjectorFile, ...]":
    """
    The injector files in *directory*, sorted by name; none where there is no such directory.

    Args:
        parse: Reads a document; the caller's own where members may be there more than once.

    Raises:
        DocumentError: A file can't be used, whether or not a container wants it.
    """
    try:
        names = posix.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        message, hint = f"can't be read: {os_reason(error)}", "look at its owner and mode"
        raise DocumentError(message, code="read_failed", file=directory, hint=hint) from None
    files = [f"{directory.rstrip('/')}/{name}" for name in sorted(names) if name.endswith(ENDING)]
    return tuple([parse_injector_file(read_file(file)[0], file, parse) for file in files])


def parse_injector_file(data: bytes, file: str, parse: "Parse" = parse_document) -> InjectorFile:
    """
    What *data*, which was read from *file*, says; members that are not known are not looked at.

    Raises:
        DocumentError: It is no JSON object, or a member has another type than it should.
    """
    members = {name.lower(): value for name, value in parse(data, file).members.items()}
    return InjectorFile(file, _flag(members, file), {name: _paths(members.get(name), file, name) for name in LISTS})


def _flag(members: "dict[str, Any]", file: str) -> str:
    flag = members.get(FLAG)
    if isinstance(flag, str) and flag.partition("=")[0]:
        return str(flag)
    hint = 'write the variable that asks for these files, such as "activation_flag": "WITH_TOOLS"'
    if flag is None:
        raise DocumentError(f"missing required member {quoted(FLAG)}", code="missing_property", file=file, hint=hint)
    message = f"expected the name of a variable or NAME=VALUE, found {quoted(flag, 80)}"
    raise DocumentError(message, code="json_type", file=file, pointer=f"/{FLAG}", hint=hint)


def _paths(value: "Any", file: str, name: str) -> "tuple[str, ...]":
    if value is None:
        return ()
    if isinstance(value, str) and not isinstance(value, JSONNumber):
        return (_path(value, file, f"/{name}"),)
    if not isinstance(value, list):
        raise _no_path(value, file, f"/{name}")
    return tuple([_path(item, file, f"/{name}/{index}") for index, item in enumerate(value)])


def _path(value: "Any", file: str, pointer: str) -> str:
    if not isinstance(value, str) or isinstance(value, JSONNumber) or not value or "\0" in value:
        raise _no_path(value, file, pointer)
    return value


def _no_path(value: object, file: str, pointer: str) -> DocumentError:
    message, hint = f"expected a path, found {quoted(value, 80)}", 'write paths, such as ["/usr/bin/strace"]'
    return DocumentError(message, code="json_type", file=file, pointer=pointer, hint=hint)


def inside(path: str) -> str | None:
    """The place in a container for *path*: without doubled slashes and dots; None if it would be above the root."""
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
