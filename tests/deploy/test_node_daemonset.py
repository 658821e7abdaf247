"""The pods of the overlay containerd-1 and of its removal, on Podman, with the root of a node made up here."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.conftest import Cluster, config_map_volume
from tests.deploy.kustomize import Object, containers, rendered

from ocihooks.testing.engines.containerd import containerd_version
from ocihooks.testing.engines.host import Finished
from ocihooks.testing.engines.podman import podman_version

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "deploy/kubernetes/overlays"
CONFIGURATION = ROOT / "tests/data/engines/containerd/1-usual"

SYSTEMCTL = """\
#!/bin/sh
echo "$* $SYSTEMD_IGNORE_CHROOT" >> /run/systemctl
echo active
"""

IN_NODE = "import os, sys; os.chroot('/host'); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeNode:
    """
    A node with containerd's files; programs are those of this machine, but for systemctl.

    Attributes:
        root: Its root directory.
        cluster: Where its pods run.
        volumes: What they mount.
    """

    root: Path
    cluster: Cluster
    volumes: dict[str, Path]

    @property
    def configuration(self) -> Path:
        """The configuration of containerd."""
        return self.root / "etc/containerd/config.toml"

    def run(self, overlay: str, *options: str, without: str = "") -> Finished:
        """Run the container of an overlay's pod, once, with more options of Podman, and *without* a capability."""
        (container,) = containers(daemon_set(overlay))
        capabilities = container["securityContext"]["capabilities"]
        capabilities["add"] = [name for name in capabilities["add"] if name != without]
        return self.cluster.run(container, self.volumes, "--once", options=[*self._mounts(), *options])

    def inside(self, *words: str) -> Finished:
        """Run a program with the node's root."""
        (container,) = containers(daemon_set("containerd-1"))
        container |= {"command": container["command"][:1], "args": ["-c", IN_NODE, *words]}
        return self.cluster.run(container, self.volumes, options=self._mounts())

    def restarts(self) -> int:
        """How often containerd was restarted."""
        calls = self.root / "run/systemctl"
        return calls.read_text().count("restart containerd 1\n") if calls.exists() else 0

    def files(self) -> dict[str, Any]:
        """All that is there, but for the record of systemctl's calls."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name != "run/systemctl":
                is_file = path.is_file() and not path.is_symlink()
                found[name] = (path.lstat().st_mode, path.read_bytes() if is_file else None)
        return found

    def _mounts(self) -> list[str]:
        places = {"/usr": "/usr", f"{self.root}-local": "/usr/local", "/proc": "/proc", "/dev/null": "/dev/null"}
        return [f"--volume={source}:/host{target}:rbind,ro" for source, target in places.items()]


def daemon_set(overlay: str) -> Object:
    """The DaemonSet of an overlay."""
    (found,) = [one for one in rendered(OVERLAYS / overlay) if one["kind"] == "DaemonSet"]
    return found


@pytest.fixture
def node(cluster: Cluster, private_directory: Path, ran_on: Callable[[str, str], None]) -> FakeNode:
    """A node on which containerd is installed."""
    ran_on("podman", podman_version())
    containerd_version()
    root = private_directory / "node"
    for name in ("etc/containerd", "usr", "proc", "dev", "run", "tmp", "opt", "var/lib"):
        (root / name).mkdir(parents=True)
    (root / "dev/null").touch()
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    local = private_directory / "node-local/sbin"
    local.mkdir(parents=True)
    (local / "systemctl").write_text(SYSTEMCTL)
    (local / "systemctl").chmod(0o755)
    configuration = CONFIGURATION / "before/config.toml"
    (root / "etc/containerd/config.toml").write_bytes(configuration.read_bytes())
    maps = {one["metadata"]["name"]: one["data"] for one in rendered(OVERLAYS / "containerd-1") if "data" in one}
    volumes = {
        name: config_map_volume(private_directory / name, maps[f"ocihooks-{name}"])
        for name in ("rules", "programs", "settings")
    }
    run = private_directory / "run"
    run.mkdir()
    return FakeNode(root=root, cluster=cluster, volumes=volumes | {"node": root, "run": run})


@pytest.mark.early
@pytest.mark.runtime
def test_installed_updated_and_removed(node: FakeNode) -> None:
    """The wrapper works on the node, doing it again changes nothing, and its removal leaves every byte as it was."""
    before = node.files()
    done = node.run("containerd-1")
    assert done.status == 0, done
    handlers = tomllib.loads(node.configuration.read_text())
    handlers = handlers["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]
    assert handlers["ocihooks"]["options"]["BinaryName"] == "/opt/ocihooks/bin/ocihooks-runtime"
    assert handlers["ocihooks"]["pod_annotations"] == ["example.com/*"]
    assert (node.restarts(), (node.volumes["run"] / "ready").exists()) == (1, True)
    wrapper = node.inside("/opt/ocihooks/bin/ocihooks-runtime", "--version")
    assert "runc version" in wrapper.stdout, wrapper
    explained = node.inside("/opt/ocihooks/python/bin/ocihooks", "explain", "--annotation=example.com/hello=yes")
    assert "10-hello.json" in explained.stdout, explained

    configured = node.configuration.stat()
    (node.root / "opt/ocihooks/python/BUILD").write_text("of an older image\n")
    (node.root / "opt/ocihooks/restart").touch()  # as if the pod had been killed before it could restart containerd
    again = node.run("containerd-1")
    assert again.status == 0, again
    assert "brought up to date" in again.stderr
    assert (node.configuration.stat(), node.restarts()) == (configured, 2)

    removed = node.run("containerd-1-removal")
    assert removed.status == 0, removed
    assert (node.files(), node.restarts()) == (before, 3)


@pytest.mark.runtime
@pytest.mark.slow
def test_a_rule_of_the_node_stays(node: FakeNode) -> None:
    """A rule of the same name that somebody else wrote is not overwritten, and containerd is told nothing."""
    rule = node.root / "etc/containers/oci/hooks.d/10-hello.json"
    rule.parent.mkdir(parents=True)
    rule.write_text("{}")
    before = node.configuration.read_bytes()
    done = node.run("containerd-1")
    assert done.status == 1
    assert "/host/etc/containers/oci/hooks.d/10-hello.json: is there and was not copied by us; hint: " in done.stderr
    assert (rule.read_text(), node.configuration.read_bytes(), node.restarts()) == ("{}", before, 0)


@pytest.mark.runtime
@pytest.mark.slow
def test_the_wrapper_stays_while_a_container_needs_it(node: FakeNode, private_directory: Path) -> None:
    """A shim of the node that is going to call it is seen from the pod, by the capability that the pod has for it."""
    assert node.run("containerd-1").status == 0
    configured = node.configuration.read_bytes()
    bundle = private_directory / "tasks/k8s.io/web"
    bundle.mkdir(parents=True)
    (bundle / "options.json").write_text('{"binary_name": "/opt/ocihooks/bin/ocihooks-runtime"}')
    shim = "exec -a containerd-shim-runc-v2 python3 -c 'import time; time.sleep(600)' -id web"
    daemon = node.cluster.host.start("bash", "-c", f"cd {bundle} && {shim}")
    seen = f"--volume={bundle.parent}:/host{bundle.parent}"
    daemon.wait_until(lambda: any(one.name == "containerd-shim-runc-v2" for one in node.cluster.host.processes()))
    refused = node.run("containerd-1-removal", seen)
    assert refused.status == 1
    assert "a running container was started through it: web (containerd-shim-runc-v2 " in refused.stderr, refused
    assert (node.configuration.read_bytes(), node.restarts()) == (configured, 1)
    assert node.run("containerd-1-removal", seen, without="SYS_PTRACE").status == 0  # the shim was not seen
    daemon.end(signal.SIGKILL)
