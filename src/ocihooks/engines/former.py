"""What a file would be without a handler of ours, and what that means for other handlers that came after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ocihooks.engines.edits import Path, Syntax, parse, relinked, undo
from ocihooks.engines.files import ConfigFile
from ocihooks.engines.records import EngineRecord, FileRecord, Records, sha256


def former_text(records: Records, one: FileRecord, now: ConfigFile) -> str | None:
    """
    What is in the file *now* without what *one* says that we did to it; None where there would be no file.

    Raises:
        EngineError: It can't be parsed, or not be changed.
    """
    if not now.exists:
        return None
    if sha256(now.text) == one.sha256:
        former = records.former_text(one)
        if former is not None or one.backup is None:
            return former
    syntax = cast("Syntax", one.syntax)
    former = undo(syntax, now.text, one.done, one.file) if syntax else now.text.replace(one.block, "", 1)
    return None if one.start is not None and not _says_anything(former, one.start, one) else former


def _says_anything(text: str, start: str, one: FileRecord) -> bool:
    """Whether a file that we made has got more than what it began with."""
    if not one.syntax:
        return text.strip() not in ("", start.strip())
    syntax = cast("Syntax", one.syntax)
    return parse(syntax, text, one.file) not in ({}, parse(syntax, start, one.file))


def done_by_others(records: Records, file: str, record: EngineRecord | None) -> tuple[FileRecord, ...]:
    """What other handlers than that of *record* did to *file*."""
    return tuple(one for other in records.all() if other != record for one in other.files if one.file == file)


def made_by_others(others: Sequence[FileRecord]) -> set[Path]:
    """Tables and keys of a file that are there only because other handlers of ours needed them."""
    done = [done for one in others for done in one.done]
    tables = {path for one in done for path in one.made}
    return tables | {one.edit.path for one in done if (one.edit.append or one.edit.last) and not one.existed}


def relink(records: Records, gone: EngineRecord) -> None:
    """Let the records of handlers that came after the one that is *gone* know what was before that."""
    done = {one.file: one.done for one in gone.files}
    for other in records.all():
        files = (
            replace(
                one,
                done=tuple(relinked(edit, done.get(one.file, ())) for edit in one.done),
                made_directories=(*_left(gone, one), *one.made_directories),
            )
            for one in other.files
        )
        linked = replace(other, files=tuple(files))
        if other not in (linked, gone):
            records.keep(linked)


def _left(gone: EngineRecord, one: FileRecord) -> tuple[str, ...]:
    """The directories that were made for *gone*, and that *one* needs: they go with it."""
    made = dict.fromkeys(directory for file in gone.files for directory in file.made_directories)
    return tuple(path for path in made if one.file.startswith(f"{path}/") and path not in one.made_directories)
