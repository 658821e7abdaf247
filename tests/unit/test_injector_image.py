"""What oci-injector-hook loads: for each kind of container the modules of its images, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install.install import Request, install
from ocihooks.install.record import Record

NAME = "oci-injector-hook"


@pytest.fixture(scope="module")
def installed(public_directory: Path) -> Record:
    """The installed program."""
    return install(Request(prefix=str(public_directory / "injector-image"), program=NAME, name=NAME))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose image has a dynamic linker with a cache."""
    for directory in ("b/rootfs/etc/ld.so.conf.d", "b/rootfs/lib64", "conf"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "b/rootfs/lib64/ld-linux-x86-64.so.2").touch()
    (tmp_path / "b/rootfs/etc/ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n")
    (tmp_path / "b/rootfs/etc/ld.so.conf.d/a.conf").write_text("/opt/lib\n")
    (tmp_path / "b/config.json").write_text('{"process": {"env": ["WITH=1"]}, "root": {"path": "rootfs"}}')
    for number in range(3):
        (tmp_path / f"tool{number}").write_text("tool")
    return tmp_path / "b"


def run(record: Record, bundle: Path, *before: str, **members: Any) -> None:
    """Run the program for *bundle*, with an injector file with *members*."""
    place = bundle.parent
    (place / "conf/a.json").write_text(json.dumps({"activation_flag": "WITH", **members}))
    state = json.dumps({"ociVersion": "1.0.2", "id": "c1", "status": "creating", "bundle": str(bundle)})
    env = {"OCI_INJECTOR_CONFIG_DIR": str(place / "conf")}
    done = subprocess.run([*before, record.script], input=state, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "files": lambda place: {"directories": [str(place)], "binaries": [f"{place}/tool0", f"{place}/tool1"]},
    "objects": lambda place: {"binaries": [{"source": f"{place}/tool0", "destination": "/tool", "mode": "0700"}]},
    "libraries": lambda place: {"libraries": [f"{place}/tool0:/lib64/tool0"]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_modules(kind: str, installed: Record, bundle: Path, unavailable: Callable[[OCIHooksError], NoReturn]) -> None:
    """A container that asks costs no look into a directory of modules, and no compiled module but those of images."""
    if shutil.which("strace") is None:
        unavailable(UnavailableError("strace: not found on PATH", hint="apt-get install strace"))
    log = bundle.parent / "strace"
    run(installed, bundle, "strace", "-f", "-o", str(log), "-e", "trace=openat", **KINDS[kind](bundle.parent))
    opened = [line.split('"')[1] for line in log.read_text().splitlines() if "openat(" in line and "ENOENT" not in line]
    first = next(number for number, path in enumerate(opened) if path.endswith(f"{NAME}.call"))
    own = [path for path in opened[first:] if path.endswith((".pyc", ".py", "lib-dynload", "/injector", "/ocihooks"))]
    assert own == []
    assert any(path.endswith(f"{NAME}.create") for path in opened)


def test_damaged_image(installed: Record, bundle: Path) -> None:
    """Where an image is damaged the modules of the package do the same."""
    (image,) = [Path(file) for file in installed.files if file.endswith(".create")]
    good = image.read_bytes()
    try:
        for damaged in (good[: len(good) // 2], good[:4], b"", good.replace(b"posix", b"pasix")):
            image.write_bytes(damaged)
            run(installed, bundle, **KINDS["files"](bundle.parent))
            top = bundle / "rootfs" / str(bundle.parent)[1:]
            assert (top / "tool1").read_text() == "tool"
            shutil.rmtree(bundle / "rootfs" / bundle.parts[1])
        image.unlink()
        run(installed, bundle, **KINDS["files"](bundle.parent))
    finally:
        image.write_bytes(good)
