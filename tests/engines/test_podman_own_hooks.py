"""Podman reads hooks directories itself; the wrapper in front of the same runtime comes to the same results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import Installations, Notes, make_notes

from ocihooks.testing.engines.podman import PodmanWithHooks
from ocihooks.testing.runtimes import find_runtime

ALWAYS = {"always": True}

RULES: dict[str, list[tuple[int, str, Mapping[str, Any]]]] = {
    "always": [(0, "a.json", {"when": ALWAYS})],
    "annotation": [
        (0, "a.json", {"when": {"annotations": {"^com\\.example\\.team$": "^red$"}}}),
        (0, "b.json", {"when": {"annotations": {"^com\\.example\\.team$": "^blue$"}}}),
    ],
    "command": [
        (0, "a.json", {"when": {"commands": ["^/bin/echo$"]}}),
        (0, "b.json", {"when": {"commands": ["^echo$"]}}),
    ],
    "all conditions": [
        (0, "a.json", {"when": {"commands": ["echo"], "annotations": {"team": "red"}}}),
        (0, "b.json", {"when": {"commands": ["echo"], "annotations": {"team": "blue"}}}),
    ],
    "order of names": [
        (number, name, {"when": ALWAYS}) for number, name in ((0, "B.json"), (0, "a.json"), (1, "10.json"))
    ],
    "override": [(0, "a.json", {"when": ALWAYS, "label": "old"}), (1, "a.json", {"when": ALWAYS, "label": "new"})],
    "override to never": [(0, "a.json", {"when": ALWAYS}), (1, "a.json", {"when": {}})],
    "several stages": [(0, "a.json", {"when": ALWAYS, "stages": ["prestart", "poststart", "poststop"]})],
    "bind mount": [(0, "a.json", {"when": {"hasBindMounts": True}})],
    "schema 0.1.0": [
        (0, "a.json", {"old": True, "stages": ["prestart"], "cmds": ["^/bin/echo$"]}),
        (0, "b.json", {"old": True, "stages": ["poststop"], "annotations": ["^red$"]}),
        (0, "c.json", {"old": True, "stages": ["prestart"]}),
    ],
    "not matched": [(0, "a.json", {"when": {"commands": ["^/bin/true$"]}})],
}
"""Directory, file and members of rules; ``label`` is what the hook notes, if not the file's name."""


@pytest.fixture
def podman(podmanwithhooks_engine: PodmanWithHooks, ran_on: Callable[[str, str], None]) -> Iterator[PodmanWithHooks]:
    """Podman, counted and cleaned."""
    ran_on(podmanwithhooks_engine.product, podmanwithhooks_engine.version)
    yield podmanwithhooks_engine
    podmanwithhooks_engine.clean()
    podmanwithhooks_engine.wait_for_no_leftovers()
    podmanwithhooks_engine.reset()


def write_rules(case: str, directories: tuple[Path, Path], notes: Notes) -> None:
    """Write the rules of *case*."""
    for number, name, members in RULES[case]:
        label = members.get("label", name.removesuffix(".json"))
        hook = notes.hook(str(label))
        conditions = {key: value for key, value in members.items() if key not in ("label", "old", "stages")}
        stages = members.get("stages", ["createRuntime"])
        if members.get("old"):
            document = {"version": "0.1.0", "hook": "/bin/sh", "arguments": hook["args"][1:], "stages": stages}
        else:
            document = {"version": "1.0.0", "hook": {**hook, "env": ["PATH=/usr/bin:/bin"]}, "stages": stages}
        (directories[number] / name).write_text(json.dumps({**document, **conditions}))


@pytest.mark.runtime
@pytest.mark.parametrize("case", RULES)
def test_same_results(
    podman: PodmanWithHooks, engine_installations: Installations, private_directory: Path, case: str
) -> None:
    """The same rules run the same hooks in the same order, read by Podman and read by the wrapper."""
    noted = {}
    wrapper = engine_installations.wrapper(find_runtime("crun").path)
    empty = private_directory / "empty"
    empty.mkdir()
    for reader in ("podman", "wrapper"):
        notes = make_notes(private_directory / reader)
        own = (private_directory / f"{reader}-1", private_directory / f"{reader}-2")
        for directory in own:
            directory.mkdir(mode=0o755)
        write_rules(case, own if reader == "podman" else wrapper.hooks_dirs, notes)
        podman.read_hooks(own if reader == "podman" else [empty])
        podman.use(wrapper.runtime if reader == "podman" else wrapper.script)
        ran = podman.run("/bin/echo", "hello", annotations={"com.example.team": "red"})
        assert ran.status == 0, ran
        podman.wait_for_no_leftovers()
        noted[reader] = notes.order()
    assert noted["wrapper"] == noted["podman"]
    assert noted["podman"] or case in ("bind mount", "not matched", "override to never")
