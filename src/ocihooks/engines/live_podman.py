"""Containers of Podman, which keeps the config.json of a container until it is removed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ocihooks.engines.live import Client, LiveContainer, made_from

VARIABLES = (
    *("CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER"),
    "STORAGE_OPTS",
)

_MISSING = re.compile("no such container", re.IGNORECASE)
_SEVERAL = re.compile("more than one result", re.IGNORECASE)


def find(name: str, address: str | None = None) -> tuple[LiveContainer, ...]:
    """As `ocihooks.engines.live_docker.find`; *address* is that of Podman's service, which is not asked otherwise."""
    client = Client("podman", "podman", VARIABLES, f"unix://{address}" if address else None)
    return client.inspected(name, _container, missing=_MISSING, several=_SEVERAL)


def _container(answer: Sequence[Mapping[str, Any]]) -> LiveContainer:
    (found,) = answer
    config = found.get("OCIConfigPath") or None
    annotations, mounts = found["Config"].get("Annotations"), found.get("Mounts")
    return LiveContainer(
        engine="podman",
        id=found["Id"],
        name=found["Name"],
        status=found["State"]["Status"],
        config=config,
        made_from=None if config else made_from([found["Path"], *(found.get("Args") or ())], annotations, mounts),
        runtime=found.get("OCIRuntime") or "",
    )
