"""
Renders our kustomizations without kustomize: as much of it as they use, and an error for everything else.

Where kubectl is installed, a test compares the result with what it makes of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

_CLUSTER_WIDE = ("Namespace", "RuntimeClass")
_HEADER = ("apiVersion", "kind")


def rendered(directory: Path) -> list[Object]:
    """The objects that the kustomization in *directory* stands for."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    objects: list[Object] = []
    for name in kustomization.pop("resources", ()):
        path = directory / name
        objects += rendered(path.resolve()) if path.is_dir() else yaml.safe_load_all(path.read_text())
    options = kustomization.pop("generatorOptions", {})
    assert options in ({}, {"disableNameSuffixHash": True})
    for member, change in _MEMBERS.items():
        objects = change(objects, kustomization.pop(member, None), directory)
    assert set(kustomization) == set(_HEADER), f"{directory}: the renderer knows no {sorted(kustomization)}"
    return objects


def _config_maps(objects: list[Object], generators: Any, directory: Path) -> list[Object]:
    for generator in generators or ():
        assert set(generator) == {"name", "files"}
        data = {Path(file).name: (directory / file).read_text() for file in generator["files"]}
        objects = [
            *objects,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data},
        ]
    return objects


def _patched(objects: list[Object], patches: Any, directory: Path) -> list[Object]:
    for patch in patches or ():
        assert set(patch) == {"path"}
        change = yaml.safe_load((directory / patch["path"]).read_text())
        (target,) = [one for one in objects if _identity(one) == _identity(change)]
        objects = [_merged(one, change) if one is target else one for one in objects]
    return objects


def _identity(one: Object) -> tuple[str, str, str]:
    return one["kind"], one["metadata"]["name"], one["metadata"].get("namespace", "")


def _merged(old: Any, new: Any) -> Any:
    """A strategic merge: containers are merged by their names, other lists are replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old[key], value) if key in old else value for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and all(isinstance(one, dict) and "name" in one for one in new):
        changes = {one["name"]: one for one in new}
        assert set(changes) <= {one["name"] for one in old}
        return [_merged(one, changes.get(one["name"], {})) for one in old]
    return new


def _in_namespace(objects: list[Object], namespace: Any, _directory: Path) -> list[Object]:
    objects = copy.deepcopy(objects)
    for one in objects if namespace else ():
        if one["kind"] == "Namespace":
            one["metadata"]["name"] = namespace
        elif one["kind"] not in _CLUSTER_WIDE:
            one["metadata"]["namespace"] = namespace
    return objects


def _with_images(objects: list[Object], images: Any, _directory: Path) -> list[Object]:
    names = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in images or ()}
    for container in (container for one in objects for container in containers(one)):
        container["image"] = names.get(container["image"], container["image"])
    return objects


def containers(one: Object) -> list[Object]:
    """All containers of a DaemonSet, as they stand in it; none for another object."""
    if one["kind"] != "DaemonSet":
        return []
    pod = one["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


_MEMBERS: dict[str, Callable[[list[Object], Any, Path], list[Object]]] = {
    "configMapGenerator": _config_maps,
    "patches": _patched,
    "namespace": _in_namespace,
    "images": _with_images,
}
"""What a kustomization may ask for besides resources, in the order in which it happens."""
