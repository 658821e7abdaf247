"""Images that engines can load without a registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from ocihooks.testing.engines.image import write_image

NAME = "localhost/small:1"


@pytest.fixture
def members(tmp_path: Path) -> dict[str, bytes]:
    """What is in the archive of an image with one file."""
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/hello").write_text("hello\n")
    archive = write_image(tmp_path / "image.tar", tmp_path / "rootfs", name=NAME, command=["/hello"], env=["A=b"])
    with tarfile.open(archive) as opened:
        return {name: read(opened, name) for name in opened.getnames()}


def read(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of an archive."""
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_blobs_have_their_names(members: dict[str, bytes]) -> None:
    """Each blob lies where its digest says."""
    blobs = {name: content for name, content in members.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    for name, content in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def test_layout_leads_to_the_files(members: dict[str, bytes]) -> None:
    """From index.json one comes to the manifest, the configuration and the layer, with right sizes and the name."""
    assert json.loads(members["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (found,) = json.loads(members["index.json"])["manifests"]
    assert set(found["annotations"].values()) == {NAME}

    def follow(descriptor: dict[str, object]) -> bytes:
        content = members[f"blobs/{str(descriptor['digest']).replace(':', '/')}"]
        assert len(content) == descriptor["size"]
        return content

    manifest = json.loads(follow(found))
    config = json.loads(follow(manifest["config"]))
    assert config["config"] == {"Cmd": ["/hello"], "Env": ["A=b"]}
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(follow(layer))) as opened:
        assert read(opened, "./hello") == b"hello\n"
        assert {entry.uid for entry in opened} == {0}


def test_docker_finds_the_same(members: dict[str, bytes]) -> None:
    """manifest.json names the same blobs, for docker load."""
    (entry,) = json.loads(members["manifest.json"])
    assert entry["RepoTags"] == [NAME]
    assert {entry["Config"], *entry["Layers"]} <= members.keys()


def test_same_bytes_again(tmp_path: Path) -> None:
    """The same root file system gives the same archive."""
    (tmp_path / "rootfs").mkdir()
    files = [write_image(tmp_path / name, tmp_path / "rootfs", name=NAME) for name in ("a.tar", "b.tar")]
    assert files[0].read_bytes() == files[1].read_bytes()
