"""The how-to pages: every command is executed as it stands, in order, and prints what is shown."""

from __future__ import annotations

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.walk_through import Machine, follow, matches, steps

PAGES = (
    "first-hook-with-runc.md",
    "devices-and-files.md",
    "decide-in-python.md",
    "migrate-from-hooks-directories.md",
    "migrate-from-oci-add-hooks-and-container-hooks.md",
    "migrate-from-oci-injector-hook.md",
    "migrate-from-runc-hook-lists.md",
)


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_does_what_is_shown(page: str, machine: Machine) -> None:
    """All commands succeed, unless the page asks for the status right behind, and print what the page shows."""
    follow(steps(PROJECT / "docs/how-to" / page, "run"), machine)
    assert machine.left_over() == []


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
