"""
The messages of NRI, as far as hooks need them: what is read of requests, and what is written in answers.

A newer engine may send more fields, which are skipped; numbers of fields never change their meaning.

Protocol: containerd/nri, pkg/api/api.proto, package nri.pkg.api.v1alpha1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ocihooks.errors import quoted
from ocihooks.nri.wire import (
    NOT_FOUND,
    Fields,
    WireError,
    found_field,
    last_number,
    last_signed,
    last_text,
    number_at,
    number_field,
    part,
    part_field,
    parts,
    split,
    split_as_far_as_possible,
    text_field,
    text_fields,
    text_map,
    texts,
)

PLUGIN_SERVICE = "nri.pkg.api.v1alpha1.Plugin"
RUNTIME_SERVICE = "nri.pkg.api.v1alpha1.Runtime"

CREATE_CONTAINER = 4
"""The number of the event that a container is being created."""

_NAME_LIMIT = 128

STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
"""The stages in the order of the fields of the message Hooks, from 1 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """
    What an engine tells of itself.

    Attributes:
        config: The text of the plugin's configuration file in the engine's directory; "" where there is none.
        engine: Its name.
        version: Its version.
        request_timeout_ms: How long it waits for an answer; 0: it did not say.
    """

    config: str
    engine: str
    version: str
    request_timeout_ms: int


def configuration_of(payload: bytes) -> Configuration:
    """A ConfigureRequest."""
    fields = split(payload)
    return Configuration(
        config=last_text(fields, 1),
        engine=last_text(fields, 2),
        version=last_text(fields, 3),
        request_timeout_ms=last_signed(fields, 5),
    )


def subscription(events: Iterable[int]) -> bytes:
    """A ConfigureResponse that asks for *events*; an engine refuses those that it does not know."""
    return number_field(2, sum(1 << (event - 1) for event in events))


def inventory_of(payload: bytes) -> tuple[int, bool]:
    """How many containers a SynchronizeRequest tells of, and whether more of them follow in another request."""
    fields = split(payload)
    return len(parts(fields, 2)), bool(last_number(fields, 3))


def inventory_answer(*, more: bool) -> bytes:
    """A SynchronizeResponse that asks for nothing; *more* as in the request."""
    return number_field(2, int(more))


def registration(name: str, index: str) -> bytes:
    """A RegisterPluginRequest."""
    return text_field(1, name) + text_field(2, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContainer:
    """
    A CreateContainerRequest.

    Attributes:
        id: The container's id.
        name: Its name in the pod.
        pod_id: The pod's id, which is that of its sandbox container.
        pod: The pod's namespace and name, with a slash between.
        args: What the container runs; empty: the engine does not tell.
        annotations: Those of the pod, and those of the container, which win.
        fields: All that the engine tells of it, for what few rules ask.
        hooks: The hooks that it has already, as in config.json; None: none.
    """

    id: str
    name: str
    pod_id: str
    pod: str
    args: tuple[str, ...]
    annotations: dict[str, str]
    fields: Fields
    hooks: dict[str, Any] | None

    @property
    def is_sandbox(self) -> bool:
        """Whether it is the sandbox container of its pod."""
        return bool(self.id) and self.id == self.pod_id

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return labelled(self.id, self.name, self.pod)

    def mounts(self) -> list[dict[str, Any]]:
        """
        Its mounts, as in config.json.

        Raises:
            WireError: One of them is broken.
        """
        return [_mount(split(mount)) for mount in parts(self.fields, 9)]

    def env(self) -> list[str]:
        """The environment of its process; raises as `mounts`."""
        return texts(self.fields, 8)

    def linux(self) -> dict[str, Any]:
        """Its namespaces, devices and device rules as in config.json; raises as `mounts`."""
        linux = split(part(self.fields, 11))
        resources = split(part(linux, 3))
        return {
            "namespaces": [{"type": last_text(split(namespace), 1)} for namespace in parts(linux, 1)],
            "devices": [_device(split(device)) for device in parts(linux, 2)],
            "resources": {"devices": [_device_rule(split(rule)) for rule in parts(resources, 7)]},
        }


def new_container_of(payload: bytes) -> NewContainer:
    """
    A CreateContainerRequest.

    Raises:
        WireError: It is broken, or has something else where a text or message has to be.
    """
    fields = split(payload)
    pod, container = _within("pod", part(fields, 1)), _within("container", part(fields, 2))
    try:
        annotations = text_map(pod, 6)
        described = _described(pod)
    except WireError as error:
        raise WireError(f"pod: {error}") from None
    try:
        annotations.update(text_map(container, 6))
        return NewContainer(
            id=last_text(container, 1),
            name=last_text(container, 3),
            pod_id=last_text(pod, 1),
            pod=described,
            args=tuple(texts(container, 7)),
            annotations=annotations,
            fields=container,
            hooks=_hooks(split(part(container, 10))),
        )
    except WireError as error:
        raise WireError(f"container: {error}") from None


def tells_args(data: bytes, at: int) -> bool:
    """
    Whether a CreateContainerRequest, whose size is written at *at*, surely tells what its container runs.

    Much quicker than reading it: fields are only stepped over, and none behind the first argument.
    """
    try:
        size, at = number_at(data, at)
        begin, end = found_field(data, at, at + size, 2)
        return found_field(data, begin, end, 7) != NOT_FOUND
    except (IndexError, WireError):  # whoever reads it says what is wrong
        return False


def _within(what: str, data: bytes) -> Fields:
    try:
        return split(data)
    except WireError as error:
        raise WireError(f"{what}: {error}") from None


def _described(pod: Fields) -> str:
    return f"{last_text(pod, 4)}/{last_text(pod, 2)}".strip("/")


def labelled(container: str, name: str, pod: str) -> str:
    """What a container is called in messages: its name, id and pod, quoted, as far as they are known."""
    words = ["container", quoted(name, _NAME_LIMIT) if name else "without a name"]
    if container:
        words.append(container if container.isascii() and container.isalnum() else quoted(container, _NAME_LIMIT))
    if pod:
        words.append(f"of pod {quoted(pod, _NAME_LIMIT)}")
    return " ".join(words)


def label_of(payload: bytes) -> str:
    """What the container of a CreateContainerRequest is called, as far as that can be said of a broken one."""
    fields = split_as_far_as_possible(payload)
    pod, container = (split_as_far_as_possible(_last_bytes(fields, number)) for number in (1, 2))
    described = "/".join(word for word in (_readable_text(pod, 4), _readable_text(pod, 2)) if word)
    return labelled(_readable_text(container, 1), _readable_text(container, 3), described)


def _last_bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _readable_text(fields: Fields, number: int) -> str:
    return _last_bytes(fields, number).decode("utf-8", "replace")


def _mount(mount: Fields) -> dict[str, Any]:
    return {
        "destination": last_text(mount, 1),
        "type": last_text(mount, 2),
        "source": last_text(mount, 3),
        "options": texts(mount, 4),
    }


def _device(device: Fields) -> dict[str, Any]:
    return {
        "path": last_text(device, 1),
        "type": last_text(device, 2),
        "major": last_signed(device, 3),
        "minor": last_signed(device, 4),
    }


def _device_rule(rule: Fields) -> dict[str, Any]:
    """A rule without a number is about all of them, which in config.json is a missing member."""
    numbers = {name: last_signed(split(part(rule, n)), 1) for n, name in ((3, "major"), (4, "minor")) if n in rule}
    return {"allow": bool(last_number(rule, 1)), "type": last_text(rule, 2), **numbers, "access": last_text(rule, 5)}


def _hooks(hooks: Fields) -> dict[str, Any] | None:
    """The hooks as in config.json; None where there are none."""
    found = {stage: list(map(_hook, parts(hooks, number))) for number, stage in enumerate(STAGES, 1) if number in hooks}
    return found or None


def _hook(data: bytes) -> dict[str, Any]:
    fields = split(data)
    hook: dict[str, Any] = {"path": last_text(fields, 1)}
    if 2 in fields:
        hook["args"] = texts(fields, 2)
    if 3 in fields:
        hook["env"] = texts(fields, 3)
    if 4 in fields:
        hook["timeout"] = last_signed(split(part(fields, 4)), 1)
    return hook


def adjustment(
    hooks: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    mounts: Iterable[Mapping[str, Any]] = (),
    devices: Iterable[Mapping[str, Any]] = (),
    env: Iterable[str] = (),
) -> bytes:
    """
    A CreateContainerResponse.

    Args:
        hooks: By stage the entries, as in config.json, that the engine appends to those that are there.
        mounts: Entries for ``mounts``.
        devices: Entries for ``linux.devices``; the engine allows their use.
        env: Variables as ``NAME=VALUE``, which replace those of their names.
    """
    hook_parts = b"".join(
        part_field(STAGES.index(stage) + 1, _entry_bytes(entry))
        for stage, entries in hooks.items()
        for entry in entries
    )
    device_parts = b"".join(part_field(1, _device_bytes(device)) for device in devices)
    adjusted = (
        b"".join(part_field(3, _mount_bytes(mount)) for mount in mounts)
        + b"".join(part_field(4, _variable_bytes(variable)) for variable in env)
        + (part_field(5, hook_parts) if hook_parts else b"")
        + (part_field(6, device_parts) if device_parts else b"")
    )
    return part_field(1, adjusted) if adjusted else b""


def _mount_bytes(mount: Mapping[str, Any]) -> bytes:
    where = text_field(1, mount["destination"]) + text_field(2, mount["type"]) + text_field(3, mount["source"])
    return where + text_fields(4, mount["options"])


def _variable_bytes(variable: str) -> bytes:
    name, _, value = variable.partition("=")
    return text_field(1, name) + text_field(2, value)


def _device_bytes(device: Mapping[str, Any]) -> bytes:
    numbers = number_field(3, device["major"]) + number_field(4, device["minor"])
    rest = ((5, "fileMode"), (6, "uid"), (7, "gid"))  # each a message that holds the number, so that 0 can be told
    optional = b"".join(part_field(number, number_field(1, device[name])) for number, name in rest if name in device)
    return text_field(1, device["path"]) + text_field(2, device["type"]) + numbers + optional


@lru_cache(maxsize=256)
def _hook_bytes(path: str, args: tuple[str, ...], env: tuple[str, ...], timeout: int | None) -> bytes:
    """A hook; the same few are written again and again."""
    limit = b"" if timeout is None else part_field(4, number_field(1, timeout))
    return text_field(1, path) + text_fields(2, args) + text_fields(3, env) + limit


def _entry_bytes(entry: Mapping[str, Any]) -> bytes:
    timeout = entry.get("timeout")
    args, env = tuple(entry.get("args") or ()), tuple(entry.get("env") or ())
    return _hook_bytes(entry["path"], args, env, None if timeout is None else int(timeout))
