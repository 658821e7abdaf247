"""Running the hooks of a stage: in order, up to the first failure, or past it where the spec wants that."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ocihooks.execution.cancel import Cancellation
from ocihooks.execution.errors import (
    HookCancelledError,
    HookFailedError,
    HookNotRunnableError,
    HookRunError,
    HookTimeoutError,
)
from ocihooks.execution.ordered import run_hooks
from ocihooks.spec.hook import Hook, Hooks
from ocihooks.spec.stage import Stage


def sh(script: str) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script), env=("PATH=/usr/bin:/bin",))


def note(directory: Path, word: str, status: int = 0) -> Hook:
    return sh(f"echo {word} >> {directory}/notes; exit {status}")


def notes(directory: Path) -> list[str]:
    return (directory / "notes").read_text().split()


def only(stage: Stage, *hooks: Hook) -> Hooks:
    return Hooks(stages={stage: hooks})


def test_hooks_of_a_stage_run_in_order(tmp_path: Path) -> None:
    """All hooks of the stage run one after the other, those of other stages don't, and each has a result."""
    hooks = Hooks(
        stages={
            Stage.CREATE_RUNTIME: (sh(f"sleep 0.2; echo a >> {tmp_path}/notes"), note(tmp_path, "b"), sh("cat")),
            Stage.POSTSTOP: (note(tmp_path, "wrong"),),
        }
    )
    results = run_hooks(hooks, Stage.CREATE_RUNTIME, b"state")
    assert notes(tmp_path) == ["a", "b"]
    assert [result.stdout for result in results if result] == [b"", b"", b"state"]


def test_stage_without_hooks_has_no_results() -> None:
    """A stage that isn't there is done at once."""
    assert run_hooks(Hooks(), Stage.PRESTART, b"") == ()


@pytest.mark.parametrize("stage", Stage)
def test_first_failure_stops_every_stage_and_is_named(tmp_path: Path, stage: Stage) -> None:
    """By default the first failure ends the list, for poststart and poststop too, and tells stage and index."""
    hooks = only(stage, note(tmp_path, "a"), note(tmp_path, "b", 3), note(tmp_path, "c"))
    with pytest.raises(HookFailedError) as caught:
        run_hooks(hooks, stage, b"")
    assert notes(tmp_path) == ["a", "b"]
    assert str(caught.value).startswith(f'/bin/sh: {stage} hook #1: ["sh", ')
    assert caught.value.hook == hooks.stages[stage][1]


@pytest.mark.parametrize("stage", Stage)
def test_only_poststart_and_poststop_may_go_on(tmp_path: Path, stage: Stage) -> None:
    """With somebody to tell, the two stages that the spec names go on after a failure; the others stop."""
    told: list[HookRunError] = []
    missing = Hook(path="/no/such")
    hooks = only(stage, note(tmp_path, "a", 3), missing, note(tmp_path, "b"))
    if stage.failure_stops:
        with pytest.raises(HookFailedError, match="#0"):
            run_hooks(hooks, stage, b"", on_failure=told.append)
        assert (told, notes(tmp_path)) == ([], ["a"])
    else:
        first, second, third = run_hooks(hooks, stage, b"", on_failure=told.append)
        assert (first and first.status, second, third and third.status) == (3, None, 0)
        assert [(type(error), error.pointer) for error in told] == [
            (HookFailedError, f"{stage} hook #0"),
            (HookNotRunnableError, f"{stage} hook #1"),
        ]
        assert notes(tmp_path) == ["a", "b"]


def test_deadline_holds_for_the_whole_list(tmp_path: Path) -> None:
    """A deadline is not given to each hook anew; what comes after it is not started."""
    hooks = only(Stage.POSTSTOP, sh("exit 0"), sh("sleep 60"), note(tmp_path, "late"))
    told: list[HookRunError] = []
    run_hooks(hooks, Stage.POSTSTOP, b"", deadline=time.monotonic() + 1.5, on_failure=told.append)
    assert [(type(error), error.result is None) for error in told] == [
        (HookTimeoutError, False),
        (HookTimeoutError, True),
    ]
    assert not (tmp_path / "notes").exists()


def test_cancelling_ends_a_list_that_would_go_on(tmp_path: Path) -> None:
    """The caller's wish to stop is no failure to be passed over."""
    told: list[HookRunError] = []
    with Cancellation() as cancellation:
        cancellation.request()
        with pytest.raises(HookCancelledError, match="#0"):
            run_hooks(
                only(Stage.POSTSTOP, note(tmp_path, "a")),
                Stage.POSTSTOP,
                b"",
                cancel=cancellation,
                on_failure=told.append,
            )
    assert told == []
