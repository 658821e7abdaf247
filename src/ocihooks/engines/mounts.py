"""
Which bind mounts of a config.json are the engine's own, so that ``hasBindMounts`` asks for those of users only.

Natively Podman and CRI-O answer that from what the user asked for; config.json has both kinds. A mount is the engine's
own if its destination and its source both look so: a user may bind a file of theirs onto /etc/hosts. For single secrets
the source decides.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

DESTINATIONS = (
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/dev/shm",  # noqa: S108  (a mount point in the container)
    "/dev/termination-log",
    "/dev/init",
    "/sbin/docker-init",
    "/run/podman-init",
    "/run/.containerenv",
    "/run/secrets",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets",
    "/var/run/secrets/kubernetes.io/serviceaccount",
)
"""Where engines and the kubelet put their files."""

SOURCES = (
    "/containers/{id}/",  # Docker: hosts, hostname, resolv.conf, mounts/shm, mounts/secrets
    "/docker-init",
    "-containers/{id}/userdata/",  # Podman and CRI-O: overlay-containers, vfs-containers …
    "/catatonit",
    "/io.containerd.grpc.v1.cri/sandboxes/",  # containerd's CRI plugin: hostname, resolv.conf, shm
    "/pods/{uid}/etc-hosts",  # the kubelet
    "/pods/{uid}/containers/",
    "/pods/{uid}/volumes/kubernetes.io~projected/kube-api-access-",
    "/pods/{uid}/volumes/kubernetes.io~secret/default-token-",
    "/buildah{number}/",
)
"""Parts of the paths that they come from: ``{id}`` is 64 hexadecimal digits, ``{uid}`` a name, ``{number}`` digits."""

SECRETS = (
    "-containers/{id}/userdata/secrets/",  # Podman
    "/containers/{id}/mounts/secrets/",  # Docker
)
"""The same for single secrets, which users may have anywhere in the container."""


def has_bind_mounts(mounts: "Iterable[Mapping[str, Any]]") -> bool:
    """Whether the ``mounts`` of a config.json have a bind mount that is not the engine's own."""
    return any(is_bind(mount) and not is_engines_own(mount) for mount in mounts)


def is_bind(mount: "Mapping[str, Any]") -> bool:
    """Whether *mount* is a bind mount: by its type, or by its options as the runtime-spec allows."""
    options = mount.get("options") or ()
    return mount.get("type") == "bind" or "bind" in options or "rbind" in options


def is_engines_own(mount: "Mapping[str, Any]") -> bool:
    """Whether *mount* comes from the engine or the kubelet and not from a user."""
    destination, source = mount.get("destination"), mount.get("source")
    if not isinstance(destination, str) or not isinstance(source, str):
        return False
    shapes = SOURCES if (destination.rstrip("/") or "/") in DESTINATIONS else SECRETS
    return any(_found(shape, source) for shape in shapes)


def _found(shape: str, source: str) -> bool:
    """Whether *shape* is part of *source*, its placeholder standing for one part of a path."""
    before, brace, rest = shape.partition("{")
    if not brace:
        return shape in source
    kind, _, after = rest.partition("}")
    at = source.find(before)
    while at >= 0:
        start = at + len(before)
        end = source.find(after, start) if after else len(source)
        if end >= 0 and _FITS[kind](source[start:end]):
            return True
        at = source.find(before, at + 1)
    return False


def _is_id(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _is_name(text: str) -> bool:
    return bool(text) and "/" not in text


_FITS = {"id": _is_id, "uid": _is_name, "number": str.isdigit}
