"""Modifiers in the installed wrapper, on real runtimes: hooks that they add run, and what they refuse never starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.modifying import write_modifier, write_verifier
from tests.integration.wrappers import Notes, Simulated, Wrapper, assert_refused, live

from ocihooks.testing.bundles import make_bundle, make_rootfs
from ocihooks.testing.runtimes import PrivateRuntime

pytestmark = pytest.mark.runtime

NOTES = """
import json
import ocihooks

def note(c):
    print("on standard output")
    if c.annotations.get("com.example.note") == "no":
        raise ocihooks.RefusedError("this container may not be noted")
    hook = ocihooks.Hook(path="/bin/sh", args=("sh", "-c", 'cat > /dev/null; echo "$1" > "$2"', "sh", c.id, {file!r}))
    c.add_hook("createRuntime", hook)
"""


def test_hook_runs(wrapper: Wrapper, runtime: PrivateRuntime, notes: Notes, rootfs: Path) -> None:
    """A hook with an argument that was made for this container runs; what the modifier prints reaches no output."""
    word = write_modifier(wrapper, NOTES.replace("{file!r}", repr(str(notes.directory / "noted"))), "note")
    bundle = make_bundle(runtime.directory / "bundle", rootfs=rootfs, args=("true",))
    created, _ = live(runtime, bundle, wrapper.script)
    assert created.stdout == ""
    assert (notes.directory / "noted").read_text().strip() in created.argv
    other = make_bundle(
        runtime.directory / "other", rootfs=rootfs, annotations={"com.example.note": "no"}, args=("true",)
    )
    before = other.config_path.read_bytes()
    refused = runtime.create(other, runtime.new_id(), program=wrapper.script)
    assert f'modifier "{word}" refuses the container: this container may not be noted; container not' in refused.stderr
    assert other.config_path.read_bytes() == before


def test_verified_root(wrapper: Wrapper, runtime: PrivateRuntime, private_directory: Path) -> None:
    """A container starts while its root is as it was signed, and is refused when one byte differs."""
    root = make_rootfs(private_directory / "signed")
    write_verifier(wrapper, root, "web")
    annotations = {"org.ocihooks.manifest": "web"}
    bundle = make_bundle(runtime.directory / "bundle", rootfs=root, annotations=annotations, args=("true",))
    live(runtime, bundle, wrapper.script)
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text().replace("root:x", "root:y"))
    refused = runtime.create(bundle, runtime.new_id(), program=wrapper.script)
    assert_refused(
        refused, 'refuses the container: its root file system is not that of the manifest: "/etc/passwd": its content'
    )


def test_module_of_the_package(simulated: Simulated) -> None:
    """A modifier of the package itself is found by the interpreter of the wrapper, which knows no site."""
    simulated.wrapper.write_settings(modifiers=["ocihooks.manifests.verify:verify_rootfs"])
    done = simulated.create()
    assert_refused(done, "neither the annotation org.ocihooks.manifest nor its image tells which manifest is for it")


def test_module_of_the_working_directory(simulated: Simulated) -> None:
    """No module of the working directory, of PYTHONPATH or of the bundle is imported."""
    for place in (simulated.directory, simulated.bundle.directory):
        (place / "audit.py").write_text(f"open({str(place / 'ran')!r}, 'w')\ndef audit(c): pass\n")
    simulated.wrapper.write_settings(modifiers=["audit:audit"])
    done = simulated.create(env={"PYTHONPATH": str(simulated.directory)})
    assert_refused(done, 'there is no module "audit"')
    assert not (simulated.directory / "ran").exists()
    assert not (simulated.bundle.directory / "ran").exists()


def test_other_operations(simulated: Simulated) -> None:
    """Broken modifiers stop no operation but create, run and restore."""
    write_modifier(simulated.wrapper, "raise SystemExit(0)\n")
    assert (
        simulated.call("kill", "c1").returncode == simulated.call("kill", "c1", script=simulated.fake.path).returncode
    )
    assert_refused(simulated.create(), "line 1", "SystemExit: 0")
