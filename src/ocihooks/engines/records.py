"""
How to undo what was done to an engine's configuration: one record per engine and handler, and copies of the files.

All of it lies in a directory of ours, which no engine reads. A record is written before the files change, so whatever
interrupts us, the next one knows what may be there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from ocihooks.engines.edits import Done
from ocihooks.engines.files import (
    make_directories,
    missing_directories,
    remove_directories,
    remove_tree,
    sync_directory,
)
from ocihooks.engines.lock import locked
from ocihooks.errors import OCIHooksError, UnavailableError, os_reason
from ocihooks.replace import replace_file
from ocihooks.trust import check_trusted, explained, read_trusted, trust_here

_BACKUP_LIMIT_BYTES = 8 << 20
_FITTING = re.compile(r"[\w.-]{1,63}", re.ASCII)
"""Names of handlers that can stand in the name of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """
    What was done to one file.

    Attributes:
        file: Its path.
        syntax: "json" or "toml"; "" for a template.
        backup: Name of the copy of the former file; None where there was none.
        former: What was in it, while the change is being planned; it is kept as the copy.
        start: What a file that we made begins with; None where there was a file, and nobody of us had made it.
        sha256: Hash of what was written; a file that still has it gets its former bytes back.
        done: The edits.
        block: What was added to a template; "" elsewhere.
        made_directories: Directories that were made for it.
        beside: Directory for temporary files where that of the file won't do.
    """

    file: str
    syntax: str
    backup: str | None
    sha256: str
    start: str | None
    former: str | None = field(default=None, compare=False, repr=False)
    done: tuple[Done, ...] = ()
    block: str = ""
    made_directories: tuple[str, ...] = ()
    beside: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object in a record."""
        return {
            "file": self.file,
            "syntax": self.syntax,
            "backup": self.backup,
            "sha256": self.sha256,
            "start": self.start,
            "done": [one.to_json() for one in self.done],
            "block": self.block,
            "made_directories": list(self.made_directories),
            "beside": self.beside,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        done = tuple(Done.from_json(one) for one in document["done"])
        made = tuple(document["made_directories"])
        rest = {name: document[name] for name in ("file", "syntax", "backup", "sha256", "start", "block", "beside")}
        return cls(**rest, done=done, made_directories=made)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """
    That an engine was told about a wrapper.

    Attributes:
        engine: The engine.
        name: The handler: the name by which the engine knows the wrapper.
        file: The engine's main configuration file.
        program: The wrapper.
        base: The handler whose runtime the wrapper starts.
        default: Whether the handler was made the default.
        installed: Prefix and name of the wrapper that was installed for this handler, and goes with it; else None.
        files: The files that were changed, in the order of writing.
    """

    engine: str
    name: str
    file: str
    program: str
    base: str
    default: bool
    installed: tuple[str, str] | None
    files: tuple[FileRecord, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        words = {name: getattr(self, name) for name in self.__slots__ if name != "files"}
        return words | {"files": [one.to_json() for one in self.files]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        words = {name: document[name] for name in cls.__slots__ if name not in ("files", "installed")}
        prefix, name = document["installed"] or ("", "")
        return cls(
            **words,
            installed=(prefix, name) if name else None,
            files=tuple(FileRecord.from_json(one) for one in document["files"]),
        )


def sha256(text: str) -> str:
    """The hash by which a text is known again."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """
    The directory of records and backups.

    Attributes:
        directory: Its path; made when something is to be kept.
    """

    directory: str

    @property
    def scratch(self) -> str:
        """A directory that the holder of the lock may make; it goes with the lock."""
        return os.path.join(self.directory, "scratch")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """
        Hold the lock and have the directories; what no record needs is removed at the end.

        Raises:
            LockedError: Somebody else held the lock for too long.
            UnavailableError: A directory can't be made.
        """
        make_directories(missing_directories(self.directory))
        check_directory(self.directory)
        with locked(os.path.join(self.directory, "engines.lock")):
            remove_tree(self.scratch)
            make_directories((self._records(), self._backups()))
            try:
                yield
            finally:
                remove_tree(self.scratch)
                self._sweep()
                remove_directories((self._backups(),))
                remove_directories((self._records(),))

    def all(self) -> tuple[EngineRecord, ...]:
        """
        All records, by file name.

        Raises:
            UnavailableError: One can't be read.
            UntrustedError: Somebody else could have written one.
        """
        try:
            names = sorted(name for name in os.listdir(self._records()) if name.endswith(".json"))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise UnavailableError(f"can't be read: {os_reason(error)}", file=self._records()) from None
        return tuple(self._read(os.path.join(self._records(), name)) for name in names)

    def find(self, engine: str, name: str, file: str) -> EngineRecord | None:
        """The record of one handler; None where there is none. Raises as `all`."""
        path = self._path(engine, name, file)
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # not to be taken for a handler that somebody else wrote
            raise UnavailableError(f"can't be read: {os_reason(error)}", file=path) from None
        return self._read(path)

    def _read(self, path: str) -> EngineRecord:
        try:
            return EngineRecord.from_json(json.loads(read_trusted(path, trust_here())))
        except OSError as error:
            raise UnavailableError(f"can't be read: {os_reason(error)}", file=path) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            hint = "take what is ours out of the engine's configuration by hand, then remove this file"
            raise UnavailableError("is no record of a change", file=path, hint=hint) from None

    def keep(self, record: EngineRecord) -> None:
        """Write a record, in place of the one that there may be."""
        text = json.dumps(record.to_json(), indent=2) + "\n"
        replace_file(self._path(record.engine, record.name, record.file), text.encode())

    def forget(self, record: EngineRecord) -> None:
        """Remove a record."""
        path = self._path(record.engine, record.name, record.file)
        try:
            os.unlink(path)
            sync_directory(os.path.dirname(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise UnavailableError(f"can't be removed: {os_reason(error)}", file=path) from None

    def back_up(self, file: str, text: str) -> str:
        """Keep a copy of what is in *file*, readable by its owner only, and return its name."""
        name = f"{os.path.basename(file)}.{sha256(text)[:16]}"
        path = os.path.join(self._backups(), name)
        if not os.path.exists(path):
            replace_file(path, text.encode(), mode=0o600)
        return name

    def backup_path(self, name: str) -> str:
        """Where a copy is."""
        return os.path.join(self._backups(), name)

    def former_text(self, record: FileRecord) -> str | None:
        """What was in the file before; None where there was none or the copy is damaged."""
        if record.backup is None:
            return None
        try:
            data = read_trusted(self.backup_path(record.backup), trust_here(), _BACKUP_LIMIT_BYTES)
            text = data.decode()
        except (OSError, ValueError):
            return None
        return text if record.backup.endswith(f".{sha256(text)[:16]}") else None

    def _sweep(self) -> None:
        """Remove copies that no record needs."""
        try:
            needed = {one.backup for record in self.all() for one in record.files}
            names = os.listdir(self._backups())
        except (OSError, OCIHooksError):  # whatever it is, the next command that reads the records says so
            return
        for name in set(names) - needed:
            try:
                os.unlink(self.backup_path(name))
            except OSError:  # it is only a copy
                continue

    def _path(self, engine: str, name: str, file: str) -> str:
        fitting = name if _FITTING.fullmatch(name) else sha256(name)[:16]
        return os.path.join(self._records(), f"{engine}-{fitting}-{sha256(file)[:16]}.json")

    def _records(self) -> str:
        return os.path.join(self.directory, "engines")

    def _backups(self) -> str:
        return os.path.join(self.directory, "backups")


def check_directory(directory: str) -> None:
    """Refuse a *directory* into which others could put records: they say what root is to write."""
    try:
        check_trusted(directory, trust_here())
    except OSError as error:
        raise explained(directory, error) from None


def named_in(records: Sequence[EngineRecord], program: str) -> tuple[EngineRecord, ...]:
    """Those of *records* whose handler is *program*."""
    return tuple(record for record in records if record.program == program)
