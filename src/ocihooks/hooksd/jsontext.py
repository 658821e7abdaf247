"""
Reads a rule file's JSON the way Podman's and CRI-O's readers do, so that a file means the same everywhere.

What differs from the standard library: repeated members are all kept, in order, since later ones merge into
earlier ones; invalid UTF-8 and lone surrogates become U+FFFD, byte by byte; NaN and Infinity are refused; numbers
keep their text; nesting up to 10,000 levels is accepted.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, NoReturn

MAX_DEPTH = 10_000


class Members(list[tuple[str, Any]]):
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


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=_no_constant
)


def parse(data: bytes) -> Any:
    """
    Parse *data*: objects as `Members`, numbers as `Number`, the rest as the standard library does.

    Lone surrogates that escapes made are still in the strings: see `without_surrogates`.

    Raises:
        JSONTextError: *data* is not JSON; an empty file says so.
    """
    text = data.decode("utf-8", "ocihooks.replace-each-byte")
    return _DeepParser(text).parse() if _may_be_deep(text) else _parse(text)


def without_surrogates(text: str) -> str:
    """*text* with U+FFFD in place of each lone surrogate."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parse(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _explained(error, text) from None
    except (RecursionError, ValueError):
        return _DeepParser(text).parse()  # Goes deeper, and knows the place of a NaN or Infinity.


def _explained(error: json.JSONDecodeError, text: str) -> JSONTextError:
    if text.startswith("\ufeff"):
        return JSONTextError("the file starts with a byte order mark", text, 0)
    if not text.strip(" \t\r\n"):
        return JSONTextError("the file is empty", text, 0)
    position = min(error.pos, len(text))
    found = f"found {json.dumps(text[position])}" if position < len(text) else "the text ends here"
    reason = error.msg[0].lower() + error.msg[1:]
    return JSONTextError(f"not JSON: {reason}; {found}", text, position)


def _may_be_deep(text: str) -> bool:
    return text.count("[") + text.count("{") > MAX_DEPTH


class _DeepParser:
    """
    Parses text that nests deeper than the interpreter's own parser goes, without recursion.

    Brackets are walked here; strings, numbers and literals between them are left to the standard library.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.open: list[tuple[list[Any], str]] = []
        """The containers around this place, outermost first, each with the name of the member that is being read."""

    def parse(self) -> Any:
        self.skip_space()
        while True:
            if self.peek() not in ("[", "{"):
                value = self.scalar()
            elif self.enter():
                value = self.leave()
            else:
                continue
            value, done = self.close(value)
            if done:
                return value

    def enter(self) -> bool:
        """Step into an array or object; True when it is empty, that is when its closing bracket comes next."""
        if len(self.open) >= MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels")
        container: list[Any] = Members() if self.peek() == "{" else []
        self.at += 1
        self.skip_space()
        empty = self.peek() == self.bracket(container)
        self.open.append((container, "" if empty or not isinstance(container, Members) else self.name()))
        return empty

    def leave(self) -> list[Any]:
        """Step out of the innermost container, whose closing bracket is here."""
        self.at += 1
        return self.open.pop()[0]

    def close(self, value: Any) -> tuple[Any, bool]:
        """Hand a complete *value* to what encloses it, closing brackets as they come; True: it was the outermost."""
        while True:
            self.skip_space()
            if not self.open:
                if self.at != len(self.text):
                    raise self.error("not JSON: extra data")
                return value, True
            container, name = self.open[-1]
            container.append((name, value) if isinstance(container, Members) else value)
            if self.peek() != self.bracket(container):
                break
            value = self.leave()
        if self.peek() != ",":
            raise self.error("not JSON: expecting ',' delimiter")
        self.at += 1
        self.skip_space()
        if isinstance(container, Members):
            self.open[-1] = (container, self.name())
        return None, False

    def name(self) -> str:
        if self.peek() != '"':
            raise self.error("not JSON: expecting a member name in double quotes")
        name = self.scalar()
        self.skip_space()
        if self.peek() != ":":
            raise self.error("not JSON: expecting ':' delimiter")
        self.at += 1
        self.skip_space()
        return str(name)

    def scalar(self) -> Any:
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            raise _explained(error, self.text) from None
        except ValueError as error:
            raise self.error(f"{error} is not a JSON value") from None
        return value

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    @staticmethod
    def bracket(container: list[Any]) -> str:
        return "}" if isinstance(container, Members) else "]"

    def skip_space(self) -> None:
        while self.peek() and self.peek() in " \t\n\r":
            self.at += 1

    def error(self, message: str) -> JSONTextError:
        return JSONTextError(message, self.text, min(self.at, len(self.text)))
