"""``container-hooks-ctk config``: writes the settings of the ``container-hooks-*`` programs, or changes single keys."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ocihooks.dropins.ctk_runtime import masked
from ocihooks.dropins.toolkit_settings import FILE, KEYS, LEVELS
from ocihooks.engines.edits import Edit, look_up, make, parse, same
from ocihooks.engines.files import Change, make_directories, missing_directories, read_config_file
from ocihooks.errors import UsageError, quoted
from ocihooks.spec.members import json_type

_SETTING = re.compile(r"[^=,]+=")
_KEY = re.compile(r"[^.=]+(\.[^.=]+)+")


def write_settings(settings: Sequence[str], file: str = FILE) -> Change:
    """
    Write the settings where there are none, with *settings* in them: texts ``TABLE.KEY=VALUE``.

    Returns:
        What was changed.

    Raises:
        UsageError: One of *settings* can't be understood, or is for a key that is not there.
        UnavailableError: The file can't be read.
        EngineError: It is no TOML, or written so that a key can't be changed.
        ReplaceError: It can't be written; it is as it was.
    """
    now = read_config_file(file)
    text = now.text if parse("toml", now.text, file) else _gapped(now.text) + default_text()
    for path, value in _assignments(settings):
        document = parse("toml", text, file)
        present = look_up(document, path)
        wanted = _converted(path, value, present)
        if not same(present, wanted):
            text, _ = make("toml", text, [Edit(path=path, value=wanted)], file)
    change = Change(old=now, text=text, mode=masked(0o666))
    make_directories(missing_directories(os.path.dirname(file)), masked(0o777))
    change.write()
    return change


def default_text() -> str:
    """A file that says what is so without it."""
    tables = []
    for table, keys in KEYS.items():
        lines = (f"{name} = {json.dumps(key.default)}\n" for name, key in keys.items())
        tables.append(f"[{table}]\n{''.join(lines)}")
    return "\n".join(tables)


def _gapped(text: str) -> str:
    """*text*, comments at most, with an empty line behind it."""
    return f"{text.rstrip()}\n\n" if text.strip() else ""


def _assignments(settings: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Paths and values; a comma separates settings where a key and an equals sign follow it."""
    for setting in settings:
        name, equals, rest = setting.partition("=")
        if not equals or not _KEY.fullmatch(name):
            hint = "for example --set container-hooks-runtime.log-level=debug"
            raise UsageError(f"--set {quoted(setting, 200)}: expected TABLE.KEY=VALUE", hint=hint)
        value, *more = _split(rest)
        yield tuple(name.split(".")), value
        yield from _assignments(more)


def _split(rest: str) -> tuple[str, ...]:
    """A value, and the settings behind it."""
    for at, character in enumerate(rest):
        follows = _SETTING.match(rest, at + 1) if character == "," else None
        if follows and _KEY.fullmatch(follows[0][:-1]) and not follows[0].startswith("/"):
            return rest[:at], rest[at + 1 :]
    return (rest,)


def _converted(path: tuple[str, ...], value: str, present: Any) -> Any:
    """*value* as the type that the key has now."""
    key = ".".join(path)
    if present is None or isinstance(present, Mapping):
        hint = "only keys that the file has can be set; container-hooks.toml(5) describes them all"
        raise UsageError(f"--set {quoted(key, 200)}: there is no such key", hint=hint)
    if not value.isprintable():
        raise UsageError(f"--set {quoted(key, 200)}: {quoted(value, 200)} can't be shown", hint="edit the file instead")
    if path == ("container-hooks-runtime", "log-level") and value.lower() not in LEVELS:
        raise UsageError(
            f"--set {key}: expected a level, found {quoted(value, 80)}", hint=f"one of {', '.join(LEVELS)}"
        )
    try:
        return _read(value, present)
    except ValueError:
        message = f"--set {quoted(key, 200)}: expected {json_type(present)}, found {quoted(value, 80)}"
        raise UsageError(message, hint=f"it is {quoted(present, 80)} now") from None


def _read(value: str, present: Any) -> Any:
    if isinstance(present, bool):
        return {"true": True, "false": False}[value] if value in ("true", "false") else _refuse()
    if isinstance(present, str):
        return value
    if isinstance(present, int | float):
        return type(present)(value)
    if isinstance(present, list) and all(isinstance(item, str) for item in present):
        return value.split(",") if value else []
    return _refuse()


def _refuse() -> Any:
    raise ValueError
