"""
What may be wrong with a document of JSON that can be parsed; loaded when something is.
"""

import sys
from itertools import pairwise

from ocihooks.errors import DocumentError, os_reason, quoted, reference_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class Repeated(dict[str, object]):
    """
    An object in which members are there more than once; the last one of each counts here.

    Attributes:
        names: The names of these members, sorted.
    """

    __slots__ = ("names",)

    names: list[str]

    def __init__(self, pairs: "Iterable[tuple[str, object]]") -> None:
        every = list(pairs)
        super().__init__(every)
        names = sorted(name for name, _ in every)
        self.names = [name for name, following in pairwise(names) if name == following]


def repeated(file: str, name: str, pointer: str) -> DocumentError:
    """The member *name* is there more than once."""
    return DocumentError(
        f"member {quoted(name, 80)} is there more than once",
        code="repeated_member",
        file=file,
        pointer=f"{pointer}/{reference_token(name)}",
        hint="runtimes disagree about which one counts; keep one",
    )


def nul_in(args: "Sequence[str]", annotations: "Mapping[str, str]", file: str) -> "Iterator[DocumentError]":
    """The first of *args*, and the annotation, that holds a NUL character: for crun a text ends there, not for runc."""
    places = [(f"/process/args/{index}", word) for index, word in enumerate(args)]
    places += [(f"/annotations/{reference_token(name)}", f"{name}{value}") for name, value in annotations.items()]
    for pointer, text in places:
        if "\0" in text:
            message = f"a NUL character in {quoted(text, 80)}"
            hint = "crun would take what stands before it, runc all of it; leave the character out"
            yield DocumentError(message, code="nul_character", file=file, pointer=pointer, hint=hint)


def allow_depth(depth: int, most: int, file: str) -> None:
    """
    See to it that this interpreter can read, compare and write a nesting of *depth* levels.

    Raises:
        DocumentError: There are more than *most*.
    """
    if depth > most:
        hint = "no configuration needs more than some ten levels; look at who wrote it"
        raise DocumentError(f"nested deeper than {most} levels", code="too_deep", file=file, hint=hint)
    # Python 3.11 counts the C scanner's recursion, too, and two frames a level when writing.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 5 * most))


def type_name(value: object) -> str:
    """What JSON calls *value*, with its article; numbers of a document are a kind of text."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    return "a string" if type(value) is str else "a number"


def wrong_type(expected: object, value: object, file: str, pointer: str) -> DocumentError:
    """*value* is not of the type of *expected*, any value of that type."""
    hint = 'mend it as config.md of the runtime-spec describes it, and try "ocihooks check" on it'
    found = f"expected {type_name(expected)}, found {type_name(value)}"
    return DocumentError(found, code="json_type", file=file, pointer=pointer, hint=hint)


def unreadable(path: str, error: OSError) -> DocumentError:
    """The document can't be read."""
    missing = isinstance(error, FileNotFoundError)
    hint = "name the bundle with --bundle DIR" if missing else "run as its owner, or as root"
    return DocumentError(f"can't be read: {os_reason(error)}", code="read_failed", file=path, hint=hint)
