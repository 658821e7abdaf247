"""Pods and containers as engines describe them to plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocihooks.testing.nri.protocol import mapping, member, members, parsed, texts
from ocihooks.testing.nri.protocol import messages as parts

STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount of a container."""

    destination: str
    source: str
    kind: str = "bind"
    options: tuple[str, ...] = ("rbind", "rprivate", "rw")

    def packed(self) -> bytes:
        """As a message."""
        return member(1, self.destination) + member(2, self.kind) + member(3, self.source) + members(4, self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenHook:
    """A hook in an answer, or one that a container has already."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None

    def packed(self) -> bytes:
        """As a message."""
        timeout = b"" if self.timeout is None else member(4, member(1, self.timeout))
        return member(1, self.path) + members(2, self.args) + members(3, self.env) + timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of a container, or one that it is given."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None

    def packed(self) -> bytes:
        """As a message."""
        optional = ((5, self.mode), (6, self.uid), (7, self.gid))
        rest = b"".join(member(number, member(1, value)) for number, value in optional if value is not None)
        return member(1, self.path) + member(2, self.kind) + member(3, self.major) + member(4, self.minor) + rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod; *extra* are fields of a newer protocol."""

    name: str = "shop"
    namespace: str = "default"
    id: str = "5" * 64
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: bytes = b""

    def packed(self) -> bytes:
        """As a message."""
        known = member(1, self.id) + member(2, self.name) + member(3, "f1e2d3c4") + member(4, self.namespace)
        labels = mapping(5, {"app": self.name, "pod-template-hash": "7d9c5b8f6"})
        linux = member(8, member(3, "/kubepods/burstable/podf1e2d3c4"))
        rest = member(7, "runc") + linux + member(9, 4242) + members(10, ["10.0.0.7", "fd00::7"])
        return known + labels + mapping(6, self.annotations) + rest + self.extra


@dataclass(frozen=True, slots=True, kw_only=True)
class PodContainer:
    """A container of a pod; it may use the devices *allowed*, and *extra* are fields of a newer protocol."""

    name: str = "web"
    id: str = "c" * 64
    args: tuple[str, ...] = ("/usr/bin/python3", "-m", "http.server")
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=shop")
    annotations: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    hooks: Mapping[str, tuple[GivenHook, ...]] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    allowed: tuple[Device, ...] = ()
    namespaces: tuple[str, ...] = ("pid", "mount")
    extra: bytes = b""

    def packed(self, pod: Pod) -> bytes:
        """As a message."""
        own = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": self.name}
        hooks = b"".join(members(STAGES.index(s) + 1, [h.packed() for h in hooks]) for s, hooks in self.hooks.items())
        return b"".join(
            (
                member(1, self.id),
                member(2, pod.id),
                member(3, self.name),
                mapping(5, {"io.kubernetes.pod.name": pod.name, "io.kubernetes.pod.namespace": pod.namespace}),
                mapping(6, {**own, **self.annotations}),
                members(7, self.args),
                members(8, self.env),
                members(9, [mount.packed() for mount in (*engine_mounts(pod), *self.mounts)]),
                member(10, hooks) if hooks else b"",
                member(11, self._linux()),
                self.extra,
            )
        )

    def _linux(self) -> bytes:
        namespaces = members(1, [member(1, kind) + member(2, "/proc/1/ns/x") for kind in self.namespaces])
        devices = members(2, [device.packed() for device in self.devices])
        rules = [b"".join((member(1, 0), member(5, "rwm")))]
        for device in self.allowed:
            numbers = member(3, member(1, device.major)) + member(4, member(1, device.minor))
            rules.append(member(1, 1) + member(2, device.kind) + numbers + member(5, "rwm"))
        return namespaces + devices + member(3, members(7, rules)) + member(5, "/kubepods/c")


def engine_mounts(pod: Pod) -> tuple[Mount, ...]:
    """What engine and kubelet mount into every container."""
    state = f"/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{pod.id}"
    kubelet = "/var/lib/kubelet/pods/f1e2d3c4"
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    return (
        Mount(destination="/proc", source="proc", kind="proc", options=("nosuid", "noexec", "nodev")),
        Mount(destination="/dev", source="tmpfs", kind="tmpfs", options=("nosuid", "mode=755", "size=65536k")),
        Mount(destination="/sys", source="sysfs", kind="sysfs", options=("nosuid", "noexec", "nodev", "ro")),
        Mount(destination="/etc/hosts", source=f"{kubelet}/etc-hosts"),
        Mount(destination="/etc/hostname", source=f"{state}/hostname"),
        Mount(destination="/etc/resolv.conf", source=f"{state}/resolv.conf"),
        Mount(destination="/dev/termination-log", source=f"{kubelet}/containers/web/0a1b2c3d"),
        Mount(destination=account, source=f"{kubelet}/volumes/kubernetes.io~projected/kube-api-access-x7k2p"),
    )


def creation(pod: Pod, container: PodContainer) -> bytes:
    """A CreateContainerRequest."""
    return member(1, pod.packed()) + member(2, container.packed(pod))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a plugin gives a container: hooks by stage, mounts, devices, and variables as ``NAME=VALUE``."""

    hooks: dict[str, list[GivenHook]]
    mounts: list[Mount]
    devices: list[Device]
    env: list[str]


def given(answer: bytes) -> Given:
    """What a CreateContainerResponse holds, all of it."""
    fields = parsed(answer)
    adjusted = [item for adjustment in parts(fields, 1) for item in parsed(adjustment)]
    linux = [item for part in parts(adjusted, 6) for item in parsed(part)]
    unexpected = {number for number, _ in fields} - {1}, {number for number, _ in adjusted} - {3, 4, 5, 6}
    if any(unexpected) or any(number != 1 for number, _ in linux):
        raise AssertionError(f"unexpected fields in the answer: {unexpected}, {linux}")
    variables = [parsed(variable) for variable in parts(adjusted, 4)]
    return Given(
        hooks=_hooks(parts(adjusted, 5)),
        mounts=[_mount(mount) for mount in parts(adjusted, 3)],
        devices=[_device(device) for device in parts(linux, 1)],
        env=[f"{_text(variable, 1)}={_text(variable, 2)}" for variable in variables],
    )


def given_hooks(answer: bytes) -> dict[str, list[GivenHook]]:
    """The hooks in a CreateContainerResponse, which may hold nothing else."""
    found = given(answer)
    if found.mounts or found.devices or found.env:
        raise AssertionError(f"not only hooks: {found}")
    return found.hooks


def _text(fields: list[tuple[int, int | bytes]], number: int) -> str:
    return "".join(texts(fields, number))


def _mount(data: bytes) -> Mount:
    fields = parsed(data)
    where, kind, source = (_text(fields, number) for number in (1, 2, 3))
    return Mount(destination=where, kind=kind, source=source, options=tuple(texts(fields, 4)))


def _device(data: bytes) -> Device:
    fields = parsed(data)
    numbers = dict(fields)
    mode, uid, gid = (_optional(fields, number) for number in (5, 6, 7))
    major, minor = (int(numbers.get(number, 0)) for number in (3, 4))
    kind = _text(fields, 2)
    return Device(path=_text(fields, 1), kind=kind, major=major, minor=minor, mode=mode, uid=uid, gid=gid)


def _optional(fields: list[tuple[int, int | bytes]], number: int) -> int | None:
    values = [dict(parsed(part)).get(1, 0) for part in parts(fields, number)]
    return int(values[0]) if values else None


def _hooks(lists: list[bytes]) -> dict[str, list[GivenHook]]:
    found: dict[str, list[GivenHook]] = {}
    for hooks in lists:
        for number, value in parsed(hooks):
            found.setdefault(STAGES[number - 1], []).append(_hook(value))
    return found


def _hook(value: int | bytes) -> GivenHook:
    fields = parsed(value) if isinstance(value, bytes) else []
    (path,) = texts(fields, 1)
    return GivenHook(
        path=path,
        args=tuple(texts(fields, 2)),
        env=tuple(texts(fields, 3)),
        timeout=_optional(fields, 4),
    )
