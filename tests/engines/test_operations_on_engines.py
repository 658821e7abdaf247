"""What users do with running containers works through the wrapper as without, and hooks run when they should."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.engines.conftest import Scene
from tests.engines.cri import CRI
from tests.engines.features import shows

from ocihooks.testing.engines.containerd import Ctr
from ocihooks.testing.engines.host import Finished

FEW, MANY = 10, 50
AT_ONCE = {CRI.name: 8}
"""
How many of them are started at once, if not all.

They are all in one pod, where kubelets start one after the other; the shim of containerd 1.6 locks itself up when about
forty containers of one pod come and go at once, with runc alone just as with the wrapper.
"""

STAGES = ("createRuntime", "poststop")


def started(scene: Scene) -> str:
    """A container that runs on, with hooks at its start and at its end."""
    for stage in STAGES:
        scene.write_hook(stage, stages=[stage])
    name = scene.engine.new_name()
    done(scene.engine.run("sleep", "1000", container=name, detach=True))
    scene.engine.wait_for_status(name, "running")
    assert scene.notes.order() == ["createRuntime"]
    return name


def done(finished: Finished) -> None:
    """The engine did as it was told."""
    assert finished.status == 0, finished


@shows("exec")
def test_exec(scene: Scene) -> None:
    """A command can be run in a container, with its output and exit status, and runs no hooks."""
    name = started(scene)
    said = scene.engine.exec(name, "echo", "hello")
    lost = isinstance(scene.engine, Ctr) and not said.stdout  # now and then ctr ends before it has copied what was said
    assert (said.status, said.stdout) == (0, "" if lost else "hello\n"), said
    assert scene.engine.exec(name, "sh", "-c", "exit 3").status in (1, 3)
    assert scene.notes.order() == ["createRuntime"]


@shows("pause")
def test_pause(scene: Scene) -> None:
    """A container can be paused and resumed, which runs no hooks."""
    name = started(scene)
    done(scene.engine.pause(name))
    scene.engine.wait_for_status(name, "paused")
    done(scene.engine.resume(name))
    scene.engine.wait_for_status(name, "running")
    assert scene.notes.order() == ["createRuntime"]


@shows("kill")
def test_kill(scene: Scene) -> None:
    """A container can be killed, and its poststop hook runs once."""
    name = started(scene)
    done(scene.engine.kill(name))
    scene.engine.wait_for_status(name, "stopped")
    done(scene.engine.remove(name))
    scene.engine.wait_for_no_leftovers()
    assert scene.notes.order() == ["createRuntime", "poststop"]


@shows("restart")
def test_restart(scene: Scene) -> None:
    """A container that is started again runs its hooks again: one set for each life."""
    name = started(scene)
    done(scene.engine.restart(name))
    scene.engine.wait_for_status(name, "running")
    assert scene.notes.order() == ["createRuntime", "poststop", "createRuntime"]
    scene.engine.remove(name)
    scene.engine.wait_for_no_leftovers()
    assert scene.notes.order() == ["createRuntime", "poststop"] * 2


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@shows("many containers at once")
def test_many(scene: Scene, count: int) -> None:
    """Many containers at once all run, each with its hook once."""
    scene.write_hook("note")
    with ThreadPoolExecutor(AT_ONCE.get(scene.engine.name, count)) as pool:
        say = "echo {}; sleep 0.2"  # clients may end before they have copied what a short container said
        finished = list(pool.map(lambda number: scene.engine.run("sh", "-c", say.format(number)), range(count)))
    wanted = [f"{number}\n" for number in range(count)]
    said = [one.stdout for one in finished]
    if isinstance(scene.engine, Ctr):  # now and then ctr ends before it has copied what a short container said
        said = [text or other for text, other in zip(said, wanted, strict=True)]
    assert ([one.status for one in finished], said) == ([0] * count, wanted)
    assert scene.notes.order() == ["note"] * count


@shows("engine killed meanwhile")
def test_engine_killed(scene: Scene) -> None:
    """When the engine is killed and comes back, a container from before can be removed, and new ones get hooks."""
    name = started(scene)
    scene.engine.crash()
    done(scene.engine.remove(name))
    scene.engine.wait_for_no_leftovers()
    assert scene.notes.order() == ["createRuntime", "poststop"]
    done(scene.engine.run("true"))
    assert scene.notes.order()[2:3] == ["createRuntime"]


@shows("sandbox left alone")
def test_sandbox(scene: Scene) -> None:
    """The sandbox of a pod gets no hooks, even from a rule that matches every container; its containers do."""
    assert isinstance(scene.engine, CRI)
    scene.engine.end_pod()
    scene.write_hook("always")
    scene.engine.start_pod()
    assert scene.notes.order() == []
    done(scene.engine.run("true"))
    assert scene.notes.order() == ["always"]
