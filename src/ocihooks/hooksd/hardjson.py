"""
Parses what `ocihooks.hooksd.jsontext` could not: texts that nest deep, and those that are no JSON, to say why.
"""

from __future__ import annotations

import json
from typing import Any

from ocihooks.hooksd.jsontext import MAX_DEPTH, JSONTextError, Members, Number, no_constant

_DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=no_constant)


def parse_hard(text: str) -> Any:
    """
    As `ocihooks.hooksd.jsontext.parse`, for a text that is decoded.

    Raises:
        JSONTextError: *text* is not JSON.
    """
    return _DeepParser(text).parse() if text.count("[") + text.count("{") > MAX_DEPTH else parse_shallow(text)


def parse_shallow(text: str) -> Any:
    """As `parse_hard`, by the standard library as far as that goes."""
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
