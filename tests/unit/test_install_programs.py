"""Installing the programs that stand in for others: what each one takes, and what is written."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import SettingsError, UnavailableError, UsageError
from ocihooks.install.install import Request, install, prepare_install
from ocihooks.install.programs import DEFAULT, PROGRAMS
from ocihooks.install.record import read_record
from ocihooks.install.uninstall import InUseError, User, prepare_uninstall, uninstall

OTHERS = [name for name in PROGRAMS if name != DEFAULT]


def request_for(name: str, prefix: Path, **options: Any) -> Request:
    """The plain request for a program below *prefix*."""
    return Request(prefix=str(prefix), program=name, name=name, **options)


@pytest.mark.parametrize("name", OTHERS)
def test_there_and_back(name: str, tmp_path: Path) -> None:
    """A program is written with its record, tells its version, and goes without a trace."""
    (tmp_path / "etc").mkdir()
    options = {"settings": str(tmp_path / "etc/config.toml")} if "settings" in PROGRAMS[name].options else {}
    record = install(request_for(name, tmp_path / "p", **options))
    assert record == read_record(str(tmp_path / "p"), name)
    assert (record.program, record.runtime, record.flavour) == (name, "", "")
    if name != "container-hooks-runtime":  # which asks its runtime, too
        done = subprocess.run([record.script, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"{name} ")
    uninstall(str(tmp_path / "p"), name)
    assert [path for path in (tmp_path / "p").rglob("*") if not path.is_dir()] == []


REFUSED = [
    *((name, option) for name in OTHERS for option in ("runtime", "hooks_dirs")),
    *(("oci-add-hooks", option) for option in ("settings", "cache_dir")),
    *(
        (name, option)
        for name in ("container-hooks", "container-hooks-ctk")
        for option in ("settings", "cache_dir", "launcher")
    ),
]


@pytest.mark.parametrize(("name", "option"), REFUSED, ids=[f"{name}-{option}" for name, option in REFUSED])
def test_options_that_mean_nothing(name: str, option: str, tmp_path: Path) -> None:
    """An option that a program has no use for is refused, with where it looks instead."""
    value: Any = {"hooks_dirs": ("/h",), "launcher": True}.get(option, "/x")
    with pytest.raises(UsageError, match=f"means nothing to {name}") as caught:
        prepare_install(request_for(name, tmp_path, **{option: value}))
    assert caught.value.hint == PROGRAMS[name].instead


def test_unknown_program(tmp_path: Path) -> None:
    """An unknown program is refused with the names of those that are known."""
    with pytest.raises(UsageError, match="expected one of ocihooks-runtime, oci-add-hooks"):
        prepare_install(request_for("runc-hooks", tmp_path))


def test_broken_settings(tmp_path: Path) -> None:
    """container-hooks-runtime is not installed in front of settings that would stop every container."""
    (tmp_path / "config.toml").write_text("broken")
    with pytest.raises(SettingsError, match="not TOML"):
        prepare_install(request_for("container-hooks-runtime", tmp_path, settings=str(tmp_path / "config.toml")))


def test_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that containers need is not removed, by force neither, where no link could take its place."""
    install(request_for("oci-add-hooks", tmp_path))
    user = User(pid=1, program="conmon", container="c1")
    monkeypatch.setattr("ocihooks.install.uninstall.users_of", lambda script: [user])
    with pytest.raises(InUseError) as caught:
        prepare_uninstall(str(tmp_path), "oci-add-hooks", force=True)
    assert caught.value.hint == "stop them first"


@pytest.mark.parametrize("name", ["oci-add-hooks", "container-hooks-runtime"])
def test_without_the_package(name: str, tmp_path: Path) -> None:
    """When the package can't be imported a create fails with a message, and other operations reach the runtime."""
    (tmp_path / "config.toml").write_text('[container-hooks-runtime]\nruntimes = ["/bin/echo"]\n')
    options = {"settings": str(tmp_path / "config.toml")} if name != "oci-add-hooks" else {}
    record = install(request_for(name, tmp_path, launcher=False, **options))
    script = Path(record.script)
    script.write_text(script.read_text().replace("sys.path += [", "sys.path += []; [").replace("/ocihooks/", "/gone/"))
    own = ["--hook-config-path", "/h", "--runtime-path", "echo"] if name == "oci-add-hooks" else []
    done = subprocess.run([script, *own, "state", "c1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "state c1\n", "")
    done = subprocess.run([script, *own, "create", "c1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{name}: the package ocihooks can't be imported")


def test_no_such_installation(tmp_path: Path) -> None:
    """Each program is removed by its own name."""
    install(request_for("container-hooks", tmp_path))
    with pytest.raises(UnavailableError) as caught:
        prepare_uninstall(str(tmp_path), "oci-add-hooks")
    assert caught.value.hint == "installed there: container-hooks"
