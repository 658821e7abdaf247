"""Podman: a drop-in of containers.conf."""

from __future__ import annotations

from ocihooks.engines.containers_conf import ContainersConf


class Podman(ContainersConf):
    """Podman, of root or of a user."""

    name = "podman"
    program = "podman"
    default_hooks_dirs = ("/usr/share/containers/oci/hooks.d",)
