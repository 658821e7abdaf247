"""
Changes single keys and tables of a TOML text and leaves every other byte as it was.

The text is split into statements, one per header and per key, each with its place; the standard library decides what
the text means, before and after. What is inserted takes its indentation from its neighbours.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ocihooks.engines.errors import EngineError
from ocihooks.engines.nesting import MOST_LEVELS, is_too_deep

Path = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = re.compile(r"[ \t]*")
_LINE = re.compile(r"[^\n]*\n?")
_PLAIN = re.compile(r"[^\s,\]}#\"'\[{]+(?: [0-9:.Z+-]+)?")
_QUOTES = ('"""', "'''", '"', "'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """
    A header, or a key with its value.

    Attributes:
        kind: What it is.
        path: From the root; tables of an array have a number in front of their names' successors.
        start: Where its line begins.
        end: Behind its line, comment included.
        value: Where the value begins; that of a header is its end.
        value_end: Behind the value.
        indent: The blanks in front of it.
    """

    kind: Literal["table", "array", "key"]
    path: Path
    start: int
    end: int
    value: int
    value_end: int
    indent: str


def parse(text: str, file: str) -> dict[str, Any]:
    """
    What *text* means.

    Raises:
        EngineError: It is no TOML, or nested too deep.
    """
    hint = "mend the file, then try again"
    pointer = None
    try:
        document = tomllib.loads(text)
        if not is_too_deep(document):
            return document
        message = f"nested deeper than {MOST_LEVELS} levels"
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        pointer = place.rstrip(")").replace(",", "") or None
        message = f"not TOML: {reason[:1].lower()}{reason[1:]}"
    except (RecursionError, ValueError):  # tomllib leaves numbers to int(), which refuses those of thousands of digits
        message = "not TOML: nested too deep, or a number that is too long"
    raise EngineError(message, code="engine_syntax", file=file, pointer=pointer, hint=hint) from None


def statements(text: str) -> tuple[Statement, ...]:
    """All headers and keys of *text*, which `parse` accepts, in their order."""
    found: list[Statement] = []
    table: Path = ()
    arrays: dict[Path, int] = {}
    at = 0
    while at < len(text):
        start = at
        at = _blanks(text, at)
        indent = text[start:at]
        if text[at : at + 1] in ("", "\n", "\r", "#"):
            at = _line_end(text, at)
            continue
        if text[at] == "[":
            array = text.startswith("[[", at)
            path, at = _key(text, at + 1 + array)
            at = _blanks(text, at) + 1 + array
            table = _numbered(path, arrays)
            if array:
                arrays[table] = arrays.get(table, -1) + 1
                table = (*table, str(arrays[table]))
            end = _line_end(text, at)
            kind: Literal["table", "array"] = "array" if array else "table"
            found.append(Statement(kind=kind, path=table, start=start, end=end, value=at, value_end=at, indent=indent))
        else:
            key, at = _key(text, at)
            value = _blanks(text, _blanks(text, at) + 1)
            at = _value_end(text, value)
            end = _line_end(text, at)
            path = (*table, *key)
            found.append(
                Statement(kind="key", path=path, start=start, end=end, value=value, value_end=at, indent=indent)
            )
        at = end
    return tuple(found)


def _numbered(path: Path, arrays: Mapping[Path, int]) -> Path:
    """*path* with the number of the present table behind each name that is an array's."""
    numbered: Path = ()
    for name in path[:-1]:
        numbered = (*numbered, name)
        if numbered in arrays:
            numbered = (*numbered, str(arrays[numbered]))
    return (*numbered, path[-1])


def _blanks(text: str, at: int) -> int:
    return _BLANKS.match(text, at).end()  # type: ignore[union-attr]


def _line_end(text: str, at: int) -> int:
    return _LINE.match(text, at).end()  # type: ignore[union-attr]


def _key(text: str, at: int) -> tuple[Path, int]:
    """The parts of a dotted key, and where it ends."""
    parts: Path = ()
    while True:
        at = _blanks(text, at)
        if text[at] in "\"'":
            end = _string_end(text, at)
            (part,) = tomllib.loads(f"{text[at:end]} = 0")
        else:
            end = _BARE.match(text, at).end()  # type: ignore[union-attr]
            part = text[at:end]
        parts = (*parts, part)
        at = _blanks(text, end)
        if text[at : at + 1] != ".":
            return parts, end
        at += 1


def _string_end(text: str, at: int) -> int:
    quote = next(quote for quote in _QUOTES if text.startswith(quote, at))
    at += len(quote)
    while not text.startswith(quote, at):
        at += 2 if text[at] == "\\" and quote[0] == '"' else 1
    at += len(quote)
    while len(quote) == 3 and text[at : at + 1] == quote[0]:  # up to two quotes may stand before the closing ones
        at += 1
    return at


def _value_end(text: str, at: int) -> int:
    if text[at] in "\"'":
        return _string_end(text, at)
    if text[at] not in "[{":
        return _PLAIN.match(text, at).end()  # type: ignore[union-attr]
    depth = 0
    while True:
        character = text[at]
        if character in "\"'":
            at = _string_end(text, at)
            continue
        if character == "#":
            at = _line_end(text, at)
            continue
        depth += (character in "[{") - (character in "]}")
        at += 1
        if not depth:
            return at


def set_key(text: str, path: Path, value: Any) -> str:
    """
    *text*, which `parse` accepts, with *value*, no table, at *path*; its table is made where it is missing.

    The caller has to check that the result means what it is to mean: a table that was written as an inline table or by
    dotted keys can't be extended.
    """
    found = statements(text)
    present = next((one for one in found if one.kind == "key" and one.path == path), None)
    if present is not None:
        return text[: present.value] + shown(value) + text[present.value_end :]
    line = f"{key_text(path[-1:])} = {shown(value)}"
    newline = _newline(text)
    if len(path) == 1:
        return _insert_root_key(text, found, line + newline)
    header = next((one for one in found if one.kind == "table" and one.path == path[:-1]), None)
    if header is None:
        return add_table(text, path[:-1], {path[-1]: value})
    own = [one for one in _body(found, header) if len(one.path) == len(path)]
    last = own[-1] if own else header
    indent = own[0].indent if own else header.indent + _unit(found)
    before = _whole_line(text, last.end, newline)
    return f"{before}{indent}{line}{newline}{text[last.end :]}"


def value_text(text: str, path: Path) -> str | None:
    """The value at *path* as it is written; None where no key is, but perhaps a table."""
    present = next((one for one in statements(text) if one.kind == "key" and one.path == path), None)
    return None if present is None else text[present.value : present.value_end]


def set_value_text(text: str, path: Path, value: str) -> str:
    """*text* with *value*, as it is written, in place of the one at *path*."""
    present = _key_at(text, path)
    return text[: present.value] + value + text[present.value_end :]


def _insert_root_key(text: str, found: Sequence[Statement], line: str) -> str:
    keys = list(_until_header(found))
    if keys:
        at = keys[-1].end
        return _whole_line(text, at, _newline(text)) + line + text[at:]
    separator = "" if not text or text.startswith(("\n", "\r")) else _newline(text)
    return line + separator + text


def _until_header(found: Sequence[Statement]) -> Iterator[Statement]:
    for one in found:
        if one.kind != "key":
            return
        yield one


def _body(found: Sequence[Statement], header: Statement) -> Iterator[Statement]:
    """The keys behind *header*, up to the next one."""
    yield from _until_header(found[found.index(header) + 1 :])


def add_table(text: str, path: Path, table: Mapping[str, Any]) -> str:
    """
    *text*, which `parse` accepts, with a new *table* at *path*: behind the last table beside it, else at the end.
    """
    found = statements(text)
    depth = len(path)
    beside = [one for one in found if depth > 1 and one.path[: depth - 1] == path[:-1]]
    beside = [one for one in beside if len(one.path) > depth or (one.kind != "key" and len(one.path) == depth)]
    newline = _newline(text)
    if beside:
        headers = [one for one in beside if one.kind == "table"]
        indent = headers[-1].indent if headers else ""
        indent = next((one.indent for one in headers if len(one.path) == len(path)), indent)
        block = _block(path, table, indent, _unit(found), newline)
        at = beside[-1].end
        return f"{_whole_line(text, at, newline)}{newline}{block}{text[at:]}"
    gap = newline if text.strip() else ""
    return f"{_whole_line(text, len(text), newline)}{gap}{_block(path, table, '', _unit(found), newline)}"


def _whole_line(text: str, at: int, newline: str) -> str:
    """*text* up to *at*, its last line ended."""
    return text[:at] if not at or text[at - 1] == "\n" else text[:at] + newline


def _unit(found: Sequence[Statement]) -> str:
    """By what tables are indented within tables; nothing where they are not."""
    indents = [one.indent for one in found if one.indent]
    return min(indents, key=len) if indents else ""


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _block(path: Path, table: Mapping[str, Any], indent: str, unit: str, newline: str) -> str:
    lines = [f"{indent}[{key_text(path)}]"]
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    lines += [
        f"{indent}{unit}{key_text((name,))} = {shown(value)}" for name, value in table.items() if name not in inner
    ]
    blocks = [_block((*path, name), value, indent + unit, unit, newline) for name, value in inner.items()]
    return newline.join([newline.join(lines) + newline, *blocks])


def remove(text: str, path: Path) -> str:
    """*text*, which `parse` accepts, without the key or table at *path* and all that is in it."""
    pieces = []
    at = 0
    for one in statements(text):
        if one.path[: len(path)] == path:
            start = one.start
            if one.kind != "key":
                start -= _blank_line_before(text, start)
            pieces.append(text[at : max(start, at)])
            at = one.end
    return "".join([*pieces, text[at:]])


def has_header(text: str, path: Path) -> bool:
    """Whether the table at *path* has a header of its own; the root needs none."""
    return not path or any(one.kind == "table" and one.path == path for one in statements(text))


def remove_header(text: str, path: Path) -> str:
    """*text* without the header of the table at *path*, if no key follows it."""
    found = statements(text)
    header = next((one for one in found if one.kind == "table" and one.path == path), None)
    if header is None or list(_body(found, header)):
        return text
    return text[: header.start - _blank_line_before(text, header.start)] + text[header.end :]


def _blank_line_before(text: str, at: int) -> int:
    """How long the empty line in front of *at* is; 0 where there is none."""
    for blank in ("\r\n", "\n"):
        if text[:at].endswith(f"\n{blank}") or text[:at] == blank:
            return len(blank)
    return 0


def append_item(text: str, path: Path, item: str) -> str:
    """*text*, which `parse` accepts, with one more string in the array at *path*."""
    present = _key_at(text, path)
    items = _items(text, present.value)
    if not items:
        return f"{text[: present.value]}[{shown(item)}]{text[present.value_end :]}"
    start, end = items[-1]
    line = text.rfind("\n", 0, start) + 1
    if line <= present.value or text[line:start].strip():
        return f"{text[:end]}, {shown(item)}{text[end:]}"
    indent = text[line:start]
    if text[_blanks(text, end)] == ",":
        below = _line_end(text, end)
        return f"{text[:below]}{indent}{shown(item)},{_newline(text)}{text[below:]}"
    return f"{text[:end]},{_newline(text)}{indent}{shown(item)}{text[end:]}"


def remove_item(text: str, path: Path, item: str) -> str:
    """*text*, which `parse` accepts, without the last string *item* in the array at *path*; as it is without one."""
    items = _items(text, _key_at(text, path).value)
    values = [tomllib.loads(f"x = {text[start:end]}")["x"] for start, end in items]
    if item not in values:
        return text
    index = len(values) - 1 - values[::-1].index(item)
    start, end = items[index]
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip() and text[_blanks(text, end)] == ",":
        start, end = line, _line_end(text, end)
    elif index:
        start = items[index - 1][1]
    elif len(items) > 1:
        end = items[1][0]
    return text[:start] + text[end:]


def _key_at(text: str, path: Path) -> Statement:
    return next(one for one in statements(text) if one.kind == "key" and one.path == path)


def _items(text: str, at: int) -> list[tuple[int, int]]:
    """Where the items of the array that begins at *at* are."""
    items: list[tuple[int, int]] = []
    at += 1
    while True:
        at = _blanks(text, at)
        if text[at] == "]":
            return items
        if text[at] in ",\r\n":
            at += 1
        elif text[at] == "#":
            at = _line_end(text, at)
        else:
            start, at = at, _value_end(text, at)
            items.append((start, at))


def key_text(path: Path) -> str:
    """*path* as a dotted key."""
    return ".".join(name if _BARE.fullmatch(name) else _string(name) for name in path)


def shown(value: Any) -> str:
    """*value* as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_text((name,))} = {shown(item)}' for name, item in value.items())}}}"
    return str(value)  # numbers and times


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
