"""`ocihooks cache`: the compiled rules of an installed wrapper, shown and removed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.cli.place import Place, Run

from ocihooks.testing.fake import Answer, write_fake_runtime


@pytest.fixture
def installed(place: Place, ocihooks: Run) -> Path:
    """A wrapper in the place's prefix, in front of a runtime that always succeeds."""
    runtime = write_fake_runtime(place.root / "fake-runc", answers={"*": Answer()}).path
    words = ["--prefix", "{DIR}/prefix", "--runtime", str(runtime), "--cache-dir", "{DIR}/cache", "--no-launcher"]
    assert ocihooks("install", *words, "SETTINGS").status == 0
    return place.root / "prefix/bin/ocihooks-runtime"


def create(place: Place, wrapper: Path) -> None:
    """Start a container through the wrapper, with settings and rules that nobody has touched for long."""
    bundle = place.root / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").write_text('{"ociVersion": "1.0.2"}')
    subprocess.run([wrapper, "create", "--bundle", bundle, "c1"], check=True, capture_output=True)


def test_nothing_compiled(installed: Path, ocihooks: Run) -> None:
    """Before the first container there is nothing, which is a finding."""
    shown = ocihooks("cache", "show", "--prefix", "{DIR}/prefix")
    assert (shown.status, shown.stderr) == (1, "")
    assert "no container has been created since the rules changed" in shown.stdout


def test_young_rules_are_not_kept(place: Place, installed: Path, ocihooks: Run) -> None:
    """Rules that were touched within the last two seconds are read again by the next container."""
    place.settings.write_text(place.settings.read_text())
    create(place, installed)
    assert ocihooks("cache", "show", "--prefix", "{DIR}/prefix").status == 1
    assert not list((place.root).glob("cache/*"))


def test_unknown_installation(ocihooks: Run) -> None:
    """An installation that is not there is named, with exit status 3."""
    shown = ocihooks("cache", "show", "--prefix", "{DIR}/nowhere")
    assert shown.status == 3
    assert 'no wrapper "ocihooks-runtime" is installed below "{DIR}/nowhere"' in shown.stderr


@pytest.mark.parametrize("words", [["cache"], ["cache", "delete"], ["cache", "show", "--prefix"]], ids=" ".join)
def test_wrong_usage(ocihooks: Run, words: list[str]) -> None:
    """A missing or unknown action, and an option without its value, are wrong usage."""
    assert ocihooks(*words).status == 2


def test_fresh_then_cleared(place: Place, installed: Path, ocihooks: Run) -> None:
    """Compiled rules are shown as fresh, go when they are cleared, and a changed rule makes them stale."""
    wait_until_old(place)
    create(place, installed)
    shown = ocihooks("cache", "show", "--prefix", "{DIR}/prefix", "--json")
    document = json.loads(shown.stdout)
    assert (shown.status, document["fresh"], document["reason"], document["shortcut"]) == (0, True, "fresh", True)
    (place.root / "a/10-new.json").write_text("")
    stale = ocihooks("cache", "show", "--prefix", "{DIR}/prefix")
    assert stale.status == 1
    assert "a source changed" in stale.stdout
    cleared = ocihooks("cache", "clear", "--prefix", "{DIR}/prefix", "--json")
    assert (cleared.status, json.loads(cleared.stdout)["cleared"]) == (0, True)
    assert list((place.root / "cache").iterdir()) == []


def test_damaged_rule(place: Place, installed: Path, ocihooks: Run) -> None:
    """A rule that is damaged is found although no container needs it; the next one that does has it read again."""
    place.rule("a/10.json")
    wait_until_old(place)
    create(place, installed)
    (kept,) = place.root.glob("cache/*.rules")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    shown = json.loads(ocihooks("cache", "show", "--prefix", "{DIR}/prefix", "--json").stdout)
    assert (shown["fresh"], shown["reason"], shown["rules"]) == (False, "damaged", None)
    create(place, installed)
    assert kept.read_bytes() == whole
    shown = json.loads(ocihooks("cache", "show", "--prefix", "{DIR}/prefix", "--json").stdout)
    assert (shown["fresh"], shown["rules"]) == (True, 1)


def wait_until_old(place: Place) -> None:
    """Wait until everything in the place has been left alone for two seconds; its change times can't be set back."""
    import time

    paths = [place.root, *place.root.rglob("*")]
    youngest = max(os.lstat(path).st_ctime for path in paths)
    time.sleep(max(0.0, youngest + 2.1 - time.time()))
