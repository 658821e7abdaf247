"""
The less usual forms of what injector files say: pairs, objects, and what holds for all of a file.
"""

from __future__ import annotations

from ocihooks.document import JSONNumber
from ocihooks.errors import DocumentError, quoted
from ocihooks.injector.files import AUTO, COPY, FLAG, WAYS, Entry, InjectorFile, is_no_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MEMBERS = ("source", "destination", "mode", "optional")
"""What an entry that is an object may have."""

_PAIR = ":/"
_DIGITS = frozenset("01234567")
_MOST_MODE = 0o7777
_PAIR_HINT = 'write an object, such as {"source": "/opt/a:/b", "destination": "/opt/b"}'


def entry_of(item: Any, file: str, kind: str, pointer: str, optional: bool) -> Entry:
    """
    What *item* of the list *kind* says, whatever its form.

    Args:
        optional: What the file says about all of its entries.

    Raises:
        DocumentError: It says nothing that can be used.
    """
    if isinstance(item, dict):
        return _from_object(item, file, kind, pointer, optional)
    if not isinstance(item, str) or isinstance(item, JSONNumber) or not item or is_no_path(item):
        raise _no_path(item, file, pointer)
    source, _, rest = item.partition(_PAIR)
    destination = f"/{rest}"
    if not source.startswith("/") or ":" in source or ":" in destination:
        message = f"expected a path or SOURCE:DESTINATION with two absolute paths, found {quoted(item, 200)}"
        raise DocumentError(message, code="odd_entry", file=file, pointer=pointer, hint=_PAIR_HINT)
    return _checked(Entry(kind, source, destination, pointer, optional=optional), file)


def is_pattern(path: str) -> bool:
    """Whether the *path* of a device stands for all that it matches."""
    return any(letter in path for letter in "*?[")


def _from_object(members: Mapping[str, Any], file: str, kind: str, pointer: str, optional: bool) -> Entry:
    for name in members:
        if name not in MEMBERS:
            message, hint = f"unknown member {quoted(name, 80)}", f"an entry has {', '.join(MEMBERS)}"
            raise DocumentError(message, code="odd_entry", file=file, pointer=pointer, hint=hint)
    source = _path(members, "source", file, pointer)
    destination = _path(members, "destination", file, pointer) or source
    if not destination or (not source and kind != "directories"):
        hint = f'write the path on the host, such as {{"source": "/opt/{kind}"}}'
        raise DocumentError(
            'missing required member "source"', code="missing_property", file=file, pointer=pointer, hint=hint
        )
    mode = _mode(members.get("mode"), file, f"{pointer}/mode")
    optional = _switch(members.get("optional", optional), file, f"{pointer}/optional")
    return _checked(Entry(kind, source, destination, pointer, mode=mode, optional=optional), file)


def _path(members: Mapping[str, Any], name: str, file: str, pointer: str) -> str:
    """The absolute path that is the member *name*, or "" where there is none."""
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.startswith("/") or is_no_path(value):
        message, hint = f"expected an absolute path, found {quoted(value, 80)}", "write the path from / down"
        raise DocumentError(message, code="json_type", file=file, pointer=f"{pointer}/{name}", hint=hint)
    return value


def _checked(entry: Entry, file: str) -> Entry:
    if entry.kind == "devices" and is_pattern(entry.source) and entry.source != entry.destination:
        message, hint = "a pattern can't have one destination", "name single devices, or leave out the destination"
        raise DocumentError(message, code="odd_entry", file=file, pointer=entry.pointer, hint=hint)
    return entry


def _mode(value: Any, file: str, pointer: str) -> int | None:
    if value is None:
        return None
    if type(value) is str and 3 <= len(value) <= 5 and _DIGITS.issuperset(value) and int(value, 8) <= _MOST_MODE:
        return int(value, 8)
    message, hint = f"expected permission bits as an octal text, found {quoted(value, 80)}", 'write "0755", say'
    raise DocumentError(message, code="json_type", file=file, pointer=pointer, hint=hint)


def _switch(value: Any, file: str, pointer: str) -> bool:
    if isinstance(value, bool):
        return value
    message, hint = f"expected true or false, found {quoted(value, 80)}", "leave it out, or write it without quotes"
    raise DocumentError(message, code="json_type", file=file, pointer=pointer, hint=hint)


def _no_path(value: object, file: str, pointer: str) -> DocumentError:
    message, hint = f"expected a path, found {quoted(value, 80)}", 'write paths, such as ["/usr/bin/strace"]'
    return DocumentError(message, code="json_type", file=file, pointer=pointer, hint=hint)


def with_extras(file: InjectorFile, members: Mapping[str, Any]) -> InjectorFile:
    """
    *file* with what its *members* say about all of it.

    Raises:
        DocumentError: One of them can't be used.
    """
    way = members.get("way", AUTO)
    if way not in WAYS or isinstance(way, JSONNumber):
        message, hint = f"expected {_either(WAYS)}, found {quoted(way, 80)}", f"the default is {quoted(AUTO)}"
        raise DocumentError(message, code="json_type", file=file.file, pointer="/way", hint=hint)
    optional = _switch(members.get("optional", False), file.file, "/optional")
    env = _environment(members.get("env"), file)
    if way == COPY:
        _check_copied(file, env)
    return InjectorFile(file.file, file.flag, file.parts, way=way, optional=optional, env=env)


def _check_copied(file: InjectorFile, env: tuple[str, ...]) -> None:
    """Raise if *file* or its *env* asks for what a hook never gives."""
    hint = f"leave out {quoted('way')}"
    if env:
        message = "a hook can't set variables of a container"
        raise DocumentError(message, code="odd_entry", file=file.file, pointer="/env", hint=hint)
    for entry in file.entries:
        if entry.kind == "directories" and entry.source and not entry.optional:
            message = f"a hook can't copy the directory {quoted(entry.source, 200)}"
            raise DocumentError(message, code="odd_entry", file=file.file, pointer=entry.pointer, hint=hint)


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(map(quoted, words[:-1]))} or {quoted(words[-1])}"


def _environment(value: Any, file: InjectorFile) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _no_variable(value, file, "/env")
    for index, item in enumerate(value):
        if type(item) is not str or not item.partition("=")[1] or item.startswith("=") or is_no_path(item):
            raise _no_variable(item, file, f"/env/{index}")
        if item.partition("=")[0] == file.flag.partition("=")[0]:
            message, hint = "the variable that asks for the file can't be set by it", f"see {FLAG}"
            raise DocumentError(message, code="odd_entry", file=file.file, pointer=f"/env/{index}", hint=hint)
    return tuple(value)


def _no_variable(value: object, file: InjectorFile, pointer: str) -> DocumentError:
    message, hint = f"expected NAME=VALUE, found {quoted(value, 80)}", 'write a list, such as ["TOOLS=/opt/tools"]'
    return DocumentError(message, code="json_type", file=file.file, pointer=pointer, hint=hint)
