"""A directory with everything that the commands look at, and the program, called as a shell would call it."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocihooks.testing.bundles import MadeBundle, make_bundle

PROGRAM = os.path.join(sysconfig.get_path("scripts"), "ocihooks")
"""The installed program, for tests that need a process of its own."""

ALWAYS: Mapping[str, Any] = {"always": True}

TRUE = "/bin/true"
"""A program that every machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended; the test's directory reads {DIR} in both outputs."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.stdout)


Run = Callable[..., Finished]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    What a machine may have, below one directory: settings, two hooks directories ``a`` and ``b``, bundles.

    Attributes:
        root: The directory.
    """

    root: Path

    @property
    def settings(self) -> Path:
        """The settings file; it exists once `configure` was called."""
        return self.root / "etc/config.toml"

    def configure(self, text: str = "", *, hooks_dirs: Sequence[str] = ("a", "b")) -> None:
        """Write settings with these hooks directories and further lines; {DIR} stands for the root."""
        directories = ", ".join(json.dumps(str(self.root / name)) for name in hooks_dirs)
        self.settings.parent.mkdir(exist_ok=True)
        lines = f"[ocihooks]\nhooks-dirs = [{directories}]\n{text}\n"
        self.settings.write_text(lines.replace("{DIR}", str(self.root)))
        for name in hooks_dirs:
            (self.root / name).mkdir(exist_ok=True)

    def rule(
        self,
        file: str,
        *,
        when: Mapping[str, Any] = ALWAYS,
        stages: Sequence[str] = ("createRuntime",),
        path: str = TRUE,
        **hook: Any,
    ) -> Path:
        """Write a rule of schema 1.0.0, for example ``a/10-x.json``."""
        document = {"version": "1.0.0", "hook": {"path": path, **hook}, "when": when, "stages": stages}
        return self.write(file, json.dumps(document))

    def write(self, file: str, text: str) -> Path:
        """Write any file; {DIR} stands for the root. An empty one is old, so that it is a mask."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{DIR}", str(self.root)))
        if not text:
            os.utime(path, (0, 0))
        return path

    def bundle(self, name: str = "bundle", **config: Any) -> MadeBundle:
        """Make a bundle without a root file system; the arguments are those of `make_bundle`."""
        return make_bundle(self.root / name, rootfs=self.root / "no-rootfs", **config)

    def named(self, text: str) -> str:
        """*text* with {DIR} for the root."""
        return text.replace(str(self.root), "{DIR}")


def environment(**changes: str) -> dict[str, str]:
    """The environment for a process of its own: ours, without what changes colours, and with *changes*."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "OCIHOOKS_TRACEBACK")}
    return {**kept, "TERM": "xterm", "PATH": f"{os.path.dirname(sys.executable)}:{kept.get('PATH', '')}", **changes}
