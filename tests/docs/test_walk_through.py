"""The how-to pages: every command is executed as it stands, in order, and prints what is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.walk_through import Machine, matches, steps

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.runtimes import find_runtime

PAGES = ("first-hook-with-runc.md", "migrate-from-oci-add-hooks-and-container-hooks.md")

ASKS_FOR_STATUS = "echo $?"


@pytest.fixture
def machine(
    rootfs: Path,  # asks for busybox
    private_directory: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
    ran_on: Callable[[str, str], None],
) -> Machine:
    """A machine with runc, for root."""
    try:
        installed = find_runtime("runc")
    except UnavailableError as error:
        unavailable(error)
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))
    ran_on(installed.name, installed.version)
    return Machine(private_directory)


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_does_what_is_shown(page: str, machine: Machine) -> None:
    """All commands succeed, unless the page asks for the status right behind, and print what the page shows."""
    walk = steps(PROJECT / "docs/how-to" / page, "run")
    outcomes = machine.run(walk)
    may_fail = [*(step.command == ASKS_FOR_STATUS for step in walk[1:]), False]
    for step, outcome, allowed in zip(walk, outcomes, may_fail, strict=True):
        told = f"{step.block}: {step.command}\nstatus {outcome.status}, printed:\n{outcome.output}"
        assert allowed or outcome.status == 0, told
        assert step.output is None or matches(step.output, outcome.output), told
    assert left_over(machine.directory) == []


def left_over(directory: Path) -> list[Path]:
    """The files that are there after the last step and were not there before the first one."""
    places = ("etc/containers", "home", "opt", "usr-local")
    return [path for place in places for path in sorted((directory / place).rglob("*")) if not path.is_dir()]


@pytest.mark.parametrize(
    ("shown", "output", "expected"),
    [
        (["a", "...", "b"], "a\nx\ny\nb\n", True),
        (["a", "...", "b"], "a\nb\n", True),
        (["..."], "", True),
        (['{"id":...}'], '{"id":5}\n', True),
        (["a"], "a\nb\n", False),
        (["a.c"], "abc\n", False),
        (["a...c"], "a\nc\n", False),
    ],
)
def test_dots_stand_for_anything(shown: list[str], output: str, expected: bool) -> None:
    """Shown output is compared in whole, but for dots."""
    assert matches(shown, output) == expected
