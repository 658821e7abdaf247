"""
Containers of containerd: those of ctr, of Kubernetes and of nerdctl. Docker's are left to Docker.

containerd keeps what a container's config.json is made from for as long as it has the container, with or without task.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import Any

from ocihooks.engines.live import NAME, Client, LiveContainer, not_readable
from ocihooks.engines.shims import TASKS, bundle_by_process, runtime_of_bundle
from ocihooks.errors import UnavailableError

VARIABLES = ("CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE")
SOCKET = "/run/containerd/containerd.sock"

NAMES = ("nerdctl/name", "io.kubernetes.container.name")
"""Labels by which containers have names besides their ids."""

_OF_DOCKER = ("moby", "plugins.moby")


def find(name: str, address: str | None = None) -> tuple[LiveContainer, ...]:
    """
    The containers of this id, name or beginning of an id, in all namespaces; where ids fit exactly, only these.

    Args:
        address: Path of the daemon's socket; None: as $CONTAINERD_ADDRESS says.

    Raises:
        UnavailableError: containerd does not answer, or a container's files can't be seen.
    """
    client = Client("containerd", "ctr", VARIABLES, address)
    socket = client.environment.setdefault("CONTAINERD_ADDRESS", SOCKET).removeprefix("unix://")
    if not _is_socket(socket):  # which ctr would wait for
        raise client.failed(UnavailableError(f"there is no socket {socket}"))
    if not NAME.fullmatch(name):
        return ()
    only = client.environment.pop("CONTAINERD_NAMESPACE", "")
    try:
        namespaces = [only] if only else client.ask("namespaces", "list", "--quiet").split()
        places = [
            (namespace, container)
            for namespace in namespaces
            if namespace not in _OF_DOCKER
            for container in _ids(client, namespace, name)
        ]
        exact = [place for place in places if place[1] == name]
        state = os.path.dirname(socket)
        return tuple(_container(client, namespace, one, state) for namespace, one in exact or places)
    except UnavailableError as error:
        raise client.failed(error) from None


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _ids(client: Client, namespace: str, name: str) -> list[str]:
    filters = [f"id~=^{re.escape(name)}", *(f'labels."{label}"=="{name}"' for label in NAMES)]
    return client.ask("--namespace", namespace, "containers", "list", "--quiet", *filters).split()


def _container(client: Client, namespace: str, container: str, state: str) -> LiveContainer:
    pid, status = _task(client, namespace, container)
    bundle: str | None = os.path.join(state, TASKS, namespace, container)
    if not os.path.isfile(f"{bundle}/config.json"):
        bundle = bundle_by_process(pid, container) if pid else None
    if bundle is None and status == "running":
        raise not_readable(container, "containerd")

    def read(answer: Mapping[str, Any]) -> LiveContainer:
        labels = answer.get("Labels") or {}
        return LiveContainer(
            engine="containerd",
            id=container,
            name=next((labels[label] for label in NAMES if label in labels), ""),
            status=status,
            config=f"{bundle}/config.json" if bundle else None,
            made_from=None if bundle else answer["Spec"],
            runtime=runtime_of_bundle(bundle) if bundle else "",
        )

    return client.about("--namespace", namespace, "containers", "info", container, read=read)


def _task(client: Client, namespace: str, container: str) -> tuple[int, str]:
    """The first process of a container and its status; 0 and ``created`` where it has no task."""
    for line in client.ask("--namespace", namespace, "tasks", "list").splitlines()[1:]:
        words = line.split()
        if len(words) == 3 and words[0] == container and words[1].isdigit():
            return int(words[1]), words[2].lower()
    return 0, "created"
