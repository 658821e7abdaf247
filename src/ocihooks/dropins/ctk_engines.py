"""
The engines that ``container-hooks-ctk`` knows: where their files are, and what they say about a handler of ours.

What is written is what was recorded of the older program: a copy of the runc handler where there is one, else a fixed
set of keys. A handler of the same name that is there already keeps all but its program.
"""

from __future__ import annotations

import copy
import glob
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ocihooks.engines.edits import Done, Edit, Path, Syntax, look_up, parse
from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import read_config_file
from ocihooks.engines.toml_text import key_text
from ocihooks.errors import OCIHooksError, UsageError, quoted
from ocihooks.spec.members import json_type

_PLUGINS = {
    1: "cri",
    2: "io.containerd.grpc.v1.cri",
    3: "io.containerd.cri.v1.runtime",
    4: "io.containerd.cri.v1.runtime",
}
"""containerd's plugin that has the handlers, by version of the configuration."""

_CRIO = ("crio", "runtime")
_CONTAINERD_ENTRY = {
    "privileged_without_host_devices": False,
    "runtime_engine": "",
    "runtime_root": "",
    "runtime_type": "io.containerd.runc.v2",
}
"""What a handler of containerd says where there is none to copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    The handler that is to be there.

    Attributes:
        name: Its name.
        program: The wrapper.
        default: Whether to make it the default.
    """

    name: str
    program: str
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where a document has a handler.

    Attributes:
        entry: Its entry.
        default: The key with the name of the default handler.
    """

    entry: Path
    default: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """
    One engine.

    Attributes:
        name: Its name.
        file: Its usual configuration file.
        syntax: What that is written in.
        check_name: Raises UsageError for a handler's name that the engine keeps for itself.
        place: Where a document has the handler of a name.
        entry_edits: How a document gets the entry.
        removals: What goes with an entry besides, as edits to be undone.
        warnings: What users should know about a file that is going to say so.
        start: Keys that may be left alone in a file that says nothing any more; with those it goes.
    """

    name: str
    file: str
    syntax: Syntax
    check_name: Callable[[str], None]
    place: Callable[[Mapping[str, Any], str, str], Place]
    entry_edits: Callable[[Mapping[str, Any], Wanted, Place], Iterator[Edit]]
    removals: Callable[[Mapping[str, Any], str, Place, str], Iterator[Done]]
    warnings: Callable[[Mapping[str, Any], Wanted, str], Iterator[str]]
    start: frozenset[str] | None = field(default=frozenset())

    def edits(self, document: Mapping[str, Any], wanted: Wanted, file: str) -> tuple[Edit, ...]:
        """How *document* comes to say what is wanted."""
        place = self.place(document, wanted.name, file)
        default = [Edit(path=place.default, value=wanted.name)] if wanted.default else []
        return (*self.entry_edits(document, wanted, place), *default)

    def undoing(self, document: Mapping[str, Any], name: str, file: str) -> tuple[Done, ...]:
        """The edits that *document* shows, whoever made them, so that they can be undone."""
        place = self.place(document, name, file)
        entry = look_up(document, place.entry)
        removals = tuple(self.removals(document, name, place, file))
        return (*removals, _to_go(place.entry, entry)) if entry is not None else removals

    def is_default(self, document: Mapping[str, Any], name: str, file: str) -> bool:
        """Whether the handler is the default."""
        return bool(look_up(document, self.place(document, name, file).default) == name)

    def has(self, document: Mapping[str, Any], name: str, file: str) -> bool:
        """Whether there is a handler of this name."""
        return look_up(document, self.place(document, name, file).entry) is not None

    def is_nothing(self, text: str, file: str) -> bool:
        """Whether a file with *text* says nothing and explains nothing, so that it can go."""
        if self.start is None or any(line.lstrip().startswith("#") for line in text.splitlines()):
            return False
        return set(parse(self.syntax, text, file)) <= self.start


def _to_go(path: Path, value: Any, *, owned: bool = True) -> Done:
    """What is at *path* as an edit of ours, with the tables around it that may be empty without it."""
    made = tuple(path[:depth] for depth in range(1, len(path)))
    return Done(edit=Edit(path=path, value=value, owned=owned), existed=False, before=None, written=None, made=made)


def _any_name(name: str) -> None:
    if not name:
        raise UsageError('--name "": expected a name', hint="leave it out for container-hooks-runtime")


def _like_runc(document: Mapping[str, Any], place: Place, usual: Mapping[str, Any]) -> dict[str, Any]:
    """What a new handler begins with: what the handler runc says, or what is *usual* where there is none."""
    runc = look_up(document, (*place.entry[:-1], "runc"))
    return copy.deepcopy(dict(runc if isinstance(runc, Mapping) else usual))


def _set(table: Path, keys: Mapping[str, str]) -> Iterator[Edit]:
    return (Edit(path=(*table, key), value=value) for key, value in keys.items())


def _default_removal(document: Mapping[str, Any], name: str, place: Place, _file: str) -> Iterator[Done]:
    if look_up(document, place.default) == name:
        yield _to_go(place.default, name)


def _no_warnings(_document: Mapping[str, Any], _wanted: Wanted, _file: str) -> Iterator[str]:
    return iter(())


# Docker


def _docker_name(name: str) -> None:
    _any_name(name)
    if name == "runc":
        raise UsageError('--name "runc": Docker keeps this name for itself', hint="take another name")


def _docker_place(document: Mapping[str, Any], name: str, file: str) -> Place:
    runtimes = document.get("runtimes", {})
    if not isinstance(runtimes, dict):
        raise _unexpected("an object", runtimes, file, "/runtimes")
    return Place(entry=("runtimes", name), default=("default-runtime",))


def _docker_edits(document: Mapping[str, Any], wanted: Wanted, place: Place) -> Iterator[Edit]:
    if look_up(document, place.entry) is None:
        yield Edit(path=place.entry, value={"path": wanted.program, "runtimeArgs": []}, owned=True)
    else:
        yield Edit(path=(*place.entry, "path"), value=wanted.program)


def _docker_removals(document: Mapping[str, Any], name: str, place: Place, file: str) -> Iterator[Done]:
    default = document.get("default-runtime", "")
    if not isinstance(default, str):
        raise _unexpected("a string", default, file, "/default-runtime")
    if default == name:
        edit = Edit(path=place.default, value=name)
        yield Done(edit=edit, existed=True, before="runc", written='"runc"', made=())


# containerd


def _version(document: Mapping[str, Any], file: str) -> int:
    if not document:
        return 2
    if "version" not in document:
        if any(isinstance(name, str) and name.startswith("io.containerd.") for name in document.get("plugins", ())):
            message = "has plugins of version 2 or later, and no version, so containerd reads it as version 1"
            hint = "write version = 2, or 3 for plugins of containerd 2, at its beginning"
            raise EngineError(message, code="engine_version", file=file, pointer="version", hint=hint)
        return 1
    number = document["version"]
    if type(number) is not int or number not in _PLUGINS:
        message = f"found version {quoted(number, 80)}, expected one of {', '.join(map(str, _PLUGINS))}"
        hint = "look up which versions your containerd reads"
        raise EngineError(message, code="engine_version", file=file, pointer="version", hint=hint)
    return int(number)


def _containerd_place(document: Mapping[str, Any], name: str, file: str) -> Place:
    section = ("plugins", _PLUGINS[_version(document, file)], "containerd")
    return Place(entry=(*section, "runtimes", name), default=(*section, "default_runtime_name"))


def _containerd_edits(document: Mapping[str, Any], wanted: Wanted, place: Place) -> Iterator[Edit]:
    version = _version(document, "")
    if not document:
        yield Edit(path=("version",), value=version, last=True)
    elif "version" not in document:
        yield Edit(path=("version",), value=version)
    options = {"BinaryName": wanted.program} | ({"Runtime": wanted.program} if version == 1 else {})
    if look_up(document, place.entry) is not None:
        yield from _set((*place.entry, "options"), options)
        return
    entry = _like_runc(document, place, _CONTAINERD_ENTRY)
    present = entry.get("options")
    entry["options"] = (present if isinstance(present, dict) else {}) | options
    yield Edit(path=place.entry, value=entry, owned=True)


def _containerd_removals(document: Mapping[str, Any], name: str, place: Place, file: str) -> Iterator[Done]:
    yield from _default_removal(document, name, place, file)
    former = (*place.default[:-1], "default_runtime")  # of containerd before 1.3: a table in place of a name
    program = _program(document, place.entry)
    if program and program == _program(document, former):
        yield _to_go(former, look_up(document, former))


def _program(document: Mapping[str, Any], entry: Path) -> Any:
    return look_up(document, (*entry, "options", "BinaryName")) or look_up(document, (*entry, "options", "Runtime"))


def _containerd_warnings(document: Mapping[str, Any], _wanted: Wanted, file: str) -> Iterator[str]:
    if _version(document, file) == 1:
        yield f"{file}: is of version 1, which containerd 2 does not read any more"


# CRI-O


def _crio_place(_document: Mapping[str, Any], name: str, _file: str) -> Place:
    return Place(entry=(*_CRIO, "runtimes", name), default=(*_CRIO, "default_runtime"))


def _crio_edits(document: Mapping[str, Any], wanted: Wanted, place: Place) -> Iterator[Edit]:
    keys = {"runtime_path": wanted.program, "runtime_type": "oci"}
    if look_up(document, place.entry) is not None:
        yield from _set(place.entry, keys)
    else:
        yield Edit(path=place.entry, value=_like_runc(document, place, {}) | keys, owned=True)


def _crio_warnings(_document: Mapping[str, Any], wanted: Wanted, file: str) -> Iterator[str]:
    """CRI-O reads every file of its drop-in directory behind the main one."""
    place = _crio_place({}, wanted.name, file)
    for drop_in in sorted(glob.glob(os.path.join(glob.escape(f"{file}.d"), "*"))):
        try:
            document = parse("toml", read_config_file(drop_in).text, drop_in)
        except OCIHooksError:  # that is for CRI-O to say
            continue
        default = look_up(document, place.default)
        if wanted.default and default not in (None, wanted.name):
            yield f"{drop_in}: {key_text(place.default)}: is {quoted(default, 80)}, and counts more than {file}"
        if look_up(document, place.entry) is not None:
            yield f"{drop_in}: {key_text(place.entry)}: is there, too, and counts more than {file}"


def _unexpected(expected: str, value: Any, file: str, pointer: str) -> EngineError:
    message = f"expected {expected}, found {json_type(value)}"
    return EngineError(message, code="engine_layout", file=file, pointer=pointer, hint="mend the file, then try again")


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            name="docker",
            file="/etc/docker/daemon.json",
            syntax="json",
            check_name=_docker_name,
            place=_docker_place,
            entry_edits=_docker_edits,
            removals=_docker_removals,
            warnings=_no_warnings,
            start=None,
        ),
        Engine(
            name="containerd",
            file="/etc/containerd/config.toml",
            syntax="toml",
            check_name=_any_name,
            place=_containerd_place,
            entry_edits=_containerd_edits,
            removals=_containerd_removals,
            warnings=_containerd_warnings,
            start=frozenset(("version",)),
        ),
        Engine(
            name="crio",
            file="/etc/crio/crio.conf",
            syntax="toml",
            check_name=_any_name,
            place=_crio_place,
            entry_edits=_crio_edits,
            removals=_default_removal,
            warnings=_crio_warnings,
        ),
    )
}
"""By name; the first is meant where nobody names one."""
