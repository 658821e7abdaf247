"""The modifier that checks root file systems, on engines that tell the image: only what was signed starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.conftest import Scene
from tests.engines.features import BY_PATH, DOCKER
from tests.integration.modifying import write_verifier

CHANGE = "sed -i s/root:x/root:y/ /etc/passwd; echo done"


@pytest.mark.runtime
@pytest.mark.parametrize("engine", [DOCKER, BY_PATH], indirect=True)
def test_verified_image(scene: Scene, rootfs: Path) -> None:
    """A container of a signed image starts; when a byte of its root has changed it does not start again."""
    engine = scene.engine
    manifest = write_verifier(scene.wrapper, rootfs, "localhost+busybox:1")
    name = engine.new_name()
    started = engine.run("sh", "-c", CHANGE, container=name, detach=True)
    assert started.status == 0, started
    engine.wait_for_status(name, "stopped")
    refused = engine.restart(name)
    assert refused.status != 0
    said = 'its root file system is not that of the manifest: "/etc/passwd": its content differs; container not created'
    assert said in refused.stderr, refused
    manifest.rename(manifest.with_suffix(".away"))
    unknown = engine.run("true")
    assert unknown.status != 0
    assert "localhost+busybox:1.json do not exist" in unknown.stderr, unknown
