"""
Run the hooks of one stage: one after the other, the state on standard input, until one fails.

There are no namespaces. What the spec runs in the container's namespace differs from a real runtime: createContainer
hooks see the host; startContainer hooks run in a chroot for root, and for everybody else on the host, where only the
program itself is looked up below the root file system. (Where a bundle has none, they are hooks of the host like any
other.) As the spec has it, a hook's environment is what its ``env`` says and no more.

Spec: runtime-spec 1.0.2, config.md "POSIX-platform Hooks".
"""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable

from .container import Container
from .reporting import CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

_SHOWN_OUTPUT = 4096

_STATUS = {
    "prestart": "creating",
    "createRuntime": "creating",
    "createContainer": "creating",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}


def run_hooks(container: Container, stage: str, warn: Callable[[str], None]) -> None:
    """
    Run all hooks of *stage*.

    Args:
        warn: Gets a sentence about each hook that fails where that stops nothing (poststart, poststop).

    Raises:
        CallError: A hook of another stage failed; those behind it did not run.
    """
    state = json.dumps(container.state(_STATUS[stage])).encode()
    for index, hook in enumerate((container.config.get("hooks") or {}).get(stage) or []):
        try:
            if stage == "startContainer" and os.path.isdir(container.rootfs):
                _run_inside(hook, state, container.rootfs, warn)
            else:
                _run(hook, state, executable=hook["path"], cwd=container.bundle)
        except CallError as error:
            message = f"error running {stage} hook #{index}: {error}"
            if stage not in ("poststart", "poststop"):
                raise CallError(message) from None
            warn(message)


def _run_inside(hook: dict[str, Any], state: bytes, rootfs: str, warn: Callable[[str], None]) -> None:
    """Run a hook whose program lies in the root file system."""
    if os.geteuid() == 0:
        _run(hook, state, executable=hook["path"], cwd=rootfs, chroot=rootfs)
        return
    program = os.path.realpath(rootfs + hook["path"])
    if not program.startswith(os.path.realpath(rootfs) + "/"):
        raise CallError(f"{hook['path']} leads out of the root file system, and only root can chroot into it")
    warn(f"simulated: only root can chroot, so the startContainer hook {hook['path']} sees the host")
    _run(hook, state, executable=program, cwd=rootfs)


def _run(hook: dict[str, Any], state: bytes, *, executable: str, cwd: str, chroot: str | None = None) -> None:
    """Run one hook. Files in memory take its output, so that what it leaves running can't hold us."""
    import subprocess

    with _memory_file() as stdin, _memory_file() as stdout, _memory_file() as stderr:
        stdin.write(state)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                hook.get("args") or [hook["path"]],
                executable=executable,
                env=dict(entry.split("=", 1) for entry in hook.get("env") or []),
                cwd=cwd,
                preexec_fn=None if chroot is None else lambda: os.chroot("."),  # noqa: PLW1509 - one thread only
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:  # the latter: chroot was refused
            raise CallError(f"{executable}: {getattr(error, 'strerror', error)}") from None
        status = _wait(process, hook.get("timeout"))
        if status != 0:
            outputs = [
                os.pread(file.fileno(), _SHOWN_OUTPUT, 0).decode("utf-8", "replace") for file in (stdout, stderr)
            ]
            raise CallError(f"{_ending(status)}, stdout: {outputs[0]}, stderr: {outputs[1]}")


def _memory_file() -> io.FileIO:
    return io.FileIO(os.memfd_create("hook"), "r+")


def _wait(process: subprocess.Popen[bytes], timeout_s: int | None) -> int:
    import subprocess

    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise CallError(f"hook ran past specified timeout of {timeout_s} s") from None


def _ending(status: int) -> str:
    return f"exit status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
