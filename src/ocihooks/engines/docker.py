"""
Docker: ``runtimes`` and ``default-runtime`` in daemon.json.

dockerd writes a script for a runtime with arguments, in which they stand unquoted, so ours has none. It refuses to
start when the default runtime is told by an option and in the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ocihooks.engines import json_text
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
    expect_table,
    refusal_of,
)
from ocihooks.engines.errors import EngineError
from ocihooks.engines.programs import Daemon, Version, daemons_with, find_program, output_of
from ocihooks.errors import UnavailableError, UsageError, quoted
from ocihooks.places import is_rootless
from ocihooks.replace import replace_file

_SHIM = "io.containerd.runc.v2"
_MEMBERS = ("runtimes", "default-runtime")
"""What we change."""


class Docker:
    """The Docker daemon."""

    name = "docker"
    program = "dockerd"
    native_hooks = False
    annotations = "annotations from Docker 24.0 on (docker run --annotation)"

    def default_file(self, environ: Mapping[str, str]) -> str:
        """daemon.json of the host's daemon, or that of a rootless one."""
        home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
        rootless = is_rootless() and home.startswith("/")
        return f"{home.rstrip('/')}/docker/daemon.json" if rootless else "/etc/docker/daemon.json"

    def read(self, file: str, version: Version, reader: Reader) -> Configuration:  # noqa: ARG002
        """The handlers that daemon.json names, and the one that is built in."""
        source = reader(file)
        document = json_text.parse(source.text, file)
        _check_letters(document, file)
        runtimes = expect_table(document, ("runtimes",), file)
        handlers = {"runc": Handler(name="runc", program=find_program("runc"), entry={}, built_in=True)}
        for name in runtimes:
            handlers[name] = _handler(name, expect_table(document, ("runtimes", name), file), file)
        default = expect_string(document, "default-runtime", (), file) or "runc"
        return Configuration(file=file, files=(source,), version=None, handlers=handlers, default=default)

    def plan(self, configuration: Configuration, wanted: Wanted, version: Version) -> tuple[Planned, ...]:  # noqa: ARG002
        """One entry in ``runtimes``, and perhaps ``default-runtime``."""
        if wanted.drop_in:
            raise UsageError("--drop-in: Docker reads no configuration but daemon.json", hint="leave it out")
        if wanted.annotations:
            raise UsageError("--annotations: Docker hands on all annotations that it knows", hint="leave it out")
        edits = [Edit(path=("runtimes", wanted.name), value=_entry(wanted), owned=True)]
        if wanted.default:
            self._check_option(configuration.file)
            edits.append(Edit(path=("default-runtime",), value=wanted.name))
        return (Planned(file=configuration.file, syntax="json", edits=tuple(edits)),)

    def _check_option(self, file: str) -> None:
        for daemon in self.running(file):
            if daemon.option("--default-runtime") is not None:
                message = f"dockerd {daemon.pid} was started with --default-runtime, and refuses to start with both"
                hint = 'write "default-runtime" into this file instead, and take the option away'
                raise EngineError(message, code="engine_layout", file=file, pointer="/default-runtime", hint=hint)

    def check_name(self, name: str) -> None:
        """dockerd keeps ``runc`` and the names of shims for itself."""
        check_handler_name(name, NAME, ("runc",), "Docker")

    def running(self, file: str) -> tuple[Daemon, ...]:
        """dockerd, host or rootless."""
        return daemons_with(self.program, ("--config-file",), self.default_file(os.environ), file)

    def validate(
        self, program: str, version: Version, texts: Mapping[str, str | None], main: str, scratch: str
    ) -> None:
        """``dockerd --validate``, which there is from 23.0 on."""
        text = texts.get(main)
        if version < (23,) or text is None:
            return
        candidate = os.path.join(scratch, "daemon.json")
        replace_file(candidate, text.encode(), durable=False, mode=0o600)
        try:
            output_of([program, "--validate", "--config-file", candidate])
        except UnavailableError as error:
            message = f"dockerd would not start with it: {error.message.replace(candidate, main)}"
            raise EngineError(message, code="engine_refuses", file=main, hint="mend what it names first") from None


def _check_letters(document: Mapping[str, Any], file: str) -> None:
    """dockerd takes names in any letter case; two spellings of one would be a guess."""
    for name in document:
        for known in _MEMBERS:
            if name.lower() == known and name != known:
                message = f"found {quoted(name, 80)}, expected {quoted(known)}"
                hint = f"spell it {quoted(known)}"
                raise EngineError(message, code="engine_layout", file=file, pointer=f"/{name}", hint=hint)


def _handler(name: str, entry: Mapping[str, Any], file: str) -> Handler:
    pointer = ("runtimes", name)
    kind = expect_string(entry, "runtimeType", pointer, file)
    if kind not in ("", _SHIM):
        return Handler(name=name, program=None, entry=entry, refusal=f"it is run by the shim {quoted(kind, 80)}")
    options = expect_table(entry, ("options",), file)
    program = expect_string(options if kind else entry, "BinaryName" if kind else "path", pointer, file) or "runc"
    refusal = refusal_of(program)
    if entry.get("runtimeArgs"):
        refusal = "it has runtimeArgs, which the wrapper could not hand on"
    return Handler(name=name, program=find_program(program), entry=entry, refusal=refusal)


def _entry(wanted: Wanted) -> dict[str, Any]:
    """What daemon.json says about the wrapper: as about its base, with another program."""
    if "runtimeType" not in wanted.base.entry:
        return {"path": wanted.program}
    options = dict(wanted.base.entry.get("options", {})) | {"BinaryName": wanted.program}
    return {**wanted.base.entry, "options": options}
