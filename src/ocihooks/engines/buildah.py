"""Buildah: a drop-in of containers.conf, of which it uses the runtimes with --isolation=oci."""

from __future__ import annotations

from ocihooks.engines.containers_conf import ContainersConf
from ocihooks.places import is_rootless


class Buildah(ContainersConf):
    """Buildah, of root or of a user."""

    name = "buildah"
    program = "buildah"
    default_hooks_dirs = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")

    def hooks_dirs(self, configured: tuple[str, ...] | None) -> tuple[str, ...]:  # noqa: ARG002
        """Those that are built in, for root; it warns that it is not going to read them for ever."""
        return () if is_rootless() else self.default_hooks_dirs
