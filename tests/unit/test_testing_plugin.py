"""The pytest plugin: its fixtures, and that it costs nothing where nobody uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from tests.docs.markdown import PROJECT, tables

from ocihooks import testing
from ocihooks.errors import RulesError
from ocihooks.simulation.outcome import StageRun
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.fake import FakeRuntime

MakeBundle = Callable[..., MadeBundle]
RunStage = Callable[..., StageRun]

OWN = ["ocihooks", "ocihooks.testing", "ocihooks.testing.plugin"]


def hook(text: str, **members: Any) -> dict[str, Any]:
    """A hook that runs a line of shell."""
    return {"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/usr/bin:/bin"], **members}


def write_rule(directory: Path, when: dict[str, Any], stages: list[str]) -> None:
    """Write a rule that prints its state and its own environment."""
    directory.mkdir()
    rule = {"version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", "cat; echo; env"]}, "when": when}
    (directory / "10.json").write_text(json.dumps(rule | {"stages": stages}))


def test_loads_nothing(tmp_path: Path) -> None:
    """pytest finds the plugin by itself, and a run that uses no fixture of it imports nothing else of the package."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        f"    assert sorted(m for m in sys.modules if m.partition('.')[0] == 'ocihooks') == {OWN}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert [entry.value for entry in entry_points(group="pytest11") if entry.value.startswith("ocihooks")] == OWN[2:]


def test_bundles(oci_bundle: MakeBundle, oci_rootfs: Path) -> None:
    """Each call makes another bundle with the shared root file system, unless the test names its own."""
    first, second = oci_bundle(annotations={"a": "b"}), oci_bundle(rootfs="/elsewhere")
    assert first.directory != second.directory
    assert first.config()["annotations"] == {"a": "b"}
    assert (first.rootfs, second.rootfs) == (oci_rootfs, Path("/elsewhere"))


def test_fake_runtime(fake_runtime: FakeRuntime, oci_bundle: MakeBundle) -> None:
    """The fake runtime runs hooks of a bundle and records the call with its configuration."""
    bundle = oci_bundle(hooks={"createRuntime": [hook("echo refused; exit 1")]})
    done = subprocess.run(
        [fake_runtime.path, "create", "-b", bundle.directory, "c1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "refused" in done.stderr
    (call,) = fake_runtime.calls()
    assert call.config == bundle.config_path.read_text()


def test_stage_with_rules(run_stage: RunStage, oci_bundle: MakeBundle, tmp_path: Path) -> None:
    """Hooks of rules that match run as the wrapper would write them, in config.json, and only those of the stage."""
    write_rule(tmp_path / "rules", {"annotations": {"^a$": "^b$"}}, ["createRuntime", "poststop", "precreate"])
    bundle = oci_bundle(annotations={"a": "b"})
    ran = run_stage("createRuntime", bundle, hooks_dirs=[tmp_path / "rules"])
    (run,) = ran.hooks
    assert run.rule == str(tmp_path / "rules/10.json")
    state, *environment = run.stdout.decode().splitlines()
    assert json.loads(state)["annotations"] == {"a": "b"}
    assert "OCIHOOKS_STAGE=createRuntime" in environment
    assert list(bundle.config()["hooks"]) == ["createRuntime", "poststop"]
    assert run_stage("createRuntime", oci_bundle(), hooks_dirs=[tmp_path / "rules"]).hooks == ()


def test_stage_with_hooks(run_stage: RunStage, oci_bundle: MakeBundle) -> None:
    """Further hooks run behind those of the bundle; a failure keeps the next one from running."""
    bundle = oci_bundle(hooks={"poststop": [hook("echo one")]})
    ran = run_stage("poststop", bundle, hooks=[hook("echo two; exit 4"), hook("true")], flavour="runc")
    assert [(run.outcome, run.status) for run in ran.hooks] == [("succeeded", 0), ("failed", 4), ("not run", None)]
    assert [run.message for run in ran.failed] == ["ended with status 4"]
    assert ran.state["status"] == "stopped"


def test_bad_input(run_stage: RunStage, oci_bundle: MakeBundle, tmp_path: Path) -> None:
    """An unknown stage or flavour is a ValueError that names the known ones; a broken rule is refused by name."""
    with pytest.raises(ValueError, match=r"createruntime.*createRuntime"):
        run_stage("createruntime", oci_bundle())
    with pytest.raises(ValueError, match=r"kata.*spec, runc, crun"):
        run_stage("poststop", oci_bundle(), flavour="kata")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/10.json").write_text("{")
    with pytest.raises(RulesError, match=r"10\.json"):
        run_stage("poststop", oci_bundle(), hooks_dirs=[tmp_path / "rules"])


def test_public_names() -> None:
    """Every public name of the test kit is there, and docs/reference/testing.md explains each once."""
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    assert dir(testing) == sorted(testing.__all__)
    rows = tables(PROJECT / "docs/reference/testing.md")
    assert sorted(row[0].strip("`") for row in rows["Names"]) == sorted(testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = testing.nothing


def test_environment_without_busybox(tmp_path: Path) -> None:
    """Where there is no busybox the bundles have a root file system without programs, and hooks of the host run."""
    (tmp_path / "test_it.py").write_text(
        "def test_it(oci_bundle, oci_rootfs, run_stage):\n"
        "    hook = {'path': '/bin/true'}\n"
        "    assert run_stage('createRuntime', oci_bundle(), hooks=[hook]).hooks[0].outcome == 'succeeded'\n"
        "    assert not list((oci_rootfs / 'bin').iterdir())\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout
