"""Which engines are on this machine, how they are configured, and whether they start our wrapper."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ocihooks.engines.engine import Handler
from ocihooks.engines.files import read_config_file
from ocihooks.engines.known import ENGINES
from ocihooks.engines.programs import Version, daemons, find_program, version_of
from ocihooks.engines.records import EngineRecord, Records
from ocihooks.errors import Diagnostic, OCIHooksError
from ocihooks.install.launcher import MARK as LAUNCHER_MARK
from ocihooks.install.script import MARK

_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """
    One engine.

    Attributes:
        name: Its name.
        program: Path of its program; None where it is not here.
        version: The program's version; empty where unknown.
        has_daemon: Whether it is a daemon.
        running: Process ids of the daemon.
        file: The main configuration file.
        files: Those that exist, in the order of reading.
        config_version: Version of the main file's format; None where there is none.
        handlers: Its handlers.
        default: Name of the default one; "" where it can't be told.
        ours: Names of the handlers that are wrappers of ours.
        native_hooks: Whether it reads hooks directories itself.
        hooks_dirs: Those that it reads, as configured or by default.
        problems: Why its configuration can't be told.
    """

    name: str
    program: str | None
    version: Version
    has_daemon: bool
    running: tuple[int, ...]
    file: str
    files: tuple[str, ...] = ()
    config_version: int | None = None
    handlers: tuple[Handler, ...] = ()
    default: str = ""
    ours: tuple[str, ...] = ()
    native_hooks: bool
    hooks_dirs: tuple[str, ...] = ()
    problems: tuple[Diagnostic, ...] = ()


def discover(state_dir: str) -> tuple[Discovered, ...]:
    """All engines, those that are not here, too."""
    try:
        records = Records(directory=state_dir).all()
    except OCIHooksError:  # what the files themselves say is enough
        records = ()
    return tuple(_discover(name, records) for name in ENGINES)


def _discover(name: str, records: tuple[EngineRecord, ...]) -> Discovered:
    engine = ENGINES[name]
    program = find_program(engine.program)
    version = version_of(program) if program else ()
    has_daemon = name in ("docker", "containerd", "crio")
    running = tuple(sorted(daemon.pid for daemon in daemons(engine.program))) if has_daemon else ()
    file = engine.default_file(os.environ)
    try:
        found = engine.read(file, version, read_config_file)
    except OCIHooksError as error:
        return Discovered(
            name=name,
            program=program,
            version=version,
            has_daemon=has_daemon,
            running=running,
            file=file,
            native_hooks=engine.native_hooks,
            problems=error.problems,
        )
    recorded = {record.program for record in records}
    handlers = tuple(found.handlers.values())
    return Discovered(
        name=name,
        program=program,
        version=version,
        has_daemon=has_daemon,
        running=running,
        file=file,
        files=tuple(source.path for source in found.files if source.exists),
        config_version=found.version,
        handlers=handlers,
        default=found.default,
        ours=tuple(one.name for one in handlers if one.program and (one.program in recorded or is_ours(one.program))),
        native_hooks=engine.native_hooks,
        hooks_dirs=found.hooks_dirs,
    )


def is_ours(program: str) -> bool:
    """Whether *program* bears the mark of an installed wrapper."""
    try:
        with open(program, "rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return False
    return LAUNCHER_MARK in head or MARK.encode() in head.splitlines()[1:2]
