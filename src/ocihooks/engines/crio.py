"""
CRI-O: a drop-in with a table of ``crio.runtime.runtimes``.

CRI-O reads every file in its drop-in directory, whatever the name, so temporary files must never be there.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from ocihooks.engines import toml_text
from ocihooks.engines.edits import Edit
from ocihooks.engines.engine import (
    LABEL,
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
)
from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import ConfigFile
from ocihooks.engines.programs import Daemon, Version, daemons_with, find_program, output_of
from ocihooks.errors import UnavailableError, UsageError, quoted
from ocihooks.replace import replace_file

_TABLE = ("crio", "runtime")
_DEFAULT_HOOKS_DIRS = ("/usr/share/containers/oci/hooks.d",)
_OWN_PLACES = ("/usr/libexec/crio",)
"""Where packages of CRI-O have their runtimes."""


class CRIO:
    """The CRI-O daemon."""

    name = "crio"
    program = "crio"
    native_hooks = True
    annotations = "all annotations"

    def default_file(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """The main file."""
        return "/etc/crio/crio.conf"

    def read(self, file: str, version: Version, reader: Reader) -> Configuration:
        """The handlers of the main file and of all drop-ins; a table in a later file replaces one of that name."""
        sources = (reader(file), *_drop_ins(file, reader))
        handlers: dict[str, Handler] = {}
        default, hooks_dirs = "", None
        for source in sources:
            runtime = expect_table(toml_text.parse(source.text, source.path), _TABLE, source.path)
            runtimes = expect_table(runtime, ("runtimes",), source.path)
            for name in runtimes:
                handlers[name] = _handler(name, expect_table(runtimes, (name,), source.path), source.path)
            default = expect_string(runtime, "default_runtime", _TABLE, source.path) or default
            here = expect_strings(runtime, "hooks_dir", _TABLE, source.path)
            hooks_dirs = hooks_dirs if here is None else here  # an empty one in a later file means none at all
        default = default or _built_in_default(version)
        if default not in handlers:
            handlers[default] = _handler(default, {}, file)
        return Configuration(
            file=file,
            files=sources,
            version=None,
            handlers=handlers,
            default=default,
            hooks_dirs=_DEFAULT_HOOKS_DIRS if hooks_dirs is None else hooks_dirs,
        )

    def plan(self, configuration: Configuration, wanted: Wanted, version: Version) -> tuple[Planned, ...]:  # noqa: ARG002
        """One table, and perhaps ``default_runtime``."""
        if wanted.annotations:
            raise UsageError("--annotations: CRI-O hands on all annotations", hint="leave it out")
        main = configuration.file
        drop_in = wanted.drop_in is not False
        file = f"{main}.d/50-{wanted.name}.conf" if drop_in else main
        edits = [Edit(path=(*_TABLE, "default_runtime"), value=wanted.name)] if wanted.default else []
        edits.append(Edit(path=(*_TABLE, "runtimes", wanted.name), value=_entry(wanted), owned=True))
        return (Planned(file=file, syntax="toml", edits=tuple(edits), beside=os.path.dirname(main)),)

    def check_name(self, name: str) -> None:
        """Kubernetes takes labels only."""
        check_handler_name(name, LABEL, ("runc", "crun"), "CRI-O")

    def running(self, file: str) -> tuple[Daemon, ...]:
        """crio."""
        return daemons_with(self.program, ("-c", "--config"), self.default_file({}), file)

    def validate(
        self,
        program: str,
        version: Version,  # noqa: ARG002
        texts: Mapping[str, str | None],
        main: str,
        scratch: str,
    ) -> None:
        """``crio config``, which checks what it read before it prints it."""
        directory = os.path.join(scratch, "crio.conf.d")
        os.mkdir(directory)
        candidate = os.path.join(scratch, "crio.conf")
        for path, text in texts.items():
            copy_of = candidate if path == main else os.path.join(directory, os.path.basename(path))
            if text is not None:
                replace_file(copy_of, text.encode(), durable=False, mode=0o600, beside=scratch)
        try:
            output_of([program, "--config", candidate, "--config-dir", directory, "config"])
        except UnavailableError as error:
            message = f"CRI-O would not start with it: {error.message.replace(scratch, os.path.dirname(main))}"
            raise EngineError(message, code="engine_refuses", file=main, hint="mend what it names first") from None


def _drop_ins(main: str, reader: Reader) -> tuple[ConfigFile, ...]:
    directory = f"{main}.d"
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    paths = [os.path.join(directory, name) for name in names]
    return tuple(source for path in paths if not os.path.isdir(path) and (source := reader(path)).exists)


def _built_in_default(version: Version) -> str:
    """What CRI-O uses while nothing is configured: crun since 1.31; where nobody tells, the one that is there."""
    if version:
        return "crun" if version >= (1, 31) else "runc"
    return "crun" if find_program("crun", also_in=_OWN_PLACES) else "runc"


def _handler(name: str, entry: Mapping[str, Any], file: str) -> Handler:
    place = (*_TABLE, "runtimes", name)
    program = expect_string(entry, "runtime_path", place, file) or name
    refusal = refusal_of(program)
    kind = expect_string(entry, "runtime_type", place, file)
    if kind not in ("", "oci", "pod"):
        refusal = f"its runtime_type is {quoted(kind, 40)}"
    elif entry.get("platform_runtime_paths"):
        refusal = "it has platform_runtime_paths, which lead past any wrapper"
    found = find_program(program, also_in=_OWN_PLACES)
    return Handler(name=name, program=found, entry=entry, refusal=refusal, built_in=not entry)


def _entry(wanted: Wanted) -> dict[str, Any]:
    entry = copy.deepcopy(dict(wanted.base.entry)) or {"runtime_type": "oci"}
    return {"runtime_path": wanted.program, **{name: value for name, value in entry.items() if name != "runtime_path"}}
