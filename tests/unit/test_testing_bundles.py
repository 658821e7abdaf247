"""Bundles of the test kit, without a runtime."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from ocihooks.errors import UnavailableError
from ocihooks.testing.bundles import make_bundle, make_rootfs
from ocihooks.testing.configs import bind_mount, make_config


def test_rootfs_has_applets_and_directories(rootfs: Path) -> None:
    """A root file system holds busybox, a link for each applet, accounts, and the directories that mounts need."""
    assert (rootfs / "bin/sh").readlink() == Path("busybox")
    assert (rootfs / "etc/passwd").read_text().startswith("root:x:0:0:")
    for name in ("dev", "mnt", "proc", "run", "sys", "tmp"):
        assert (rootfs / name).is_dir()


def test_rootfs_can_be_read_by_all(tmp_path: Path) -> None:
    """Everybody can read a root file system and execute its programs, also one made with a strict umask."""
    before = os.umask(0o077)
    try:
        rootfs = make_rootfs(tmp_path / "rootfs")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (rootfs, *rootfs.rglob("*"))}
    assert modes.pop("tmp") == 0o1777
    assert modes["busybox"] == 0o755
    assert all(mode & 0o444 == 0o444 for mode in modes.values())


def test_rootfs_is_made_again(tmp_path: Path) -> None:
    """Making a root file system where one is already changes nothing of it."""
    names = [sorted(path.name for path in make_rootfs(tmp_path).rglob("*")) for _ in range(2)]
    assert names[0] == names[1]


def test_no_busybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without busybox on PATH the error names the package to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="busybox: not found on PATH") as caught:
        make_rootfs(tmp_path / "rootfs")
    assert caught.value.hint == "apt-get install busybox-static"
    assert not (tmp_path / "rootfs").exists()


@pytest.mark.parametrize("source", [pytest.param("/bin/ls", id="dynamic"), pytest.param(None, id="script")])
def test_unsuitable_busybox(source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busybox that would need the host's libraries inside the container is refused by name."""
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"#!/bin/sh\n" if source is None else Path(source).read_bytes())
    busybox.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="expected a statically linked busybox") as caught:
        make_rootfs(tmp_path / "rootfs")
    assert caught.value.file == str(busybox)


def test_bundle_looks_like_an_engine_s(tmp_path: Path, rootfs: Path) -> None:
    """Directory, mode, owner, form and size of config.json are what engines hand to their runtimes."""
    bundle = make_bundle(tmp_path / "bundle", rootfs=rootfs)
    file, directory = bundle.config_path.stat(), bundle.directory.stat()
    assert stat.S_IMODE(directory.st_mode) == 0o700
    assert stat.S_IMODE(file.st_mode) == 0o644
    assert (file.st_uid, file.st_nlink) == (os.geteuid(), 1)
    assert 3 * 1024 <= file.st_size <= 11 * 1024
    assert b"\n" not in bundle.config_path.read_bytes()


def test_bundle_members(tmp_path: Path, rootfs: Path) -> None:
    """What the caller asks for stands in config.json, and what is not asked for is left out."""
    hooks = {"createRuntime": [{"path": "/bin/true"}], "poststop": []}
    mount = bind_mount("/srv/data", "/mnt", readonly=True)
    config = make_bundle(
        tmp_path,
        rootfs=rootfs,
        args=["sh", "-c", "é"],
        annotations={"a": "b"},
        hooks=hooks,
        mounts=[mount],
        env=["A=1"],
        hostname="h",
        oci_version="1.0.0",
    ).config()
    assert config["process"]["args"] == ["sh", "-c", "é"]
    assert config["process"]["env"] == ["A=1"]
    assert (config["annotations"], config["hooks"]) == ({"a": "b"}, hooks)
    assert config["mounts"][-1] == mount
    assert (config["hostname"], config["ociVersion"]) == ("h", "1.0.0")
    assert config["root"] == {"path": str(rootfs), "readonly": True}
    plain = make_config(rootfs="rootfs", args=None)
    assert not {"process", "hooks", "annotations"} & plain.keys()


def test_rootless_bundle() -> None:
    """A rootless configuration maps the owner to root and asks for nothing that needs privileges."""
    linux = make_config(rootfs="rootfs", rootless_owner=(1000, 100))["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 100, "size": 1}]
    assert {"type": "user"} in linux["namespaces"]
    assert "resources" not in linux


@pytest.mark.parametrize(
    "content", [pytest.param(b'{"hooks":', id="bytes"), pytest.param({"hooks": {}}, id="document")]
)
def test_rewrite(content: bytes | dict[str, object], tmp_path: Path) -> None:
    """A config.json can be rewritten with a document or with any bytes, and keeps its mode."""
    bundle = make_bundle(tmp_path, rootfs="/nonexistent")
    bundle.config_path.chmod(0o600)
    bundle.write_config(content)
    assert bundle.config_path.read_bytes() == (content if isinstance(content, bytes) else b'{"hooks":{}}')
    assert stat.S_IMODE(bundle.config_path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_owner(tmp_path: Path) -> None:
    """Root can make a bundle for somebody else, rootless for that very user."""
    bundle = make_bundle(tmp_path / "bundle", rootfs="/nonexistent", rootless=True, owner=(1234, 2345))
    for path in (bundle.directory, bundle.config_path):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    assert bundle.config()["linux"]["uidMappings"][0]["hostID"] == 1234


def test_configs_are_independent(rootfs: Path) -> None:
    """Changing one configuration never changes the next one."""
    first = make_config(rootfs=str(rootfs))
    untouched = make_config(rootfs=str(rootfs))
    for capabilities in first["process"]["capabilities"].values():
        capabilities.clear()
    first["linux"]["maskedPaths"].clear()
    first["linux"]["resources"]["devices"][1].clear()
    first["mounts"][0].clear()
    assert make_config(rootfs=str(rootfs)) == untouched


def test_busybox_of_the_rootfs_runs(rootfs: Path) -> None:
    """The programs of a root file system need nothing outside it."""
    answer = subprocess.run([rootfs / "bin/echo", "static"], capture_output=True, text=True, check=True, env={})
    assert answer.stdout == "static\n"
