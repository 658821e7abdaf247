"""Buildah: a drop-in of containers.conf, of which it uses the runtimes with --isolation=oci."""

from __future__ import annotations

from ocihooks.engines.containers_conf import ContainersConf


class Buildah(ContainersConf):
    """Buildah, of root or of a user."""

    name = "buildah"
    program = "buildah"
