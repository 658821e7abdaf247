"""runc and crun without an engine, asked as engines are."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from ocihooks.testing.engines.engine import Engine
from ocihooks.testing.engines.host import Finished
from ocihooks.testing.runtimes import Call, PrivateRuntime


class DirectRuntime(Engine):
    """
    A runtime as people call it at a terminal.

    Args:
        runtime: With its private state; ``close`` closes that, too.
    """

    def __init__(self, runtime: PrivateRuntime) -> None:
        self.runtime = runtime
        self.version = runtime.version
        self._program = str(runtime.path)

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
        bundle = self.runtime.make_bundle(args=command, annotations=annotations)
        name = container or self.new_name()
        if not detach:
            return _finished(self.runtime.run_container(bundle, container_id=name, program=self._program))
        created = self.runtime.create(bundle, name, program=self._program)
        return _finished(created if created.status else self.runtime.start(name, program=self._program))

    def exec(self, container: str, *command: str) -> Finished:
        return self._call("exec", container, *command)

    def pause(self, container: str) -> Finished:
        return self._call("pause", container)

    def resume(self, container: str) -> Finished:
        return self._call("resume", container)

    def kill(self, container: str) -> Finished:
        return _finished(self.runtime.kill(container, signal.SIGKILL, program=self._program))

    def status(self, container: str) -> str:
        state = self.runtime.state(container)
        return "none" if state is None else str(state["status"])

    def remove(self, container: str) -> Finished:
        return _finished(self.runtime.delete(container, force=True, program=self._program))

    def clean(self) -> None:
        self.runtime.close()

    def leftovers(self) -> tuple[str, ...]:
        return self.runtime.containers()

    def close(self) -> None:
        self.runtime.close()

    def _call(self, *words: str) -> Finished:
        return _finished(self.runtime.call(*words, program=self._program))


class Runc(DirectRuntime):
    """runc."""

    name = "runc"
    product = "runc"


class Crun(DirectRuntime):
    """crun."""

    name = "crun"
    product = "crun"


def _finished(call: Call) -> Finished:
    return Finished(argv=call.argv, status=call.status, stdout=call.stdout, stderr=call.stderr)
