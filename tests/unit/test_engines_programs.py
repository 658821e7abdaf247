"""Whose processes count as daemons of engines: a name on a command line is no proof."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
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


@pytest.mark.parametrize(
    ("script", "believed"),
    [
        pytest.param("true", True, id="mounts-of-its-own"),
        pytest.param('mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"', True, id="read-only"),
        pytest.param('mount -t tmpfs none "$0"', False, id="another-directory"),
        pytest.param('mount -t tmpfs none "$0" && : > "$1"', False, id="another-file"),
        pytest.param('mount -t tmpfs none "$0" && ln -s "$1" "$1"', False, id="link-to-ours"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_daemon_with_another_file(script: str, believed: bool, exists: bool, private_directory: Path) -> None:
    """A process counts if its file is ours, whatever mounts it has; one in a container can name any file."""
    file = private_directory / "daemon.json"
    if exists:
        file.write_text("{}")
    sleep = f"{script} && echo && exec -a dockerd sleep 60 --config-file={file}"
    sleep = sleep.replace("sleep 60", "/bin/sh -c 'sleep 60; :'")
    command = ["unshare", "--mount", "/bin/bash", "-c", sleep, str(private_directory), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0) as made:
        try:
            assert made.stdout is not None
            assert made.stdout.readline() == b"\n"
            assert wait_for_name(made.pid, "dockerd")
            assert (made.pid in {daemon.pid for daemon in Docker().running(str(file))}) is believed
        finally:
            os.killpg(made.pid, signal.SIGKILL)


def wait_for_name(pid: int, name: str) -> bool:
    """Whether the process comes to call itself *name*."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name.encode() + b"\0"):
            return True
        time.sleep(0.01)
    return False


def test_daemon_of_root() -> None:
    """Control: the same process counts when it is root's."""
    with started("/bin/sleep", 0) as pid:
        assert found(pid) == (True, True)
