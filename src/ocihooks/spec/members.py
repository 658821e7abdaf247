"""Reading members of a parsed JSON object with errors that name the place; shared by the types of this package."""

from __future__ import annotations

from ocihooks.errors import DocumentError, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

JSON_TYPES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def json_type(value: object) -> str:
    """What JSON calls *value*: "a string", "an array", "null" …"""
    return JSON_TYPES.get(type(value), "an unknown value")


def expect(value: object, kind: type, pointer: str) -> Any:
    """*value* if it is a *kind*; otherwise a DocumentError that names *pointer*. A bool is no integer here."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        shown = quoted(value, 40)
        found = shown if value is None or isinstance(value, bool) else f"{json_type(value)} {shown}"
        raise DocumentError(f"expected {JSON_TYPES[kind]}, found {found}", code="json_type", pointer=pointer)
    return value


def optional(document: Mapping[str, Any], name: str, kind: type, pointer: str) -> Any:
    """The member *name* if it is there and not null, else None."""
    value = document.get(name)
    return None if value is None else expect(value, kind, f"{pointer}/{name}")


def required(document: Mapping[str, Any], name: str, kind: type, pointer: str) -> Any:
    """The member *name*, which must be there."""
    if name not in document:
        raise DocumentError(f"missing required member {quoted(name)}", code="missing_property", pointer=pointer or "/")
    return expect(document[name], kind, f"{pointer}/{name}")


def optional_strings(document: Mapping[str, Any], name: str, pointer: str) -> tuple[str, ...] | None:
    """The member *name* as a tuple of strings; None where missing or null, empty where empty."""
    items = optional(document, name, list, pointer)
    if items is None:
        return None
    return tuple(expect(item, str, f"{pointer}/{name}/{index}") for index, item in enumerate(items))


def unknown(document: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The members we don't know, which are kept and written back as they were."""
    return {name: value for name, value in document.items() if name not in known}
