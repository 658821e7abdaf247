"""
Why a text is no JSON object, and where: what `document` asks when its own quick reading has failed.

The standard library parses again, since it tells the place.
"""

from __future__ import annotations

import json
from _json import scanstring
from typing import NoReturn

from ocihooks.errors import DocumentError
from ocihooks.spec.members import json_type

_SPACE = " \t\n\r"


def not_utf8(data: bytes, file: str, error: UnicodeDecodeError) -> DocumentError:
    """The error about *data*, which can't be decoded because of *error*."""
    before = data[: error.start].decode()
    place, hint = _line_and_column(before, len(before)), "write it in UTF-8"
    return DocumentError(f"not UTF-8: {error.reason}", code="not_utf8", file=file, pointer=place, hint=hint)


def not_json(text: str, file: str) -> DocumentError:
    """The error about *text*, which is no JSON object."""
    place, reason, hint = None, "not a JSON object", 'mend it, and try "ocihooks check" on it'
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=float)
        reason = f"expected an object, found {json_type(value)}"
    except json.JSONDecodeError as found:
        place, reason = found.pos, f"not JSON: {found.msg[0].lower()}{found.msg[1:]}"
        if not text.strip(_SPACE):
            reason, hint = "the file is empty", "whoever wrote it was stopped half-way; have it written again"
        elif text.startswith("\ufeff"):
            reason = "starts with a byte order mark, which JSON does not allow"
            hint = "save it as UTF-8 without byte order mark"
    except ValueError as found:
        place, reason = _outside_strings(text, str(found)), f"not JSON: {found} is no value"
    pointer = None if place is None else _line_and_column(text, place)
    return DocumentError(reason, code="json_syntax", file=file, pointer=pointer, hint=hint)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _outside_strings(text: str, word: str) -> int:
    """Where *word* is for the first time outside of a string; all before it is valid JSON."""
    at, string = text.index(word), text.find('"')
    while 0 <= string < at:
        end = scanstring(text, string + 1, True)[1]
        at = at if at >= end else text.index(word, end)
        string = text.find('"', end)
    return at


def _line_and_column(text: str, at: int) -> str:
    line_start = text.rfind("\n", 0, at) + 1
    return f"line {text.count(chr(10), 0, at) + 1} column {at - line_start + 1}"
