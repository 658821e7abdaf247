"""All engines, by name."""

from __future__ import annotations

from collections.abc import Mapping

from ocihooks.engines.buildah import Buildah
from ocihooks.engines.containerd import Containerd
from ocihooks.engines.crio import CRIO
from ocihooks.engines.docker import Docker
from ocihooks.engines.engine import Engine
from ocihooks.engines.podman import Podman

ENGINES: Mapping[str, Engine] = {
    engine.name: engine for engine in (Docker(), Containerd(), CRIO(), Podman(), Buildah())
}
