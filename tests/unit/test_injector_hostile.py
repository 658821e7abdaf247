"""Whatever a root holds or does meanwhile: nothing beside it is read or changed, and nobody waits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.hostile_trees import OPERATIONS, PATH, TREES, Tree
from tests.unit.injecting import leftovers, no_such_call

from ocihooks.injector.rootfs import NotInPlaceError, Root

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")

MARKED = [
    pytest.param(*tree, id="-in-place-of-".join(tree), marks=[] if number % 5 == 0 else [pytest.mark.slow])
    for number, tree in enumerate(TREES)
]


def test_the_table() -> None:
    """There are as many trees and operations as were promised."""
    assert (len(TREES), len(OPERATIONS)) == (45, 9)


@pytest.mark.parametrize("way", ["openat2", "walk"])
@pytest.mark.parametrize(("kind", "position"), MARKED)
def test_hostile_trees(
    kind: str,
    position: str,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """No operation touches the canary beside the tree, whether the kernel resolves paths or we go step by step."""
    if way == "walk":
        monkeypatch.setattr("ocihooks.injector.rootfs.openat2", no_such_call)
    for name, operation in OPERATIONS.items():
        (tmp_path / name).mkdir()
        with Tree(tmp_path / name, kind, position) as tree:
            started = time.monotonic()
            refused = attempt(operation, tree.root)
            assert time.monotonic() - started < 5, name
            assert tree.touched() == "", (name, refused)
            assert leftovers(tree.root) == [], name
    record_property("amount", f"{len(OPERATIONS)} operations in hostile trees")


def attempt(operation: Callable[[Root], None], root: Path) -> str:
    """Why *operation* is not possible in *root*; "" if it is."""
    try:
        with Root(str(root)) as opened:
            operation(opened)
    except (OSError, NotInPlaceError) as error:
        return str(error)
    return ""


def test_the_watch_notices_the_naive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Somebody who joins paths and opens them touches many of the canaries."""
    monkeypatch.chdir(tmp_path)  # where some of the links lead
    touched = []
    for kind, position in TREES:
        place = tmp_path / f"{kind}-{position}"
        place.mkdir()
        with Tree(place, kind, position) as tree:
            if kind not in ("fifo", "device"):  # which would make it wait, or do nothing
                attempt_naively(tree.root / PATH[1:])
            if tree.touched():
                touched.append((kind, position))
    assert len(touched) >= 10, touched
    record_property("control", f"{len(touched)} of {len(TREES)} trees lead the naive to the canary")


def attempt_naively(path: Path) -> None:
    """What the careful would not do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new")
    except OSError:
        return
