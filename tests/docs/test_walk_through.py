"""The how-to pages: every command is executed as it stands, in order, and prints what is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.markdown import DOCUMENTS, PROJECT, blocks, name_of
from tests.docs.walk_through import Machine, Packages, follow, matches

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.testing.runtimes import find_runtime

PAGES = (
    "first-hook-with-runc.md",
    "devices-and-files.md",
    "decide-in-python.md",
    "migrate-from-hooks-directories.md",
    "migrate-from-oci-add-hooks-and-container-hooks.md",
    "migrate-from-oci-injector-hook.md",
    "migrate-from-runc-hook-lists.md",
)

ELSEWHERE = {"docs/tutorial/first-hook-on-docker.md", "docs/how-to/test-your-hook.md"}
"""Pages whose commands test_tutorial.py and test_how_to_test_hooks.py execute."""


@pytest.fixture
def machine(
    rootfs: Path,  # asks for busybox
    packages: Packages,
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
    return Machine(private_directory, packages)


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_does_what_is_shown(page: str, machine: Machine) -> None:
    """All commands succeed, unless the page asks for the status right behind, and print what the page shows."""
    follow(PROJECT / "docs/how-to" / page, machine)
    assert machine.left_over() == []


def test_no_page_is_forgotten() -> None:
    """Every page that has blocks to be executed is executed by a test."""
    marked = {name_of(page) for page in DOCUMENTS if any(block.remark == "run" for block in blocks(page))}
    assert marked == {f"docs/how-to/{page}" for page in PAGES} | ELSEWHERE


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
