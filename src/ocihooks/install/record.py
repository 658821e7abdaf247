"""The record of an installation: what was written where, so that it can be shown, repeated and undone exactly."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Self

from ocihooks.errors import UnavailableError, os_reason
from ocihooks.trust import read_trusted, trust_here


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One installed wrapper.

    Attributes:
        name: The program's name.
        program: Which of our programs it is.
        script: Absolute path of the program that engines call: the script, or the launcher in front of it.
        script_sha256: Hash of that program as it was written.
        runtime: The real runtime; "" where it is known at each call only.
        flavour: "runc", "crun" or "" (unknown).
        settings: The settings file; "" means the default place.
        hooks_dirs: Hooks directories that replace those of the settings; empty: none.
        python: The interpreter.
        version: Version of the package that installed it.
        cache_dir: Where compiled rules are kept; "" means the default place.
        launcher: Whether the program is the launcher, which starts the script.
        files: All other files that were written: the script behind a launcher, and the images.
        made_directories: Directories that did not exist before, the innermost last.
    """

    name: str
    program: str
    script: str
    script_sha256: str
    runtime: str
    flavour: str
    settings: str
    hooks_dirs: tuple[str, ...]
    python: str
    version: str
    cache_dir: str
    launcher: bool
    files: tuple[str, ...]
    made_directories: tuple[str, ...]

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read a record as `to_json` wrote it."""
        lists = {name: tuple(document[name]) for name in ("hooks_dirs", "files", "made_directories")}
        return cls(**{name: document[name] for name in cls.__slots__} | lists)

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


def record_file(prefix: str, name: str) -> str:
    """Where the record of the wrapper *name* below *prefix* is."""
    return os.path.join(prefix, "lib", "ocihooks", f"{name}.json")


def read_record(prefix: str, name: str) -> Record | None:
    """
    The record of an installed wrapper; None where there is none.

    Raises:
        UnavailableError: It is there but can't be read.
        UntrustedError: Somebody else could have written it, and with it, which files are to be removed.
    """
    file = os.path.abspath(record_file(prefix, name))
    try:
        return Record.from_json(json.loads(read_trusted(file, trust_here())))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"can't be read: {os_reason(error)}", file=file) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        hint = "remove the file and the script by hand, then install again"
        raise UnavailableError("is no record of an installation", file=file, hint=hint) from None


def sha256(data: bytes) -> str:
    """The hash by which a script is known again."""
    return hashlib.sha256(data).hexdigest()
