"""What unit tests share: the package in a place that users without privileges can read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ocihooks


@pytest.fixture(scope="session")
def public_package(public_directory: Path) -> Path:
    """A directory with a copy of the package that everybody can import from; the checkout may lie in root's home."""
    directory = public_directory / "package"
    source = Path(ocihooks.__file__).parent
    shutil.copytree(source, directory / "ocihooks", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory
