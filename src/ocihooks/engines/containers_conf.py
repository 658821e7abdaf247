"""
containers.conf(5), which Podman and Buildah read: main files, then drop-ins, a later array in place of an earlier one.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ocihooks.engines import toml_text
from ocihooks.engines.edits import Edit
from ocihooks.engines.engine import (
    NAME,
    Configuration,
    Handler,
    Planned,
    Reader,
    Wanted,
    check_handler_name,
    expect_string,
    expect_strings,
    expect_table,
    refusal_of,
    unexpected,
)
from ocihooks.engines.files import ConfigFile
from ocihooks.engines.programs import Daemon, Version, find_program
from ocihooks.errors import UsageError
from ocihooks.places import is_rootless

ONLY = "CONTAINERS_CONF"
"""Environment variable that names a file which is read in place of all others."""

VENDOR_FILE = "/usr/share/containers/containers.conf"
SYSTEM_FILE = "/etc/containers/containers.conf"

_BUILT_IN = ("crun", "runc")
"""Handlers that need no configuration, the preferred one first."""

_JSON_LOGS = ("crun", "runc", "kata", "runsc", "youki", "krun")
"""Handlers that are given ``--log-format=json`` while nothing is configured."""

_RESERVED = (*_JSON_LOGS, "ocijail")


class ContainersConf:
    """An engine that reads containers.conf."""

    name: str
    program: str
    default_hooks_dirs: tuple[str, ...] = ()
    native_hooks = True
    annotations = "all annotations"

    def default_file(self, environ: Mapping[str, str]) -> str:
        """The file that $CONTAINERS_CONF names, that of a rootless user, or that of the host."""
        if environ.get(ONLY):
            return os.path.abspath(environ[ONLY])
        home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
        rootless = is_rootless() and home.startswith("/")
        return f"{home.rstrip('/')}/containers/containers.conf" if rootless else SYSTEM_FILE

    def read(self, file: str, version: Version, reader: Reader) -> Configuration:  # noqa: ARG002
        """The handlers of all files that are read, up to *file* and its drop-ins."""
        sources = tuple(_sources(file, reader))
        handlers: dict[str, Handler] = {
            name: Handler(name=name, program=program, entry={}, built_in=True)
            for name in _BUILT_IN
            if (program := find_program(name))
        }
        default = next(iter(handlers), "crun")
        for source in sources:
            engine = _engine_table(source.text, source.path)
            runtimes = expect_table(engine, ("runtimes",), source.path)
            for name in runtimes:
                handlers[name] = _handler(name, runtimes, source.path)
            default = expect_string(engine, "runtime", ("engine",), source.path) or default
        return Configuration(
            file=file,
            files=sources,
            version=None,
            handlers=handlers,
            default=default,
            hooks_dirs=self.hooks_dirs(_array(sources, "hooks_dir")),
        )

    def hooks_dirs(self, configured: tuple[str, ...] | None) -> tuple[str, ...]:
        """The hooks directories that the engine reads itself, where its files name those that are *configured*."""
        return self.default_hooks_dirs if configured is None else configured

    def plan(self, configuration: Configuration, wanted: Wanted, version: Version) -> tuple[Planned, ...]:  # noqa: ARG002
        """A drop-in of this engine's own with the handler, and with the arrays that would otherwise be lost."""
        if wanted.annotations:
            raise UsageError("--annotations: all annotations are handed on", hint="leave it out")
        main = configuration.file
        only = os.environ.get(ONLY)
        drop_in = not (only and os.path.abspath(only) == main) if wanted.drop_in is None else wanted.drop_in
        file = f"{main}.d/50-{wanted.name}-{self.name}.conf" if drop_in else main
        edits = [
            *([Edit(path=("engine", "runtime"), value=wanted.name)] if wanted.default else []),
            *_extended(configuration, file, "runtime_supports_json", (wanted.name,), _JSON_LOGS),
            *_extended(configuration, file, "hooks_dir", wanted.hooks_dirs, ()),
            Edit(path=("engine", "runtimes", wanted.name), value=[wanted.program], owned=True),
        ]
        return (Planned(file=file, syntax="toml", edits=tuple(edits)),)

    def check_name(self, name: str) -> None:
        """Some names make these engines expect special abilities."""
        check_handler_name(name, NAME, _RESERVED, "Podman and Buildah")

    def running(self, file: str) -> tuple[Daemon, ...]:  # noqa: ARG002
        """There is none; each call reads its configuration anew."""
        return ()

    def validate(
        self, program: str, version: Version, texts: Mapping[str, str | None], main: str, scratch: str
    ) -> None:
        """There is no such check."""


def _sources(file: str, reader: Reader) -> list[ConfigFile]:
    """What is read before *file*, *file* itself, and its drop-ins."""
    before = () if os.environ.get(ONLY) else (VENDOR_FILE, SYSTEM_FILE)
    paths: list[str] = []
    for main in (*before[: before.index(file) if file in before else len(before)], file):
        paths += [main, *sorted(glob.glob(f"{glob.escape(main)}.d/*.conf"))]
    return [source for path in paths if (source := reader(path)).exists or path == file]


def _engine_table(text: str, file: str) -> Mapping[str, Any]:
    return expect_table(toml_text.parse(text, file), ("engine",), file)


def _array(sources: tuple[ConfigFile, ...], name: str) -> tuple[str, ...] | None:
    """The array *name* of the table engine that counts: the last one."""
    found = None
    for source in sources:
        value = _engine_table(source.text, source.path).get(name)
        items = [item for item in value if not isinstance(item, Mapping)] if isinstance(value, list) else value
        here = expect_strings({name: items}, name, ("engine",), source.path)
        if isinstance(value, list) and here is not None:
            found = (*(found or ()), *here) if {"append": True} in value else here
    return found


def _extended(
    configuration: Configuration, file: str, name: str, items: tuple[str, ...], default: tuple[str, ...]
) -> Iterator[Edit]:
    """Let an array have *items*; in a file that has none of its own it has to repeat what counts at present."""
    path = ("engine", name)
    present = _array(configuration.files, name)
    missing = [item for item in items if item not in (present or ())]
    own = _array(tuple(source for source in configuration.files if source.path == file), name)
    counting = default if present is None else present
    if missing and counting and own is None:
        yield Edit(path=path, value=list(counting))
    for item in missing:
        yield Edit(path=path, value=item, append=True)


def _handler(name: str, runtimes: Mapping[str, Any], file: str) -> Handler:
    paths = runtimes[name]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise unexpected("an array of strings", paths, ("engine", "runtimes", name), file)
    program = next((path for path in paths if os.access(path, os.X_OK)), None)
    return Handler(name=name, program=program, entry={"paths": paths}, refusal=refusal_of(program or name))
