"""
The settings of the ``container-hooks-*`` programs: the tables and keys of /etc/container-hooks/config.toml.

One table drives reading, messages, the manual page, and what the programs write when they make the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ocihooks.document import read_file
from ocihooks.errors import Diagnostic, DocumentError, SettingsError, quoted
from ocihooks.spec.members import json_type

FILE = "/etc/container-hooks/config.toml"

HOOKS_TABLE, CTK_TABLE, RUNTIME_TABLE = "container-hooks", "container-hooks-ctk", "container-hooks-runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """
    One key of the file.

    Attributes:
        default: The value where there is none; a tuple for an array.
        expected: What a value has to be, for messages and the manual page.
        meaning: One or two sentences for the manual page.
        read: Turns a TOML value into ours; raises ValueError if it is something else.
    """

    default: str | tuple[str, ...]
    expected: str
    meaning: str
    read: Callable[[Any], str | tuple[str, ...]]


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(map(_text, value))


LEVELS = ("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic")

KEYS: dict[str, dict[str, Key]] = {
    HOOKS_TABLE: {
        "path": Key(
            default="/etc/container-hooks/hooks.json",
            expected="a path",
            meaning="The file with the hooks; a relative one is looked for beside the settings file.",
            read=_text,
        ),
    },
    CTK_TABLE: {
        "path": Key(
            default="/usr/bin/container-hooks-ctk",
            expected="a path",
            meaning="The program container-hooks-ctk, for programs that look for it here.",
            read=_text,
        ),
    },
    RUNTIME_TABLE: {
        "debug": Key(
            default="/etc/container-hooks/container-hooks-runtime.log",
            expected="a path",
            meaning="The log file. It and the directories above it are made; an empty text means no log. "
            "A relative path is one from the directory of the settings file.",
            read=_text,
        ),
        "log-level": Key(
            default="info",
            expected="a level",
            meaning="The least level of what is logged: trace, debug, info, warn, error, fatal or panic. "
            "Another word counts as info, and the log says so.",
            read=_text,
        ),
        "runtimes": Key(
            default=("runc", "docker-runc"),
            expected="an array of paths or names",
            meaning="Candidates for the runtime: the first one that is an executable file is used. "
            "A name without a slash is looked up on PATH and then in the usual directories.",
            read=_texts,
        ),
    },
}
"""The tables and keys; what stands there besides is left to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolkitSettings:
    """
    What the file says, defaults filled in.

    Attributes:
        values: Values by table and key, of all in `KEYS`.
        file: The settings file, from whose directory relative paths are meant.
    """

    values: dict[str, dict[str, str | tuple[str, ...]]]
    file: str

    def path(self, table: str, key: str) -> str:
        """An absolute path, or "" for none."""
        value = str(self.values[table][key])
        return os.path.normpath(os.path.join(os.path.dirname(self.file), value)) if value else ""

    def plain(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What container-hooks-runtime needs: hook file, log file, level in lower case, and candidates."""
        runtime = self.values[RUNTIME_TABLE]
        return (
            self.path(HOOKS_TABLE, "path"),
            self.path(RUNTIME_TABLE, "debug"),
            str(runtime["log-level"]),
            tuple(runtime["runtimes"]),
        )


def read_toolkit_settings(file: str = FILE) -> ToolkitSettings:
    """
    Read the settings in *file*; where there is none, all is as by default.

    Raises:
        SettingsError: It is broken; has all problems.
    """
    if not os.path.lexists(file):
        return parse_toolkit_settings(b"", file)
    try:
        data, _ = read_file(file)
    except DocumentError as error:
        hint = "put a plain file in its place, or none for the defaults"
        raise SettingsError(error.message, code="read_failed", file=file, hint=hint) from None
    return parse_toolkit_settings(data, file)


def parse_toolkit_settings(data: bytes, file: str) -> ToolkitSettings:
    """
    Read settings from the bytes of a file.

    Raises:
        SettingsError: They are broken; has all problems.
    """
    document = _document(data, file)
    problems: list[Diagnostic] = []
    values = {name: _table(document.get(name, {}), name, keys, file, problems) for name, keys in KEYS.items()}
    if problems:
        raise SettingsError(problems=problems)
    return ToolkitSettings(values=values, file=file)


def _document(data: bytes, file: str) -> dict[str, Any]:
    hint = "container-hooks.toml(5) describes the format and all keys"
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"not UTF-8: {error.reason}", code="not_utf8", file=file, hint="write it in UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        place = place.rstrip(")").replace(",", "")
        message = f"not TOML: {reason[0].lower()}{reason[1:]}"
        raise SettingsError(message, code="toml_syntax", file=file, pointer=place or None, hint=hint) from None
    except (RecursionError, ValueError):  # numbers of thousands of digits are refused by int()
        message = "not TOML: nested too deep, or a number is too long"
        raise SettingsError(message, code="toml_syntax", file=file, hint=hint) from None


def _table(
    table: Any, name: str, keys: dict[str, Key], file: str, problems: list[Diagnostic]
) -> dict[str, str | tuple[str, ...]]:
    """The values of one table, with defaults for keys that are missing."""
    values = {key: known.default for key, known in keys.items()}
    if not isinstance(table, dict):
        message, hint = f"expected a table, found {json_type(table)}", f"write [{name}]"
        problems.append(Diagnostic(message, code="wrong_type", file=file, pointer=name, hint=hint))
        return values
    for key in keys.keys() & table.keys():
        try:
            values[key] = keys[key].read(table[key])
        except ValueError:
            message = f"expected {keys[key].expected}, found {quoted(table[key], 80)}"
            hint = f"the default is {quoted(keys[key].default)}"
            problems.append(Diagnostic(message, code="wrong_value", file=file, pointer=f"{name}.{key}", hint=hint))
    return values
