"""Each engine's configuration before and after `configure`, as committed, and back again byte for byte."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.engine_places import ALL_CASES, Case, EnginePlace, make_place, set_up

from ocihooks.install.configure import configure
from ocihooks.install.unconfigure import unconfigure

each_case = pytest.mark.parametrize("case", ALL_CASES, ids=[f"{case.engine}-{case.name}" for case in ALL_CASES])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnginePlace:
    """An empty machine."""
    return make_place(tmp_path, monkeypatch)


def identities(place: EnginePlace) -> dict[str, tuple[int, int]]:
    """What tells whether a file was touched."""
    return {file: (os.stat(place.etc / file).st_ino, os.stat(place.etc / file).st_mtime_ns) for file in place.files()}


@each_case
def test_there_and_back(case: Case, place: EnginePlace) -> None:
    """The result is the committed one, a second time touches nothing, and undoing it leaves no trace."""
    target = set_up(place, case)
    directories = place.directories()
    would = configure(target, dry_run=True)
    assert place.files() == case.before
    done = configure(target)
    assert place.files() == case.after
    assert [change.difference() for change in would.changes] == [change.difference() for change in done.changes]
    touched = identities(place)
    assert not configure(target).changed
    assert identities(place) == touched
    unconfigure(target)
    assert place.files() == case.before
    assert place.directories() == directories
    assert place.litter() == []


@each_case
def test_edited_meanwhile(case: Case, place: EnginePlace) -> None:
    """What somebody else adds in between stays, wherever a file was there before; all that is ours goes."""
    target = set_up(place, case)
    configure(target)
    added = "\n" if case.engine == "docker" else "\n# added by somebody else\n"
    for file in case.after:
        place.write(file, place.files()[file] + added)
    assert not configure(target).changed
    unconfigure(target)
    changed = {file: text + added for file, text in case.before.items()}
    made = {file for file in case.after if file.endswith(".tmpl")} - case.before.keys()
    changed |= dict.fromkeys(made, '{{ template "base" . }}' + added)
    assert meanings(place.files()) == meanings(changed)
    assert place.litter() == []


@each_case
def test_two_handlers(case: Case, place: EnginePlace) -> None:
    """Two handlers come and go in either order without disturbing each other."""
    target = set_up(place, case)
    other = place.target(
        case.engine, file=target.file, name="other", base=case.options.get("base"), drop_in=target.drop_in
    )
    configure(target)
    alone = place.files()
    configure(other)
    unconfigure(other)
    assert place.files() == alone
    configure(other)
    unconfigure(target)
    unconfigure(other)
    assert meanings(place.files()) == meanings(case.before)
    assert place.litter() == []


def meanings(files: Mapping[str, str]) -> dict[str, object]:
    """What is in *files*: the words of TOML with its comments, JSON as it is understood."""
    return {
        file: json.loads(text.strip() or "{}") if file.endswith(".json") else text.split()
        for file, text in files.items()
    }
