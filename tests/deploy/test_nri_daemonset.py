"""The pods of the overlay nri: their containers as they stand in it, on Podman, and an engine that asks them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.deploy.conftest import Cluster, config_map_volume
from tests.deploy.kustomize import Object, containers, rendered

from ocihooks.testing.engines.podman import podman_version
from ocihooks.testing.nri.engine import EngineLink, FakeEngine
from ocihooks.testing.nri.objects import PodContainer

OVERLAY = Path(__file__).parents[2] / "deploy/kubernetes/overlays/nri"
HELLO = {"example.com/hello": "yes"}


def volumes_of(objects: list[Object], directory: Path) -> dict[str, Path]:
    """The volumes of its pods, empty but for the ConfigMaps, as a kubelet would make them."""
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    (daemon_set,) = [one for one in objects if one["kind"] == "DaemonSet"]
    made = {}
    for volume in daemon_set["spec"]["template"]["spec"]["volumes"]:
        made[volume["name"]] = directory / volume["name"]
        if "configMap" in volume:
            config_map_volume(directory / volume["name"], maps[volume["configMap"]["name"]])
        else:
            (directory / volume["name"]).mkdir()
            (directory / volume["name"]).chmod(0o777 if "emptyDir" in volume else 0o755)
    return made


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.1)


def hooks_for(link: EngineLink, annotations: dict[str, str]) -> list[str]:
    """The programs of the hooks that a container with *annotations* is given."""
    given = link.create(PodContainer(annotations=annotations))
    return [hook.path for hooks in given.values() for hook in hooks]


@pytest.mark.runtime
def test_rules_of_the_config_map_reach_containers(
    cluster: Cluster, private_directory: Path, ran_on: Callable[[str, str], None]
) -> None:
    """The sidecar hands out what the plugin trusts, the pod is ready while an engine asks, and changed rules count."""
    ran_on("podman", podman_version())
    objects = rendered(OVERLAY)
    (daemon_set,) = [one for one in objects if one["kind"] == "DaemonSet"]
    sidecar, plugin = containers(daemon_set)
    volumes = volumes_of(objects, private_directory)
    cluster.start("files", sidecar, volumes)
    wait_for((volumes["files"] / ".ready").exists)
    assert cluster.podman("exec", "files", *sidecar["startupProbe"]["exec"]["command"]).status == 0
    assert (volumes["hooks"] / "hello").stat().st_mode & 0o777 == 0o755
    cluster.start("plugin", plugin, volumes)
    ready = ("exec", "plugin", *plugin["readinessProbe"]["exec"]["command"])
    with FakeEngine(volumes["engine"]) as engine:
        link = engine.accept_registered()
        assert hooks_for(link, HELLO) == ["/opt/ocihooks/hooks/hello"]
        assert hooks_for(link, {}) == []
        assert cluster.podman(*ready).status == 0
        words = ("--hooks-dir=/etc/ocihooks/hooks.d", "--annotation=example.com/hello=yes", "--json")
        explained = cluster.podman("exec", "plugin", "ocihooks", "explain", *words)
        assert "10-hello.json" in json.dumps(json.loads(explained.stdout)), explained
        config_map_volume(volumes["rules"], {})
        wait_for(lambda: hooks_for(link, HELLO) == [])
    not_ready = cluster.podman(*ready)
    assert (not_ready.status, not_ready.stderr.strip()) == (1, "no engine asks us at the moment"), not_ready
    for name in ("plugin", "files"):
        assert cluster.podman("stop", "--time=10", name).status == 0
        assert cluster.podman("inspect", "--format={{.State.ExitCode}}", name).stdout.strip() == "0"
