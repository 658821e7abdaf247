"""Which controllers crun needs as cgroup v1, decided from what the kernel tells."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.cgroups import CgroupView, controllers_to_mount

V1 = "31 23 0:28 / /sys/fs/cgroup/{0} rw - cgroup cgroup rw,{0}\n"
V2 = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
HEADER = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"


@pytest.mark.parametrize(
    ("unified", "rows", "mounts", "expected"),
    [
        pytest.param(
            "hugetlb\n", "cpu\t1\t1\t1\nhugetlb\t0\t1\t1\n", V1.format("cpu") + V2, ("hugetlb",), id="left-on-v2"
        ),
        pytest.param(
            "", "cpu\t1\t1\t1\nhugetlb\t10\t1\t1\n", V1.format("cpu") + V2, ("hugetlb",), id="v1-seen-elsewhere"
        ),
        pytest.param("", "cpu\t1\t1\t1\n", V1.format("cpu") + V2, (), id="nothing-left"),
        pytest.param("", "cpu\t1\t1\t1\ncpuacct\t1\t1\t1\n", V1.format("cpu,cpuacct") + V2, (), id="two-in-one-mount"),
        pytest.param("pids rdma", "pids\t0\t1\t1\nrdma\t0\t1\t1\n", V2, ("pids", "rdma"), id="two-left"),
        pytest.param("", "net_cls\t0\t1\t1\n", V2, (), id="on-no-hierarchy"),
    ],
)
def test_controllers_to_mount(unified: str, rows: str, mounts: str, expected: tuple[str, ...]) -> None:
    """What cgroup2 still has, and what is v1 but not visible, has to be mounted; the rest is left alone."""
    assert controllers_to_mount(unified, HEADER + rows, mounts) == expected


def open_view(unavailable: Callable[[OCIHooksError], NoReturn]) -> CgroupView:
    """A view of this machine, which only root can have on some machines."""
    try:
        return CgroupView()
    except UnavailableError as error:
        unavailable(error)


def test_command_is_transparent(tmp_path: Path, unavailable: Callable[[OCIHooksError], NoReturn]) -> None:
    """A command in a view that changes nothing is the command itself; in another one it runs where the caller says."""
    with open_view(unavailable) as view:
        argv = view.command(["/bin/pwd"], cwd=tmp_path)
        answer = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path, env={"A": "1"})
        mounts = Path("/proc/self/mountinfo").read_text()
    assert answer.stdout == f"{tmp_path}\n"
    assert (argv == ["/bin/pwd"]) == (not view.controllers)
    assert not any(f"/sys/fs/cgroup/{name} " in mounts for name in view.controllers)


def test_view_ends(unavailable: Callable[[OCIHooksError], NoReturn]) -> None:
    """A closed view leaves no process behind, and runs commands as they are."""
    with open_view(unavailable) as view:
        command = view.command(["true"])
    holder = next((word.split("/")[2] for word in command if word.startswith("--mount=")), None)
    if holder is None:
        pytest.skip("no view is needed here")
    deadline = time.monotonic() + 30
    while Path(f"/proc/{holder}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{holder}").exists()
    assert view.command(["true"]) == ["true"]
