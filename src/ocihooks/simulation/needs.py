"""
What a simulation reads of a configuration, checked before anything is started.

Spec: runtime-spec 1.3.0, config.md and config-linux.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ocihooks.errors import DocumentError
from ocihooks.spec.hook import Hooks
from ocihooks.spec.members import expect, optional, optional_strings, required

_USUAL = "rootfs"
"""What the root file system is called where nobody says."""


def check(config: Mapping[str, Any], file: str | None = None) -> None:
    """
    Check the types of all that a simulation reads.

    Args:
        file: Path of the document for the message; None: it has none.

    Raises:
        DocumentError: Something has the wrong type; the error names the place.
    """
    try:
        _check(config)
    except DocumentError as error:
        error.problems[0].file = file
        raise


def _check(config: Mapping[str, Any]) -> None:
    Hooks.from_json(config.get("hooks"))
    for name in ("ociVersion", "hostname"):
        optional(config, name, str, "")
    for name, value in (optional(config, "annotations", dict, "") or {}).items():
        expect(value, str, f"/annotations/{name}")
    optional(optional(config, "root", dict, "") or {}, "path", str, "/root")
    _check_mounts(config)
    _check_process(optional(config, "process", dict, "") or {})
    namespaces = optional(optional(config, "linux", dict, "") or {}, "namespaces", list, "/linux")
    for index, entry in enumerate(namespaces or ()):
        pointer = f"/linux/namespaces/{index}"
        required(expect(entry, dict, pointer), "type", str, pointer)
        optional(entry, "path", str, pointer)


def _check_mounts(config: Mapping[str, Any]) -> None:
    for index, entry in enumerate(optional(config, "mounts", list, "") or ()):
        pointer = f"/mounts/{index}"
        required(expect(entry, dict, pointer), "destination", str, pointer)
        for name in ("source", "type"):
            optional(entry, name, str, pointer)
        optional_strings(entry, "options", pointer)


def _check_process(process: Mapping[str, Any]) -> None:
    optional_strings(process, "env", "/process")
    user = optional(process, "user", dict, "/process") or {}
    for name in ("uid", "gid"):
        optional(user, name, int, "/process/user")
    for index, group in enumerate(optional(user, "additionalGids", list, "/process/user") or ()):
        expect(group, int, f"/process/user/additionalGids/{index}")
    capabilities = optional(process, "capabilities", dict, "/process") or {}
    optional_strings(capabilities, "bounding", "/process/capabilities")


def root_of(config: Mapping[str, Any], bundle: str) -> str:
    """Absolute path of the directory that is to be the container's root, whether it exists or not."""
    root = config.get("root") or {}
    return os.path.normpath(os.path.join(bundle, root.get("path") or _USUAL))


def namespaces_of(config: Mapping[str, Any]) -> dict[str, str | None]:
    """The namespaces that the configuration asks for, by name; the value is the path of one to join, or None."""
    linux = config.get("linux") or {}
    return {entry["type"]: entry.get("path") for entry in linux.get("namespaces") or ()}
