"""Every command that a document shows is executed: by which test, and what is done in the place of a few."""

from __future__ import annotations

import ast
import re

import pytest
from tests.docs.markdown import DOCUMENTS, PROJECT, Block, blocks, name_of

RUN = "run"
"""The remark in front of console blocks whose commands are typed as they stand, in order."""

TYPED_BY = {
    "README.md": "tests/docs/test_readme.py",
    "docs/tutorial/first-hook-on-docker.md": "tests/docs/test_tutorial.py",
    "docs/how-to/docker.md": "tests/docs/test_engine_pages.py",
    "docs/how-to/containerd.md": "tests/docs/test_engine_pages.py",
    "docs/how-to/cri-o.md": "tests/docs/test_engine_pages.py",
    "docs/how-to/podman-and-buildah.md": "tests/docs/test_engine_pages.py",
    "docs/how-to/nri.md": "tests/docs/test_nri_walk_through.py",
    "docs/how-to/ansible.md": "tests/docs/test_ansible_walk_through.py",
    "docs/how-to/first-hook-with-runc.md": "tests/docs/test_walk_through.py",
    "docs/how-to/devices-and-files.md": "tests/docs/test_walk_through.py",
    "docs/how-to/decide-in-python.md": "tests/docs/test_walk_through.py",
    "docs/how-to/migrate-from-hooks-directories.md": "tests/docs/test_walk_through.py",
    "docs/how-to/migrate-from-oci-add-hooks-and-container-hooks.md": "tests/docs/test_walk_through.py",
    "docs/how-to/migrate-from-oci-injector-hook.md": "tests/docs/test_walk_through.py",
    "docs/how-to/migrate-from-runc-hook-lists.md": "tests/docs/test_walk_through.py",
    "docs/how-to/test-your-hook.md": "tests/docs/test_how_to_test_hooks.py",
}
"""For each page with such blocks the test that types their commands, and compares what they print."""

PRINTED_BY = {
    "docs/reference/messages.md": "tests/engines/test_messages.py",
    "docs/explanation/supervision.md": "tests/engines/test_supervised_messages.py",
    "docs/reference/cli.md": "tests/cli/test_cli_help.py",
}
"""For each page whose blocks a program writes the test that runs the commands, and compares the page."""

CLUSTER = "tests/deploy/test_kubernetes_objects.py::test_kubectl_renders_the_same"
LABELS = "tests/deploy/test_kubernetes_objects.py::test_the_runtime_class_leads_to_nodes_with_the_wrapper"
NRI_POD = "tests/deploy/test_nri_daemonset.py::test_rules_of_the_config_map_reach_containers"
NODE = "tests/deploy/test_node_daemonset.py::test_installed_updated_and_removed"

DONE_OTHERWISE = {
    "README.md": {"make demo": "tests/docs/test_readme.py::test_demonstration"},
    "docs/how-to/migrate-from-oci-add-hooks-and-container-hooks.md": {
        "make all": "tests/engines/test_walk_throughs.py::test_toolkit",
        "cd bin": "tests/engines/test_walk_throughs.py::test_toolkit",
        "./container-hooks-ctk install": "tests/engines/test_walk_throughs.py::test_toolkit",
        "container-hooks-ctk config": "tests/engines/test_walk_throughs.py::test_toolkit",
        "container-hooks-ctk runtime configure": "tests/engines/test_walk_throughs.py::test_toolkit",
        "systemctl restart docker": "tests/engines/test_walk_throughs.py::test_toolkit",
    },
    "docs/how-to/kubernetes.md": {
        "mkdir wheels": "tests/deploy/conftest.py::wheels",
        "pip download": "tests/deploy/conftest.py::wheels",
        "buildah bud": "tests/deploy/conftest.py::build_image",
        "buildah push": "tests/deploy/conftest.py::build_image",
        "kubectl label node NODE": LABELS,
        "kubectl apply -k": CLUSTER,
        "kubectl delete -k": CLUSTER,
        "kubectl --namespace ocihooks-nri": NRI_POD,
        "kubectl --namespace ocihooks-containerd-1": NODE,
        "kubectl run hello": NRI_POD,
        "kubectl delete pods": NODE,
    },
}
"""
What needs a cluster, a registry or other machines: for each page the beginnings of commands, each with the test that
does the same in another way.
"""

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]

CONSOLES = [block for block in BLOCKS if block.language == "console" and name_of(block.document) not in PRINTED_BY]


def commands(block: Block) -> list[str]:
    """The commands of a block, without their prompts, as far as their first lines go."""
    return [line[2:] for line in block.text.splitlines() if line.startswith(block.text[:2])]


def test_every_page_is_executed() -> None:
    """Each page with blocks to be typed has its test, which names it, and the other way round."""
    marked = {name_of(block.document) for block in CONSOLES if block.remark == RUN}
    assert marked == set(TYPED_BY)
    shown = {name_of(block.document) for block in BLOCKS if block.language == "console"}
    assert shown - marked - set(DONE_OTHERWISE) - set(PRINTED_BY) == set()
    for page, file in TYPED_BY.items():
        assert page.rpartition("/")[2] in (PROJECT / file).read_text(), f"{file} does not name {page}"
    assert [file for file in PRINTED_BY.values() if not (PROJECT / file).exists()] == []


@pytest.mark.parametrize("block", CONSOLES, ids=map(str, CONSOLES))
def test_every_command_is_executed(block: Block) -> None:
    """A block is typed as it stands, or a test does what each of its commands would do."""
    if block.remark == RUN:
        return
    known = DONE_OTHERWISE.get(name_of(block.document), {})
    assert [command for command in commands(block) if not command.startswith(tuple(known))] == []


@pytest.mark.parametrize("page", DONE_OTHERWISE)
def test_nothing_is_stale(page: str) -> None:
    """Each beginning is that of a command that is still there, and each test exists."""
    shown = [command for block in CONSOLES if name_of(block.document) == page for command in commands(block)]
    for beginning, test in DONE_OTHERWISE[page].items():
        assert any(command.startswith(beginning) for command in shown), beginning
        file, _, name = test.partition("::")
        tree = ast.parse((PROJECT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}, test


@pytest.mark.parametrize("block", BLOCKS, ids=map(str, BLOCKS))
def test_commands_are_in_console_blocks(block: Block) -> None:
    """What looks like a command is marked as one; a first line with a file name only looks like it."""
    if name_of(block.document) in PRINTED_BY or block.language == "console":
        return
    prompts = [line for line in block.text.splitlines() if re.match(r"[#$] (?!\S+\.ya?ml$)", line)]
    assert block.language in ("python", "toml", "json") or prompts == []
