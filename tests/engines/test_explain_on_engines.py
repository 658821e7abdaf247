"""`ocihooks explain` on containers of real engines: what they got and when, and what they would get now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.place import PROGRAM
from tests.engines.conftest import Scene
from tests.engines.features import BY_PATH, CTR, DOCKER

from ocihooks.testing.engines.containerd import Ctr
from ocihooks.testing.engines.host import Finished, PrivateHost

NAMES = {DOCKER: "docker", CTR: "containerd", BY_PATH: "podman"}


def explain(scene: Scene, *words: str) -> Finished:
    """What the command says on the engine's host."""
    engine = scene.engine
    host: PrivateHost = engine.containerd.host if isinstance(engine, Ctr) else engine.host  # type: ignore[attr-defined]
    return host.run(str(PROGRAM), "explain", *words)


def explained(scene: Scene, *words: str) -> dict[str, Any]:
    """Its JSON document."""
    document: dict[str, Any] = json.loads(explain(scene, *words, "--json").stdout)
    return document


@pytest.mark.runtime
@pytest.mark.parametrize("engine", [DOCKER, CTR, BY_PATH], indirect=True)
def test_life(scene: Scene) -> None:
    """From its start to its removal: what a container got, what has changed since, and what is left to tell."""
    records = scene.notes.directory / "records.jsonl"
    scene.wrapper.write_settings(records=str(records))
    rules = {name: str(scene.wrapper.hooks_dirs[0] / f"{name}.json") for name in ("sleeps", "later")}
    scene.write_hook("sleeps", when={"commands": ["^/bin/sleep$"]})
    name, engine = scene.engine.new_name(), ("--engine", NAMES[scene.engine.name])
    assert scene.engine.run("/bin/sleep", "1000", container=name, detach=True).status == 0

    document = explained(scene, name)
    live = document["live"]
    assert (live["engine"], live["status"], live["wrapper"]) == (NAMES[scene.engine.name], "running", True)
    assert live["runtime"] == str(scene.wrapper.script)
    assert rules["sleeps"] in [hook["rule"] for hook in live["hooks"]]
    assert [record["hooks"] for record in live["injections"]] == [[{"rule": rules["sleeps"], "stage": "createRuntime"}]]
    assert (document["verdict"], document["adds"], document["removes"]) == ("match", {}, {})

    Path(rules["sleeps"]).unlink()
    scene.write_hook("later")
    called = live["id"][:20]
    if isinstance(scene.engine, Ctr):
        called = "front"
        scene.engine.containerd.call("containers", "label", name, f"nerdctl/name={called}")
    document = explained(scene, *engine, called)
    for change, rule in {"adds": "later", "removes": "sleeps"}.items():
        assert [f"OCIHOOKS_RULE={rules[rule]}" in entry["env"] for entry in document[change]["createRuntime"]] == [True]

    scene.engine.kill(name)
    scene.engine.wait_for_status(name, "stopped")
    document = explained(scene, *engine, name)
    assert document["live"]["status"] in ("exited", "stopped")
    assert document["container"]["command"] == "/bin/sleep"

    scene.engine.remove(name)
    gone = explain(scene, *engine, "--settings", str(scene.wrapper.settings), live["id"])
    assert (gone.status, gone.stdout) == (2, "")
    assert gone.stderr.startswith(
        f'ocihooks: container "{live["id"][:12]}" has been removed\nhint: run "ocihooks logs '
    )


@pytest.mark.runtime
@pytest.mark.parametrize("engine", [DOCKER, BY_PATH], indirect=True)
def test_without_the_wrapper(scene: Scene) -> None:
    """Rules don't reach a container that its engine started without the wrapper, unless it reads them itself."""
    scene.engine.use(scene.wrapper.runtime)
    name = scene.engine.new_name()
    assert scene.engine.run("/bin/sleep", "1000", container=name, detach=True).status == 0
    document = explained(scene, "--engine", NAMES[scene.engine.name], name)
    assert document["live"]["wrapper"] is False
    assert document["live"]["runtime"] == str(scene.wrapper.runtime)
    reads_itself = NAMES[scene.engine.name] == "podman"
    assert bool(document["live"]["hooks_dirs"]) == reads_itself
    assert document["verdict"] == ("no match" if reads_itself else "no wrapper")
