"""What the pages install: a package index with a wheel of this project, and what it depends on."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from tests.docs.markdown import PROJECT


class Packages:
    """
    What is installed from, below *directory*; ``make`` fills it.

    The package index is a folder with a wheel of this project; what the package depends on is copied from the
    environment that runs the tests.

    Attributes:
        wheels: The package index.
        site: What the package depends on, for the site-packages of an environment.
    """

    def __init__(self, directory: Path) -> None:
        self.wheels, self.site = directory / "wheels", directory / "site"

    def make(self) -> None:
        """Build the wheel, and gather the rest."""
        for place in (self.wheels, self.site):
            place.mkdir(mode=0o755, parents=True)
        _copy_dependencies(_build_wheel(self.wheels), self.site)


def _build_wheel(directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def _copy_dependencies(wheel: Path, directory: Path) -> None:
    """Copy the installed distributions that *wheel* needs, with those of its extras, and those that they need."""
    (metadata,) = (entry for entry in zipfile.Path(wheel).iterdir() if entry.name.endswith(".dist-info"))
    waiting: list[importlib.metadata.Distribution] = [importlib.metadata.PathDistribution(metadata)]
    seen = set()
    while waiting:
        for requirement in waiting.pop().requires or ():
            match = re.match(r"[\w.-]+", requirement)
            if match and match[0] not in seen and _is_installed(match[0]):
                seen.add(match[0])
                waiting.append(importlib.metadata.distribution(match[0]))
                _copy_distribution(waiting[-1], directory)


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _copy_distribution(distribution: importlib.metadata.Distribution, directory: Path) -> None:
    """Copy the files of one distribution; its programs, which lie elsewhere, are left out."""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        if ".." in file.parts or not source.exists() or not any(source.is_relative_to(place) for place in places):
            continue
        target = directory / file
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copy2(source, target)  # with its time, so that compiled modules count
