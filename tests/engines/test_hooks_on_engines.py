"""The main job on every engine: hooks run for the containers that rules match, and users are told when that fails."""

from __future__ import annotations

from tests.engines.conftest import Scene
from tests.engines.features import shows
from tests.integration.wrappers import ALWAYS, Installations

from ocihooks.testing.engines.host import Finished

KEY = "com.example.team"


def ran(finished: Finished, output: str = "") -> None:
    """The container ended well, and printed *output*."""
    assert (finished.status, finished.stdout) == (0, output), finished


@shows("rule matched by annotation")
def test_annotation(scene: Scene) -> None:
    """A rule on an annotation runs its hook for the containers that users give this annotation, and for no others."""
    scene.write_hook("red", when={"annotations": {rf"^{KEY}$": "^red$"}})
    ran(scene.engine.run("true", annotations={KEY: "blue"}))
    assert scene.notes.order() == []
    ran(scene.engine.run("true", annotations={KEY: "red"}))
    assert scene.notes.order() == ["red"]


@shows("rule matched by command")
def test_command(scene: Scene) -> None:
    """A rule on the command runs its hook."""
    scene.write_hook("true", when={"commands": ["^/bin/true$"]})
    ran(scene.engine.run("/bin/true"))
    assert scene.notes.order() == ["true"]


@shows("rule not matched")
def test_not_matched(scene: Scene) -> None:
    """A container that no rule matches runs without hooks, and its output is its own."""
    scene.write_hook("true", when={"commands": ["^/bin/true$"]})
    ran(scene.engine.run("/bin/echo", "hello"), "hello\n")
    assert scene.notes.order() == []


@shows("hooks of all stages")
def test_stages(scene: Scene) -> None:
    """Hooks of each stage run once, in the order of a container's life, and startContainer's run in the container."""
    for stage in ("poststop", "poststart", "createContainer", "createRuntime"):
        scene.write_hook(stage, stages=[stage])
    script = (
        "cat > /dev/null; mkdir /dev/shm/startContainer"  # crun 1.8 takes a hook that reads nothing for a failed one
    )
    inside = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    scene.wrapper.write_rule("inside.json", hook=inside, stages=["startContainer"])
    name = scene.engine.new_name()
    ran(scene.engine.run("ls", "/dev/shm", container=name), "startContainer\n")
    scene.engine.remove(name)
    scene.engine.wait_for_no_leftovers()
    order = scene.notes.order()
    assert sorted(order) == sorted(["createRuntime", "createContainer", "poststart", "poststop"])
    assert order[:2] == ["createRuntime", "createContainer"]
    assert order[-1] == "poststop"
    assert scene.notes.read("createRuntime").state["pid"] > 0


@shows("precreate filter")
def test_precreate(scene: Scene) -> None:
    """A precreate filter changes the container, here its working directory."""
    hook = {"path": "/bin/sed", "args": ["sed", 's|"cwd": *"/"|"cwd":"/tmp"|']}
    scene.wrapper.write_rule("filter.json", hook=hook, stages=["precreate"])
    ran(scene.engine.run("pwd"), "/tmp\n")


@shows("two directories, one overrides")
def test_two_directories(scene: Scene) -> None:
    """Rules of two directories run in the order of their names, and the second directory's win over the first's."""
    scene.write_hook("b")
    for label, name, directory in (("old", "c.json", 0), ("new", "c.json", 1), ("a", "a.json", 1)):
        scene.wrapper.write_rule(name, hook=scene.notes.hook(label), directory=directory)
    ran(scene.engine.run("true"))
    assert scene.notes.order() == ["a", "b", "new"]


@shows("failing hook tells the user")
def test_failing_hook(scene: Scene) -> None:
    """When a hook fails the container does not start, and the user is told which program failed, and how."""
    script = "cat > /dev/null; echo no licence left >&2; exit 7"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]}
    scene.wrapper.write_rule("licence.json", hook=hook)
    refused = scene.engine.run("echo", "started")
    assert refused.status != 0
    assert "started" not in refused.stdout
    by_runtime = {"runc": ("exit status 7", "no licence left"), "crun": ("/bin/sh", "exit code: 7")}
    for words in by_runtime[scene.wrapper.runtime.name]:
        assert words in refused.stderr


@shows("unreadable rule tells the user")
def test_unreadable_rule(scene: Scene) -> None:
    """While a rule can't be read no container starts, and the user is told the file, the place and the remedy."""
    scene.write_hook("good")
    scene.wrapper.write_rule("bad.json", hook={"path": "/bin/true"}, stages=["createruntime"])
    refused = scene.engine.run("echo", "started")
    assert refused.status != 0
    assert "started" not in refused.stdout
    for words in (str(scene.wrapper.hooks_dirs[0] / "bad.json"), "/stages/0: unknown stage", "createRuntime"):
        assert words in refused.stderr
    assert scene.notes.order() == []


@shows("wrapper in front of a wrapper")
def test_chain(scene: Scene, engine_installations: Installations) -> None:
    """A second wrapper in front of the first adds its own hooks, and both run."""
    second = engine_installations.wrapper(scene.wrapper.script)
    scene.write_hook("of-the-first")
    second.write_rule("second.json", hook=scene.notes.hook("of-the-second"))
    scene.engine.use(second.script)
    ran(scene.engine.run("echo", "hello"), "hello\n")
    assert sorted(scene.notes.order()) == ["of-the-first", "of-the-second"]


@shows("default runtime")
def test_default_runtime(scene: Scene) -> None:
    """As the engine's default runtime the wrapper serves users who name no runtime."""
    scene.engine.use(scene.wrapper.script, default=True)
    scene.write_hook("always", when=ALWAYS)
    ran(scene.engine.run("true"))
    assert scene.notes.order() == ["always"]
