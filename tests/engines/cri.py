"""
containerd as a kubelet sees it: pods and their containers, through the CRI plugin.

The few messages are written and read field by field, so that no generated code is needed.

Spec: k8s.io/cri-api, pkg/apis/runtime/v1/api.proto; protobuf's encoding for wire types 0 and 2.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # its handlers would end whatever this process forks later

import grpc

from ocihooks.testing.engines.containerd import Containerd, config_text
from ocihooks.testing.engines.engine import IMAGE, RUNTIME_NAME, Engine
from ocihooks.testing.engines.host import Finished, PrivateHost

Field = tuple[int, "int | str | bytes"]
"""Number and value of a field; messages are bytes."""

Fields = dict[int, list[Any]]

NODE, CONTAINER = 2, 1
"""Whose namespace: the node's, the container's; 0 is the pod's."""

STATES = ("stopped", "running", "stopped", "none")
"""CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED, CONTAINER_UNKNOWN."""

TIMEOUT_S = 60.0


def message(*fields: Field) -> bytes:
    """A message of *fields*; those that are 0 or empty are left out, as protobuf does."""
    return b"".join(field(number, value) for number, value in fields if value)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field in its encoded form."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """*value* in groups of seven bits, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def entries(number: int, mapping: Mapping[str, str]) -> Iterator[Field]:
    """A map as the repeated field that it is."""
    return ((number, message((1, key), (2, value))) for key, value in mapping.items())


def parse(data: bytes) -> Fields:
    """The fields of a message: lists, since any may be repeated; messages and texts are bytes."""
    fields: Fields = {}
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        number, position = read_varint(data, position)
        if key & 7 == 2:
            content, position = data[position : position + number], position + number
            fields.setdefault(key >> 3, []).append(content)
        else:
            fields.setdefault(key >> 3, []).append(number)
    return fields


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at *position*, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def text(fields: Fields, number: int) -> str:
    """A text field, empty if it is not there."""
    (value,) = fields.get(number, [b""])
    return str(value, "utf-8", "surrogateescape")


class CRI(Engine):
    """
    Containers of one pod, which is made when the first of them is needed.

    Args:
        containerd: ``close`` ends it, too.
        directory: For the logs of the containers.
    """

    name = "containerd with CRI"
    product = "containerd"

    def __init__(self, containerd: Containerd, directory: Path) -> None:
        self.containerd = containerd
        self.version = containerd.version
        self._logs = directory
        self._logs.mkdir()
        self._channel = grpc.insecure_channel(f"unix:{containerd.socket}")
        self._ids: dict[str, str] = {}
        self._handler = ""
        self._pod = ""
        self._one_pod = threading.Lock()

    def request(self, method: str, *fields: Field) -> Fields:
        """Call a method of the runtime service."""
        call = self._channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
        return parse(call(message(*fields), timeout=TIMEOUT_S, wait_for_ready=True))

    def wait_until_ready(self) -> None:
        """Wait for the plugin, which is ready a moment after containerd."""
        self.containerd.daemon.wait_until(self._is_ready)

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self.end_pod()
        self._handler = "" if default else RUNTIME_NAME
        self.containerd.configure(config_text(program, default=default))
        self.wait_until_ready()

    @property
    def host(self) -> PrivateHost:
        """Where it runs."""
        return self.containerd.host

    def restart_daemon(self) -> None:
        """Have containerd read its configuration again; containers from now on are in another pod."""
        self.end_pod()
        self.containerd.stop()
        self.containerd.start()
        self.wait_until_ready()

    def start_pod(self) -> str:
        """The id of the pod, which is started if there is none."""
        with self._one_pod:
            if not self._pod:
                answer = self.request("RunPodSandbox", (1, self._pod_config()), (2, self._handler))
                self._pod = text(answer, 1)
            return self._pod

    def end_pod(self) -> None:
        """Stop and remove the pod, with its containers."""
        if self._pod:
            self.request("StopPodSandbox", (1, self._pod))
            self.request("RemovePodSandbox", (1, self._pod))
        self._pod = ""
        self._ids.clear()

    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        name = container or self.new_name()
        try:
            self._start(name, command, annotations or {})
        except grpc.RpcError as error:
            self.remove(name)
            return refusal(error, command)
        if detach:
            return Finished(argv=command, status=0, stdout="", stderr="")
        self.wait_for_status(name, "stopped")
        finished = Finished(argv=command, status=self._exit_code(name), **self._output(name))
        self.remove(name)
        return finished

    def exec(self, container: str, *command: str) -> Finished:
        words: list[Field] = [(2, word) for word in command]
        answer = self.request("ExecSync", (1, self._ids[container]), *words, (3, 30))
        status = answer.get(3, [0])[0]
        return Finished(argv=command, status=status, stdout=text(answer, 1), stderr=text(answer, 2))

    def kill(self, container: str) -> Finished:
        self.request("StopContainer", (1, self._ids[container]))
        return Finished(argv=("StopContainer", container), status=0, stdout="", stderr="")

    def status(self, container: str) -> str:
        if container not in self._ids:
            return "none"
        return STATES[self._status(container).get(3, [0])[0]]

    def remove(self, container: str) -> Finished:
        if container in self._ids:
            self.request("RemoveContainer", (1, self._ids[container]))
            del self._ids[container]
        return Finished(argv=("RemoveContainer", container), status=0, stdout="", stderr="")

    def clean(self) -> None:
        for container in list(self._ids):
            self.remove(container)

    def crash(self) -> None:
        self.containerd.crash()
        self.wait_until_ready()

    def leftovers(self) -> tuple[str, ...]:
        """The pod has one shim and one process of its own."""
        processes = [one for one in self.containerd.host.processes() if one.name != "containerd"]
        return () if len(processes) == 2 * bool(self._pod) else tuple(" ".join(one.argv) for one in processes)

    def close(self) -> None:
        self.end_pod()
        self._channel.close()
        self.containerd.close()

    def _is_ready(self) -> bool:
        try:
            self.request("ListPodSandbox")
        except grpc.RpcError:
            return False
        return True

    def _start(self, name: str, command: Iterable[str], annotations: Mapping[str, str]) -> None:
        config = message(
            (1, message((1, name))),
            (2, message((1, IMAGE))),
            *((3, word) for word in command),
            *entries(10, annotations),
            (11, f"{name}.log"),
            (15, message((2, message((3, namespaces()))))),
        )
        created = self.request("CreateContainer", (1, self.start_pod()), (2, config), (3, self._pod_config()))
        self._ids[name] = text(created, 1)
        self.request("StartContainer", (1, self._ids[name]))

    def _status(self, name: str) -> Fields:
        (status,) = self.request("ContainerStatus", (1, self._ids[name]))[1]
        return parse(status)

    def _exit_code(self, name: str) -> int:
        return int(self._status(name).get(7, [0])[0])

    def _output(self, name: str) -> dict[str, str]:
        """What the container printed; the log has a time, the stream and a tag in front of each line."""
        output = {"stdout": "", "stderr": ""}
        deadline = time.monotonic() + 20
        file = self._logs / f"{name}.log"
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for line in file.read_text(errors="surrogateescape").splitlines():
            _, stream, _, said = line.split(" ", 3)
            output[stream] += f"{said}\n"
        return output

    def _pod_config(self) -> bytes:
        metadata = message((1, "pod"), (2, "uid"), (3, "default"))
        linux = message((2, message((1, namespaces()))))
        return message((1, metadata), (3, str(self._logs)), (8, linux))


def namespaces() -> bytes:
    """A pod on its node's network, since there is none for pods."""
    return message((1, NODE), (2, CONTAINER))


def refusal(error: grpc.RpcError, command: Iterable[str]) -> Finished:
    """What a kubelet writes into the pod's events."""
    assert isinstance(error, grpc.Call)
    return Finished(argv=tuple(command), status=1, stdout="", stderr=f"{error.details()}\n")
