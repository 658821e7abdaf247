"""
An installation of the wrapper in a temporary directory, for the tests of installing and of uninstalling.

Test modules take the fixtures by assignment: ``runtime = installing.runtime``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ocihooks.errors import UntrustedError
from ocihooks.install.install import Request, install, prepare_install
from ocihooks.install.record import Record

NAME = "ocihooks-runtime"


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A program that says what it was called with."""
    path = tmp_path / "runc"
    path.write_text('#!/bin/sh\necho "runtime: $*"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def wanted(tmp_path: Path, runtime: Path) -> Request:
    """A request without launcher that can be granted; its prefix is not there yet."""
    request = Request(prefix=str(tmp_path / "prefix"), runtime=str(runtime), launcher=False)
    try:
        prepare_install(request)
    except UntrustedError as error:
        if Path(str(error.file)).is_relative_to(tmp_path):
            raise
        pytest.skip(f"interpreter and package could be written by others here: {error}")
    return request


@pytest.fixture
def record(wanted: Request) -> Record:
    """What was installed."""
    return install(wanted)
