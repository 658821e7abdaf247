"""Tests of the hook, with the fixtures that come with ocihooks: no container and no root is needed."""

import json
from pathlib import Path

import pytest
from privilege_guard import guard

import ocihooks

RULE = Path(__file__).resolve().parent / "50-privilege-guard.json"


@pytest.fixture
def hooks_dir(tmp_path):
    """A hooks directory with the rule that runs the hook from its source."""
    directory = tmp_path / "hooks.d"
    directory.mkdir()
    (directory / RULE.name).write_text(json.dumps(guard.rule()))
    return directory


@pytest.fixture
def tenants(oci_bundle):
    """Make the bundle of a tenant's container, with further capabilities."""

    def make(*capabilities):
        bundle = oci_bundle(annotations={"com.example.tenant": "blue"})
        config = bundle.config()
        config["process"]["capabilities"]["bounding"] += capabilities
        bundle.write_config(config)
        return bundle

    return make


def test_rule_file():
    """The rule file is what the hook prints with --rule where it is installed."""
    assert json.loads(RULE.read_text()) == guard.rule(program="/opt/privilege-guard/bin/privilege-guard")


def test_ordinary_container(tenants, run_stage, hooks_dir):
    """A tenant's ordinary container is created."""
    (hook,) = run_stage("createRuntime", tenants(), hooks_dirs=[hooks_dir]).hooks
    assert hook.outcome == "succeeded", hook.message


@pytest.mark.parametrize("flavour", ["spec", "runc", "crun"])
def test_privileged_container(tenants, run_stage, hooks_dir, flavour):
    """A privileged one is not, under whatever runtime, and its owner is told why."""
    stage = run_stage("createRuntime", tenants("CAP_SYS_ADMIN"), hooks_dirs=[hooks_dir], flavour=flavour)
    (hook,) = stage.failed
    assert hook.stderr == b"guard: PermissionError: containers of tenant blue may not have CAP_SYS_ADMIN\n"
    assert stage.consequence.startswith("create fails")


def test_container_of_nobody(oci_bundle, run_stage, hooks_dir):
    """Other containers are none of its business."""
    assert run_stage("createRuntime", oci_bundle(), hooks_dirs=[hooks_dir]).hooks == ()


def test_function(tenants):
    """The function can be called by itself."""
    bundle = tenants("CAP_SYS_RAWIO")
    state = ocihooks.State(oci_version="1.0.2", id="c1", status="creating", bundle=str(bundle.directory))
    with pytest.raises(PermissionError, match="CAP_SYS_RAWIO"):
        guard(ocihooks.HookCall(state))
