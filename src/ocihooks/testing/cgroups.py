"""
A private view of the cgroups in which crun starts on machines with hybrid cgroups.

Such machines mount the controllers of cgroup v1 one by one and cgroup2 beside them, at ``/sys/fs/cgroup/unified``.
runc does not mind; crun refuses to start while cgroup2 has a controller left. ``CgroupView`` mounts the left-over
controllers as v1 in a mount namespace of its own, which a small process holds open, and tells how to run commands in
there. Rootless, crun need not run in there, but refuses just so while there is no such view. On pure v1 and pure v2
machines there is nothing to do.

Two things stay behind on a hybrid machine: an empty folder per left-over controller below ``/sys/fs/cgroup`` and, while
cgroups exist in it, the controller itself as v1.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ocihooks.errors import UnavailableError

CGROUP_ROOT = Path("/sys/fs/cgroup")
_UNIFIED = CGROUP_ROOT / "unified"

# A controller that something switched on for the children of cgroup2 is busy until it is switched off everywhere.
_HOLD_SCRIPT = r"""
for controller in "$@"; do
  mkdir -p "/sys/fs/cgroup/$controller"
  tries=0
  until mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -le 50 ] || { echo "$controller stays busy on cgroup2"; exit 1; }
    find /sys/fs/cgroup/unified -depth -name cgroup.subtree_control | while read -r file; do
      echo "-$controller" 2>/dev/null > "$file"
    done
    sleep 0.1
  done
done
echo ready
exec cat
"""


class CgroupView:
    """
    A mount namespace in which crun runs as root; while it exists, crun runs rootless anywhere.

    Use it as a context manager, or call ``close``.

    It ends with the process that made it, however that ends. Any number of them may exist at once.

    Attributes:
        controllers: What had to be mounted; empty: nothing to do here, and commands run as they are.

    Raises:
        UnavailableError: Controllers are left and can't be moved: not allowed, or something keeps them busy.
    """

    def __init__(self) -> None:
        self._holder: subprocess.Popen[str] | None = None
        with _one_at_a_time():
            self.controllers = _left_over_controllers()
            if self.controllers:
                self._holder = _start_holder(self.controllers)

    def command(self, argv: Sequence[str], cwd: str | os.PathLike[str] | None = None) -> list[str]:
        """
        *argv* in a form that runs in this view: same environment, descriptors and process, no shell.

        Args:
            cwd: Working directory of the command; None: the caller's present one.
        """
        if self._holder is None:
            return list(argv)
        inside = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        return [_program("nsenter"), inside, _program("env"), "-C", os.fspath(cwd or Path.cwd()), *argv]

    def close(self) -> None:
        """End the process that holds the view; commands still running in it go on."""
        if self._holder is not None:
            self._holder.communicate()
            self._holder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def controllers_to_mount(unified: str, proc_cgroups: str, mountinfo: str) -> tuple[str, ...]:
    """
    The controllers that crun needs as v1 in a hybrid layout.

    Args:
        unified: ``cgroup.controllers`` of the cgroup2 mount: what cgroup2 still has.
        proc_cgroups: ``/proc/cgroups``: hierarchy 0 means cgroup2 or none, others are v1, mounted or not.
        mountinfo: ``/proc/self/mountinfo``: which v1 controllers the caller can see.
    """
    rows = [line.split() for line in proc_cgroups.splitlines() if not line.startswith("#")]
    as_v1 = {name for name, hierarchy, *_ in rows if hierarchy != "0"}
    filesystems = [line.rpartition(" - ")[2].split() for line in mountinfo.splitlines()]
    mounted = {option for kind, _, options in filesystems if kind == "cgroup" for option in options.split(",")}
    return tuple(sorted((as_v1 | set(unified.split())) - mounted))


def _left_over_controllers() -> tuple[str, ...]:
    try:
        unified = (_UNIFIED / "cgroup.controllers").read_text()
    except FileNotFoundError:
        return ()
    return controllers_to_mount(
        unified, Path("/proc/cgroups").read_text(), Path("/proc/self/mountinfo").read_text(errors="replace")
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Moving a controller is a matter of the whole machine: a lock on the directory itself keeps others waiting."""
    if not _UNIFIED.is_dir():
        yield
        return
    directory = os.open(CGROUP_ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _start_holder(controllers: Sequence[str]) -> subprocess.Popen[str]:
    """A process in the namespace that lives until its standard input is closed, by us or by our end."""
    argv = [_program("unshare"), "--mount", "--propagation", "private", "sh", "-c", _HOLD_SCRIPT, "sh", *controllers]
    pipe = subprocess.PIPE
    # A session of its own: Ctrl-C at the terminal shall not take the view away from those who still clean up in it.
    holder = subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert holder.stdout is not None
    answer = holder.stdout.readline().strip()
    if answer != "ready":
        rest, _ = holder.communicate()
        raise UnavailableError(
            f"can't mount {', '.join(controllers)} as cgroup v1: {' '.join([answer, *rest.split()])}",
            code="cgroups",
            file=str(CGROUP_ROOT),
            hint="crun needs somebody with CAP_SYS_ADMIN for this, or a machine with cgroup v2 only",
        )
    return holder


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(
            f"{name}: not found on PATH", code="missing_program", hint="apt-get install util-linux coreutils"
        )
    return path
