"""
Bundles for tests without an image, a registry or an engine: a root file system of busybox and a config.json.

Spec: runtime-spec 1.0.2, bundle.md.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocihooks.errors import UnavailableError
from ocihooks.testing.configs import DEFAULT_ENV, make_config

_DIRECTORIES = ("bin", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "var")
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
_PT_INTERP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBundle:
    """
    A bundle that ``make_bundle`` wrote.

    Attributes:
        directory: The bundle directory, absolute.
        rootfs: The root file system that its config.json names, absolute; other bundles may use it too.
    """

    directory: Path
    rootfs: Path

    @property
    def config_path(self) -> Path:
        """The bundle's config.json."""
        return self.directory / "config.json"

    def config(self) -> dict[str, Any]:
        """The config.json as it is now, parsed."""
        document: dict[str, Any] = json.loads(self.config_path.read_bytes())
        return document

    def write_config(self, config: Mapping[str, Any] | bytes) -> None:
        """Write another config.json, keeping mode and owner; bytes go in as they are, also when they are no JSON."""
        content = config if isinstance(config, bytes) else _engine_json(config)
        self.config_path.write_bytes(content)


def make_rootfs(directory: str | os.PathLike[str]) -> Path:
    """
    Make a root file system of busybox in *directory*, which may exist: about 2 MB, a link in /bin for each applet.

    Everybody can read it, whatever the umask, and containers get everything that they write to as mounts, so any number
    of bundles can share one, rootless too.

    Returns:
        Its absolute path.

    Raises:
        UnavailableError: There is no statically linked busybox on PATH.
    """
    busybox = _static_busybox()
    rootfs = make_empty_rootfs(directory)
    shutil.copyfile(busybox, rootfs / "bin/busybox")
    (rootfs / "bin/busybox").chmod(0o755)
    for applet in _applets(busybox):
        (rootfs / "bin" / applet).unlink(missing_ok=True)
        (rootfs / "bin" / applet).symlink_to("busybox")
    return rootfs


def make_empty_rootfs(directory: str | os.PathLike[str]) -> Path:
    """
    Make a root file system without programs in *directory*, which may exist: for hooks that run none in there.

    Returns:
        Its absolute path.
    """
    rootfs = Path(directory).absolute()
    for name in (".", *_DIRECTORIES):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
        (rootfs / name).chmod(0o1777 if name == "tmp" else 0o755)
    for name, text in _FILES.items():
        (rootfs / name).write_text(text)
        (rootfs / name).chmod(0o644)
    return rootfs


def make_bundle(
    directory: str | os.PathLike[str],
    *,
    rootfs: str | os.PathLike[str],
    args: Sequence[str] | None = ("true",),
    annotations: Mapping[str, str] | None = None,
    hooks: Mapping[str, Any] | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    env: Sequence[str] = DEFAULT_ENV,
    hostname: str = "ocihooks",
    readonly: bool = True,
    rootless: bool = False,
    owner: tuple[int, int] | None = None,
    oci_version: str = "1.0.2",
) -> MadeBundle:
    """
    Make a bundle as an engine leaves it for its runtime: a directory of mode 0700 with a config.json of mode 0644.

    Args:
        directory: The bundle directory; made if missing.
        rootfs: The root file system, see ``make_rootfs``; config.json gets its absolute path.
        rootless: Whether the container runs in a user namespace that maps *owner* to root.
        owner: uid and gid that shall own the bundle, for tests that run as root and start the runtime as somebody
            else; None: the caller.

    The other arguments are those of ``ocihooks.testing.configs.make_config``.
    """
    uid, gid = owner or (os.geteuid(), os.getegid())
    bundle = MadeBundle(directory=Path(directory).absolute(), rootfs=Path(rootfs).absolute())
    config = make_config(
        rootfs=str(bundle.rootfs),
        args=args,
        annotations=annotations,
        hooks=hooks,
        mounts=mounts,
        env=env,
        hostname=hostname,
        readonly=readonly,
        rootless_owner=(uid, gid) if rootless else None,
        oci_version=oci_version,
    )
    bundle.directory.mkdir(parents=True, exist_ok=True)
    bundle.write_config(config)
    for path, mode in ((bundle.directory, 0o700), (bundle.config_path, 0o644)):
        path.chmod(mode)
        if owner is not None:
            os.chown(path, uid, gid)
    return bundle


def _engine_json(config: Mapping[str, Any]) -> bytes:
    """Compact, as all engines write it."""
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()


def _static_busybox() -> str:
    path = shutil.which("busybox")
    if path is None:
        raise UnavailableError(
            "busybox: not found on PATH", code="missing_program", hint="apt-get install busybox-static"
        )
    if not _is_static(path):
        raise UnavailableError(
            "expected a statically linked busybox, found one that needs shared libraries",
            code="missing_program",
            file=path,
            hint="apt-get install busybox-static",
        )
    return path


def _applets(busybox: str) -> list[str]:
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return [applet for applet in listing.stdout.split() if applet != "busybox"]


def _is_static(program: str) -> bool:
    """Whether the ELF file *program* names no dynamic loader, that is, has no program header of type PT_INTERP."""
    with open(program, "rb") as file:
        header = file.read(64)
        if len(header) < 64 or not header.startswith(b"\x7fELF"):
            return False
        order = "<" if header[5] == 1 else ">"
        wide = header[4] == 2
        (table,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", header, 32 if wide else 28)
        entry_size, entries = struct.unpack_from(f"{order}HH", header, 54 if wide else 42)
        file.seek(table)
        rows = [file.read(entry_size) for _ in range(entries)]
    return all(struct.unpack_from(f"{order}I", row)[0] != _PT_INTERP for row in rows)
