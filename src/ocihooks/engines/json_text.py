"""
Changes single members of a JSON text and leaves every other byte as it was.

What is inserted takes its indentation from its neighbours; removing it gives the former text back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from json.decoder import JSONDecodeError
from typing import Any

from ocihooks.engines.errors import EngineError
from ocihooks.engines.nesting import MOST_LEVELS, is_too_deep
from ocihooks.errors import quoted, reference_token
from ocihooks.spec.members import json_type

_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """
    A member of an object, by its place in the text.

    Attributes:
        name: Its name.
        start: Where the name begins.
        value: Where the value begins.
        end: Behind the value.
    """

    name: str
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """
    An object, by its place in the text.

    Attributes:
        start: Where its brace opens.
        end: Behind the closing brace.
        members: In their order.
    """

    start: int
    end: int
    members: tuple[Member, ...]


def parse(text: str, file: str) -> dict[str, Any]:
    """
    The object that *text* is; an empty text counts as an empty object.

    Raises:
        EngineError: It is no JSON, no object, nested too deep, or repeats a member.
    """
    if not text.strip(" \t\r\n"):
        return {}
    try:
        document = json.loads(text, object_pairs_hook=_without_repetitions, parse_constant=_no_constant)
    except JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise _broken(f"not JSON: {error.msg[0].lower()}{error.msg[1:]}", file, place) from None
    except RecursionError:
        raise _broken("nested too deep", file) from None
    except ValueError as error:
        raise _broken(f"not JSON: {error}", file) from None
    if not isinstance(document, dict):
        raise _broken(f"expected an object, found {json_type(document)}", file)
    if is_too_deep(document):
        raise _broken(f"nested deeper than {MOST_LEVELS} levels", file)
    return document


def _without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"member {quoted(name, 80)} is there twice")
        members[name] = value
    return members


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _broken(message: str, file: str, pointer: str | None = None) -> EngineError:
    return EngineError(message, code="engine_syntax", file=file, pointer=pointer, hint="mend the file, then try again")


def set_member(text: str, path: Sequence[str], value: Any) -> str:
    """
    *text*, which `parse` accepts, with *value* at *path*; objects on the way are made where they are missing.

    Raises:
        ValueError: Something on the way is no object.
    """
    if not text.strip(" \t\r\n"):
        return _written(_nested(path, value), indent=2) + "\n"
    place = _object_at(text, _skip(text, 0))
    for depth, name in enumerate(path):
        member = next((member for member in place.members if member.name == name), None)
        if member is None:
            return _insert(text, place, name, _nested(path[depth + 1 :], value))
        if depth == len(path) - 1:
            shown = _rendered(value, *_style(text, place))
            return text[: member.value] + shown + text[member.end :]
        place = _inner_object(text, member, path[: depth + 1])
    raise ValueError("an empty path")


def remove_member(text: str, path: Sequence[str]) -> str:
    """*text*, which `parse` accepts, without the member at *path*; as it is where there is none."""
    place = _object_at(text, _skip(text, 0))
    for depth, name in enumerate(path):
        index = next((index for index, member in enumerate(place.members) if member.name == name), None)
        if index is None:
            return text
        if depth == len(path) - 1:
            start, end = _extent(place, index)
            return text[:start] + text[end:]
        place = _inner_object(text, place.members[index], path[: depth + 1])
    return text


def value_text(text: str, path: Sequence[str]) -> str | None:
    """The value at *path* as it is written; None where there is none."""
    member = _member_at(text, path)
    return None if member is None else text[member.value : member.end]


def set_value_text(text: str, path: Sequence[str], value: str) -> str:
    """*text* with *value*, as it is written, in place of the one at *path*; as it is where there is none."""
    member = _member_at(text, path)
    return text if member is None else text[: member.value] + value + text[member.end :]


def _member_at(text: str, path: Sequence[str]) -> Member | None:
    place = _object_at(text, _skip(text, 0)) if text.strip(" \t\r\n") else None
    member = None
    for depth, name in enumerate(path):
        member = next((one for one in place.members if one.name == name), None) if place else None
        if member is None:
            return None
        place = _inner_object(text, member, path[: depth + 1]) if depth < len(path) - 1 else None
    return member


def _extent(place: Object, index: int) -> tuple[int, int]:
    """What goes with a member: up to the next one, or from the one before, or all there is between the braces."""
    members = place.members
    if index < len(members) - 1:
        return members[index].start, members[index + 1].start
    if index:
        return members[index - 1].end, members[index].end
    return place.start + 1, place.end - 1


def _inner_object(text: str, member: Member, path: Sequence[str]) -> Object:
    if text[member.value] != "{":
        raise ValueError("/" + "/".join(map(reference_token, path)))
    return _object_at(text, member.value)


def _object_at(text: str, start: int) -> Object:
    members = []
    at = _skip(text, start + 1)
    while text[at] != "}":
        name, behind = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, behind) + 1)
        _, end = _DECODER.raw_decode(text, value)
        members.append(Member(name=name, start=at, value=value, end=end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return Object(start=start, end=at + 1, members=tuple(members))


def _skip(text: str, at: int) -> int:
    return _BLANKS.match(text, at).end()  # type: ignore[union-attr]


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _insert(text: str, place: Object, name: str, value: Any) -> str:
    """Put a member behind the last one of an object."""
    gap, unit = _style(text, place)
    shown = f"{_written(name)}: {_rendered(value, gap, unit)}"
    if place.members:
        last = place.members[-1].end
        return f"{text[:last]},{' ' if gap is None else gap}{shown}{text[last:]}"
    before, after = ("", "") if gap is None else (gap, gap.removesuffix(unit))
    return f"{text[: place.start + 1]}{before}{shown}{after}{text[place.end - 1 :]}"


def _style(text: str, place: Object) -> tuple[str | None, str]:
    """The line break and indentation in front of an object's members, None where it has one line; and one level."""
    newline = "\r\n" if "\r\n" in text else "\n"
    outer = _indentation(text, place.start)
    if place.members:
        first = place.members[0].start
        if "\n" not in text[place.start : first]:
            return None, ""
        indent = text[text.rfind("\n", 0, first) + 1 : first]
        return newline + indent, indent.removeprefix(outer) or "  "
    if text[: place.start].strip(" \t\r\n") and not outer:
        return None, ""
    unit = "\t" if "\t" in outer else "  "
    return newline + outer + unit, unit


def _indentation(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _rendered(value: Any, gap: str | None, unit: str) -> str:
    """*value* as it stands behind its name, further lines indented."""
    if gap is None:
        return _written(value)
    return _written(value, indent=unit).replace("\n", gap)


def _written(value: Any, *, indent: str | int | None = None) -> str:
    """*value* as JSON, with letters as they are unless one is half of a pair, which has no form but an escape."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text
