"""A container that is started again from the same bundle: its hooks are those of the present rules, each once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import (
    Installations,
    Notes,
    Simulated,
    Wrapper,
    entries_of,
    litter,
    rules_of,
    timeout_of,
)

from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import PrivateRuntime

CAT = {"path": "/bin/cat"}
ENV = ["PATH=/usr/bin:/bin"]


def run(runtime: PrivateRuntime, wrapper: Wrapper, bundle: MadeBundle) -> bytes:
    """Run a container through the wrapper; returns what its config.json is then."""
    call = runtime.run_container(bundle, program=wrapper.script)
    assert call.status == 0, call
    assert litter(bundle) == []
    return bundle.config_path.read_bytes()


@pytest.mark.runtime
@pytest.mark.parametrize("position", ["append", "prepend"])
def test_twice_equals_once(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, position: str) -> None:
    """The second start of a bundle changes no byte, and runs each hook once more."""
    static = wrapper.settings.parent / "static.json"
    static.write_text(json.dumps({"createRuntime": [notes.hook("static", env=ENV)]}))
    wrapper.write_settings(static_hooks=[str(static)], position=position)
    wrapper.write_rule("a.json", hook=notes.hook("a"), stages=["prestart", "createRuntime"])
    wrapper.write_rule(
        "b.json", hook=notes.hook("b", env=["PATH=/bin"], **timeout_of(runtime, 9)), stages=["createRuntime"]
    )
    wrapper.write_rule("c.json", hook=CAT, stages=["createContainer", "poststop"])
    bundle = runtime.make_bundle(hooks={"createRuntime": [notes.hook("own", env=ENV)]})
    first = run(runtime, wrapper, bundle)
    once = notes.order()
    inode = bundle.config_path.stat().st_ino
    second = run(runtime, wrapper, bundle)
    assert second == first
    assert bundle.config_path.stat().st_ino == inode
    assert sorted(once) == ["a", "a", "b", "own", "static"]
    assert notes.order() == once * 2


@pytest.mark.runtime
def test_rules_that_changed(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Between two starts rules go, change, are masked, no longer match, or come: their hooks follow."""
    for name in ("changed", "gone", "masked", "other", "stays"):
        wrapper.write_rule(f"{name}.json", hook=notes.hook(f"{name}-1"))
    bundle = runtime.make_bundle(hooks={"createRuntime": [notes.hook("own", env=ENV)]})
    run(runtime, wrapper, bundle)
    assert notes.order() == ["own", "changed-1", "gone-1", "masked-1", "other-1", "stays-1"]
    (notes.directory / "order").unlink()
    wrapper.write_rule("changed.json", hook=notes.hook("changed-2"), directory=1)
    (wrapper.hooks_dirs[0] / "gone.json").unlink()
    wrapper.write_file("masked.json", "", directory=1)
    wrapper.write_rule("other.json", hook=notes.hook("other-2"), when={"commands": ["nginx"]})
    wrapper.write_rule("new.json", hook=notes.hook("new-2"))
    run(runtime, wrapper, bundle)
    assert notes.order() == ["own", "changed-2", "new-2", "stays-1"]
    assert rules_of(bundle) == [None, "changed.json", "new.json", "stays.json"]


@pytest.mark.runtime
def test_all_rules_gone(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """When all rules are gone, a bundle that had their hooks runs without."""
    file = wrapper.write_rule("a.json", hook=notes.hook("a"))
    bundle = runtime.make_bundle()
    before = bundle.config()
    run(runtime, wrapper, bundle)
    file.unlink()
    run(runtime, wrapper, bundle)
    assert notes.order() == ["a"]
    after = bundle.config()
    assert not any(after.pop("hooks").values())
    assert after == before


def create(simulated: Simulated, wrapper: Wrapper | None = None) -> dict[str, Any]:
    """Create and delete a container; returns the hooks that the runtime saw."""
    script = (wrapper or simulated.wrapper).script
    made = simulated.create(script=script)
    assert made.returncode == 0, made
    assert simulated.call("delete", "--force", "c1", script=script).returncode == 0
    config = next(call.config for call in reversed(simulated.fake.calls()) if call.config)
    hooks: dict[str, Any] = json.loads(config).get("hooks") or {}
    return hooks


def test_rule_that_moves_to_another_stage(simulated: Simulated) -> None:
    """A rule that names another stage now: its hook is gone from the old one."""
    simulated.wrapper.write_rule("a.json", hook=CAT, stages=["createRuntime"])
    create(simulated)
    simulated.wrapper.write_rule("a.json", hook=CAT, stages=["poststop"])
    hooks = create(simulated)
    assert [len(hooks[stage]) for stage in ("createRuntime", "poststop")] == [0, 1]


def test_rule_that_moves_to_another_directory(simulated: Simulated) -> None:
    """A rule that lies in the other directory now is there once."""
    file = simulated.wrapper.write_rule("a.json", hook=CAT, directory=1)
    create(simulated)
    file.rename(simulated.wrapper.hooks_dirs[0] / "a.json")
    (entry,) = create(simulated)["createRuntime"]
    assert f"OCIHOOKS_RULE={simulated.wrapper.hooks_dirs[0] / 'a.json'}" in entry["env"]


@pytest.mark.parametrize("spelling", ["{}/", "/.{}", "{}//", "{}/."])
def test_directories_with_odd_names(installations: Installations, simulated: Simulated, spelling: str) -> None:
    """Hooks directories in another spelling make no difference: twice still equals once, and what is gone goes."""
    other = installations.wrapper(simulated.fake.path, hooks_dirs_fixed=False)
    other.write_settings(hooks_dirs=[spelling.format(other.hooks_dirs[0])])
    file = other.write_rule("a.json", hook=CAT)
    once = create(simulated, other)
    assert [len(once["createRuntime"]), create(simulated, other)] == [1, once]
    file.unlink()
    assert create(simulated, other)["createRuntime"] == []


def test_hooks_that_changed_places(simulated: Simulated) -> None:
    """Somebody between two starts puts a hook behind ours: the next start keeps theirs in place, and has ours once."""
    simulated.wrapper.write_rule("a.json", hook=CAT)
    simulated.wrapper.write_rule("b.json", hook=CAT)
    create(simulated)
    config = simulated.bundle.config()
    theirs = {"path": "/bin/echo", "x-unknown": 1}
    config["hooks"]["createRuntime"].insert(1, theirs)
    simulated.bundle.write_config(config)
    create(simulated)
    entries = entries_of(simulated.bundle, "createRuntime")
    assert sorted(map(str, rules_of(simulated.bundle))) == ["None", "a.json", "b.json"]
    assert theirs in entries


def test_entry_that_somebody_copied(simulated: Simulated) -> None:
    """An entry of ours that is there twice is there once after the next start."""
    simulated.wrapper.write_rule("a.json", hook=CAT)
    create(simulated)
    config = simulated.bundle.config()
    config["hooks"]["createRuntime"] *= 3
    simulated.bundle.write_config(config)
    assert len(create(simulated)["createRuntime"]) == 1


def test_two_wrappers_in_a_row(installations: Installations, simulated: Simulated) -> None:
    """A wrapper in front of a wrapper, with other directories: each looks after its own hooks only."""
    outer = installations.wrapper(simulated.wrapper.script)
    outer.write_rule("outer.json", hook=CAT)
    simulated.wrapper.write_rule("inner.json", hook=CAT)
    once = create(simulated, outer)
    assert rules_of(simulated.bundle) == ["outer.json", "inner.json"]
    assert create(simulated, outer) == once
    assert create(simulated) == once


def test_same_rules_through_two_wrappers(installations: Installations, simulated: Simulated) -> None:
    """Two wrappers in a row that read the same directory add each hook once."""
    simulated.wrapper.write_rule("a.json", hook=CAT)
    outer = installations.wrapper(simulated.wrapper.script, hooks_dirs_fixed=False)
    outer.write_settings(hooks_dirs=[str(simulated.wrapper.hooks_dirs[0])])
    assert len(create(simulated, outer)["createRuntime"]) == 1


def test_temp_file_of_a_killed_process(simulated: Simulated) -> None:
    """What a killed wrapper left beside config.json is taken away when the next one changes the file."""
    simulated.wrapper.write_rule("a.json", hook=CAT)
    (simulated.bundle.directory / ".config.json.ocihooks-4194305").write_text("{")
    foreign = [simulated.bundle.directory / name for name in (".config.json.swp", "config.json.bak", "ocihooks")]
    for file in foreign:
        file.write_text("")
    create(simulated)
    assert litter(simulated.bundle) == sorted(file.name for file in foreign)


def test_link_in_place_of_the_configuration(simulated: Simulated) -> None:
    """A link to config.json elsewhere stays a link, and its target gets the hooks."""
    simulated.wrapper.write_rule("a.json", hook=CAT)
    target: Path = simulated.directory / "real.json"
    simulated.bundle.config_path.rename(target)
    simulated.bundle.config_path.symlink_to(target)
    create(simulated)
    assert simulated.bundle.config_path.is_symlink()
    assert len(json.loads(target.read_text())["hooks"]["createRuntime"]) == 1


@pytest.mark.runtime
def test_rules_from_the_cache(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """Rules that were compiled once give the same hooks, and every later change of a file is seen at once."""
    wrapper.write_settings()
    wrapper.write_rule("a.json", hook=notes.hook("a"), when={"annotations": {"^org\\.example$": "^(?i)YES$"}})
    wrapper.write_rule("b.json", hook=notes.hook("b"), when={"commands": ["^true$"]})
    wrapper.write_rule("c.json", hook=notes.hook("c"), when={"commands": ["nginx"]})
    time.sleep(2.1)  # rules that were written a moment ago are not kept compiled
    cache = wrapper.directory / "cache"

    def ran() -> list[str]:
        (notes.directory / "order").unlink(missing_ok=True)
        run(runtime, wrapper, runtime.make_bundle(args=["true"], annotations={"org.example": "yes"}))
        return notes.order()

    assert ran() == ["a", "b"]
    (kept,) = [file for file in cache.iterdir() if file.suffix == ".rules"]
    before = (kept.stat().st_ino, kept.read_bytes())
    assert ran() == ["a", "b"]
    assert (kept.stat().st_ino, kept.read_bytes()) == before
    wrapper.write_rule("b.json", hook=notes.hook("b-new"))
    assert ran() == ["a", "b-new"]
    wrapper.write_file("a.json", "", directory=1)
    assert ran() == ["b-new"]
    (wrapper.hooks_dirs[1] / "a.json").unlink()
    (wrapper.hooks_dirs[0] / "b.json").unlink()
    assert ran() == ["a"]
    wrapper.write_settings(hooks_dirs=[], position="prepend", on_invalid="warn")
    wrapper.write_file("d.json", "{")
    assert ran() == ["a"]
    (wrapper.settings.parent / "disabled").write_text("")
    assert ran() == []
