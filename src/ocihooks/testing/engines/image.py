"""
An image without a registry: one archive that Docker, containerd, Podman and Buildah can all load.

Spec: image-spec 1.0, image-layout.md; the manifest.json beside it is what ``docker load`` looks for.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocihooks.testing.configs import DEFAULT_ENV

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OCI = "application/vnd.oci.image"


def write_image(
    file: str | os.PathLike[str],
    rootfs: str | os.PathLike[str],
    *,
    name: str,
    command: Sequence[str] = ("/bin/sh",),
    env: Sequence[str] = DEFAULT_ENV,
) -> Path:
    """
    Write an archive of an image with one layer, the same bytes for the same content.

    Args:
        rootfs: See ``bundles.make_rootfs``.
        name: Such as ``localhost/busybox:1``.

    Returns:
        The absolute path of *file*.
    """
    layer = _layer(Path(rootfs))
    config = _json(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Cmd": list(command), "Env": list(env)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created_by": "ocihooks"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "config": _descriptor("config.v1+json", config),
            "layers": [_descriptor("layer.v1.tar", layer)],
        }
    )
    index = _descriptor("manifest.v1+json", manifest) | {
        "annotations": {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    }
    of_docker = {"Config": _blob(config), "RepoTags": [name], "Layers": [_blob(layer)]}
    members = {_blob(blob): blob for blob in (layer, config, manifest)} | {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [index]}),
        "manifest.json": _json([of_docker]),
    }
    path = Path(file).absolute()
    with tarfile.open(path, "w") as archive:
        for member, content in members.items():
            archive.addfile(_entry(member, content), io.BytesIO(content))
    return path


def _layer(rootfs: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(rootfs, arcname=".", filter=_as_root)
    return buffer.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    return entry


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _blob(blob: bytes) -> str:
    return f"blobs/{_digest(blob).replace(':', '/')}"


def _entry(name: str, content: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    return entry


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
