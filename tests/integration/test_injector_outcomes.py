"""What oci-injector-hook does in containers of several kinds: a clear outcome, and nothing half done."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import MadeBundle, make_rootfs
from ocihooks.testing.configs import bind_mount
from ocihooks.testing.runtimes import PrivateRuntime

NAME = "oci-injector-hook"

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def program(public_directory: Path) -> Path:
    """The installed program."""
    return Path(install(Request(prefix=str(public_directory / "outcomes"), program=NAME, name=NAME)).script)


@pytest.fixture
def place(private_directory: Path) -> Path:
    """A directory with injector files and a file of the host."""
    (private_directory / "conf").mkdir()
    (private_directory / "tool").write_text("tool")
    return private_directory


def asking(
    runtime: PrivateRuntime, program: Path, place: Path, stages: Sequence[str], injected: dict[str, Any], **bundle: Any
) -> MadeBundle:
    """A bundle that asks for what the injector file *injected* says, with the program as a hook of *stages*."""
    (place / "conf/a.json").write_text(json.dumps({"activation_flag": "WITH", **injected}))
    variables = [f"OCI_INJECTOR_CONFIG_DIR={place}/conf", f"OCI_INJECTOR_UNDO_DIR={place}/undo", "DEBUG=1"]
    hook = {"path": str(program), "env": variables}
    env = ["PATH=/bin:/usr/bin", "WITH=1"]
    bundle.setdefault("rootfs", place / "rootfs")
    return runtime.make_bundle(env=env, hooks={stage: [hook] for stage in stages}, **bundle)


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Every path below *root* with mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        data = path.read_bytes() if stat.S_ISREG(mode) else os.readlink(path).encode() if path.is_symlink() else b""
        found[str(path.relative_to(root))] = mode, hashlib.sha256(data).hexdigest()
    return found


FILES = {"directories": ["/opt/new"], "binaries": ["/etc/hostname:/opt/new/t", "/etc/hostname:/etc/group"]}


def test_undo(runtime: PrivateRuntime, program: Path, place: Path) -> None:
    """As a poststop hook, too, it leaves the root as it was, but for what the container itself has changed."""
    rootfs = make_rootfs(place / "rootfs")
    runtime.run_container(runtime.make_bundle(rootfs=rootfs, readonly=False))  # which makes mount points
    before = tree(rootfs)
    command = ["sh", "-c", "cat /opt/new/t; echo mine > /own"]
    stages = ("createRuntime", "poststop")
    done = runtime.run_container(
        asking(runtime, program, place, stages, FILES, args=command, rootfs=rootfs, readonly=False)
    )
    assert done.stdout == Path("/etc/hostname").read_text(), str(done)
    (rootfs / "own").unlink()
    assert tree(rootfs) == before
    assert os.listdir(place / "undo") == []


def test_changed_by_the_container(runtime: PrivateRuntime, program: Path, place: Path) -> None:
    """A file that the container has changed stays as it left it."""
    rootfs = make_rootfs(place / "rootfs")
    command = ["sh", "-c", "echo mine > /etc/group"]
    stages = ("createRuntime", "poststop")
    done = runtime.run_container(
        asking(runtime, program, place, stages, FILES, args=command, rootfs=rootfs, readonly=False)
    )
    assert done.status == 0, str(done)
    assert (rootfs / "etc/group").read_text() == "mine\n"
    assert not (rootfs / "opt").exists()
    assert [name for name in os.listdir(rootfs / "etc") if name.startswith(".ocihooks")] == []


def test_refused_container(runtime: PrivateRuntime, program: Path, place: Path) -> None:
    """A file below a volume is refused with a reason, the container is not created, and its root is as it was."""
    rootfs = make_rootfs(place / "rootfs")
    runtime.run_container(runtime.make_bundle(rootfs=rootfs, readonly=False, mounts=[bind_mount(str(place), "/data")]))
    before = tree(rootfs)
    injected = {"directories": ["/opt/new"], "binaries": [f"{place}/tool:/data/t"]}
    mounts = [bind_mount(str(place), "/data")]
    done = runtime.run_container(
        asking(runtime, program, place, ("createRuntime",), injected, rootfs=rootfs, readonly=False, mounts=mounts)
    )
    assert done.status != 0
    if runtime.name == "runc":  # crun sends the output of hooks nowhere
        assert 'its mount at \\"/data\\" hides it' in done.stderr or 'its mount at "/data" hides it' in done.stderr
    assert tree(rootfs) == before
    assert not (place / "t").exists()


def libraries_of(path: str) -> dict[str, str]:
    """The libraries that a program of the host needs, with their paths."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    return dict(re.findall(r"(\S+) => (\S+) \(", done.stdout))


def glibc_root(place: Path, vendored: str, needed: dict[str, str], loader: str) -> Path:
    """A root with /bin/ls and what it needs but the library *vendored*, which would go to /opt/vendor."""
    rootfs = place / "rootfs"
    for name in ("bin", "etc", "opt/vendor", "proc", "dev", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    for path in ("/bin/ls", loader, *(path for name, path in needed.items() if name != vendored)):
        (rootfs / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(path), rootfs / path[1:])
    (rootfs / "etc/ld.so.conf").write_text("/opt/vendor\n")
    return rootfs


@pytest.mark.parametrize("injects", [True, False], ids=["with-library", "without"])
def test_library(runtime: PrivateRuntime, program: Path, place: Path, injects: bool) -> None:
    """A program of the container finds an injected library by the new cache, and does not start without it."""
    needed = libraries_of("/bin/ls")
    vendored = next((name for name in needed if not name.startswith(("libc.", "ld-"))), None)
    loader = next(
        (path for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(path)), ""
    )
    if vendored is None or not loader:
        pytest.skip("/bin/ls of this host needs no library but the C library, or has another one")
    rootfs = glibc_root(place, vendored, needed, loader)
    injected = {"libraries": [f"{needed[vendored]}:/opt/vendor/{vendored}.99"] if injects else []}
    done = runtime.run_container(
        asking(runtime, program, place, ("createRuntime",), injected, args=["/bin/ls", "/"], rootfs=rootfs)
    )
    assert (done.status == 0) == injects, str(done)
    assert ("opt\n" in done.stdout) == injects


def test_user_namespace(runtime: PrivateRuntime, program: Path, place: Path) -> None:
    """In a container with a user namespace the files belong to its root user, and a device is refused with a reason."""
    rootfs, owner = make_rootfs(place / "rootfs"), (100_000, 200_000)
    for path in (rootfs, *rootfs.rglob("*")):
        os.chown(path, *owner, follow_symlinks=False)
    remapped: dict[str, Any] = {"rootfs": rootfs, "rootless": True, "owner": owner}
    injected: dict[str, Any] = {
        "directories": ["/opt/new"],
        "miscellaneous": [{"source": "/etc/hostname", "destination": "/opt/new/t", "mode": "0600"}],
    }
    command = ["sh", "-c", "stat -c '%u:%g %a' /opt/new /opt/new/t"]
    done = runtime.run_container(
        asking(runtime, program, place, ("createRuntime",), injected, args=command, **remapped)
    )
    assert done.stdout == "0:0 755\n0:0 600\n", str(done)
    before = tree(rootfs)
    injected = {**injected, "devices": ["/dev/null:/dev/other"], "directories": ["/opt/other"]}
    done = runtime.run_container(
        asking(runtime, program, place, ("createRuntime",), injected, args=command, **remapped)
    )
    assert done.status != 0
    if runtime.name == "runc":
        assert "in a user namespace nobody can make devices" in done.stderr
        assert "injector-dir" in done.stderr
    assert tree(rootfs) == before


TREE = """
import hashlib, os, sys
for top, names, files in sorted(os.walk(sys.argv[1])):
    for name in sorted((*names, *files)):
        path = os.path.join(top, name)
        kind = os.lstat(path).st_mode
        data = os.readlink(path) if os.path.islink(path) else open(path, "rb").read() if os.path.isfile(path) else ""
        print(path, oct(kind), hashlib.sha256(repr(data).encode()).hexdigest())
"""


class Overlay:
    """
    A root made of two layers, the upper of which has removed a directory and a file of the lower one.

    It is mounted where the runtime runs, which need not be where the test does.
    """

    def __init__(self, runtime: PrivateRuntime, place: Path) -> None:
        self.runtime, self.root, self.lower = runtime, place / "root", place / "lower"
        make_rootfs(self.lower)
        (self.lower / "opt/gone").mkdir(parents=True)
        (self.lower / "opt/gone/file").write_text("lower")
        (self.lower / "opt/kept").write_text("lower")
        for name in ("upper", "work", "root"):
            (place / name).mkdir()
        options = f"lowerdir={self.lower},upperdir={place}/upper,workdir={place}/work"
        self.execute("mount", "-t", "overlay", "-o", options, "overlay", str(self.root))
        self.execute("rm", "-r", f"{self.root}/opt/gone", f"{self.root}/etc/group")

    def execute(self, *words: str) -> str:
        """Run a command where the runtime runs."""
        done = self.runtime.execute(words)
        assert done.status == 0, str(done)
        return done.stdout

    def tree(self) -> str:
        """All of the root, as the runtime sees it."""
        return self.execute(sys.executable, "-c", TREE, str(self.root))


@pytest.fixture
def overlay(runtime: PrivateRuntime, place: Path) -> Iterator[Overlay]:
    """Such a root."""
    made = Overlay(runtime, place / "layers")
    yield made
    made.execute("umount", str(made.root))


def test_overlay(runtime: PrivateRuntime, program: Path, place: Path, overlay: Overlay) -> None:
    """On an overlay with whiteouts the files appear, the lower layer stays, and afterwards all is as it was."""
    runtime.run_container(runtime.make_bundle(rootfs=overlay.root, readonly=False))
    before, below = overlay.tree(), tree(overlay.lower)
    injected = {
        "directories": ["/opt/gone"],
        "binaries": [f"/etc/hostname:{path}" for path in ("/opt/gone/file", "/etc/group", "/opt/kept")],
    }
    stages = ("createRuntime", "poststop")
    command = ["sh", "-c", "cat /opt/gone/file /etc/group /opt/kept; ls /opt/gone"]
    done = runtime.run_container(
        asking(runtime, program, place, stages, injected, args=command, rootfs=overlay.root, readonly=False)
    )
    assert done.stdout == Path("/etc/hostname").read_text() * 3 + "file\n", str(done)
    assert overlay.tree() == before
    assert tree(overlay.lower) == below
