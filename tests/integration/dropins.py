"""The programs that stand in for others, installed once, each call in a directory of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.fake import Answer, FakeRuntime, write_fake_runtime

ADD_HOOKS, TOOLKIT, MARKER = "oci-add-hooks", "container-hooks-runtime", "container-hooks"

HOOK = {"path": "/opt/hooks/new", "args": ["new", "1"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """
    The installed programs.

    Attributes:
        settings: The settings file of container-hooks-runtime.
        cache: Where it keeps what it has read.
    """

    add_hooks: str
    toolkit: str
    marker: str
    settings: Path
    cache: Path


def install_programs(directory: Path) -> Programs:
    """Install all of them below *directory*, with settings and cache there."""
    settings = directory / "etc/config.toml"
    settings.parent.mkdir(mode=0o755, parents=True)
    directory.chmod(0o755)

    def script(name: str, **options: Any) -> str:
        return install(Request(prefix=str(directory / "prefix"), program=name, name=name, **options)).script

    return Programs(
        add_hooks=script(ADD_HOOKS),
        toolkit=script(TOOLKIT, settings=str(settings), cache_dir=str(directory / "cache")),
        marker=script(MARKER),
        settings=settings,
        cache=directory / "cache",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where one test calls them: a bundle, a hook file and a runtime that takes notes.

    Attributes:
        hooks: The hook file; both forms of it are made by `write_hooks`.
    """

    directory: Path
    programs: Programs
    fake: FakeRuntime
    bundle: MadeBundle
    hooks: Path

    @property
    def log(self) -> Path:
        """The log of container-hooks-runtime."""
        return self.directory / "toolkit.log"

    def write_hooks(self, hooks: Mapping[str, Any], *, nested: bool) -> None:
        """Write the hook file in one of its forms; a new one, whatever was there."""
        self.hooks.write_text(json.dumps({"hooks": hooks} if nested else hooks))

    def write_settings(self, text: str | None = None, **keys: Any) -> None:
        """Write the settings: *text*, or defaults that stay in this directory with *keys* of the runtime's table."""
        values = {"debug": str(self.log), "runtimes": [str(self.fake.path)]}
        values |= {name.replace("_", "-"): value for name, value in keys.items()}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
        table = f'[container-hooks]\npath = "{self.hooks}"\n[container-hooks-runtime]\n{"".join(lines)}'
        self.programs.settings.write_text(table if text is None else text)

    def call(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call a program."""
        settings: dict[str, Any] = {"env": {"PATH": "/usr/bin:/bin"}, "cwd": self.directory, "timeout": 60}
        command = [*words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **settings | options
        )

    def add_hooks(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call oci-add-hooks with the hook file and the runtime."""
        own = ("--hook-config-path", str(self.hooks), "--runtime-path", str(self.fake.path))
        return self.call(self.programs.add_hooks, *own, *words, **options)

    def toolkit(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Call container-hooks-runtime."""
        return self.call(self.programs.toolkit, *words, **options)

    def create(self) -> Sequence[str]:
        """The words of a create."""
        return ("create", "--bundle", str(self.bundle.directory), "c1")

    def stage(self, name: str) -> list[Any]:
        """The hooks of a stage in config.json."""
        hooks: list[Any] = (self.bundle.config().get("hooks") or {}).get(name) or []
        return hooks


def make_place(directory: Path, programs: Programs) -> Place:
    """
    A place in an empty *directory*, with one createRuntime hook in the file, in the nested form, and settings.

    Of settings of other places nothing is kept: their runtime would be called where those of this one are broken.
    """
    programs.settings.unlink(missing_ok=True)
    shutil.rmtree(programs.cache, ignore_errors=True)
    place = Place(
        directory=directory,
        programs=programs,
        fake=write_fake_runtime(
            directory / "fake-runc", record=directory / "calls", copy_config=True, answers={"*": Answer()}
        ),
        bundle=make_bundle(directory / "b", rootfs=directory / "none"),
        hooks=directory / "hooks.json",
    )
    place.write_hooks({"createRuntime": [HOOK]}, nested=True)
    place.write_settings()
    return place
