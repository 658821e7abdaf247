"""Whose processes count as daemons of engines: a name on a command line is no proof."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocihooks.engines.docker import Docker
from ocihooks.engines.programs import daemons

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts processes of other users")

STRANGER = 65534


@contextmanager
def started(program: str, user: int) -> Iterator[int]:
    """A process that calls itself dockerd."""
    with subprocess.Popen(["dockerd", "60"], executable=program, user=user) as made:
        try:
            yield made.pid
        finally:
            made.kill()


def found(pid: int) -> tuple[bool, bool]:
    """Whether the process counts as a daemon, and as the one that has Docker's file."""
    everybody = {daemon.pid for daemon in daemons("dockerd")}
    return pid in everybody, pid in {daemon.pid for daemon in Docker().running("/etc/docker/daemon.json")}


def set_uid(directory: Path) -> str:
    """A program that runs with the rights of root, whoever starts it and by whatever name."""
    shutil.copyfile("/bin/sleep", directory / "sleep")
    (directory / "sleep").chmod(0o4755)
    return str(directory / "sleep")


@pytest.mark.parametrize(
    ("program", "owner"),
    [
        pytest.param(lambda _: "/bin/sleep", STRANGER, id="plain"),
        pytest.param(set_uid, 0, id="set-user-id"),
    ],
)
def test_daemon_of_another_user(program: Callable[[Path], str], owner: int, private_directory: Path) -> None:
    """No user can have root reload, ask or spare a daemon of theirs, whoever the directory in /proc belongs to."""
    private_directory.chmod(0o755)
    with started(program(private_directory), STRANGER) as pid:
        assert (Path(f"/proc/{pid}").stat().st_uid, found(pid)) == (owner, (False, False))


def test_daemon_of_root() -> None:
    """Control: the same process counts when it is root's."""
    with started("/bin/sleep", 0) as pid:
        assert found(pid) == (True, True)
