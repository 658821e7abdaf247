"""Building the package: with a C compiler it has the launcher and a platform, without one it is pure Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError

ROOT = Path(__file__).parents[2]
LAUNCHER = "ocihooks/ocihooks-launcher"
COMPILERS = ("cc", "gcc", "clang")
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")


@pytest.fixture
def tree(private_directory: Path) -> Path:
    """A copy of what is needed to build, since building writes beside the sources."""
    directory = private_directory / "tree"
    directory.mkdir()
    leave_out = shutil.ignore_patterns("__pycache__", "ocihooks-launcher*")
    for name in ("src", "launcher", "tests"):
        shutil.copytree(ROOT / name, directory / name, ignore=leave_out)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, directory / name)
    return directory


@pytest.fixture
def without_compiler(tmp_path: Path) -> dict[str, str]:
    """An environment in which no C compiler is to be found."""
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin")}


@pytest.fixture
def with_compiler(unavailable: Callable[[OCIHooksError], NoReturn]) -> dict[str, str]:
    """The usual environment, with a C compiler."""
    if not any(map(shutil.which, COMPILERS)):
        unavailable(UnavailableError("there is no C compiler", hint="apt-get install gcc libc6-dev"))
    return {"PATH": os.environ["PATH"]}


def build(tree: Path, target: str, environment: dict[str, str]) -> tuple[Path, str]:
    """Build a wheel or an sdist in *tree* as pip does, without network; returns its file, and what was said."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tree.parent / "dist")]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (file,) = (tree.parent / "dist").iterdir()
    return file, done.stdout + done.stderr


def names_in(wheel: Path) -> list[str]:
    """The files in *wheel*."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_with_a_compiler_the_wheel_has_the_launcher(tree: Path, with_compiler: dict[str, str]) -> None:
    """The wheel is tagged for its platform and any Python 3, and holds a program that can be executed."""
    wheel, _ = build(tree, "wheel", with_compiler)
    assert wheel.name.endswith(f"-py3-none-{PLATFORM}.whl")
    with zipfile.ZipFile(wheel) as archive:
        for program in (LAUNCHER, f"{LAUNCHER}-dropins"):
            info = archive.getinfo(program)
            assert info.external_attr >> 16 & 0o111 == 0o111
            assert archive.read(info)[:4] == b"\x7fELF"
        metadata = next(name for name in archive.namelist() if name.endswith("/WHEEL"))
        assert "Root-Is-Purelib: false" in archive.read(metadata).decode()
    assert not list((tree / "src").rglob("ocihooks-launcher.*"))


def test_without_a_compiler_the_wheel_is_pure(tree: Path, without_compiler: dict[str, str]) -> None:
    """The wheel is for every platform, without the launcher, even where an old one lies beside the sources."""
    stale = tree / "src" / LAUNCHER
    stale.write_bytes(b"of another build")
    wheel, said = build(tree, "wheel", without_compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert LAUNCHER not in names_in(wheel)
    assert {"ocihooks/schemas/rule-1.0.0.json", "ocihooks/schemas/rule-0.1.0.json"} <= set(names_in(wheel))
    assert "no C compiler" in said
    assert not stale.exists()


@pytest.mark.parametrize("kind", ["missing", "fails"])
def test_a_compiler_that_does_not_work_is_told(tree: Path, with_compiler: dict[str, str], kind: str) -> None:
    """A compiler that can't be started, or that fails, gives a pure wheel and a warning with its words."""
    compiler = tree.parent / "compiler"
    if kind == "fails":
        compiler.write_text("#!/bin/sh\necho out of order >&2\nexit 1\n")
        compiler.chmod(0o755)
    wheel, said = build(tree, "wheel", {**with_compiler, "CC": f"{compiler} -m64"})
    assert wheel.name.endswith("-py3-none-any.whl")
    assert LAUNCHER not in names_in(wheel)
    assert "the launcher was not built" in said
    assert ("out of order" if kind == "fails" else "No such file") in said


def test_without_a_static_library_the_launcher_is_dynamic(tree: Path, with_compiler: dict[str, str]) -> None:
    """A compiler that can't link statically still makes the launcher."""
    compiler = tree.parent / "compiler"
    usual = next(filter(None, map(shutil.which, COMPILERS)))
    compiler.write_text(f'#!/bin/sh\ncase "$*" in *-static*) exit 1;; esac\nexec {usual} "$@"\n')
    compiler.chmod(0o755)
    wheel, _ = build(tree, "wheel", {**with_compiler, "CC": str(compiler)})
    assert wheel.name.endswith(f"-{PLATFORM}.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert b"/ld-" in archive.read(LAUNCHER)


@pytest.fixture
def machine_without_compiler(private_directory: Path) -> dict[str, str]:
    """An environment in which all programs are to be found but C compilers, by users without privileges, too."""
    programs = private_directory / "programs"
    programs.mkdir()
    for directory in filter(os.path.isdir, os.environ["PATH"].split(":")):
        for name in set(os.listdir(directory)) - set(os.listdir(programs)):
            if not is_compiler(name):
                (programs / name).symlink_to(Path(directory, name))
    return {"PATH": str(programs), "HOME": str(private_directory)}


def is_compiler(name: str) -> bool:
    """Whether a program of that name may compile C."""
    return any(word.startswith(COMPILERS) for word in (name, name.rpartition("-")[2])) or "-gcc" in name


@pytest.mark.early
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(
            (
                "tests/integration/test_wrapper_log.py::test_log",
                "tests/architecture/test_warm_path.py::test_modules_of_a_create",
            ),
            id="part",
        ),
        pytest.param(("tests/integration", "tests/architecture/test_warm_path.py"), id="all", marks=pytest.mark.slow),
    ],
)
def test_the_sdist_works_without_a_compiler(
    tree: Path, with_compiler: dict[str, str], machine_without_compiler: dict[str, str], part: tuple[str, ...]
) -> None:
    """
    The sdist has the launcher's source and not the program; installed where no compiler is, the package works: the
    tests that run containers on both runtimes, or a part of them, and those of what the wrapper imports, are green.
    """
    sdist, _ = build(tree, "sdist", with_compiler)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tree.parent / "sources", filter="data")
    assert {
        "launcher/launcher.c",
        "launcher/dropins.c",
        "launcher/testing/driver.c",
        "hatch_build.py",
        "pyproject.toml",
    } <= names
    assert f"src/{LAUNCHER}" not in names

    place = tree.parent / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    pip += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(place), str(sdist)]
    assert ran(pip, machine_without_compiler) == (0, "")
    there = machine_without_compiler | {"PYTHONPATH": str(place)}
    shown = "from ocihooks.install import launcher; print(launcher.PROGRAM, launcher.is_built())"
    assert ran(["-c", shown], there) == (0, f"{place / LAUNCHER} False\n")

    (sources,) = (tree.parent / "sources").iterdir()
    shutil.rmtree(sources / "src")
    status, said = ran(["-m", "pytest", "-q", "-n", "0", "-m", "not slow", *part], there, cwd=sources)
    assert status == 0, said
    assert " passed" in said
    for runtime in filter(shutil.which, ("runc", "crun")):
        assert re.search(rf"^{runtime} \S+: [1-9]\d* tests?$", said, re.MULTILINE), said


def ran(words: list[str], environment: dict[str, str], cwd: Path | None = None) -> tuple[int, str]:
    """Run Python; returns its status, and what it printed."""
    command = [sys.executable, *words]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=1800)
    return done.returncode, done.stdout + done.stderr
