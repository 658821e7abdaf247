"""Runs a throw-away container through a handler, as the users of each engine would, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ocihooks.engines import toml_text
from ocihooks.engines.docker import Docker
from ocihooks.engines.edits import look_up
from ocihooks.engines.files import read_config_file
from ocihooks.engines.probe import oci_archive, rootfs_tar, write_rootfs
from ocihooks.engines.programs import find_program, output_of
from ocihooks.errors import UnavailableError
from ocihooks.replace import replace_file

_CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_NAMESPACE = "ocihooks-verify"
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """
    What is to be run.

    Attributes:
        handler: The handler.
        program: The wrapper that it is.
        file: The engine's main configuration file.
        command: Path of the program in the container, by which a rule knows it.
        token: A word that no other container has.
        directory: An empty directory.
        address: Socket of the engine; None: the usual one.
    """

    handler: str
    program: str
    file: str
    command: str
    token: str
    directory: str
    address: str | None = None


def run(engine: str, trial: Trial) -> str:
    """
    Run the container to its end, and remove all that was made for it.

    Returns:
        How it was run, in few words.

    Raises:
        UnavailableError: It can't be run; the message is the engine's own.
    """
    return _WAYS[engine](trial)


def _docker(trial: Trial) -> str:
    daemons = Docker().running(trial.file)
    host = trial.address or next((host for daemon in daemons if (host := daemon.option("-H", "--host"))), None)
    if host is not None and "://" not in host:
        host = f"unix://{host}"
    client = [_needed("docker"), *(["-H", host] if host else [])]
    image = f"ocihooks-verify:{trial.token}"
    output_of([*client, "import", "-", image], stdin=rootfs_tar(trial.command), timeout_s=_TIMEOUT_S)
    words = ["run", "--rm", "--network=none", f"--runtime={trial.handler}", "--name", f"ocihooks-verify-{trial.token}"]
    with _afterwards([*client, "rmi", "-f", image]):
        output_of([*client, *words, image, trial.command], timeout_s=_TIMEOUT_S)
    return f"docker run --runtime={trial.handler}"


def _containerd(trial: Trial) -> str:
    client = [_needed("ctr"), "--address", trial.address or _socket_of(trial.file), "--namespace", _NAMESPACE]
    image = f"localhost/ocihooks-verify:{trial.token}"
    archive = os.path.join(trial.directory, "image.tar")
    replace_file(archive, oci_archive(trial.command, image), durable=False)
    container = f"ocihooks-verify-{trial.token}"
    words = ["run", "--rm", "--runtime", "io.containerd.runc.v2", "--runc-binary", trial.program]
    with (
        _afterwards([*client, "namespaces", "remove", _NAMESPACE]),
        _afterwards([*client, "images", "rm", "--sync", image]),
    ):
        output_of([*client, "images", "import", archive], timeout_s=_TIMEOUT_S)
        with (
            _afterwards([*client, "snapshots", "rm", container]),
            _afterwards([*client, "containers", "rm", container]),
            _afterwards([*client, "tasks", "rm", "--force", container]),
        ):
            output_of([*client, *words, image, container, trial.command], timeout_s=_TIMEOUT_S)
    return f"ctr run --runc-binary {trial.program}, since handlers are for Kubernetes only"


def _socket_of(file: str) -> str:
    source = read_config_file(file)
    document = toml_text.parse(source.text, file) if not file.endswith(".tmpl") else {}
    address = look_up(document, ("grpc", "address"))
    return address if isinstance(address, str) and address else _CONTAINERD_SOCKET


def _podman(trial: Trial) -> str:
    tree = os.path.join(trial.directory, "tree")
    os.mkdir(tree, 0o755)
    write_rootfs(tree, trial.command)
    program = [_needed("podman"), f"--runtime={trial.handler}"]
    name = f"ocihooks-verify-{trial.token}"
    with _afterwards([*program, "rm", "--force", "--ignore", name]):
        words = ["run", "--rm", "--network=none", "--name", name, "--rootfs", tree, trial.command]
        output_of([*program, *words], timeout_s=_TIMEOUT_S)
    return f"podman --runtime={trial.handler} run"


def _buildah(trial: Trial) -> str:
    tree = os.path.join(trial.directory, "tree")
    os.mkdir(tree, 0o755)
    write_rootfs(tree, trial.command)
    program = _needed("buildah")
    name = f"ocihooks-verify-{trial.token}"
    output_of([program, "from", "--name", name, "scratch"], timeout_s=_TIMEOUT_S)
    with _afterwards([program, "rm", name]):
        output_of([program, "copy", name, tree, "/"], timeout_s=_TIMEOUT_S)
        words = ["run", "--isolation=oci", f"--runtime={trial.handler}", "--network=none", name, "--", trial.command]
        output_of([program, *words], timeout_s=_TIMEOUT_S)
    return f"buildah run --isolation=oci --runtime={trial.handler}"


def _crio(trial: Trial) -> str:
    raise UnavailableError(
        "CRI-O starts no containers but those of pods",
        hint=f"run a pod with a RuntimeClass whose handler is {trial.handler}, then ask ocihooks explain",
    )


_WAYS: Mapping[str, Callable[[Trial], str]] = {
    "docker": _docker,
    "containerd": _containerd,
    "crio": _crio,
    "podman": _podman,
    "buildah": _buildah,
}


def _needed(program: str) -> str:
    found = find_program(program)
    if found is None:
        raise UnavailableError(f"{program} is not on this machine", hint=f"install {program}")
    return found


@contextmanager
def _afterwards(command: list[str]) -> Iterator[None]:
    """Run *command* at the end, however that comes; it may have nothing to do."""
    try:
        yield
    finally:
        with contextlib.suppress(UnavailableError):
            output_of(command, timeout_s=_TIMEOUT_S)
