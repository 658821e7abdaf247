"""An engine with its files, as they are on disk and as they would be without a handler of ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from ocihooks.engines.engine import Configuration, Engine
from ocihooks.engines.files import ConfigFile, make_directories, read_config_file
from ocihooks.engines.former import former_text
from ocihooks.engines.known import ENGINES
from ocihooks.engines.programs import Version, find_program, version_of
from ocihooks.engines.records import EngineRecord, FileRecord, Records
from ocihooks.errors import UnavailableError, UsageError, quoted

HANDLER = "ocihooks"
"""The name of a handler when nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    What is to be told to which engine.

    Attributes:
        engine: Name of the engine.
        name: Name of the handler.
        file: The engine's main configuration file; None: the usual place.
        state_dir: Directory of backups and undo records.
        prefix: Below which wrappers are installed.
        base: The handler whose runtime the wrapper starts; None: the engine's default.
        program: The wrapper; None: the installed one for that runtime, which is installed if there is none.
        default: Whether to make the handler the default.
        drop_in: Whether to write a file of our own; None: where the engine can read one.
        annotations: Patterns of annotations that containerd is to hand on.
        hooks_dirs: The hooks directories of the settings.
    """

    engine: str
    name: str = HANDLER
    file: str | None = None
    state_dir: str
    prefix: str
    base: str | None = None
    program: str | None = None
    default: bool = False
    drop_in: bool | None = None
    annotations: tuple[str, ...] = ()
    hooks_dirs: tuple[str, ...] = ()


class Scene:
    """
    One engine and one handler; `look` reads everything anew.

    Attributes:
        target: What it is about.
        engine: The engine.
        file: Its main configuration file.
        program: The engine's own program; None where it is not on this machine.
        version: The program's version; empty where it is unknown.
        records: Where changes are remembered.
        record: How to undo the present handler; None where it is not ours.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.engine: Engine = ENGINES[target.engine]
        self.engine.check_name(target.name)
        self.file = target.file or self.engine.default_file(os.environ)
        check_absolute("--config", self.file)
        check_absolute("--state-dir", target.state_dir)
        self.program = find_program(self.engine.program)
        self.version: Version = version_of(self.program) if self.program else ()
        self.records = Records(directory=target.state_dir)
        self.record: EngineRecord | None = None
        self._on_disk: dict[str, ConfigFile] = {}
        self._without_us: dict[str, str | None] = {}

    def expect_engine(self) -> None:
        """Raise UnavailableError if the engine is not here, nor a configuration that somebody names."""
        if self.program is None and self.target.file is None and not os.path.isfile(self.file):
            hint = "install it, or name its configuration with --config FILE"
            raise UnavailableError(f"{self.target.engine} is not on this machine", hint=hint)

    def look(self) -> None:
        """Read what is there, and work out what would be there without our handler."""
        self._on_disk.clear()
        self._without_us.clear()
        self.record = self.records.find(self.target.engine, self.target.name, self.file)
        own = self.record.files if self.record else ()
        for one in (*own, *self._of_twins()):
            self._without_us[one.file] = former_text(self.records, one, self.now(one.file))

    def twins(self) -> tuple[EngineRecord, ...]:
        """The records of the same handler for other engines that read the same files, as Podman and Buildah do."""
        name, engine, file = self.target.name, self.target.engine, self.file
        others = (other for other in self.records.all() if other.engine != engine)
        return tuple(other for other in others if (other.name, other.file) == (name, file))

    def _of_twins(self) -> tuple[FileRecord, ...]:
        """The drop-ins of twins: each engine has one of its own, so theirs come and go without ours."""
        return tuple(one for twin in self.twins() for one in twin.files if one.file != self.file)

    def now(self, path: str) -> ConfigFile:
        """A file as it is."""
        if path not in self._on_disk:
            self._on_disk[path] = read_config_file(path)
        return self._on_disk[path]

    def without_us(self, path: str) -> ConfigFile:
        """A file as it would be without our handler."""
        now = self.now(path)
        if path not in self._without_us:
            return now
        text = self._without_us[path]
        return ConfigFile(path=path, text=text or "", signature=None if text is None else now.signature)

    def configuration(self) -> Configuration:
        """The engine's configuration as it would be without our handler."""
        return self.engine.read(self.file, self.version, self.without_us)

    def validate(self, texts: Mapping[str, str | None], *, locked: bool) -> None:
        """
        Let the engine's own check, where there is one, look at what its files are going to be.

        Args:
            locked: Whether we hold the lock, and with it the place for copies.
        """
        if self.program is None:
            return
        files = {path: file.text for path, file in self._on_disk.items() if file.exists} | dict(texts)
        if locked:
            make_directories((self.records.scratch,), 0o700)
            self.engine.validate(self.program, self.version, files, self.file, self.records.scratch)
            return
        with tempfile.TemporaryDirectory(prefix="ocihooks-") as scratch:
            self.engine.validate(self.program, self.version, files, self.file, scratch)


def check_absolute(option: str, path: str) -> None:
    """Raise UsageError unless *path* is absolute and can be shown."""
    if not path.startswith("/") or not path.isprintable():
        raise UsageError(f"{option} {quoted(path, 200)}: expected an absolute path")
