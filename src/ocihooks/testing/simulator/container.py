"""
A simulated container: a directory below ``--root`` with its state and the configuration that it was created with.

Spec: runtime-spec 1.0.2, runtime.md "State".
"""

from __future__ import annotations

import json
import os
import re

from .reporting import CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI_VERSION = "1.0.2"
STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class Container:
    """
    One container; ``save`` after changing *status* or *pid*.

    Attributes:
        directory: Where it is kept: a directory with the container's id as its name.
        bundle: Absolute path of the bundle.
        status: ``creating``, ``created``, ``running``, ``stopped``, or ``paused`` as runc has it.
        pid: The process id of the simulated runtime that last did something with it, for there is no container process;
            None once it is stopped.
        config: The configuration as it was at create; later changes of the file do not count.
    """

    def __init__(
        self, directory: str, *, bundle: str, config: dict[str, Any], status: str = "creating", pid: int | None = None
    ) -> None:
        self.directory = directory
        self.bundle = bundle
        self.status = status
        self.pid = pid
        self.config = config

    @property
    def id(self) -> str:
        """The container's id."""
        return os.path.basename(self.directory)

    @property
    def rootfs(self) -> str:
        """Absolute path of the root file system; it may not exist."""
        root = self.config.get("root") or {}
        return os.path.join(self.bundle, str(root.get("path", "rootfs")))

    def state(self, status: str | None = None) -> dict[str, Any]:
        """The state as hooks and ``state`` show it; *status* takes the place of the present one."""
        state: dict[str, Any] = {"ociVersion": OCI_VERSION, "id": self.id, "status": status or self.status}
        if self.pid is not None:
            state["pid"] = self.pid
        state["bundle"] = self.bundle
        if self.config.get("annotations"):
            state["annotations"] = self.config["annotations"]
        return state

    def save(self, *, status: str, pid: int | None) -> None:
        """Note the new status and process id."""
        self.status, self.pid = status, pid
        document = {"bundle": self.bundle, "status": status, "pid": pid, "config": self.config}
        path = os.path.join(self.directory, "state.json")
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.replace(f"{path}.new", path)

    def remove(self) -> None:
        """Forget the container."""
        os.unlink(os.path.join(self.directory, "state.json"))
        os.rmdir(self.directory)


def new_container(root: str, container_id: str, bundle: str) -> Container:
    """
    Begin a container from the bundle's config.json.

    Raises:
        CallError: The id is taken or no id, or config.json can't be used.
    """
    if not re.fullmatch(r"[\w+.-]+", container_id) or container_id in {".", ".."}:
        raise CallError(f"invalid container ID {json.dumps(container_id)}")
    directory = os.path.join(root, container_id)
    container = Container(directory, bundle=os.path.abspath(bundle), config=_read_config(bundle))
    os.makedirs(root, exist_ok=True)
    try:
        os.mkdir(directory, mode=0o711)
    except FileExistsError:
        raise CallError(f"container with given ID already exists: {container_id}") from None
    container.save(status="creating", pid=os.getpid())
    return container


def load_container(root: str, container_id: str) -> Container:
    """
    Find a container.

    Raises:
        CallError: There is none of that id.
    """
    directory = os.path.join(root, container_id)
    try:
        with open(os.path.join(directory, "state.json"), encoding="utf-8") as file:
            document = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        raise CallError(f"container does not exist: {container_id}") from None
    return Container(directory, **document)


def _read_config(bundle: str) -> dict[str, Any]:
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "rb") as file:
            config: dict[str, Any] = _expect(json.load(file), dict, f"{path}: /")
    except (OSError, ValueError) as error:
        raise CallError(f"{path}: {getattr(error, 'strerror', error)}") from None
    _check_config(config, path)
    return config


def _check_config(config: dict[str, Any], path: str) -> None:
    """Refuse what could not be simulated; this is no validator."""
    _expect(config.get("ociVersion"), str, f"{path}: /ociVersion")
    for name in ("annotations", "hooks", "process", "root"):
        _expect(config.get(name) or {}, dict, f"{path}: /{name}")
    _expect_strings((config.get("process") or {}).get("args"), f"{path}: /process/args")
    for stage in STAGES:
        hooks = (config.get("hooks") or {}).get(stage) or []
        for index, hook in enumerate(_expect(hooks, list, f"{path}: /hooks/{stage}")):
            _check_hook(hook, f"{path}: /hooks/{stage}/{index}")


def _check_hook(hook: Any, place: str) -> None:
    _expect(hook, dict, place)
    if not _expect(hook.get("path"), str, f"{place}/path").startswith("/"):
        raise CallError(f"{place}/path: expected an absolute path, found {json.dumps(hook['path'])}")
    _expect_strings(hook.get("args"), f"{place}/args")
    for entry in _expect_strings(hook.get("env"), f"{place}/env"):
        if not entry.partition("=")[0] or "=" not in entry:
            raise CallError(f"{place}/env: expected entries of the form NAME=value, found {json.dumps(entry)}")
    if hook.get("timeout") is not None and _expect(hook["timeout"], int, f"{place}/timeout") <= 0:
        raise CallError(f"{place}/timeout: expected seconds above 0, found {hook['timeout']}")


def _expect(value: Any, kind: type, place: str) -> Any:
    if type(value) is not kind:
        names = {dict: "an object", list: "an array", str: "a string", int: "a whole number"}
        raise CallError(f"{place}: expected {names[kind]}, found {json.dumps(value)[:80]}")
    return value


def _expect_strings(value: Any, place: str) -> list[str]:
    """A list of strings, empty where *value* is null or missing."""
    return [_expect(item, str, f"{place}/{index}") for index, item in enumerate(_expect(value or [], list, place))]
