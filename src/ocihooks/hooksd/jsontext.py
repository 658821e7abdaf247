"""
Reads a rule file's JSON the way Podman's and CRI-O's readers do, so that a file means the same everywhere.

What differs from the standard library: repeated members are all kept, in order, since later ones merge into
earlier ones; invalid UTF-8 and lone surrogates become U+FFFD, byte by byte; NaN and Infinity are refused; numbers
keep their text; nesting up to 10,000 levels is accepted. The interpreter's C scanner does nearly all of it; what it
can't do, or refuses, is left to `ocihooks.hooksd.hardjson`, since `json` costs as much as starting the interpreter.
"""

from __future__ import annotations

import codecs
import sys
from _json import make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

MAX_DEPTH = 10_000


class Members(list["tuple[str, Any]"]):
    """A JSON object as (name, value) pairs in the order of the text, repeated names included."""


class Number(str):
    """A JSON number as its text, since ``1e2`` and ``100`` are not the same to the readers."""

    __slots__ = ()


class JSONTextError(ValueError):
    """The text is not JSON; the message says what is wrong, *line* and *column* (from 1) where."""

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(message)
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)


def _one_replacement_per_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("ocihooks.replace-each-byte", _one_replacement_per_byte)


def no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity."""
    raise ValueError(name)


# What the C scanner asks its decoder for, as a types.SimpleNamespace, whose module is not imported for that.
_namespace: Any = type(sys.implementation)
_scan: Any = make_scanner(
    _namespace(
        strict=True,
        object_hook=None,
        object_pairs_hook=Members,
        parse_float=Number,
        parse_int=Number,
        parse_constant=no_constant,
        memo={},
    )
)
_SPACE = " \t\n\r"


def parse(data: bytes) -> Any:
    """
    Parse *data*: objects as `Members`, numbers as `Number`, the rest as the standard library does.

    Lone surrogates that escapes made are still in the strings: see `without_surrogates`.

    Raises:
        JSONTextError: *data* is not JSON; an empty file says so.
    """
    text = data.decode("utf-8", "ocihooks.replace-each-byte")
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        try:
            value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
            if not text[end:].strip(_SPACE):
                return value
        except (ValueError, StopIteration, SystemError, RecursionError):
            pass
    from ocihooks.hooksd.hardjson import parse_hard

    return parse_hard(text)


def without_surrogates(text: str) -> str:
    """*text* with U+FFFD in place of each lone surrogate."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
