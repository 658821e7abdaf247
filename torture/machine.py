"""On what the rows ran: versions of everything that counts, and the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

from ocihooks.errors import UnavailableError
from ocihooks.testing.engines.buildah import buildah_version
from ocihooks.testing.engines.containerd import containerd_version
from ocihooks.testing.engines.docker import docker_version
from ocihooks.testing.engines.podman import podman_version
from ocihooks.testing.runtimes import find_runtime

PROJECT = Path(__file__).parents[1]

VERSIONS: dict[str, Callable[[], str]] = {
    "kernel": platform.release,
    "processors": lambda: str(os.cpu_count()),
    "python": platform.python_version,
    "runc": lambda: find_runtime("runc").version,
    "crun": lambda: find_runtime("crun").version,
    "docker": docker_version,
    "containerd": containerd_version,
    "podman": podman_version,
    "buildah": buildah_version,
}
"""How to ask for each version."""

TRIED = ("src", "launcher", "tests", "torture")
"""The directories that decide what was tried."""


def versions() -> dict[str, str]:
    """The version of each thing, ``missing`` where it is not there."""
    return {name: _version(ask) for name, ask in VERSIONS.items()}


def _version(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except UnavailableError:
        return "missing"


def commit() -> str:
    """The commit at hand, with ``+`` where files differ from it; "" outside of a clone."""
    head = _git("rev-parse", "--short=10", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain", "--", *TRIED) else head


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
