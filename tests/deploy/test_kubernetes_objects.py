"""What `kubectl apply -k` would apply: valid for the three newest versions of Kubernetes, and with few privileges."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions
from tests.deploy.kustomize import Object, containers, rendered

from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.readers import read_document
from ocihooks.settings import read_settings

KUBERNETES = Path(__file__).parents[2] / "deploy/kubernetes"
OVERLAYS = {path.name: path for path in sorted((KUBERNETES / "overlays").iterdir())}
NEWEST = sorted({tuple(map(int, version.split(".")[:2])) for version in all_versions()})[-3:]
WITH_COMPONENTS = (1, 27)
"""The first version of kubectl that knows all that is used."""

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def daemon_set(overlay: str) -> Object:
    """The DaemonSet of an overlay."""
    (found,) = [one for one in rendered(OVERLAYS[overlay]) if one["kind"] == "DaemonSet"]
    return found


def pod_of(overlay: str) -> dict[str, Any]:
    """The pods of its DaemonSet."""
    pod: dict[str, Any] = daemon_set(overlay)["spec"]["template"]["spec"]
    return pod


@each_overlay
@pytest.mark.parametrize("version", [".".join(map(str, version)) for version in NEWEST])
def test_objects_are_valid(overlay: str, version: str) -> None:
    """Each object fits the schema of its kind, in which nothing may be that Kubernetes does not know."""
    for one in rendered(OVERLAYS[overlay]):
        assert kubernetes_validate.validate(one, version, strict=True) == version


def test_an_unknown_member_is_found() -> None:
    """The schemas refuse what Kubernetes does not know, so that the test above means something."""
    wrong = daemon_set("nri")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(wrong, ".".join(map(str, NEWEST[-1])), strict=True)


@pytest.fixture
def by_kubectl() -> Callable[[Path], list[Object]]:
    """Render a directory by kubectl, which has kustomize in it."""
    kubectl = shutil.which("kubectl")
    words = [str(kubectl), "version", "--client"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout if kubectl else ""
    found = re.search(r"v(\d+)\.(\d+)", said)
    if not found or tuple(map(int, found.groups())) < WITH_COMPONENTS:
        pytest.skip("no kubectl that knows kustomize as it is today; our own renderer is what the other tests use")

    def render(directory: Path) -> list[Object]:
        done = subprocess.run([str(kubectl), "kustomize", directory], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return render


@each_overlay
def test_kubectl_renders_the_same(overlay: str, by_kubectl: Callable[[Path], list[Object]]) -> None:
    """kubectl itself makes the same objects of it; elsewhere our own small renderer stands in for it."""

    def in_order(objects: list[Object]) -> list[str]:
        return sorted(json.dumps(one, sort_keys=True) for one in objects)

    assert in_order(by_kubectl(OVERLAYS[overlay])) == in_order(rendered(OVERLAYS[overlay]))


def test_an_overlay_as_the_page_shows_it(tmp_path: Path, by_kubectl: Callable[[Path], list[Object]]) -> None:
    """The kustomization in the how-to replaces image, rules and programs, and leaves the settings."""
    page = (KUBERNETES.parents[1] / "docs/how-to/kubernetes.md").read_text()
    text = page[page.index("# my-hooks/kustomization.yaml") :].partition("```")[0]
    shutil.copytree(KUBERNETES, tmp_path / "deploy/kubernetes")
    (tmp_path / "my-hooks").mkdir()
    for name, content in {"kustomization.yaml": text, "10-gpu.json": "{}", "gpu-setup": "#!/bin/sh\n"}.items():
        (tmp_path / "my-hooks" / name).write_text(content)
    objects = by_kubectl(tmp_path / "my-hooks")
    data = {one["metadata"]["name"]: set(one["data"]) for one in objects if one["kind"] == "ConfigMap"}
    assert data == {
        "ocihooks-rules": {"10-gpu.json"},
        "ocihooks-programs": {"gpu-setup"},
        "ocihooks-settings": {"config.toml"},
    }
    assert {container["image"] for one in objects for container in containers(one)} == {
        "registry.of.yours/ocihooks:0.1.0"
    }


@each_overlay
def test_pods_have_few_privileges(overlay: str) -> None:
    """No namespace of the node, no token, no network, the default seccomp filter; they start first and go last."""
    pod = pod_of(overlay)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["priorityClassName"] == "system-node-critical"
    assert pod["tolerations"] == [{"operator": "Exists"}]
    (policy,) = [one for one in rendered(OVERLAYS[overlay]) if one["kind"] == "NetworkPolicy"]
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@each_overlay
def test_containers_have_few_privileges(overlay: str) -> None:
    """A root that can't be written, no capability but those that the wrapper's container needs, and limits."""
    needed = [] if overlay == "nri" else ["SYS_CHROOT", "SYS_PTRACE"]
    for container in containers(daemon_set(overlay)):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["capabilities"].get("add", []) == needed
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert "privileged" not in context


def test_the_plugin_mounts_two_directories_of_the_node() -> None:
    """Only the engine's socket and the programs of hooks, the latter for reading in the plugin's container."""
    pod = pod_of("nri")
    paths = {volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    assert paths == {"/opt/ocihooks/hooks", "/var/run/nri"}
    (hooks,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "hooks"]
    assert hooks["readOnly"] is True


@each_overlay
def test_mounts_name_volumes(overlay: str) -> None:
    """Every mount has its volume, every volume is mounted, and every ConfigMap is there."""
    pod = pod_of(overlay)
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for one in containers(daemon_set(overlay)) for mount in one["volumeMounts"]} == volumes
    maps = {one["metadata"]["name"] for one in rendered(OVERLAYS[overlay]) if one["kind"] == "ConfigMap"}
    assert {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume} == maps


def test_the_runtime_class_leads_to_nodes_with_the_wrapper() -> None:
    """Pods of the RuntimeClass run where the DaemonSet does, and the handler is the one that it configures."""
    (runtime_class,) = [one for one in rendered(OVERLAYS["containerd-1"]) if one["kind"] == "RuntimeClass"]
    wanted = runtime_class["scheduling"]["nodeSelector"].items()
    assert wanted <= pod_of("containerd-1")["nodeSelector"].items()
    assert runtime_class["handler"] == "ocihooks"


def test_the_removal_is_the_installation_undone() -> None:
    """It changes the arguments and the pace of the rollout, and mirrors the same places."""
    before, after = daemon_set("containerd-1"), daemon_set("containerd-1-removal")
    (installing,), (removing,) = containers(before), containers(after)
    mirrors = [word for word in installing["args"] if word.startswith("--mirror=")]
    assert [word for word in removing["args"] if word.startswith("--mirror=")] == mirrors
    assert (installing["args"][0], removing["args"][0]) == ("install", "remove")
    installing["args"] = removing["args"]
    before["spec"]["updateStrategy"] = after["spec"]["updateStrategy"]
    assert before == after


def test_the_rules_and_settings_of_the_base_have_no_findings(tmp_path: Path) -> None:
    """What is applied as it stands can be read, and its rule names the program that comes with it."""
    data = {one["metadata"]["name"]: one["data"] for one in rendered(KUBERNETES / "base") if one["kind"] == "ConfigMap"}
    for name, text in data["ocihooks-rules"].items():
        reading = Reading(name)
        rule = read_document(text.encode(), reading)
        assert reading.problems == []
        assert rule is not None
        assert rule.hook.path.removeprefix("/opt/ocihooks/hooks/") in data["ocihooks-programs"]
    settings = tmp_path / "config.toml"
    settings.write_text(data["ocihooks-settings"]["config.toml"])
    assert read_settings(str(settings)).file == str(settings)
