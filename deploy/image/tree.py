"""
Makes a Python of its own with ocihooks in it, which needs nothing of the machine that it is copied to but the kernel.

Run while the image is built: python3 tree.py TARGET WHEELS

TARGET is where the tree is going to be on every machine, since interpreters and scripts name it. Into it go the
interpreter that runs this, its standard library, ocihooks with what it depends on, and all shared libraries of these,
the dynamic loader and the C library among them. The program patchelf writes into the interpreter where they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "pydoc_data"),
    *("curses", "dbm", "sqlite3", "config-*", "*-packages", "*.opt-?.pyc"),
    *(f"{name}.*.so" for name in ("_tkinter", "_curses*", "readline", "_sqlite3", "_dbm", "_gdbm", "nis", "*test*")),
)
"""Parts of the standard library that no program of ours imports, and what others have installed."""

NOT_COMPILED = "/pygments/"
"""What nearly nobody imports, and is large."""

SCRIPT = """#!{python} -I
import sys

from ocihooks.cli import main

sys.exit(main())
"""

IMAGE_PACKAGE = Path(__file__).parent / "ocihooks_image"


def main(target: Path, wheels: Path) -> None:
    """Make the tree."""
    python = copy_interpreter(target)
    make_movable(target, python)
    packages = packages_of(python)
    install(packages, wheels)
    shutil.copytree(IMAGE_PACKAGE, packages / IMAGE_PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    bring_libraries(target, python)
    script = target / "bin/ocihooks"
    script.write_text(SCRIPT.format(python=python))
    script.chmod(0o755)
    said([python, "-I", "-m", "compileall", "-q", "-x", NOT_COMPILED, target / "lib"])
    (target / "BUILD").write_text(f"{digest(target)}\n")
    sys.stdout.write(said([script, "--version"]))


def copy_interpreter(target: Path) -> Path:
    """Copy the interpreter and its standard library; returns the copy."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (target / "bin").mkdir(parents=True)
    python = target / "bin" / version
    shutil.copy2(os.path.realpath(sys.executable), python)
    (target / "bin/python3").symlink_to(version)
    shutil.copytree(sysconfig.get_path("stdlib"), target / "lib" / version, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return python


def make_movable(target: Path, python: Path) -> None:
    """Let *python* find its loader and its libraries in *target*, whatever the machine has."""
    libraries = target / "lib"
    loader = Path(said(["patchelf", "--print-interpreter", python]).strip())
    copy_libraries(libraries, listed(loader, python))
    shutil.copy2(loader, libraries / loader.name)
    # The older kind of search path counts for the libraries of extension modules, too, and before LD_LIBRARY_PATH.
    said(["patchelf", "--set-interpreter", libraries / loader.name, "--force-rpath", "--set-rpath", libraries, python])


def packages_of(python: Path) -> Path:
    """Where *python* looks for packages."""
    code = "import sysconfig; print(sysconfig.get_path('platlib'))"
    return Path(said([python, "-I", "-c", code]).strip())


def install(packages: Path, wheels: Path) -> None:
    """Install ocihooks from *wheels* alone."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    said(
        [*pip, "--root-user-action=ignore", "--no-index", f"--find-links={wheels}", f"--target={packages}", "ocihooks"]
    )


def bring_libraries(target: Path, python: Path) -> None:
    """Copy the libraries of all extension modules; those that the building machine lacks are left out."""
    libraries = target / "lib"
    loader = Path(said(["patchelf", "--print-interpreter", python]).strip())
    for module in sorted(target.rglob("*.so")):
        copy_libraries(libraries, listed(loader, module))
    for library in sorted(target.rglob("*.so*")):
        if said(["patchelf", "--print-rpath", library]).strip():  # it would count instead of the interpreter's
            said(["patchelf", "--remove-rpath", library])


def listed(loader: Path, program: Path) -> Iterator[tuple[str, Path]]:
    """The libraries of *program*: the name by which each is asked for, and where it is."""
    for line in said([loader, "--list", program]).splitlines():
        found = re.fullmatch(r"\s*(\S+) => (/\S+) \(0x[0-9a-f]+\)", line)
        if found:
            yield found[1], Path(found[2])


def copy_libraries(libraries: Path, found: Iterator[tuple[str, Path]]) -> None:
    """Copy those of *found* that are not there."""
    for name, path in found:
        if not path.is_relative_to(libraries.parent) and not (libraries / name).exists():
            shutil.copyfile(path, libraries / name)
            (libraries / name).chmod(0o755)


def digest(target: Path) -> str:
    """What tells this tree from any other."""
    total = hashlib.sha256()
    for path in sorted(path for path in target.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        total.update(f"{path.relative_to(target)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def said(command: list[str | Path]) -> str:
    """What *command* prints; this ends with its message where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"tree.py: {' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
