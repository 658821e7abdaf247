"""What tests ask engines for, in one form for all of them."""

from __future__ import annotations

import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ocihooks.errors import UnavailableError
from ocihooks.testing.engines.host import Finished

IMAGE = "localhost/busybox:1"
"""The name of the image that every engine has."""

RUNTIME_NAME = "wrapped"
"""The name under which engines that know their runtimes by names get the program of ``use``."""


class Engine(ABC):
    """
    A real engine with private state; use it as a context manager, or call ``close``.

    Operations that an engine does not have raise ``UnavailableError``.

    Attributes:
        name: Unique among the engines of the test kit, such as ``podman by name``.
        product: The program that people install, such as ``podman``.
        version: As it tells itself.
    """

    name: ClassVar[str]
    product: ClassVar[str]
    version: str

    @abstractmethod
    def use(self, program: str | os.PathLike[str], *, default: bool = False) -> None:
        """
        Call *program* as the runtime of all containers that ``run`` starts from now on.

        Args:
            default: As the engine's default runtime, so that users name none.
        """

    @abstractmethod
    def run(
        self,
        *command: str,
        container: str | None = None,
        annotations: Mapping[str, str] | None = None,
        detach: bool = False,
    ) -> Finished:
        """
        Run *command* in a new container, to its end and gone unless *detach*.

        Args:
            container: Name or id; None: a new one.
        """

    @abstractmethod
    def clean(self) -> None:
        """Remove whatever containers are left."""

    @abstractmethod
    def close(self) -> None:
        """End the engine and all that is left of its containers."""

    def exec(self, container: str, *command: str) -> Finished:
        """Run *command* in a running container."""
        raise self._lacks("exec", container, *command)

    def pause(self, container: str) -> Finished:
        """Stop all processes of a container for a while."""
        raise self._lacks("pause", container)

    def resume(self, container: str) -> Finished:
        """Let a paused container go on."""
        raise self._lacks("resume", container)

    def kill(self, container: str) -> Finished:
        """Kill a container with SIGKILL."""
        raise self._lacks("kill", container)

    def restart(self, container: str) -> Finished:
        """Start a container again, whether it runs or has ended."""
        raise self._lacks("restart", container)

    def status(self, container: str) -> str:
        """``running``, ``paused``, ``stopped``, or ``none``."""
        raise self._lacks("status", container)

    def remove(self, container: str) -> Finished:
        """Remove a container, running or not."""
        raise self._lacks("remove", container)

    def reset(self) -> None:  # noqa: B027  (most engines need not)
        """Have the engine's files as they were before the first ``use``, if others may find them there."""

    def crash(self) -> None:
        """Kill the engine's daemon with SIGKILL, and start it again."""
        raise self._lacks("daemon")

    def leftovers(self) -> tuple[str, ...]:
        """What is there that should not be when no container is: processes, mounts."""
        return ()

    def new_name(self) -> str:
        """A name for a container that nobody else uses."""
        return f"ocihooks-{uuid.uuid4().hex[:16]}"

    def wait_for_status(self, container: str, status: str, *, timeout_s: float = 30.0) -> None:
        """
        Wait until a container is, say, ``stopped``.

        Raises:
            TimeoutError: It is something else after *timeout_s*.
        """
        deadline = time.monotonic() + timeout_s
        while (found := self.status(container)) != status:
            if time.monotonic() > deadline:
                raise TimeoutError(f"expected container {container} to be {status}, found {found}")
            time.sleep(0.05)

    def wait_for_no_leftovers(self, *, timeout_s: float = 30.0) -> None:
        """
        Wait until nothing of the containers is left; engines clean up behind their users' backs.

        Raises:
            RuntimeError: Something is left.
        """
        deadline = time.monotonic() + timeout_s
        while left := self.leftovers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} left behind: {'; '.join(left)}")
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _lacks(self, operation: str, *words: str) -> UnavailableError:
        return UnavailableError(" ".join([f"{self.name} has no {operation}", *words]))


def write_file(path: Path, text: str) -> bool:
    """Write a configuration file, and its directory; tell whether it was another one before."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return True
