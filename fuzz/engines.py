"""Configuration files of engines: read, given a handler, and given back."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

from fuzz.refusals import refused
from ocihooks.engines.containerd import Containerd
from ocihooks.engines.crio import CRIO
from ocihooks.engines.docker import Docker
from ocihooks.engines.edits import Done, make, parse, same, undo
from ocihooks.engines.engine import Configuration, Engine, Planned, Wanted
from ocihooks.engines.errors import EngineError
from ocihooks.engines.files import ConfigFile
from ocihooks.engines.podman import Podman
from ocihooks.engines.programs import Daemon, Version
from ocihooks.errors import UsageError

PLACE = "/nonexistent"
"""A directory without files beside the one that is read."""


class IdleDocker(Docker):
    """Docker without a daemon, so that no processes are looked at."""

    def running(self, file: str) -> tuple[Daemon, ...]:  # noqa: ARG002
        """Nothing runs."""
        return ()


def docker(data: bytes) -> str:
    """daemon.json of Docker."""
    return configured(IdleDocker(), "daemon.json", data, ())


def containerd(data: bytes) -> str:
    """config.toml of containerd; its version 2, which merges files, for every second size."""
    return configured(Containerd(), "config.toml", data, (2, 0) if len(data) % 2 else (1, 6))


def crio(data: bytes) -> str:
    """crio.conf of CRI-O."""
    return configured(CRIO(), "crio.conf", data, (1, 31))


def containers_conf(data: bytes) -> str:
    """containers.conf of Podman and Buildah."""
    return configured(Podman(), "containers.conf", data, ())


def configured(engine: Engine, name: str, data: bytes, version: Version) -> str:
    """Refused, or: the handler is there, and when it goes the file means what it meant before."""
    file = f"{PLACE}/{name}"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "not_utf8"  # said by what reads files
    try:
        configuration = engine.read(file, version, partial(alone, file, text))
        for planned in engine.plan(configuration, wanted(configuration), version):
            there_and_back(planned, text if planned.file == file else planned.start)
    except (EngineError, UsageError) as error:
        return refused(error, f"{PLACE}/") if isinstance(error, EngineError) else "usage"
    return "configured"


def alone(file: str, text: str, path: str) -> ConfigFile:
    """What is at *path* where *file* with *text* is the only one."""
    there = path == file
    return ConfigFile(path=path, text=text if there else "", signature=(1, 1, len(text), 1, 1) if there else None)


def wanted(configuration: Configuration) -> Wanted:
    """A handler made from the default one, whose program may be anywhere."""
    name = configuration.default
    base = configuration.handlers.get(name) or next(iter(configuration.handlers.values()))
    usable = replace(base, program=f"{PLACE}/runtime", refusal="")
    return Wanted(name="ocihooks", program=f"{PLACE}/wrapper", base=usable, default=True)


def there_and_back(planned: Planned, before: str) -> None:
    """Make the edits, and undo them by a record that went through a file."""
    assert planned.syntax is not None
    changed, done = make(planned.syntax, before, planned.edits, planned.file)
    changed.encode()
    record = json.loads(json.dumps([one.to_json() for one in done]))
    back = undo(planned.syntax, changed, [Done.from_json(one) for one in record], planned.file)
    assert same(*(parse(planned.syntax, one, planned.file) for one in (before, back))), back
