"""
Real runtimes for tests: find runc and crun, and run containers with state of their own that is cleaned up afterwards.
"""

from __future__ import annotations

import itertools
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ocihooks.errors import UnavailableError
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.cgroups import CgroupView

RUNTIMES = ("runc", "crun")
"""The runtimes that tests are run on."""

_TIMEOUT_S = 60.0
_ORDINARY_USERS = ("daemon", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledRuntime:
    """
    A runtime of this machine.

    Attributes:
        name: Such as ``runc``.
        path: Absolute path of the program.
        version: As it tells itself, such as ``1.1.5+ds1``.
    """

    name: str
    path: Path
    version: str


@cache
def find_runtime(name: str) -> InstalledRuntime:
    """
    The runtime *name* on PATH.

    Raises:
        UnavailableError: It is not there, or does not tell its version.
    """
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(f"{name}: not found on PATH", code="missing_program", hint=f"apt-get install {name}")
    try:
        answer = subprocess.run([path, "--version"], check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"can't run it: {error}", file=path, hint=f"apt-get install {name}") from None
    words = answer.stdout.partition("\n")[0].split()
    if answer.returncode != 0 or words[:2] != [name, "version"] or len(words) != 3:
        raise UnavailableError(
            f'expected "{name} version …" from --version, found {answer.stdout + answer.stderr!r}', file=path
        )
    return InstalledRuntime(name=name, path=Path(path).absolute(), version=words[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdinaryUser:
    """
    Somebody without privileges, for rootless containers.

    Attributes:
        uid: The user's id; the group has the id *gid*.
        home: A directory that the user owns, HOME for what runs as the user.
        runtime_directory: The same for XDG_RUNTIME_DIR.
    """

    uid: int
    gid: int
    home: Path
    runtime_directory: Path

    @property
    def owner(self) -> tuple[int, int]:
        """uid and gid as ``make_bundle`` takes them."""
        return self.uid, self.gid

    @property
    def environment(self) -> dict[str, str]:
        """PATH, HOME and XDG_RUNTIME_DIR, nothing else."""
        return {"PATH": _path(), "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime_directory)}


def make_ordinary_user(directory: str | os.PathLike[str]) -> OrdinaryUser:
    """
    A user with a home in *directory*, which that user must be able to reach.

    For root that is an account which every distribution has (daemon or nobody), so none has to be made; for everybody
    else it is the caller.
    """
    uid, gid = _ordinary_ids() if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    home = Path(directory).absolute()
    runtime_directory = home / "run"
    runtime_directory.mkdir(parents=True)
    for path in (home, runtime_directory):
        path.chmod(0o700)
        os.chown(path, uid, gid)
    return OrdinaryUser(uid=uid, gid=gid, home=home, runtime_directory=runtime_directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A finished command.

    Attributes:
        status: Exit status; negative: died by that signal.
        stdout_path: The file that took standard output. After ``create`` the container writes there, too.
        stderr_path: The same for standard error.
    """

    argv: tuple[str, ...]
    status: int
    stdout_path: Path
    stderr_path: Path

    @property
    def stdout(self) -> str:
        """Standard output up to now; bytes that are no UTF-8 as lone surrogates."""
        return self.stdout_path.read_text(errors="surrogateescape")

    @property
    def stderr(self) -> str:
        """Standard error up to now, in the same form."""
        return self.stderr_path.read_text(errors="surrogateescape")

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: status {self.status}\nstdout: {self.stdout}\nstderr: {self.stderr}"


class PrivateRuntime:
    """
    A runtime with a ``--root``, bundles and output files in a directory of its own; use it as a context manager.

    Whatever containers are left at the end are deleted by force. Each method takes a *program* to run a wrapper (one
    path, or several words) in the runtime's place.

    Args:
        installed: The runtime.
        directory: Made if missing; the user must be able to reach it.
        rootfs: The root file system of the bundles, see ``make_rootfs``.
        view: Where crun runs as root; rootless, crun needs no more than that one exists. None: run everything as it is.
        user: Run everything as this user, rootless; None: as the caller.
    """

    def __init__(
        self,
        installed: InstalledRuntime,
        directory: str | os.PathLike[str],
        *,
        rootfs: str | os.PathLike[str],
        view: CgroupView | None = None,
        user: OrdinaryUser | None = None,
    ) -> None:
        self.name = installed.name
        self.path = installed.path
        self.version = installed.version
        self.directory = Path(directory).absolute()
        self.root = self.directory / "state"
        self.user = user
        self._rootfs = Path(rootfs)
        self._view = view
        self._calls = itertools.count(1)  # as threads may call at once
        self._bundles = itertools.count(1)
        for path in (self.directory, self.root):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            if user is not None:
                os.chown(path, *user.owner)

    @property
    def rootless(self) -> bool:
        """Whether containers get a user namespace in which the user is root."""
        return self.user is not None

    def make_bundle(self, **arguments: Any) -> MadeBundle:
        """A new bundle that fits this runtime and its user; the arguments are those of ``bundles.make_bundle``."""
        owner = None if self.user is None else self.user.owner
        settings: dict[str, Any] = {"rootfs": self._rootfs, "rootless": self.rootless, "owner": owner}
        return make_bundle(self.directory / f"bundle{next(self._bundles)}", **(settings | arguments))

    def new_id(self) -> str:
        """A container id that nobody else uses."""
        return f"ocihooks-{uuid.uuid4().hex[:16]}"

    def execute(
        self,
        argv: Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = _TIMEOUT_S,
    ) -> Call:
        """
        Run any command line as this runtime's calls are run: as its user, where crun can start, output into files.

        Args:
            cwd: None: the private directory.
            env: The whole environment; None: PATH only, with HOME and XDG_RUNTIME_DIR for an ordinary user.

        Raises:
            subprocess.TimeoutExpired: It took longer than *timeout_s*, and has been killed.
        """
        number = next(self._calls)
        stdin_path, stdout_path, stderr_path = (
            self.directory / f"call{number}.{name}" for name in ("stdin", "stdout", "stderr")
        )
        stdin_path.write_bytes(stdin)
        cwd = cwd or self.directory
        command = list(argv) if self._view is None or self.rootless else self._view.command(argv, cwd)
        as_user: dict[str, Any] = {}
        if self.user is not None and self.user.uid != os.geteuid():
            as_user = {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        with stdin_path.open("rb") as source, stdout_path.open("wb") as out, stderr_path.open("wb") as err:
            status = subprocess.run(
                command,
                check=False,
                cwd=cwd,
                env=self._environment() if env is None else env,
                stdin=source,
                stdout=out,
                stderr=err,
                timeout=timeout_s,
                **as_user,
            ).returncode
        return Call(argv=tuple(argv), status=status, stdout_path=stdout_path, stderr_path=stderr_path)

    def call(self, *arguments: str, program: str | Path | Sequence[str] | None = None, **execution: Any) -> Call:
        """
        Run the runtime with the private ``--root`` and *arguments*: further global options, operation, its options, id.

        Args:
            program: What to start instead of the runtime itself.
            execution: The keyword arguments of ``execute``.
        """
        return self.execute([*self._program(program), "--root", str(self.root), *arguments], **execution)

    def run_container(self, bundle: MadeBundle, *, container_id: str | None = None, **call: Any) -> Call:
        """``run`` a container to its end, in the foreground."""
        return self.call("run", "--bundle", str(bundle.directory), container_id or self.new_id(), **call)

    def create(self, bundle: MadeBundle, container_id: str, **call: Any) -> Call:
        """``create`` a container; its output goes to the returned call's files."""
        return self.call("create", "--bundle", str(bundle.directory), container_id, **call)

    def start(self, container_id: str, **call: Any) -> Call:
        """``start`` a created container."""
        return self.call("start", container_id, **call)

    def kill(self, container_id: str, signal_number: int = signal.SIGKILL, **call: Any) -> Call:
        """``kill`` a container with a signal."""
        return self.call("kill", container_id, str(int(signal_number)), **call)

    def delete(self, container_id: str, *, force: bool = False, **call: Any) -> Call:
        """``delete`` a container that has ended, or any with *force*."""
        return self.call("delete", *(["--force"] if force else []), container_id, **call)

    def state(self, container_id: str) -> dict[str, Any] | None:
        """The state of a container as the runtime prints it; None: it knows none of that id."""
        call = self.call("state", container_id)
        if call.status != 0:
            return None
        state: dict[str, Any] = json.loads(call.stdout)
        return state

    def wait_for_status(self, container_id: str, status: str, *, timeout_s: float = 30.0) -> None:
        """
        Wait until a container is, say, ``stopped``.

        Raises:
            TimeoutError: It is something else after *timeout_s*.
        """
        deadline = time.monotonic() + timeout_s
        while (state := self.state(container_id)) is None or state["status"] != status:
            if time.monotonic() > deadline:
                raise TimeoutError(f"expected container {container_id} to be {status}, found {state}")
            time.sleep(0.02)

    def containers(self) -> tuple[str, ...]:
        """The ids of all containers in the private state."""
        return tuple(sorted(entry.name for entry in self.root.iterdir() if entry.is_dir()))

    def close(self) -> None:
        """
        Delete what is left.

        Raises:
            RuntimeError: A container can't be deleted.
        """
        calls = [self.delete(container_id, force=True) for container_id in self.containers()]
        if self.containers():
            raise RuntimeError("containers are left:\n" + "\n".join(str(call) for call in calls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _program(self, program: str | Path | Sequence[str] | None) -> list[str]:
        if program is None:
            return [str(self.path)]
        return [str(program)] if isinstance(program, (str, Path)) else list(program)

    def _environment(self) -> dict[str, str]:
        return {"PATH": _path()} if self.user is None else self.user.environment


def _path() -> str:
    return os.environ.get("PATH", os.defpath)


def _ordinary_ids() -> tuple[int, int]:
    for name in _ORDINARY_USERS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    raise UnavailableError(f"expected one of the accounts {', '.join(_ORDINARY_USERS)}, found none", file="/etc/passwd")
