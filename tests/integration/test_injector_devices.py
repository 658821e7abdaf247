"""Devices that oci-injector-hook gives to containers while they are created, and those to which it can't."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import make_rootfs
from ocihooks.testing.runtimes import Call, PrivateRuntime

NAME = "oci-injector-hook"
LOOP = ("/dev/loop6", "/dev/loop7")
"""Devices that no container may use unless somebody allows it; without a file behind them they read as empty."""

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def program(public_directory: Path) -> Path:
    """The installed program."""
    return Path(install(Request(prefix=str(public_directory / "devices"), program=NAME, name=NAME)).script)


def run(
    runtime: PrivateRuntime, program: Path, place: Path, devices: list[Any], command: str, stage: str, **bundle: Any
) -> Call:
    """Run a container that asks for *devices*, with the program as a hook of *stage*."""
    (place / "conf").mkdir()
    (place / "conf/a.json").write_text(json.dumps({"activation_flag": "WITH", "devices": devices}))
    hook = {"path": str(program), "env": [f"OCI_INJECTOR_CONFIG_DIR={place}/conf"]}
    rootfs = make_rootfs(place / "rootfs")
    made = runtime.make_bundle(
        rootfs=rootfs, args=["sh", "-c", command], env=["PATH=/bin", "WITH=1"], hooks={stage: [hook]}, **bundle
    )
    return runtime.run_container(made)


@pytest.mark.parametrize("stage", ["createRuntime", "prestart"])
def test_device(runtime: PrivateRuntime, program: Path, private_directory: Path, stage: str) -> None:
    """A configured device can be opened and read in the container, as on the host, and another one can't."""
    if not all(os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode) for path in LOOP):
        pytest.skip("the kernel has no loop devices")
    if not lets_hooks_allow(runtime):
        pytest.skip("this machine has cgroup version 2 only, where a hook can't give devices")
    command = (
        f"cat {LOOP[1]} && stat -c '%t:%T %a %u:%g' {LOOP[1]} /dev/sub/null; echo x > /dev/sub/null && echo written;"
        "mknod /dev/other b 7 6 && cat /dev/other"
    )
    (private_directory / "nodes").mkdir()
    node = private_directory / "nodes/null"
    os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.chown(node, 3, 4)
    devices = [LOOP[1], {"source": str(node), "destination": "/dev/sub/null", "mode": "0620"}, "/dev/zer*"]
    done = run(runtime, program, private_directory, devices, command, stage)
    own = os.stat(LOOP[1])
    numbers = f"7:{os.minor(own.st_rdev):x} {stat.S_IMODE(own.st_mode):o} {own.st_uid}:{own.st_gid}"
    assert done.stdout.splitlines() == [numbers, "1:3 620 3:4", "written"], str(done)
    assert "cat: can't open '/dev/other': Operation not permitted" in done.stderr
    assert done.status != 0


def lets_hooks_allow(runtime: PrivateRuntime) -> bool:
    """Whether containers of *runtime* have devices in a cgroup of version 1."""
    done = runtime.execute(["cat", "/proc/self/mountinfo"])
    return any(" - cgroup " in line and "devices" in line.split()[-1] for line in done.stdout.splitlines())


REFUSED: dict[str, tuple[list[Any], str]] = {
    "something-else-there": (["/dev/null:/dev/zero"], "something else is there"),
    "directory-there": (["/dev/null:/dev/shm"], "something else is there"),
    "in-another-mount": (["/dev/null:/dev/pts/9"], "volume or another file system"),
    "above": (["/dev/null:/dev/../../etc/null"], "below the root of the container"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(runtime: PrivateRuntime, program: Path, private_directory: Path, name: str) -> None:
    """What can't be given is refused with the reason, and the container is not created."""
    if not lets_hooks_allow(runtime):
        pytest.skip("this machine has cgroup version 2 only, where a hook can't give devices")
    devices, message = REFUSED[name]
    done = run(runtime, program, private_directory, devices, "true", "createRuntime")
    assert done.status != 0
    assert runtime.containers() == ()
    if runtime.name == "runc":  # crun sends the output of hooks nowhere
        assert re.search(message, done.stderr), str(done)


@pytest.fixture
def sleeping() -> Iterator[int]:
    """A process that stands for a container's."""
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process.pid
        process.kill()


NOT_HERE: dict[str, tuple[str, dict[str, Any], str]] = {
    "cgroup-2": ("umount /sys/fs/cgroup/devices", {}, "with cgroup version 2 only the runtime can allow access"),
    "read-only-cgroup": (
        "mount -o remount,bind,ro /sys/fs/cgroup/devices",
        {},
        "devices.allow\" can't be written: read-only file system",
    ),
    "no-own-dev": ("true", {"mounts": []}, "it has no /dev of its own"),
    "bound-dev": (
        "true",
        {"mounts": [{"destination": "/dev", "type": "bind", "source": "/dev"}]},
        "no /dev of its own",
    ),
    "not-there-yet": ("true", {}, "its own /dev is not there yet"),
    "user-namespace": (
        "true",
        {"linux": {"uidMappings": [{"hostID": 9, "size": 9}], "gidMappings": [{"hostID": 9, "size": 9}]}},
        "in a user namespace nobody can make devices",
    ),
}


@pytest.mark.parametrize("name", NOT_HERE)
def test_where_a_hook_can_not(name: str, program: Path, private_directory: Path, sleeping: int) -> None:
    """Where the kernel does not let a hook give devices, it says so and names the other way; nothing is changed."""
    prepare, members, message = NOT_HERE[name]
    if "/devices" in prepare and not os.path.ismount("/sys/fs/cgroup/devices"):
        pytest.skip("this machine has cgroup version 2 only")
    for directory in ("conf", "b/rootfs/dev"):
        (private_directory / directory).mkdir(parents=True)
    file = {"activation_flag": "WITH", "directories": ["/new"], "devices": ["/dev/null:/dev/other"]}
    (private_directory / "conf/a.json").write_text(json.dumps(file))
    config = {
        "process": {"env": ["WITH=1"]},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
        **members,
    }
    (private_directory / "b/config.json").write_text(json.dumps(config))
    state = {"ociVersion": "1.0.2", "id": "c1", "status": "creating", "pid": sleeping}
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{prepare} && exec "$0"', str(program)],
        input=json.dumps({**state, "bundle": f"{private_directory}/b"}),
        env={"OCI_INJECTOR_CONFIG_DIR": f"{private_directory}/conf", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr, done.stderr
    assert "hint: set injector-dir in the settings of ocihooks-runtime" in done.stderr
    assert sorted(os.listdir(private_directory / "b/rootfs")) == ["dev"]
