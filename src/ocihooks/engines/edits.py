"""
Changes to a configuration text, done and undone, and compared with what they were to mean.

Whatever the text functions do, the result is parsed again, and everything but the edited keys has to be as before.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Literal

from ocihooks.engines import json_text, toml_text
from ocihooks.engines.errors import EngineError

Syntax = Literal["json", "toml"]
Path = tuple[str, ...]

_SYNTAXES: Mapping[str, ModuleType] = {"json": json_text, "toml": toml_text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """
    One key or table to be set.

    Attributes:
        path: Where, from the root.
        value: What: a table, which must not be there yet, or a plain value; for *append* a string.
        append: Put the string into the array that is there, or into a new one.
        owned: It is ours whatever becomes of it, and goes even if somebody has changed it.
        last: Others need it as long as there is anything else, so it goes only when it is alone.
    """

    path: Path
    value: Any
    append: bool = False
    owned: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """
    An edit that was made.

    Attributes:
        edit: The edit.
        existed: Whether there was something at its path.
        before: What was there.
        written: The former value as it was written; None where there was none, or a table.
        made: Paths of the tables that were made around it, the outermost first.
        header: Whether its table, which was there, got a header for it.
    """

    edit: Edit
    existed: bool
    before: Any
    written: str | None
    made: tuple[Path, ...]
    header: bool = False

    def to_json(self) -> dict[str, Any]:
        """The edit as an object of an undo record."""
        return {
            "path": list(self.edit.path),
            "value": self.edit.value,
            "append": self.edit.append,
            "owned": self.edit.owned,
            "last": self.edit.last,
            "existed": self.existed,
            "before": self.before,
            "written": self.written,
            "made": [list(path) for path in self.made],
            "header": self.header,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Done:
        """The edit whose `to_json` is *document*."""
        flags = {name: bool(document[name]) for name in ("append", "owned", "last")}
        edit = Edit(path=tuple(document["path"]), value=document["value"], **flags)
        made = tuple(tuple(path) for path in document["made"])
        return cls(
            edit=edit,
            existed=bool(document["existed"]),
            before=document["before"],
            written=document["written"],
            made=made,
            header=bool(document["header"]),
        )


def parse(syntax: Syntax, text: str, file: str) -> dict[str, Any]:
    """What *text* means; raises EngineError with line and column."""
    document: dict[str, Any] = _SYNTAXES[syntax].parse(text, file)
    return document


_MISSING = object()


def look_up(document: Mapping[str, Any], path: Path, default: Any = None) -> Any:
    """What is at *path*; *default* where there is nothing, or something on the way is no table."""
    value: Any = document
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return default
        value = value[name]
    return value


def are_made(document: Mapping[str, Any], edits: Sequence[Edit]) -> bool:
    """Whether *document* already says what *edits* would, one after the other."""
    extended = {edit.path for edit in edits if edit.append}
    for edit in edits:
        present = look_up(document, edit.path, _MISSING)
        if edit.append or (edit.path in extended and isinstance(edit.value, list)):
            items = [edit.value] if edit.append else edit.value
            if not isinstance(present, list) or not all(item in present for item in items):
                return False
        elif not same(present, edit.value):
            return False
    return True


def make(
    syntax: Syntax, text: str, edits: Sequence[Edit], file: str, *, ours: Iterable[Path] = ()
) -> tuple[str, tuple[Done, ...]]:
    """
    *text* with *edits*, and how to undo them.

    Args:
        ours: Tables and keys that are there only because other edits of ours made them.

    Raises:
        EngineError: The text can't be parsed, or can't be extended at such a place, or not so that it can be undone.
    """
    done = []
    for edit in edits:
        document = parse(syntax, text, file)
        present = look_up(document, edit.path, _MISSING)
        existed = present is not _MISSING and not ((edit.append or edit.last) and edit.path in set(ours))
        made = tuple(
            path
            for path in (edit.path[:depth] for depth in range(1, len(edit.path)))
            if path in set(ours) or look_up(document, path, _MISSING) is _MISSING
        )
        written = _SYNTAXES[syntax].value_text(text, edit.path) if existed and not edit.append else None
        had_header = syntax == "json" or isinstance(edit.value, Mapping) or toml_text.has_header(text, edit.path[:-1])
        text = _checked(syntax, text, _with(document, edit, file), edit, file)
        header = not had_header and toml_text.has_header(text, edit.path[:-1])
        before = present if written is not None else None
        _check_recordable((edit.value, before), edit.path, file)
        done.append(Done(edit=edit, existed=existed, before=before, written=written, made=made, header=header))
    return text, tuple(done)


def _check_recordable(values: Sequence[Any], path: Path, file: str) -> None:
    """Raise unless *values* can stand in an undo record, which is JSON."""
    try:
        json.dumps(values)
    except TypeError:
        raise EngineError(
            "it has a date or time, or what is copied to it has one, which an undo record can't keep",
            code="engine_layout",
            file=file,
            pointer=toml_text.key_text(path),
            hint="write dates and times as texts, also in the table of the handler that it is made from",
        ) from None


def undo(syntax: Syntax, text: str, done: Sequence[Done], file: str) -> str:
    """
    *text* without what *done* put into it; what somebody else has changed since stays.

    Raises:
        EngineError: The text can't be parsed, or not be changed.
    """
    ordered = [one for one in reversed(done) if not one.edit.last] + [one for one in done if one.edit.last]
    for one in ordered:
        document = parse(syntax, text, file)
        text = _undo(syntax, text, one, document, file)
        if one.header:
            text = toml_text.remove_header(text, one.edit.path[:-1])
        for path in reversed(one.made):
            if look_up(parse(syntax, text, file), path) == {}:
                text = _remove(syntax, text, path)
        _compare_rest(document, parse(syntax, text, file), one, file)
    return text


def _undo(syntax: Syntax, text: str, one: Done, document: Mapping[str, Any], file: str) -> str:
    edit = one.edit
    present = look_up(document, edit.path, _MISSING)
    if edit.append:
        if isinstance(present, list) and edit.value in present:
            text = toml_text.remove_item(text, edit.path, edit.value)
        if not one.existed and look_up(parse(syntax, text, file), edit.path) == []:
            text = _remove(syntax, text, edit.path)
    elif edit.last:
        if not one.existed and document == {edit.path[0]: edit.value}:
            text = _remove(syntax, text, edit.path)
    elif one.existed:
        if same(present, edit.value) and one.written is not None:
            text = _SYNTAXES[syntax].set_value_text(text, edit.path, one.written)
    elif edit.owned or same(present, edit.value):
        text = _remove(syntax, text, edit.path)
    return text


def relinked(done: Done, gone: Iterable[Done]) -> Done:
    """*done* as it has to be undone once *gone*, edits of the same file that came before it, are undone."""
    for one in gone:
        if one.edit.path == done.edit.path and done.existed and same(done.before, one.edit.value):
            return replace(done, existed=one.existed, before=one.before, written=one.written)
    return done


def _checked(syntax: Syntax, text: str, wanted: Mapping[str, Any], edit: Edit, file: str) -> str:
    try:
        changed = _set(syntax, text, edit)
        if same(parse(syntax, changed, file), wanted):
            return changed
    except (EngineError, ValueError, LookupError):
        pass
    raise _unextendable(edit.path, file)


def _unextendable(path: Path, file: str) -> EngineError:
    return EngineError(
        "can't be changed without rewriting it, since it is written as an inline table or with dotted keys",
        code="engine_layout",
        file=file,
        pointer=toml_text.key_text(path),
        hint="write the tables on the way to it with headers in brackets, or add it by hand",
    )


def _set(syntax: Syntax, text: str, edit: Edit) -> str:
    if syntax == "json":
        return json_text.set_member(text, edit.path, edit.value)
    if edit.append:
        present = look_up(toml_text.parse(text, ""), edit.path)
        if present is None:
            return toml_text.set_key(text, edit.path, [edit.value])
        return toml_text.append_item(text, edit.path, edit.value)
    if isinstance(edit.value, Mapping):
        return toml_text.add_table(text, edit.path, edit.value)
    return toml_text.set_key(text, edit.path, edit.value)


def _remove(syntax: Syntax, text: str, path: Path) -> str:
    return json_text.remove_member(text, path) if syntax == "json" else toml_text.remove(text, path)


def _with(document: Mapping[str, Any], edit: Edit, file: str) -> dict[str, Any]:
    """*document* as it is to be after *edit*."""
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    table = changed
    for depth, name in enumerate(edit.path[:-1], 1):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            place = toml_text.key_text(edit.path[:depth])
            hint = "look the key up in the engine's documentation"
            raise EngineError("expected a table", code="engine_layout", file=file, pointer=place, hint=hint)
    if edit.append:
        present = table.setdefault(edit.path[-1], [])
        if not isinstance(present, list):
            place = toml_text.key_text(edit.path)
            hint = "look the key up in the engine's documentation"
            raise EngineError("expected an array", code="engine_layout", file=file, pointer=place, hint=hint)
        present.append(edit.value)
    else:
        table[edit.path[-1]] = edit.value
    return changed


def _compare_rest(before: Mapping[str, Any], after: Mapping[str, Any], done: Done, file: str) -> None:
    """Raise unless both are the same but for what the undone edit is about."""
    for document in (before, after):
        if not isinstance(document, dict):
            raise _unextendable(done.edit.path, file)
    stripped = [_without(document, (done.edit.path, *reversed(done.made))) for document in (before, after)]
    if not same(*stripped):
        raise _unextendable(done.edit.path, file)


def _without(document: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """*document* without the first of *paths*, and without the others where they are empty then."""
    stripped: dict[str, Any] = copy.deepcopy(dict(document))
    for index, path in enumerate(paths):
        table = look_up(stripped, path[:-1]) if len(path) > 1 else stripped
        if isinstance(table, dict) and path[-1] in table and (not index or table[path[-1]] == {}):
            del table[path[-1]]
    return stripped


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, types included: 1 is not 1.0 and not true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124  (not a number)
