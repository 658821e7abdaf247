"""Which bind mounts count for hasBindMounts: those that a user asked for."""

from __future__ import annotations

from typing import Any

import pytest

from ocihooks.engines.mounts import DESTINATIONS, SOURCES, has_bind_mounts, is_bind, is_engines_own

ID = "0123456789abcdef" * 4
POD = "/var/lib/kubelet/pods/2f1d3f6e-0a51-4f0b-9a3e-0d8cbb2e2f11"
RUN = "/run/containers/storage/overlay-containers"
CRI = "/io.containerd.grpc.v1.cri/sandboxes"


def bind(destination: str, source: str, **members: Any) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rw"], **members}


ENGINES = [
    pytest.param("/etc/hosts", f"/var/lib/docker/containers/{ID}/hosts", id="docker-hosts"),
    pytest.param("/etc/hostname", f"/var/lib/docker/containers/{ID}/hostname", id="docker-hostname"),
    pytest.param("/etc/resolv.conf", f"/data/docker/containers/{ID}/resolv.conf", id="docker-other-root"),
    pytest.param("/dev/shm", f"/var/lib/docker/containers/{ID}/mounts/shm", id="docker-shm"),
    pytest.param("/run/secrets", f"/var/lib/docker/containers/{ID}/mounts/secrets", id="docker-secrets"),
    pytest.param("/sbin/docker-init", "/usr/libexec/docker/docker-init", id="docker-init"),
    pytest.param(
        "/etc/hosts",
        f"/var/lib/containers/storage/overlay-containers/{ID}/userdata/hosts",
        id="podman-hosts",
    ),
    pytest.param(
        "/dev/shm",
        f"/home/u/.local/share/containers/storage/vfs-containers/{ID}/userdata/shm",
        id="podman-shm",
    ),
    pytest.param("/run/podman-init", "/usr/libexec/podman/catatonit", id="podman-init"),
    pytest.param("/run/.containerenv", f"{RUN}/{ID}/userdata/.containerenv", id="env"),
    pytest.param("/etc/resolv.conf", f"{RUN}/{ID}/userdata/resolv.conf", id="crio"),
    pytest.param("/etc/hosts", f"{POD}/etc-hosts", id="kubelet-hosts"),
    pytest.param("/dev/termination-log", f"{POD}/containers/main/1f2e3d4c", id="termination-log"),
    pytest.param(
        "/var/run/secrets/kubernetes.io/serviceaccount",
        f"{POD}/volumes/kubernetes.io~projected/kube-api-access-x7k2p",
        id="service-account",
    ),
    pytest.param(
        "/var/run/secrets/kubernetes.io/serviceaccount",
        f"{POD}/volumes/kubernetes.io~secret/default-token-abcde",
        id="old-service-account",
    ),
    pytest.param("/etc/hostname", f"/var/lib/containerd{CRI}/{ID}/hostname", id="containerd-hostname"),
    pytest.param("/dev/shm", f"/run/containerd{CRI}/{ID}/shm", id="containerd-shm"),
    pytest.param("/etc/hosts", "/var/tmp/buildah123456/hosts", id="buildah-hosts"),
    pytest.param("/etc/hosts/", f"/var/lib/docker/containers/{ID}/hosts", id="slash-behind"),
]

USERS = [
    pytest.param("/data", "/srv/data", id="plain"),
    pytest.param("/", "/srv/root", id="root"),
    pytest.param("/etc/hosts", "/srv/hosts", id="own-hosts"),
    pytest.param("/etc/hosts", "/etc/hosts", id="host-hosts"),
    pytest.param("/dev/shm", "/dev/shm", id="host-shm"),
    pytest.param("/data", f"/var/lib/docker/containers/{ID}/hosts", id="engine-source-elsewhere"),
    pytest.param("/etc/hosts", "/var/lib/docker/containers/abc/hosts", id="short-id"),
    pytest.param("/etc/hosts", f"/var/lib/docker/containers/{ID.upper()}/hosts", id="capital-id"),
    pytest.param("/etc/hosts", f"/var/lib/docker/containers/{ID}", id="directory-itself"),
    pytest.param("/etc/hosts", f"/srv/mycontainers/{ID}/hosts", id="similar-name"),
    pytest.param("/etc/hosts", f"/srv/containers/{ID}x/hosts", id="long-id"),
    pytest.param("/etc/hosts", "/var/tmp/buildah/hosts", id="buildah-without-number"),
    pytest.param("/etc/hosts", "/var/tmp/buildahx1/hosts", id="buildah-odd-number"),
    pytest.param("/etc/hosts", "/pods//etc-hosts", id="pod-without-name"),
    pytest.param("/etc/hosts", "/pods/a/b/etc-hosts", id="pod-in-directory"),
    pytest.param(
        "/var/run/secrets/kubernetes.io/serviceaccount", f"{POD}/volumes/kubernetes.io~secret/mine", id="own-secret"
    ),
]


class TestOwners:
    """Whose mount it is."""

    @pytest.mark.parametrize(("destination", "source"), ENGINES)
    def test_engines(self, destination: str, source: str) -> None:
        """Mounts that engines and the kubelet make for every container don't count."""
        assert is_engines_own(bind(destination, source))
        assert not has_bind_mounts([bind(destination, source)])

    @pytest.mark.parametrize(("destination", "source"), USERS)
    def test_users(self, destination: str, source: str) -> None:
        """Mounts of users count, also those that only look like an engine's from one side."""
        assert not is_engines_own(bind(destination, source))
        assert has_bind_mounts([bind(destination, source)])

    @pytest.mark.parametrize("destination", DESTINATIONS)
    def test_destinations(self, destination: str) -> None:
        """At every place that engines use, a user's own file counts."""
        assert has_bind_mounts([bind(destination, "/srv/file")])

    @pytest.mark.parametrize("shape", SOURCES)
    def test_sources(self, shape: str) -> None:
        """Every shape of a source is met by a path, and only with its placeholder filled in rightly."""
        good = "/x" + shape.replace("{id}", ID).replace("{uid}", "u-1").replace("{number}", "7") + "y"
        bad = "/x" + shape.replace("{id}", "7").replace("{uid}", "a/b").replace("{number}", "x") + "y"
        assert is_engines_own(bind("/etc/hosts", good))
        assert is_engines_own(bind("/etc/hosts", bad)) == ("{" not in shape)

    def test_second_place(self) -> None:
        """A path with two likely places is looked at twice."""
        assert is_engines_own(bind("/etc/hosts", f"/srv/containers/old/containers/{ID}/hosts"))


class TestKinds:
    """What a bind mount is."""

    @pytest.mark.parametrize(
        ("mount", "expected"),
        [
            pytest.param({"type": "bind"}, True, id="type"),
            pytest.param({"type": "none", "options": ["bind"]}, True, id="option"),
            pytest.param({"options": ["ro", "rbind"]}, True, id="recursive"),
            pytest.param({"type": "tmpfs", "options": ["rw"]}, False, id="tmpfs"),
            pytest.param({"type": "none", "options": ["rbinds", "nobind"]}, False, id="similar-options"),
            pytest.param({"type": "none", "options": None}, False, id="null-options"),
            pytest.param({}, False, id="nothing"),
            pytest.param({"type": "BIND"}, False, id="letter-case"),
        ],
    )
    def test_kind(self, mount: dict[str, Any], expected: bool) -> None:
        """A mount is a bind mount by its type or by its options."""
        assert is_bind(mount) is expected
        assert has_bind_mounts([{"destination": "/data", "source": "/srv", **mount}]) is expected

    @pytest.mark.parametrize("member", ["destination", "source"])
    @pytest.mark.parametrize("value", [None, 1, ["/etc/hosts"]])
    def test_odd_members(self, member: str, value: Any) -> None:
        """A bind mount without a usable source or destination is not the engine's."""
        mount = bind("/etc/hosts", f"/var/lib/docker/containers/{ID}/hosts")
        assert has_bind_mounts([mount | {member: value}])

    def test_several(self) -> None:
        """One mount of a user is enough, wherever it stands."""
        own = bind("/etc/hosts", f"/var/lib/docker/containers/{ID}/hosts")
        assert not has_bind_mounts([])
        assert not has_bind_mounts([own, own, {"type": "proc", "destination": "/proc"}])
        assert has_bind_mounts([own, bind("/data", "/srv"), own])
