"""Finding runtimes, and the parts of private runtimes that need no container."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocihooks.errors import UnavailableError
from ocihooks.testing.fake import Answer, write_fake_runtime
from ocihooks.testing.recorder import read_recorded
from ocihooks.testing.runtimes import InstalledRuntime, OrdinaryUser, PrivateRuntime, find_runtime


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that is all of PATH, with nothing remembered from before or for later."""
    monkeypatch.setenv("PATH", str(tmp_path))
    find_runtime.cache_clear()
    yield tmp_path
    find_runtime.cache_clear()


def test_missing(only_here: Path) -> None:
    """A runtime that is not on PATH is named, with the command that installs it."""
    with pytest.raises(UnavailableError, match="crun: not found on PATH") as caught:
        find_runtime("crun")
    assert caught.value.hint == "apt-get install crun"


def test_found(only_here: Path) -> None:
    """Name, path and version come from the program itself."""
    program = only_here / "runc"
    program.write_text("#!/bin/sh\necho 'runc version 1.2.3+x'\necho 'spec: 1.0.2'\n")
    program.chmod(0o755)
    assert find_runtime("runc") == InstalledRuntime(name="runc", path=program, version="1.2.3+x")


@pytest.mark.parametrize("script", ["echo hello", "echo 'crun version 1'; exit 1", "echo 'runc version 1'"])
def test_something_else(script: str, only_here: Path) -> None:
    """A program that does not tell its version as the runtime would is not taken for one."""
    program = only_here / "crun"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(UnavailableError, match='expected "crun version') as caught:
        find_runtime("crun")
    assert caught.value.file == str(program)


def test_not_executable(only_here: Path) -> None:
    """A program that can't be started is an error that says so."""
    program = only_here / "runc"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    with pytest.raises(UnavailableError, match=r"can't run it: .*Exec format error") as caught:
        find_runtime("runc")
    assert caught.value.file == str(program)


def test_ordinary_user(ordinary_user: OrdinaryUser) -> None:
    """The ordinary user is not root, and owns home and runtime directory alone."""
    user = ordinary_user
    assert user.uid != 0
    for path in (user.home, user.runtime_directory):
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (user.uid, 0o700)
    assert user.environment.keys() == {"PATH", "HOME", "XDG_RUNTIME_DIR"}


def test_call_of_an_ordinary_user(ordinary_user: OrdinaryUser) -> None:
    """Commands of a rootless runtime run as its user, in its environment."""
    user = ordinary_user
    installed = InstalledRuntime(name="id", path=Path("/usr/bin/id"), version="1")
    with PrivateRuntime(installed, user.home / "rt", rootfs="/", user=user) as runtime:
        call = runtime.execute(["/bin/sh", "-c", 'id -u; id -G; echo "$HOME"; exit 3'])
    assert (call.status, call.stdout) == (3, f"{user.uid}\n{user.gid}\n{user.home}\n")


def test_container_that_stays(tmp_path: Path) -> None:
    """A container that can't be deleted at the end is an error that shows what the runtime said."""
    fake = write_fake_runtime(tmp_path / "fake", answers={"delete": Answer(exit_status=1, stderr="no way")})
    installed = InstalledRuntime(name="fake", path=fake.path, version="1")
    runtime = PrivateRuntime(installed, tmp_path / "private", rootfs=tmp_path)
    assert runtime.create(runtime.make_bundle(), "c1").status == 0
    assert runtime.containers() == ("c1",)
    with pytest.raises(RuntimeError, match="no way"):
        runtime.close()


def test_wait(tmp_path: Path) -> None:
    """Waiting for a status that does not come ends with an error that says what the container is."""
    fake = write_fake_runtime(tmp_path / "fake")
    installed = InstalledRuntime(name="fake", path=fake.path, version="1")
    with PrivateRuntime(installed, tmp_path / "private", rootfs=tmp_path) as runtime:
        runtime.create(runtime.make_bundle(), "c1")
        runtime.wait_for_status("c1", "created")
        with pytest.raises(TimeoutError, match=r"expected container c1 to be stopped, found .*created"):
            runtime.wait_for_status("c1", "stopped", timeout_s=0.05)


def test_nothing_recorded(tmp_path: Path) -> None:
    """No file of records means that no hook ran."""
    assert read_recorded(tmp_path / "none") == ()
    assert os.listdir(tmp_path) == []
