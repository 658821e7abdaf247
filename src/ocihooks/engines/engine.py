"""What an engine's module knows: where its configuration is, which handlers it has, and how to add one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ocihooks.engines.edits import Edit, Syntax
from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import ConfigFile
from ocihooks.engines.programs import Daemon, Version
from ocihooks.errors import UsageError, quoted
from ocihooks.spec.members import json_type

Reader = Callable[[str], ConfigFile]
"""Reads a configuration file; `files.read_config_file`, or one that knows what a file is going to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """
    A runtime as an engine knows it.

    Attributes:
        name: Its name there.
        program: Absolute path of what the engine starts; None where there is no such program.
        entry: What the configuration says about it; empty for one that is built in.
        refusal: Why no wrapper can stand in front of it; "" where one can.
        built_in: Whether the engine knows it without configuration.
    """

    name: str
    program: str | None
    entry: Mapping[str, Any]
    refusal: str = ""
    built_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """
    An engine's configuration as far as it matters here.

    Attributes:
        file: The main file.
        files: All that were read, in the order in which the engine reads them; the main file need not exist.
        version: Version of the main file's format; None where the format has none.
        handlers: By name.
        default: Name of the default handler.
        hooks_dirs: The hooks directories that the engine itself reads; empty: none.
    """

    file: str
    files: tuple[ConfigFile, ...]
    version: int | None
    handlers: Mapping[str, Handler]
    default: str
    hooks_dirs: tuple[str, ...] = ()

    def handler(self, name: str) -> Handler:
        """
        The handler *name*, if a wrapper can stand in front of it.

        Raises:
            EngineError: There is none, or it is none of that kind.
        """
        found = self.handlers.get(name)
        known = ", ".join(self.handlers) or "none"
        if found is None:
            raise EngineError(
                f"there is no handler {quoted(name, 80)}",
                code="base_handler",
                file=self.file,
                hint=f"name one of these with --base: {known}",
            )
        if found.refusal or found.program is None:
            reason = found.refusal or "its program is missing"
            raise EngineError(
                f"no wrapper can stand in front of handler {quoted(name, 80)}: {reason}",
                code="base_handler",
                file=self.file,
                hint=f"name another one with --base: {known}",
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    The handler that is to be there.

    Attributes:
        name: Its name.
        program: The wrapper.
        base: The handler whose runtime the wrapper starts.
        default: Whether to make it the default.
        drop_in: Whether to write a file of our own that the engine reads besides its main one; None: where it can.
        annotations: Patterns of pod and container annotations that the engine is to hand on.
        hooks_dirs: The hooks directories that the engine, too, is to read.
    """

    name: str
    program: str
    base: Handler
    default: bool = False
    drop_in: bool | None = None
    annotations: tuple[str, ...] = ()
    hooks_dirs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """
    What is to be done to one file.

    Attributes:
        file: Its path.
        syntax: How it is written; None for a template, which gets a block at its end.
        edits: The changes, in their order.
        start: What a new file begins with.
        block: What a template gets.
        beside: Directory for temporary files where that of the file won't do.
    """

    file: str
    syntax: Syntax | None
    edits: tuple[Edit, ...] = ()
    start: str = ""
    block: str = ""
    beside: str | None = None


class Engine(Protocol):
    """One engine."""

    @property
    def name(self) -> str:
        """Its name on our command line."""

    @property
    def program(self) -> str:
        """Its program: the daemon where it has one."""

    @property
    def native_hooks(self) -> bool:
        """Whether it reads hooks directories itself."""

    @property
    def annotations(self) -> str:
        """Which annotations reach config.json, in words that follow "hands on"."""

    def default_file(self, environ: Mapping[str, str]) -> str:
        """Where its main configuration file is when nobody says."""

    def read(self, file: str, version: Version, reader: Reader) -> Configuration:
        """
        Read the configuration with the main *file*.

        Args:
            version: That of the engine's program; empty where it is unknown.

        Raises:
            EngineError: A file can't be understood.
            UnavailableError: A file can't be read.
        """

    def plan(self, configuration: Configuration, wanted: Wanted, version: Version) -> tuple[Planned, ...]:
        """
        What to do to which files, in the order of writing.

        Raises:
            EngineError: It can't be done.
            UsageError: It can't be asked for.
        """

    def check_name(self, name: str) -> None:
        """Raise UsageError unless a handler can have this name."""

    def running(self, file: str) -> tuple[Daemon, ...]:
        """The daemons that use the configuration with the main *file*; none where the engine has no daemon."""

    def validate(
        self, program: str, version: Version, texts: Mapping[str, str | None], main: str, scratch: str
    ) -> None:
        """
        Let the engine's own check, where it has one, look at its files as they are to be.

        Args:
            program: The engine's program.
            texts: What the files are going to be; None for one that goes.
            main: The main file.
            scratch: An empty directory.

        Raises:
            EngineError: The engine would refuse them.
        """


NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What Kubernetes takes as the handler of a RuntimeClass."""


def check_handler_name(name: str, pattern: re.Pattern[str], reserved: tuple[str, ...], engine: str) -> None:
    """Raise UsageError unless *name* fits *pattern* and is not *reserved*."""
    if not pattern.fullmatch(name):
        expected = "lower-case letters, digits and hyphens" if pattern is LABEL else "letters, digits, dots, hyphens"
        hint = f"expected at most 63 {expected}"
        raise UsageError(f"--name {quoted(name, 80)} is no name for a handler", code="handler_name", hint=hint)
    if name in reserved or name.startswith("io.containerd."):
        hint = "take another one, such as --name ocihooks"
        raise UsageError(f"--name {quoted(name)} is reserved by {engine}", code="handler_name", hint=hint)


_NOT_RUNC_LIKE = {
    "runsc": "runsc does not run all stages of hooks",
    "kata": "its containers are virtual machines, in which a hook finds nothing of what it expects",
    "krun": "its containers are virtual machines, in which a hook finds nothing of what it expects",
    "containerd-shim": "it is a shim of containerd, not a runtime",
}


def refusal_of(program: str) -> str:
    """Why a runtime with the file name of *program* can't be behind the wrapper; "" where it can."""
    name = os.path.basename(program)
    return next((reason for start, reason in _NOT_RUNC_LIKE.items() if name.startswith(start)), "")


def expect_table(document: Mapping[str, Any], path: tuple[str, ...], file: str) -> Mapping[str, Any]:
    """The table at *path*, empty where there is none; raises EngineError where there is something else."""
    value: Any = document
    for depth, name in enumerate(path, 1):
        value = value.get(name, {})
        if not isinstance(value, Mapping):
            raise unexpected("a table", value, path[:depth], file)
    table: Mapping[str, Any] = value
    return table


def expect_strings(table: Mapping[str, Any], name: str, path: tuple[str, ...], file: str) -> tuple[str, ...] | None:
    """The array of strings *name* in the table at *path*, None where there is none."""
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise unexpected("an array of strings", value, (*path, name), file)
    return tuple(value)


def expect_string(table: Mapping[str, Any], name: str, path: tuple[str, ...], file: str) -> str:
    """The string *name* in the table at *path*, "" where there is none."""
    value = table.get(name, "")
    if not isinstance(value, str):
        raise unexpected("a string", value, (*path, name), file)
    return value


def unexpected(expected: str, found: object, path: tuple[str, ...], file: str) -> EngineError:
    """The error for a value of the wrong type."""
    return EngineError(
        f"expected {expected}, found {json_type(found)}",
        code="engine_layout",
        file=file,
        pointer="/" + "/".join(path),
        hint="the engine would not start with it either; mend it first",
    )


def beside_main(main: str, directory: str) -> str:
    """*directory*, relative to the one of the file *main*."""
    return os.path.join(os.path.dirname(main), directory)
