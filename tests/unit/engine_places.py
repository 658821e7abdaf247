"""A machine with engines that are only pretended: programs that tell a version, and configuration files of a case."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ocihooks.install.scene import Target

CASES = Path(__file__).parents[1] / "data/engines"
"""
A directory per engine and case: ``call.json``, and the files ``before`` and ``after``.

``{DIR}`` in a file stands for the directory in which the case is played.
"""

MAIN = {
    "docker": "daemon.json",
    "containerd": "config.toml",
    "crio": "crio.conf",
    "podman": "containers.conf",
    "buildah": "containers.conf",
}
"""The main configuration file of each engine."""

RUNTIMES = ("runc", "crun", "nvidia-container-runtime", "runsc")
PROGRAMS = ("dockerd", "containerd", "crio", "podman", "buildah")

HOOKS_DIRS = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlace:
    """
    Where a case is played.

    Attributes:
        root: Its directory: programs in ``bin``, configuration in ``etc``, records in ``state``.
    """

    root: Path

    @property
    def etc(self) -> Path:
        """The directory of the configuration."""
        return self.root / "etc"

    @property
    def wrapper(self) -> Path:
        """A program that stands for the wrapper."""
        return self.root / "bin/wrapper"

    def write(self, file: str, text: str) -> Path:
        """Write a configuration file."""
        path = self.etc / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.replace("{DIR}", str(self.root)).encode())
        return path

    def program(self, name: str, text: str) -> Path:
        """Put a shell script on PATH."""
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def version(self, engine: str, version: str) -> None:
        """Pretend that an engine has this version; its own check accepts everything."""
        program = "dockerd" if engine == "docker" else engine
        self.program(program, f'[ "$1" = --version ] && echo "{program} version {version}"; exit 0')

    def target(self, engine: str, **options: Any) -> Target:
        """The handler ``ocihooks`` of this engine, or another one."""
        words = {
            "file": str(self.etc / MAIN[engine]),
            "program": str(self.wrapper),
            "hooks_dirs": HOOKS_DIRS,
            **options,
        }
        return Target(engine=engine, state_dir=str(self.root / "state"), prefix=str(self.root / "prefix"), **words)

    def files(self) -> dict[str, str]:
        """All configuration files with what is in them."""
        found = sorted(path for path in self.etc.rglob("*") if path.is_file())
        return {str(path.relative_to(self.etc)): self.named(path.read_bytes().decode()) for path in found}

    def directories(self) -> set[str]:
        """All directories of the configuration."""
        return {str(path.relative_to(self.etc)) for path in self.etc.rglob("*") if path.is_dir()}

    def named(self, text: str) -> str:
        """*text* with {DIR} for the root."""
        return text.replace(str(self.root), "{DIR}")

    def litter(self) -> list[str]:
        """What is left of the records besides the lock."""
        state = self.root / "state"
        return sorted(str(path.relative_to(state)) for path in state.rglob("*") if path.name != "engines.lock")


def make_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> EnginePlace:
    """An empty machine below *root*."""
    place = EnginePlace(root=root)
    (root / "bin").mkdir()
    place.etc.mkdir()
    for name in (*RUNTIMES, "wrapper"):
        place.program(name, "exit 0")
    for name in PROGRAMS:
        place.program(name, "exit 1")
    monkeypatch.setenv("PATH", f"{root}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("CONTAINERS_CONF", raising=False)
    return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    A pair of configurations.

    Attributes:
        engine: The engine.
        name: Name of the case.
        version: The version that the engine's program tells.
        options: Attributes of the target.
        before: The files before, by path.
        after: The files after.
    """

    engine: str
    name: str
    version: str
    options: Mapping[str, Any]
    before: Mapping[str, str]
    after: Mapping[str, str]


def read_case(directory: Path) -> Case:
    """The case in *directory*."""
    call = json.loads((directory / "call.json").read_text())
    version = call.pop("version")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in call.items()}
    return Case(
        engine=directory.parent.name,
        name=directory.name,
        version=version,
        options=options,
        before=_texts(directory / "before"),
        after=_texts(directory / "after"),
    )


def _texts(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes().decode() for path in files}


ALL_CASES = tuple(read_case(path.parent) for path in sorted(CASES.glob("*/*/call.json")))


def set_up(place: EnginePlace, case: Case) -> Target:
    """Write the files of *case*, and return what is asked for."""
    for file, text in case.before.items():
        place.write(file, text)
    place.version(case.engine, case.version)
    options = dict(case.options)
    if "file" in options:
        options["file"] = str(place.etc / options["file"])
    return place.target(case.engine, **options)
