"""
A private host for engines: they start with their usual files and places, and none of these are the machine's.

The host is a set of namespaces (mounts, processes, network, System V IPC) on this machine. Its /etc, /var/lib and
/var/tmp are directories that the caller owns, in which everything of the machine can still be seen through links; /run
is empty. All of its processes end with it, however they were started, and with them all of its mounts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ocihooks.errors import UnavailableError
from ocihooks.testing.cgroups import CgroupView

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_TIMEOUT_S = 120.0
_NS_GET_PARENT = 0xB702  # ioctl_ns(2)
_LINKED = ("/etc", "/var/lib")

# The shell is process 1 there and reaps what nobody waits for. When our end of the pipe is closed it ends, and the
# kernel ends all others.
_SCRIPT = r"""
set -e
for place in etc var/lib; do
  mount --rbind "/$place" "$1/real/$place"
  mount --bind "$1/$place" "/$place"
done
mount --bind "$1/var/tmp" /var/tmp
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 1777 /run/lock
ip link set lo up
echo ready
cat
:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """
    A command that has ended.

    Attributes:
        status: Exit status; negative: died by that signal.
    """

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: status {self.status}\nstdout: {self.stdout}\nstderr: {self.stderr}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """
    A process of a private host.

    Attributes:
        pid: As the machine knows it.
        argv: Its command line.
    """

    pid: int
    argv: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file name of its program."""
        return os.path.basename(self.argv[0])


class PrivateHost:
    """
    Namespaces to run engines in; use it as a context manager, or call ``close``.

    Args:
        directory: Holds all of its files; made if missing. A short path, since names of sockets may be below it.
        view: Where crun can run, see ``cgroups``.

    Attributes:
        etc: What is its /etc; each entry of the machine's is a link in there, but for those of engines.
        var_lib: The same for /var/lib.
        bin: An empty directory in front of its PATH.

    Raises:
        UnavailableError: Namespaces or mounts can't be made here.
    """

    def __init__(self, directory: str | os.PathLike[str], view: CgroupView) -> None:
        if os.geteuid() != 0:
            raise UnavailableError("a private host for engines needs root")
        self.directory = Path(directory).absolute()
        self.etc = self.directory / "etc"
        self.var_lib = self.directory / "var/lib"
        self.bin = self.directory / "bin"
        self._started: list[subprocess.Popen[bytes]] = []
        self._make_directories()
        words = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
        argv = [*words, "--net", "--ipc", "sh", "-c", _SCRIPT, "sh", str(self.directory)]
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(
            view.command(argv), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._init = self._wait_for_init()

    @property
    def root(self) -> Path:
        """Its root directory, as the machine can reach it: for files that only it can see, such as sockets in /run."""
        return Path(f"/proc/{self._init}/root")

    def command(self, argv: Sequence[str], cwd: str | os.PathLike[str] | None = None) -> list[str]:
        """*argv* in a form that runs there, in *cwd* (None: the private directory)."""
        namespaces = [f"--{kind}=/proc/{self._init}/ns/{name}" for kind, name in _NAMESPACES.items()]
        return ["nsenter", *namespaces, "env", "-C", os.fspath(cwd or self.directory), *argv]

    def run(
        self,
        *argv: str,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = _TIMEOUT_S,
    ) -> Finished:
        """
        Run a command there to its end.

        Args:
            env: Further variables besides PATH and HOME.

        Raises:
            subprocess.TimeoutExpired: It took longer than *timeout_s*; it ends with the host.
        """
        done = subprocess.run(
            self.command(argv, cwd),
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            env=self._environment(env),
            timeout=timeout_s,
        )
        return Finished(argv=argv, status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def check(self, *argv: str, **options: object) -> Finished:
        """
        ``run`` a command that has to succeed.

        Raises:
            RuntimeError: It did not; the message has what it printed.
        """
        finished = self.run(*argv, **options)  # type: ignore[arg-type]  # those of run, whatever they are
        if finished.status != 0:
            raise RuntimeError(str(finished))
        return finished

    def start(self, *argv: str, env: Mapping[str, str] | None = None) -> Daemon:
        """Start a daemon there; its output goes to a file of its name in the private directory."""
        log = self.directory / f"{os.path.basename(argv[0])}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                self.command(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(env),
                start_new_session=True,
            )
        self._started.append(popen)
        return Daemon(popen, log)

    def processes(self) -> tuple[Process, ...]:
        """All processes there, those of containers too, but not those that hold it, in the order of their pids."""
        namespace = os.stat(f"/proc/{self._init}/ns/pid").st_ino
        holders = {self._init, *_children(self._init, name="cat")}
        pids = sorted(int(entry) for entry in os.listdir("/proc") if entry.isdecimal())
        inside = (_process(pid) for pid in pids if pid not in holders and namespace in _pid_namespaces(pid))
        return tuple(process for process in inside if process is not None)

    def close(self) -> None:
        """End all of its processes, and wait until they are gone."""
        if self._holder.poll() is None:
            self._holder.communicate()
        for popen in self._started:
            popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _make_directories(self) -> None:
        for name in ("real/etc", "real/var/lib", "etc", "var/lib", "var/tmp", "bin", "home"):
            (self.directory / name).mkdir(mode=0o755, parents=True)
        self.directory.chmod(0o755)
        (self.directory / "var/tmp").chmod(0o1777)
        for place in _LINKED:
            self._link(place)
        # Links of the machine may be relative, so what is around its /etc and /var/lib is around them here, too.
        for place, replaced in {"/": "etc", "/var/": "lib"}.items():
            for name in set(os.listdir(place)) - {replaced, "var"}:
                (self.directory / f"real{place}{name}").symlink_to(f"{place}{name}")

    def _link(self, place: str) -> None:
        """Fill our *place* with links to what the machine has there, which ``real`` will show; its links are copied."""
        for entry in os.scandir(place):
            if entry.name not in _OF_ENGINES:
                target = os.readlink(entry) if entry.is_symlink() else f"{self.directory}/real{place}/{entry.name}"
                (self.directory / place[1:] / entry.name).symlink_to(target)

    def _wait_for_init(self) -> int:
        assert self._holder.stdout is not None
        answer = self._holder.stdout.readline().strip()
        if answer != "ready":
            rest, _ = self._holder.communicate()
            raise UnavailableError(
                f"can't make a private host: {' '.join([answer, *rest.split()])}",
                hint="it needs CAP_SYS_ADMIN, and the programs unshare, mount and ip",
            )
        (init,) = _children(self._holder.pid)
        return init

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {"PATH": f"{self.bin}:{PATH}", "HOME": str(self.directory / "home"), **(more or {})}


_NAMESPACES = {"mount": "mnt", "pid": "pid_for_children", "net": "net", "ipc": "ipc"}

_OF_ENGINES = frozenset(
    ("docker", "containerd", "containers", "container-hooks", "crio", "cni", "oci-injector-hook", "ocihooks")
)
"""Entries of /etc and /var/lib that are not handed in from the machine."""


class Daemon:
    """A daemon that ``PrivateHost.start`` started."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        """Its pid as the machine knows it; nsenter, which we started, is its parent."""
        (pid,) = _children(self._popen.pid)
        return pid

    def wait_until(self, answers: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
        """
        Wait until it is up.

        Raises:
            RuntimeError: It ended, or is not up after *timeout_s*; the message has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not answers():
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.log.stem} is not up:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._popen.poll() is None:
            os.kill(self.pid, number)

    def end(self, number: int, *, timeout_s: float = 30.0) -> None:
        """
        Send it a signal and wait for its end.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        self.signal(number)
        self._popen.wait(timeout_s)


def find_program(name: str, package: str) -> str:
    """
    The absolute path of an engine's program.

    Raises:
        UnavailableError: It is not there.
    """
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(f"{name}: not found on PATH", code="missing_program", hint=f"apt-get install {package}")
    return os.path.abspath(path)


def _children(pid: int, *, name: str | None = None) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return []
    processes = (_process(int(word)) for word in words)
    return [process.pid for process in processes if process is not None and name in (None, process.name)]


def _process(pid: int) -> Process | None:
    """None: it has ended, or is a thread of the kernel."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return None
    return Process(pid=pid, argv=tuple(map(os.fsdecode, arguments))) if arguments else None


def _pid_namespaces(pid: int) -> Iterator[int]:
    """The inodes of a process's namespace of processes and of those around it; none if the process has ended."""
    try:
        namespace = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
    except OSError:
        return
    while True:
        try:
            yield os.fstat(namespace).st_ino
            outer = fcntl.ioctl(namespace, _NS_GET_PARENT)
        except PermissionError:  # that is the caller's own
            return
        finally:
            os.close(namespace)
        namespace = outer
