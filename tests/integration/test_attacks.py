"""What an author of an image may try on a real runtime, beside an attempt that shows that the attack works at all."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import ocihooks
from ocihooks.modifiers.creation import Creation
from ocihooks.testing.runtimes import PrivateRuntime

pytestmark = pytest.mark.runtime


def test_environment_of_the_image(runtime: PrivateRuntime, tmp_path: Path) -> None:
    """The rule of a hook in Python keeps variables of the image out, where the runtime would hand them to the hook."""
    program = tmp_path / "hook.py"
    program.write_text(
        "import sys\nsys.stdin.read()\n"
        f"import os\nopen({str(tmp_path / 'seen')!r}, 'a').write(repr(sorted(os.environ)) + chr(10))\n"
    )
    made = ocihooks.hook(stages=["createContainer"], when={"always": True})(lambda call: None)
    given = made.rule(python=sys.executable)["hook"] | {"args": [sys.executable, "-I", str(program)]}
    without = {name: value for name, value in given.items() if name != "env"}
    hooks = {"createContainer": [given, without]}
    done = runtime.run_container(runtime.make_bundle(env=["PATH=/bin", "LD_PRELOAD_=./x.so"], hooks=hooks))
    assert done.status == 0, done
    seen, control = (tmp_path / "seen").read_text().splitlines()
    assert "LD_PRELOAD_" not in seen
    assert "'PATH'" in seen
    assert ("LD_PRELOAD_" in control) == (runtime.name == "runc"), "crun hands on nothing"


def test_root_behind_a_link(runtime: PrivateRuntime, rootfs: Path, private_directory: Path) -> None:
    """The tree that modifiers and hooks are told of is the one that the container gets, also behind links and dots."""
    for name in ("a/root", "b/root"):
        shutil.copytree(rootfs, private_directory / name, symlinks=True)
        (private_directory / name / "name").write_text(name)
    (private_directory / "b/inner").mkdir()
    (private_directory / "a/link").symlink_to(private_directory / "b/inner")
    bundle = runtime.make_bundle(args=["/bin/cat", "/name"])
    config = bundle.config()
    config["root"]["path"] = f"{private_directory}/a/link/../root"
    bundle.write_config(config)
    done = runtime.run_container(bundle)
    if runtime.name == "runc":  # it reads the path in both ways, and gives up
        assert done.status != 0
        return
    told = Creation(config, bundle=str(bundle.directory)).rootfs
    call = ocihooks.HookCall(state_of(bundle.directory))
    assert [Path(f"{place}/name").read_text() for place in (told, call.rootfs)] == [done.stdout, done.stdout]


def state_of(bundle: Path) -> ocihooks.State:
    """The state of a container that is being created."""
    return ocihooks.State(oci_version="1.0.2", id="c1", status=ocihooks.Status.CREATING, bundle=str(bundle))
