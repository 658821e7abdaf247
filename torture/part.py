"""
Runs every N-th of the tests that pytest finds: ``python torture/part.py 2/5 OPTIONS TESTS``.

The parts of a row are together all of it, in whatever order pytest has the tests.
"""

from __future__ import annotations

import os
import sys

import pytest


class Part:
    """Keeps one part of *count*; *number* begins with 1."""

    def __init__(self, number: int, count: int) -> None:
        self._kept = slice(number - 1, None, count)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the tests of the other parts, after the marks have chosen."""
        kept = set(sorted(item.nodeid for item in items)[self._kept])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
        items[:] = [item for item in items if item.nodeid in kept]


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as python -m pytest has it
    number, _, count = sys.argv[1].partition("/")
    sys.exit(pytest.main(sys.argv[2:], plugins=[Part(int(number), int(count))]))
