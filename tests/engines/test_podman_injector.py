"""oci-injector-hook as Podman runs it, from a rule in a hooks directory that Podman reads itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.install.install import Request, install
from ocihooks.testing.engines.podman import PodmanWithHooks
from ocihooks.testing.runtimes import find_runtime

NAME = "oci-injector-hook"


@pytest.mark.runtime
@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize(("flag", "asks"), [("container=podman", True), ("container=docker", False)], ids=["yes", "no"])
def test_injected(
    podmanwithhooks_engine: PodmanWithHooks,
    ran_on: Callable[[str, str], None],
    private_directory: Path,
    runtime: str,
    flag: str,
    asks: bool,
) -> None:
    """A container whose environment asks can read the host's file at its own path, and another can't."""
    podman, file = podmanwithhooks_engine, Path(json.__file__)
    ran_on(podman.product, podman.version)
    program = install(Request(prefix=str(private_directory / "p"), program=NAME, name=NAME)).script
    for name in ("hooks", "conf"):
        (private_directory / name).mkdir()
    injector_file = {"activation_flag": flag, "directories": [str(file.parent)], "miscellaneous": [str(file)]}
    (private_directory / "conf/a.json").write_text(json.dumps(injector_file))
    hook = {"path": program, "env": [f"OCI_INJECTOR_CONFIG_DIR={private_directory}/conf"]}
    rule = {"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": ["createRuntime"]}
    (private_directory / "hooks/a.json").write_text(json.dumps(rule))
    podman.read_hooks([private_directory / "hooks"])
    podman.use(find_runtime(runtime).path)
    try:
        ran = podman.run("/bin/sh", "-c", f"cat {file} 2>/dev/null || true")
        assert ran.status == 0, ran
        assert ran.stdout == (file.read_text() if asks else "")
    finally:
        podman.clean()
        podman.wait_for_no_leftovers()
        podman.reset()
