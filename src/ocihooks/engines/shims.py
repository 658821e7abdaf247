"""
What containerd and its shims keep about a container that has a task: its bundle, and the runtime that is called for it.

A shim works in the bundle of its first container; the bundles of all containers of a namespace lie side by side. That
tells where they are, whatever the daemon's configuration says.
"""

from __future__ import annotations

import json
import os

TASKS = "io.containerd.runtime.v2.task"
"""The directory of bundles below the state directory of a containerd; in it one for each of its namespaces."""


def bundle_by_process(pid: int, container: str) -> str | None:
    """
    The bundle of the *container* whose first process is *pid*, found through the shim, which is the process's parent.

    Returns:
        None where process or shim can't be seen from here.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            parent = stream.read().rpartition(")")[2].split()[1]
        beside = os.path.dirname(os.path.realpath(f"/proc/{parent}/cwd", strict=True))
    except (OSError, IndexError):
        return None
    bundle = os.path.join(beside, container)
    return bundle if os.path.isfile(os.path.join(bundle, "config.json")) else None


def runtime_of_bundle(bundle: str) -> str:
    """The program that the shim calls for the container of *bundle*, a path or a name; "" where that is not told."""
    try:
        with open(os.path.join(bundle, "options.json"), encoding="utf-8") as stream:
            options = json.load(stream)
    except (OSError, ValueError):
        options = None
    if isinstance(options, dict) and options.get("binary_name"):
        return str(options["binary_name"])
    try:
        with open(os.path.join(bundle, "runtime"), encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
