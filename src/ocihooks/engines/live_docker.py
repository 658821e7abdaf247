"""Containers of Docker; its bundles are there while they run, and are found through their shims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ocihooks.engines.live import Client, LiveContainer, made_from, not_readable
from ocihooks.engines.shims import bundle_by_process, runtime_of_bundle

VARIABLES = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    "DOCKER_API_VERSION",
)

_MISSING = re.compile("no such container", re.IGNORECASE)
_SEVERAL = re.compile("multiple ids found", re.IGNORECASE)
_INIT = ("/sbin/docker-init", "--")


def find(name: str, address: str | None = None) -> tuple[LiveContainer, ...]:
    """
    The container of this name, id or beginning of an id; none where there is no such container.

    Args:
        address: Path of the daemon's socket; None: where the client's own variables say.

    Raises:
        UnavailableError: Docker does not answer, or the container's files can't be seen.
        UsageError: Several ids begin so, or the daemon is elsewhere.
    """
    client = Client("docker", "docker", VARIABLES, f"unix://{address}" if address else None)
    return client.inspected(name, _container, missing=_MISSING, several=_SEVERAL)


def _container(answer: Sequence[Mapping[str, Any]]) -> LiveContainer:
    (found,) = answer
    state, host = found["State"], found["HostConfig"]
    bundle = bundle_by_process(state["Pid"], found["Id"]) if state.get("Pid") else None
    if bundle is None and state.get("Running"):
        raise not_readable(found["Id"], "docker")
    args = [*(_INIT if host.get("Init") else ()), found["Path"], *(found.get("Args") or ())]
    return LiveContainer(
        engine="docker",
        id=found["Id"],
        name=str(found.get("Name", "")).lstrip("/"),
        status=state["Status"],
        config=f"{bundle}/config.json" if bundle else None,
        made_from=None if bundle else made_from(args, host.get("Annotations"), found.get("Mounts")),
        runtime=(runtime_of_bundle(bundle) if bundle else "") or host.get("Runtime") or "",
    )
