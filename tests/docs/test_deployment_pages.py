"""The how-tos about clusters and many machines: what commands name is there, what they pass on is understood."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest
import yaml
from tests.deploy.kustomize import Object, containers, rendered
from tests.docs.markdown import PROJECT, blocks
from tests.docs.test_commands import commands

from ocihooks.cli.group import cli

KUBERNETES = PROJECT / "docs/how-to/kubernetes.md"
ANSIBLE = PROJECT / "docs/how-to/ansible.md"
ROLE = PROJECT / "deploy/ansible/roles/ocihooks"

TYPED = [
    shlex.split(command)
    for page in (KUBERNETES, ANSIBLE)
    for block in blocks(page)
    if block.language == "console"
    for command in commands(block)
]

KUSTOMIZED = [words[3] for words in TYPED if words[:3] in (["kubectl", "apply", "-k"], ["kubectl", "delete", "-k"])]

NAMED = [words for words in TYPED if words[:2] == ["kubectl", "--namespace"]]


def daemon_set(namespace: str, name: str) -> Object:
    """A DaemonSet that one of the page's overlays makes."""
    objects = [one for directory in KUSTOMIZED for one in rendered(PROJECT / directory)]
    found = [one for one in objects if one["kind"] == "DaemonSet" and one["metadata"]["name"] == name]
    assert {one["metadata"]["namespace"] for one in found} == {namespace}
    return found[0]


@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_daemon_sets(words: list[str]) -> None:
    """Each DaemonSet and container that a command names is in an overlay that the page applies."""
    (name,) = [word.removeprefix("daemonset/") for word in words if word.startswith("daemonset/")]
    named = [words[at + 1] for at, word in enumerate(words) if word == "--container"]
    assert set(named) <= {one["name"] for one in containers(daemon_set(words[2], name))}


def test_node_labels() -> None:
    """Nodes get a label that a DaemonSet asks for, and each label is taken away again."""
    values = {words[4].partition("=")[2] for words in TYPED if words[:3] == ["kubectl", "label", "node"]}
    asked: set[str] = set()
    for words in NAMED:
        name = next(word.removeprefix("daemonset/") for word in words if word.startswith("daemonset/"))
        asked |= set(daemon_set(words[2], name)["spec"]["template"]["spec"]["nodeSelector"].values())
    assert values - {""} == asked - {"linux"}
    assert "" in values


OURS = [
    line
    for words in TYPED
    for text in words
    for line in re.findall(r"ocihooks explain [^']*", text if " " in text else " ".join(words))
]


@pytest.mark.parametrize("line", dict.fromkeys(OURS))
def test_commands_of_ours(line: str) -> None:
    """What is run in a pod or on a machine is a command that the program understands."""
    _, name, *words = shlex.split(line)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.make_context(name, words).params["annotations"]


def test_play() -> None:
    """The play that is shown uses variables, and members of the lists, that the role knows."""
    (text,) = [block.text for block in blocks(ANSIBLE) if "hooks.yml <<" in block.text]
    ((role,),) = [play["roles"] for play in yaml.safe_load("\n".join(text.splitlines()[1:-1]))]
    known: dict[str, Any] = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())
    options = known["argument_specs"]["main"]["options"]
    assert set(role["vars"]) <= set(options)
    for name in ("ocihooks_rules", "ocihooks_engines"):
        assert {member for item in role["vars"][name] for member in item} <= set(options[name]["options"])
