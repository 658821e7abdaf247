"""containerd on a private host, driven by ctr."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ocihooks.testing.engines.client import Service, program_version
from ocihooks.testing.engines.engine import IMAGE, RUNTIME_NAME, Engine, write_file
from ocihooks.testing.engines.host import Finished, PrivateHost, find_program

_CRI = 'plugins."io.containerd.grpc.v1.cri"'

NAMESPACES = ("default", "k8s.io")
"""Containers of ctr, and those of the CRI plugin."""

_STATUS = {"RUNNING": "running", "PAUSED": "paused", "STOPPED": "stopped"}


class Containerd(Service):
    """
    A private containerd; containers run on while it is stopped.

    Args:
        host: Where it runs; ``close`` ends that, too.
        image: See ``image.write_image``.

    Attributes:
        config: Its config.toml.
        socket: Where it listens, as a path that the caller can use.

    Raises:
        UnavailableError: containerd is not installed.
    """

    daemons = ("containerd",)

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.config = host.etc / "containerd/config.toml"
        self.socket = host.root / "run/containerd/containerd.sock"
        self.server = find_program("containerd", "containerd")
        self.client = find_program("ctr", "containerd")
        self.version = containerd_version()
        write_file(self.config, config_text())
        self.start()
        for namespace in NAMESPACES:
            self.host.check(self.client, "--namespace", namespace, "image", "import", str(image))

    def configure(self, text: str) -> None:
        """Write *text* as config.toml, and have containerd read it, which it does only when it starts."""
        if write_file(self.config, text):
            self.stop()
            self.start()


class Ctr(Engine):
    """
    containerd as users of ctr see it.

    Args:
        containerd: ``close`` ends it, too.
    """

    name = "containerd with ctr"
    product = "containerd"

    def __init__(self, containerd: Containerd) -> None:
        self.containerd = containerd
        self.version = containerd.version
        self._program = ""

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        if default:
            raise self._lacks("default runtime")
        self._program = os.fspath(program)

    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        options = [f"--annotation={key}={value}" for key, value in (annotations or {}).items()]
        words = ["--detach" if detach else "--rm", "--runc-binary", self._program, *options]
        return self._call("run", *words, IMAGE, container or self.new_name(), *command)

    def exec(self, container: str, *command: str) -> Finished:
        return self._call("task", "exec", "--exec-id", self.new_name(), container, *command)

    def pause(self, container: str) -> Finished:
        return self._call("task", "pause", container)

    def resume(self, container: str) -> Finished:
        return self._call("task", "resume", container)

    def kill(self, container: str) -> Finished:
        return self._call("task", "kill", "--signal", "SIGKILL", container)

    def restart(self, container: str) -> Finished:
        self._call("task", "rm", "--force", container)
        return self._call("task", "start", "--detach", container)

    def status(self, container: str) -> str:
        rows = [line.split() for line in self._call("task", "ls").stdout.splitlines()]
        words = {row[0]: row[2] for row in rows if len(row) == 3}
        return _STATUS.get(words.get(container, ""), "none")

    def remove(self, container: str) -> Finished:
        self._call("task", "rm", "--force", container)
        return self._call("container", "rm", container)

    def clean(self) -> None:
        for container in self._call("container", "ls", "--quiet").stdout.split():
            self.remove(container)

    def crash(self) -> None:
        self.containerd.crash()

    def leftovers(self) -> tuple[str, ...]:
        return self.containerd.leftovers()

    def close(self) -> None:
        self.clean()
        self.containerd.close()

    def _call(self, *words: str) -> Finished:
        return self.containerd.call(*words)


def config_text(program: str | os.PathLike[str] | None = None, *, default: bool = False) -> str:
    """
    A config.toml of version 2.

    Args:
        program: The runtime ``RUNTIME_NAME`` of the CRI plugin; None: there is none besides runc.
        default: Whether pods that name no handler get it.
    """
    runtimes = {"runc": "runc"} | ({} if program is None else {RUNTIME_NAME: os.fspath(program)})
    lines = [
        "version = 2",
        f"[{_CRI}]",
        f"sandbox_image = {json.dumps(IMAGE)}",
        "restrict_oom_score_adj = true",
        'stream_server_address = "127.0.0.1"',
        f"[{_CRI}.containerd]",
        f"default_runtime_name = {json.dumps(RUNTIME_NAME if default else 'runc')}",
    ]
    for name, binary in runtimes.items():
        lines += [
            f"[{_CRI}.containerd.runtimes.{name}]",
            'runtime_type = "io.containerd.runc.v2"',
            'pod_annotations = ["*"]',
            'container_annotations = ["*"]',
            f"[{_CRI}.containerd.runtimes.{name}.options]",
            f"BinaryName = {json.dumps(binary)}",
        ]
    return "\n".join(lines) + "\n"


def containerd_version() -> str:
    """
    The version of containerd.

    Raises:
        UnavailableError: It is not installed.
    """
    return program_version("containerd", "containerd")
