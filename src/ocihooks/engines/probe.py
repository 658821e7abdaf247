"""
The smallest container that there can be: one program that ends at once, as directory, tar archive and OCI archive.

It is written here instead of taken from the host, which may have no program that runs without libraries.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import struct
import tarfile

from ocihooks.errors import UnavailableError
from ocihooks.replace import replace_file

_ENTRY = 0x400000
_HEADERS_BYTES = 120

_MACHINES = {
    # The machine's number in ELF, the system call exit with status 0, and the name in images.
    "x86_64": (62, bytes.fromhex("31ff b83c000000 0f05"), "amd64"),
    "aarch64": (183, bytes.fromhex("000080d2 a80b80d2 010000d4"), "arm64"),
}


def program() -> bytes:
    """
    A static program that does nothing, for this machine.

    Raises:
        UnavailableError: It is not known for this kind of machine.
    """
    number, code, _ = _machine()
    size = _HEADERS_BYTES + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, _ENTRY + _HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ENTRY, _ENTRY, size, size, 0x1000)
    return ident + header + segment + code


def _machine() -> tuple[int, bytes, str]:
    name = platform.machine()
    if name not in _MACHINES:
        raise UnavailableError(
            f"there is no throw-away container for {name}", hint="start a container of your own that a rule matches"
        )
    return _MACHINES[name]


def write_rootfs(directory: str, path: str) -> None:
    """Make a root file system in the empty *directory* that has the program at *path*, a file name below the root."""
    for name in ("dev", "etc", "proc", "run", "sys", "tmp"):
        os.mkdir(os.path.join(directory, name), 0o755)
    replace_file(directory + path, program(), durable=False, mode=0o755)


def rootfs_tar(path: str) -> bytes:
    """A tar archive of a root file system that has the program at *path*."""
    return _tar({path.lstrip("/"): program()}, mode=0o755)


def oci_archive(path: str, name: str) -> bytes:
    """An OCI archive of an image *name* that has the program at *path*, and runs it."""
    layer = rootfs_tar(path)
    config = {
        "architecture": _machine()[2],
        "os": "linux",
        "config": {"Cmd": [path]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    config_bytes = json.dumps(config).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": _descriptor(f"{kind}.config.v1+json", config_bytes),
            "layers": [_descriptor(f"{kind}.layer.v1.tar", layer)],
        }
    ).encode()
    reference = {"annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}
    index = {"schemaVersion": 2, "manifests": [_descriptor(f"{kind}.manifest.v1+json", manifest) | reference]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    files |= {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in (layer, config_bytes, manifest)}
    return _tar(files, mode=0o644)


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()
