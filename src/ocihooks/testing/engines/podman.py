"""Podman on a private host: its runtime given by path or by name, or reading hooks directories itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocihooks.testing.engines.engine import IMAGE, RUNTIME_NAME, Engine, write_file
from ocihooks.testing.engines.host import Finished, PrivateHost, find_program

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'

STORAGE = """[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"""

# Limits as low as everybody's, since raising them needs a privilege that root may lack.
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

_STATUS = {"exited": "stopped", "created": "stopped", "configured": "stopped"}


class Podman(Engine):
    """
    Podman, which is given its runtime by path.

    Args:
        host: Where it runs; shared, so ``close`` leaves it to its owner.
        image: See ``image.write_image``.

    Raises:
        UnavailableError: Podman is not installed.
    """

    name = "podman by path"
    product = "podman"

    def __init__(self, host: PrivateHost, image: Path) -> None:
        self.host = host
        self.containers_conf = host.etc / "containers/containers.conf"
        self._podman = find_program("podman", "podman")
        self.version = podman_version()
        self._options: tuple[str, ...] = ()
        write_configuration(host)
        self.host.check(self._podman, "load", "--quiet", "--input", str(image))

    def call(self, *words: str, **options: Any) -> Finished:
        """Run podman."""
        return self.host.run(self._podman, *words, **options)

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self._options = () if default else (f"--runtime={os.fspath(program)}",)
        write_file(self.containers_conf, containers_text(program if default else None, default=default))

    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        options = [f"--annotation={key}={value}" for key, value in (annotations or {}).items()]
        name = f"--name={container or self.new_name()}"
        words = ["--detach" if detach else "--rm", name, "--network=none", *options]
        return self.call(*self._options, "run", *words, IMAGE, *command)

    def exec(self, container: str, *command: str) -> Finished:
        return self.call("exec", container, *command)

    def pause(self, container: str) -> Finished:
        return self.call("pause", container)

    def resume(self, container: str) -> Finished:
        return self.call("unpause", container)

    def kill(self, container: str) -> Finished:
        return self.call("kill", container)

    def restart(self, container: str) -> Finished:
        return self.call("restart", "--time=0", container)

    def status(self, container: str) -> str:
        found = self.call("inspect", "--format={{.State.Status}}", container)
        word = found.stdout.strip() if found.status == 0 else "none"
        return _STATUS.get(word, word)

    def remove(self, container: str) -> Finished:
        return self.call("rm", "--force", "--time=0", container)

    def reset(self) -> None:
        write_file(self.containers_conf, CONTAINERS)

    def clean(self) -> None:
        if self.call("ps", "--all", "--quiet").stdout.split():
            self.host.check(self._podman, "rm", "--force", "--time=0", "--all")

    def leftovers(self) -> tuple[str, ...]:
        return tuple(" ".join(process.argv) for process in self.host.processes())

    def close(self) -> None:
        self.clean()


class PodmanByName(Podman):
    """Podman, which knows its runtime by a name and expects it to write messages as JSON."""

    name = "podman by name"

    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        self._options = () if default else (f"--runtime={RUNTIME_NAME}",)
        write_file(self.containers_conf, containers_text(program, default=default))


class PodmanWithHooks(Podman):
    """Podman, which reads hooks directories itself and calls its runtime without a wrapper."""

    name = "podman with its own hooks"

    def read_hooks(self, directories: Sequence[str | os.PathLike[str]]) -> None:
        """Read *directories* from now on; later ones override earlier ones."""
        self._hooks = tuple(f"--hooks-dir={os.fspath(directory)}" for directory in directories)

    def call(self, *words: str, **options: Any) -> Finished:
        return super().call(*getattr(self, "_hooks", ()), *words, **options)


def write_configuration(host: PrivateHost) -> None:
    """Write what Podman and Buildah need in /etc/containers."""
    for name, text in {"policy.json": POLICY, "storage.conf": STORAGE, "containers.conf": CONTAINERS}.items():
        write_file(host.etc / "containers" / name, text)


def containers_text(program: str | os.PathLike[str] | None, *, default: bool) -> str:
    """
    A containers.conf.

    Args:
        program: The runtime ``RUNTIME_NAME``, which writes messages as JSON; None: there is none.
        default: Whether containers get it when their user names none.
    """
    if program is None:
        return CONTAINERS
    name = json.dumps(RUNTIME_NAME)
    return (
        f"{CONTAINERS}{f'runtime = {name}' if default else ''}\n"
        f"runtime_supports_json = [{name}]\n"
        f"[engine.runtimes]\n{RUNTIME_NAME} = {json.dumps([os.fspath(program)])}\n"
    )


def podman_version() -> str:
    """
    The version of Podman.

    Raises:
        UnavailableError: It is not installed.
    """
    program = find_program("podman", "podman")
    answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=60)
    return answer.stdout.split()[-1]
