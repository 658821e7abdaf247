"""
A complete config.json for small test containers, as a plain dict: what an engine would write, without an engine.

It asks for nothing that an ordinary container may not have (no rlimits, no network, Docker's usual capabilities), so
runc and crun take it as it stands, as root and rootless.

Spec: runtime-spec 1.0.2, config.md and config-linux.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm")

_CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
]

_MASKED_PATHS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]

_READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

# Docker's own list: the null, zero, full, tty, urandom, random, ptmx and console devices, and making any node.
_ALLOWED_DEVICES: list[dict[str, Any]] = [
    {"type": "c", "access": "m"},
    {"type": "b", "access": "m"},
    {"type": "c", "major": 1, "minor": 3, "access": "rwm"},
    {"type": "c", "major": 1, "minor": 5, "access": "rwm"},
    {"type": "c", "major": 1, "minor": 7, "access": "rwm"},
    {"type": "c", "major": 1, "minor": 8, "access": "rwm"},
    {"type": "c", "major": 1, "minor": 9, "access": "rwm"},
    {"type": "c", "major": 5, "minor": 0, "access": "rwm"},
    {"type": "c", "major": 5, "minor": 1, "access": "rwm"},
    {"type": "c", "major": 5, "minor": 2, "access": "rwm"},
    {"type": "c", "major": 136, "access": "rwm"},
]


def bind_mount(source: str, destination: str, *, readonly: bool = False) -> dict[str, Any]:
    """A bind mount as config.json spells it, for the *mounts* of ``make_config`` and ``make_bundle``."""
    mode = "ro" if readonly else "rw"
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", mode]}


def make_config(
    *,
    rootfs: str,
    args: Sequence[str] | None = ("true",),
    annotations: Mapping[str, str] | None = None,
    hooks: Mapping[str, Any] | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    env: Sequence[str] = DEFAULT_ENV,
    hostname: str = "ocihooks",
    readonly: bool = True,
    rootless_owner: tuple[int, int] | None = None,
    oci_version: str = "1.0.2",
) -> dict[str, Any]:
    """
    A configuration for one container.

    Args:
        rootfs: Path of the root file system, absolute or relative to the bundle.
        args: The program and its arguments; None leaves ``process`` out, which the spec allows for ``create``.
        annotations: None leaves the member out, an empty mapping writes an empty object.
        hooks: The ``hooks`` member as JSON has it (stage to list of hook objects); None leaves it out.
        mounts: Added behind the usual ones; see ``bind_mount``.
        env: The environment of the container's program.
        readonly: Whether the container may only read its root file system; one that bundles share should stay as it is.
        rootless_owner: uid and gid that become root of the container in a user namespace; None: no user namespace.
    """
    config: dict[str, Any] = {"ociVersion": oci_version}
    if args is not None:
        config["process"] = _process(args, env)
    config["root"] = {"path": rootfs, "readonly": readonly}
    config["hostname"] = hostname
    config["mounts"] = [*_usual_mounts(rootless=rootless_owner is not None), *(dict(mount) for mount in mounts)]
    if hooks is not None:
        config["hooks"] = {stage: list(entries) for stage, entries in hooks.items()}
    if annotations is not None:
        config["annotations"] = dict(annotations)
    config["linux"] = _linux(rootless_owner)
    return config


def _process(args: Sequence[str], env: Sequence[str]) -> dict[str, Any]:
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": list(args),
        "env": list(env),
        "cwd": "/",
        "capabilities": {name: list(_CAPABILITIES) for name in ("bounding", "effective", "inheritable", "permitted")},
        "noNewPrivileges": True,
    }


def _usual_mounts(*, rootless: bool) -> list[dict[str, Any]]:
    """What every engine mounts. A user namespace without a network namespace of its own may not mount a new sysfs."""
    mounts = [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k", source="shm"),  # noqa: S108
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
    ]
    if rootless:
        sys = _mount("/sys", "none", "rbind", "nosuid", "noexec", "nodev", "ro", source="/sys")
        return [*mounts, sys]
    sys = _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro")
    cgroup = _mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
    return [*mounts, sys, cgroup]


def _mount(destination: str, kind: str, *options: str, source: str | None = None) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source or kind, "options": list(options)}


def _linux(rootless_owner: tuple[int, int] | None) -> dict[str, Any]:
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    linux: dict[str, Any] = {}
    if rootless_owner is None:
        devices = [{"allow": False, "access": "rwm"}, *({"allow": True, **device} for device in _ALLOWED_DEVICES)]
        linux["resources"] = {"devices": devices, "cpu": {"shares": 1024}, "pids": {"limit": 512}}
    else:
        uid, gid = rootless_owner
        linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
        namespaces.append({"type": "user"})
    linux["namespaces"] = namespaces
    linux["maskedPaths"] = list(_MASKED_PATHS)
    linux["readonlyPaths"] = list(_READONLY_PATHS)
    return linux
