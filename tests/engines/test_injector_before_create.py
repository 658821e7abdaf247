"""Injector files on engines: the wrapper gives containers devices and files that their engine knows nothing of."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.engines.conftest import Scene
from tests.engines.features import BY_NAME, DOCKER

from ocihooks.testing.engines.client import DockerCommands
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.engines.host import Finished

USES = """
cat /opt/data/file; cat /usr/local/share/single; echo $DATA
stat -c %t,%T /dev/tools/loop; head -c 0 /dev/tools/loop && echo used
mknod /dev/own b 7 1 && head -c 0 /dev/own 2>/dev/null || echo forbidden
"""


def run(scene: Scene, script: str, *options: str) -> Finished:
    """Run a shell script in a container with further options of the engine."""
    engine = scene.engine
    assert isinstance(engine, DockerCommands)
    words = ("run", "--rm", "--network=none", "--cap-add=MKNOD", *engine.run_options, *options)
    return engine.call(*engine.global_options, *words, IMAGE, "sh", "-c", script)


@pytest.fixture
def things(private_directory: Path) -> Path:
    """A directory, a file and a loop device's node of the host."""
    place = private_directory / "things"
    place.mkdir()
    (place / "file").write_text("from the host\n")
    os.mknod(place / "loop", stat.S_IFBLK, os.makedev(7, 0))
    return place


@pytest.mark.runtime
@pytest.mark.parametrize("engine", [DOCKER, BY_NAME], indirect=True)
def test_given(scene: Scene, things: Path) -> None:
    """A container that asks reads the host's files in a read-only root, and uses its device and no other."""
    directory = scene.wrapper.directory / "etc/injector.d"
    directory.mkdir(mode=0o755)
    injector_file = {
        "activation_flag": "WITH_TOOLS",
        "devices": [f"{things}/loop:/dev/tools/loop"],
        "directories": [f"{things}:/opt/data"],
        "miscellaneous": [f"{things}/file:/usr/local/share/single"],
        "env": ["DATA=/opt/data"],
    }
    (directory / "a.json").write_text(json.dumps(injector_file))
    scene.wrapper.write_settings(injector_dir=str(directory))
    done = run(scene, USES, "--env=WITH_TOOLS=1", "--read-only")
    assert done.stdout == "from the host\nfrom the host\n/opt/data\n7,0\nused\nforbidden\n", done
    other = run(scene, "ls /opt/data /dev/tools 2>/dev/null; mknod /dev/own b 7 0; head -c 0 /dev/own 2>&1")
    assert other.status != 0
    assert "not permitted" in other.stdout, other
    (directory / "a.json").write_text(json.dumps({**injector_file, "devices": ["/dev/none"]}))
    refused = run(scene, "true", "--env=WITH_TOOLS=1")
    assert refused.status != 0
    assert "/dev/none" in refused.stderr, refused
    assert "can't be given to the container: it does not exist; container not created" in refused.stderr
