"""
Which image a container is made from: no config.json says so, but engines do, in files of theirs or by annotations.

An engine's own file counts more than an annotation, since with Docker and Podman users choose annotations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ocihooks.errors import OCIHooksError
from ocihooks.trust import Trust, read_trusted

LIMIT_BYTES = 16 << 20

NAMES = ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName")
"""Annotations of containerd's CRI plugin and of CRI-O with an image's name."""

IDS = ("io.kubernetes.cri-o.ImageRef",)
"""Annotations with an image's id."""

_OF_DOCKER = re.compile(r"(/.*)/containers/[0-9a-f]{64}/(?:hosts|hostname|resolv\.conf)")
_OF_STORAGE = re.compile(r"(/.*/[a-z0-9]+-containers)/([0-9a-f]{64})/userdata")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """
    An image as far as the engine tells it.

    Attributes:
        name: As the user of the engine wrote it, such as ``docker.io/library/busybox:latest``; None: not known.
        id: ``sha256:`` and the digest of its configuration, which engines show as its id; None: not known.
    """

    name: str | None = None
    id: str | None = None


def image_of(container: str, bundle: str, config: Mapping[str, Any], trust: Trust) -> Image | None:
    """
    The image of a container that is about to be created; None where nobody tells.

    Docker tells it in the container's config.v2.json, Podman in the containers.json of its storage; files that
    somebody else could have written tell nothing. containerd's CRI plugin and CRI-O tell it by annotations.

    Args:
        container: Its id.
        bundle: Absolute path.
        config: Its configuration, parsed.
    """
    for found in (_of_docker(container, config, trust), _of_storage(container, bundle, trust), _annotated(config)):
        if found is not None and (found.name or found.id):
            return found
    return None


def _of_docker(container: str, config: Mapping[str, Any], trust: Trust) -> Image | None:
    """Docker keeps a directory for each container, and binds files of it, or of that of another, into containers."""
    sources = [str(mount.get("source")) for mount in config.get("mounts") or () if isinstance(mount, dict)]
    matches = map(_OF_DOCKER.fullmatch, sources)
    for place in dict.fromkeys(match[1] for match in matches if match):
        found = _told(
            f"{place}/containers/{container}/config.v2.json", trust, lambda said: _docker_image(said, container)
        )
        if found is not None:
            return found
    return None


def _docker_image(said: Any, container: str) -> Image | None:
    return Image(name=said["Config"]["Image"], id=_id(said["Image"])) if said["ID"] == container else None


def _of_storage(container: str, bundle: str, trust: Trust) -> Image | None:
    """The storage of Podman has one list of all containers; those that go with their end have one of their own."""
    match = _OF_STORAGE.fullmatch(bundle)
    if match is None or match[2] != container:
        return None
    files = (f"{match[1]}/containers.json", f"{match[1]}/volatile-containers.json")
    answers = (_told(file, trust, lambda said: _stored_image(said, container)) for file in files)
    return next((answer for answer in answers if answer is not None), None)


def _stored_image(said: Any, container: str) -> Image | None:
    for entry in said:
        if entry["id"] == container:
            return Image(name=json.loads(entry["metadata"]).get("image-name"), id=_id(entry["image"]))
    return None


def _annotated(config: Mapping[str, Any]) -> Image:
    annotations = config.get("annotations") or {}
    names = (annotations.get(name) for name in NAMES)
    ids = (_id(annotations.get(name)) for name in IDS)
    return Image(name=next(filter(None, names), None), id=next(filter(None, ids), None))


def _told(file: str, trust: Trust, read: Callable[[Any], Image | None]) -> Image | None:
    """What *read* finds in a JSON file of an engine; None where there is none that can be trusted and understood."""
    try:
        return read(json.loads(read_trusted(file, trust, LIMIT_BYTES)))
    except (OSError, OCIHooksError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _id(text: str | None) -> str | None:
    match = _ID.fullmatch(text or "")
    return f"sha256:{match[1]}" if match else None
