"""
containerd: the handlers of its CRI plugin, which Kubernetes uses, in configuration versions 1 to 4.

What bites: while no handler is configured there is a built-in runc, which goes as soon as 1.x finds any other; 1.x
replaces the whole section of a plugin by that of an imported file, and takes a file of another version for one without
settings; a handler without ``runtime_type`` or without its base's ``SystemdCgroup`` starts no pods.
"""

from __future__ import annotations

import copy
import glob
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from ocihooks.engines import toml_text
from ocihooks.engines.edits import Edit, make
from ocihooks.engines.engine import (
    LABEL,
    Configuration,
    Handler,
    Planned,
    Reader,
    Wanted,
    beside_main,
    check_handler_name,
    expect_string,
    expect_strings,
    expect_table,
    refusal_of,
)
from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import ConfigFile
from ocihooks.engines.programs import Daemon, Version, daemons_with, find_program, output_of, version_text
from ocihooks.errors import UnavailableError, UsageError, quoted
from ocihooks.replace import replace_file

DEFAULT_FILE = "/etc/containerd/config.toml"
DROP_IN = "conf.d"

_PLUGINS = {
    1: "cri",
    2: "io.containerd.grpc.v1.cri",
    3: "io.containerd.cri.v1.runtime",
    4: "io.containerd.cri.v1.runtime",
}
"""The plugin that has the handlers, by version of the configuration."""

_SHIMS = ("io.containerd.runc.v1", "io.containerd.runc.v2")
_TEMPLATES = {"config.toml.tmpl": 2, "config-v3.toml.tmpl": 3}
"""Templates of k3s and RKE2, and the version of what they become."""

_RUNC_PLACES = ("data/current/bin", "bin")
"""Where k3s and RKE2 have their runc."""


class Containerd:
    """containerd with its CRI plugin, also that of k3s and RKE2."""

    name = "containerd"
    program = "containerd"
    native_hooks = False
    annotations = "those annotations of pods that its configuration names, and all of ctr"

    def default_file(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """The main file of the host's daemon."""
        return DEFAULT_FILE

    def read(self, file: str, version: Version, reader: Reader) -> Configuration:
        """The handlers of the main file and of all that it imports."""
        if is_template(file):
            return _read_template(file, reader)
        main = reader(file)
        document = toml_text.parse(main.text, file)
        number = _version_of(document, file, version)
        if number > 2 and version and version < (2,):
            message = f"containerd {version_text(version)} does not know version {number} of the configuration"
            hint = "write it as version 2, or install containerd 2"
            raise EngineError(message, code="engine_version", file=file, pointer="/version", hint=hint)
        imported = _imported(document, file, reader)
        merged = _merged(document, imported, number, merges=_merges(version, number))
        return _configuration(file, (main, *imported), number, merged, merges=_merges(version, number))

    def plan(self, configuration: Configuration, wanted: Wanted, version: Version) -> tuple[Planned, ...]:
        """A drop-in and its import where containerd merges files, else a table in the main file."""
        number = configuration.version or 2
        if is_template(configuration.file):
            return (_plan_template(configuration, wanted, number),)
        _check_enabled(configuration.files[0], number)
        merges = _merges(version, number)
        if wanted.drop_in and not merges:
            told = f"containerd {version_text(version)}" if version else "containerd 1.x"
            message = f"--drop-in: {told} replaces all settings of its CRI plugin by those of an imported file"
            raise UsageError(message, hint="leave it out, so that the main file is changed")
        main = configuration.files[0]
        edits = _edits(configuration, wanted, number)
        if merges if wanted.drop_in is None else wanted.drop_in:
            return _plan_drop_in(main, edits, wanted.name, number)
        _check_not_imported(configuration, number, merges=merges)
        return (Planned(file=main.path, syntax="toml", edits=(*_version_edits(main, number), *edits)),)

    def check_name(self, name: str) -> None:
        """Kubernetes takes labels only."""
        check_handler_name(name, LABEL, ("runc",), "containerd")

    def running(self, file: str) -> tuple[Daemon, ...]:
        """containerd with this file, or, for a template, with what it becomes."""
        made = beside_main(file, "config.toml") if is_template(file) else file
        return daemons_with(self.program, ("-c", "--config"), DEFAULT_FILE, made)

    def validate(
        self,
        program: str,
        version: Version,  # noqa: ARG002
        texts: Mapping[str, str | None],
        main: str,
        scratch: str,
    ) -> None:
        """``containerd config dump``, which refuses what it can't parse."""
        text = texts.get(main)
        if is_template(main) or text is None:
            return
        drop_ins = {path: content for path, content in texts.items() if path != main and content is not None}
        for path, content in drop_ins.items():
            copy_of = os.path.join(scratch, os.path.basename(path))
            replace_file(copy_of, content.encode(), durable=False, mode=0o600)
            if toml_text.shown(path) in text:
                text = text.replace(toml_text.shown(path), toml_text.shown(copy_of))
            else:
                text, _ = make("toml", text, [Edit(path=("imports",), value=copy_of, append=True)], main)
        candidate = os.path.join(scratch, "config.toml")
        replace_file(candidate, text.encode(), durable=False, mode=0o600)
        try:
            output_of([program, "--config", candidate, "config", "dump"])
        except UnavailableError as error:
            message = f"containerd would not start with it: {error.message.replace(candidate, main)}"
            raise EngineError(message, code="engine_refuses", file=main, hint="mend what it names first") from None


def is_template(file: str) -> bool:
    """Whether *file* is one from which k3s or RKE2 make the configuration."""
    return file.endswith(".tmpl")


def _merges(version: Version, number: int) -> bool:
    """Whether imported files are merged, table by table; if nobody tells, the main file's version does."""
    return version >= (2,) if version else number > 2


def _version_of(document: Mapping[str, Any], file: str, version: Version) -> int:
    if not document:
        return 3 if version >= (2,) else 2
    number = document.get("version", 1)
    if type(number) is not int or number not in _PLUGINS:
        message = f"unknown version {quoted(number, 40)} of the configuration, expected 1, 2, 3 or 4"
        hint = "see what containerd config default prints"
        raise EngineError(message, code="engine_version", file=file, pointer="/version", hint=hint)
    return number


def _imported(document: Mapping[str, Any], file: str, reader: Reader) -> tuple[ConfigFile, ...]:
    found = []
    for pattern in expect_strings(document, "imports", (), file) or ():
        absolute = beside_main(file, pattern)
        paths = sorted(glob.glob(absolute)) if glob.has_magic(absolute) else [absolute]
        found += [source for path in paths if (source := reader(path)).exists]
    return tuple(found)


def _merged(
    document: Mapping[str, Any], imported: tuple[ConfigFile, ...], number: int, *, merges: bool
) -> Mapping[str, Any]:
    """The table of the CRI plugin as containerd sees it."""
    path = ("plugins", _PLUGINS[number])
    table = copy.deepcopy(dict(expect_table(document, path, "")))
    for source in imported:
        parsed = toml_text.parse(source.text, source.path)
        if parsed.get("version", 1) != number:
            continue
        later = expect_table(parsed, path, source.path)
        if later and not merges:
            table = dict(later)
        else:
            _merge(table, later)
    return table


def _merge(table: dict[str, Any], later: Mapping[str, Any]) -> None:
    for name, value in later.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), dict):
            _merge(table[name], value)
        else:
            table[name] = copy.deepcopy(value)


def _configuration(
    file: str, files: tuple[ConfigFile, ...], number: int, plugin: Mapping[str, Any], *, merges: bool
) -> Configuration:
    runtimes = expect_table(plugin, ("containerd", "runtimes"), file)
    places = _own_places(file)
    handlers = {name: _handler(name, expect_table(runtimes, (name,), file), file, places) for name in runtimes}
    if "runc" not in handlers and (merges or not runtimes):
        entry = {"runtime_type": "io.containerd.runc.v2"}
        program = find_program("runc", also_in=places)
        handlers = {"runc": Handler(name="runc", program=program, entry=entry, built_in=True), **handlers}
    settings = expect_table(plugin, ("containerd",), file)
    default = expect_string(settings, "default_runtime_name", ("containerd",), file) or "runc"
    return Configuration(file=file, files=files, version=number, handlers=handlers, default=default)


def _own_places(file: str) -> tuple[str, ...]:
    """Where the runc of a k3s or RKE2 with this template is."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(file))))
    return tuple(os.path.join(home, place) for place in _RUNC_PLACES) if is_template(file) else ()


def _handler(name: str, entry: Mapping[str, Any], file: str, places: tuple[str, ...]) -> Handler:
    kind = expect_string(entry, "runtime_type", ("runtimes", name), file) or _SHIMS[-1]
    options = expect_table(entry, ("options",), file)
    program = expect_string(options, "BinaryName", ("runtimes", name, "options"), file) or "runc"
    refusal = refusal_of(program)
    if kind not in _SHIMS:
        refusal = f"it is run by the shim {quoted(kind, 80)}"
    elif entry.get("runtime_path"):
        refusal = f"it is run by the shim {quoted(entry['runtime_path'], 80)}"
    return Handler(name=name, program=find_program(program, also_in=places), entry=entry, refusal=refusal)


def _edits(configuration: Configuration, wanted: Wanted, number: int) -> tuple[Edit, ...]:
    path = ("plugins", _PLUGINS[number], "containerd")
    edits = []
    if wanted.default:
        edits.append(Edit(path=(*path, "default_runtime_name"), value=wanted.name))
    present = configuration.handlers
    if all(handler.built_in for handler in present.values()):
        edits.append(Edit(path=(*path, "runtimes", "runc"), value=dict(present["runc"].entry)))
    return (*edits, Edit(path=(*path, "runtimes", wanted.name), value=_entry(wanted), owned=True))


def _entry(wanted: Wanted) -> dict[str, Any]:
    """The table of the new handler: that of its base, with another program."""
    entry = copy.deepcopy(dict(wanted.base.entry))
    options = entry.pop("options", {})
    entry["runtime_type"] = entry.get("runtime_type") or _SHIMS[-1]
    if wanted.annotations:
        for key in ("pod_annotations", "container_annotations"):
            present = list(entry.get(key, []))
            entry[key] = present + [pattern for pattern in wanted.annotations if pattern not in present]
    return entry | {"options": {**options, "BinaryName": wanted.program}}


def _plan_drop_in(main: ConfigFile, edits: tuple[Edit, ...], name: str, number: int) -> tuple[Planned, ...]:
    path = beside_main(main.path, f"{DROP_IN}/50-{name}.toml")
    document = toml_text.parse(main.text, main.path)
    drop_in = Planned(file=path, syntax="toml", edits=edits, start=f"version = {number}\n")
    mains = _version_edits(main, number)
    patterns = [beside_main(main.path, pattern) for pattern in document.get("imports", ())]
    if not any(_matches(path, pattern) for pattern in patterns):
        mains.append(Edit(path=("imports",), value=path, append=True))
    return (drop_in, Planned(file=main.path, syntax="toml", edits=tuple(mains)))


def _check_enabled(main: ConfigFile, number: int) -> None:
    """Refuse to add a handler to a plugin that is switched off, as packages for Docker alone have it."""
    disabled = expect_strings(toml_text.parse(main.text, main.path), "disabled_plugins", (), main.path) or ()
    if {"cri", _PLUGINS[2], _PLUGINS[number]} & set(disabled):
        raise EngineError(
            "the CRI plugin, which alone has handlers, is switched off",
            code="engine_layout",
            file=main.path,
            pointer="disabled_plugins",
            hint="take it out of disabled_plugins; if containers are started by Docker, configure docker instead",
        )


def _version_edits(main: ConfigFile, number: int) -> list[Edit]:
    """The version of a file that would otherwise count as version 1."""
    document = toml_text.parse(main.text, main.path)
    return [Edit(path=("version",), value=number, last=True)] if not document or "version" in document else []


def _matches(path: str, pattern: str) -> bool:
    directory, name = os.path.split(pattern)
    return os.path.dirname(path) == directory and fnmatchcase(os.path.basename(path), name)


def _check_not_imported(configuration: Configuration, number: int, *, merges: bool) -> None:
    """Refuse to change a table that an imported file replaces."""
    if merges:
        return
    for source in configuration.files[1:]:
        if expect_table(toml_text.parse(source.text, source.path), ("plugins", _PLUGINS[number]), source.path):
            raise EngineError(
                f"{source.path}, which is imported, replaces all settings of the CRI plugin in this file",
                code="engine_layout",
                file=configuration.file,
                hint=f"change that one: --config {source.path}",
            )


def _read_template(file: str, reader: Reader) -> Configuration:
    """A template is no TOML; what it became the last time lies beside it."""
    number = _TEMPLATES.get(os.path.basename(file))
    if number is None:
        message = f"expected a file named {' or '.join(_TEMPLATES)}"
        raise EngineError(message, code="engine_layout", file=file, hint="name it as k3s or RKE2 expect it")
    made = reader(beside_main(file, "config.toml"))
    document = toml_text.parse(made.text, made.path) if made.exists else {}
    number = _version_of(document, made.path, ()) if document else number
    plugin = _merged(document, (), number, merges=True)
    configuration = _configuration(file, (reader(file), made), number, plugin, merges=True)
    template = configuration.files[0]
    ours = [name for name in configuration.handlers if _header(number, name) not in template.text]
    # What the template itself adds may be gone by the next time.
    kept = {name: handler for name, handler in configuration.handlers.items() if name in ours}
    return Configuration(
        file=file, files=configuration.files, version=number, handlers=kept, default=configuration.default
    )


def _header(number: int, name: str) -> str:
    return f"[{toml_text.key_text(('plugins', _PLUGINS[number], 'containerd', 'runtimes', name))}]"


def _plan_template(configuration: Configuration, wanted: Wanted, number: int) -> Planned:
    if wanted.default:
        message = "--default: a template can't change what it extends"
        raise UsageError(message, hint=f"start k3s or RKE2 with --default-runtime {wanted.name}")
    if wanted.drop_in:
        raise UsageError("--drop-in: a template is extended itself", hint="leave it out")
    template = configuration.files[0]
    path = ("plugins", _PLUGINS[number], "containerd", "runtimes", wanted.name)
    block = toml_text.add_table("", path, _entry(wanted))
    start = '{{ template "base" . }}\n' if not template.exists else ""
    return Planned(file=configuration.file, syntax=None, start=start, block=block)
