"""Modifiers in `ocihooks check`, `inject` and `explain`."""

from __future__ import annotations

import json

import pytest
from tests.cli.place import Place, Run

ADDS = """
import ocihooks

def audit(c):
    print("asked about", c.bundle)
    c.add_hook("poststop", ocihooks.Hook(path="/bin/true"))
"""

REFUSES = """
import ocihooks

def audit(c):
    raise ocihooks.RefusedError("no licence")
"""

WORD = "{DIR}/etc/m.py:audit"


@pytest.fixture
def modified(place: Place) -> Place:
    """A place with a bundle whose settings name a modifier."""
    place.configure(f'modifiers = ["{WORD}"]')
    place.write("etc/m.py", ADDS)
    place.bundle()
    return place


def test_check(modified: Place, ocihooks: Run) -> None:
    """A check loads modifiers, but does not ask them."""
    finished = ocihooks("check", "SETTINGS", "--json")
    document = finished.json()
    assert (finished.status, document["findings"]) == (0, [])
    assert {"file": "{DIR}/etc/m.py", "kind": "modifier"} in document["checked"]
    modified.write("etc/m.py", "import ocihooks\nimport none_such\n")
    finished = ocihooks("check", "SETTINGS")
    assert finished.status == 1
    said = f"modifier \"{WORD}\" failed: ModuleNotFoundError: No module named 'none_such'"
    assert f"ocihooks: {{DIR}}/etc/m.py: line 2: {said}\nhint: " in finished.stdout


def test_check_of_a_module(modified: Place, ocihooks: Run) -> None:
    """A module that is not there is told about the settings."""
    modified.configure('modifiers = ["none_such:f"]')
    finished = ocihooks("check", "SETTINGS")
    assert finished.stdout.startswith(
        'ocihooks: {DIR}/etc/config.toml: ocihooks.modifiers: modifier "none_such:f": there is no module "none_such"\n'
    )


def test_inject(modified: Place, ocihooks: Run) -> None:
    """A modifier is asked, and what it adds is shown; a second time changes nothing."""
    dry = ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--dry-run")
    assert '"OCIHOOKS_RULE={DIR}/etc/config.toml/m.py:audit",' in dry.stdout
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert finished.status == 0
    assert finished.stdout.splitlines() == [
        "hooks added to {DIR}/bundle/config.json",
        "  m.py:audit  poststop",
        "all bytes outside of hooks stay as they are",
    ]
    document = ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--json").json()
    assert (document["result"], document["modifiers"]) == ("already injected", [WORD])


def test_simulate(modified: Place, ocihooks: Run) -> None:
    """A simulation has the hooks that modifiers add, as the container would."""
    finished = ocihooks("simulate", "SETTINGS", "bundle", "--dry-run")
    assert finished.status == 0
    assert "m.py:audit" in finished.stdout


def test_refused(modified: Place, ocihooks: Run) -> None:
    """A refusal is told as the wrapper would tell it."""
    modified.write("etc/m.py", REFUSES)
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr == f'ocihooks: modifier "{WORD}" refuses the container: no licence\n'


def test_explain(modified: Place, ocihooks: Run) -> None:
    """It is said that a modifier would be asked; nobody asks it, and its hooks that are there don't seem to go."""
    ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    modified.write("etc/m.py", REFUSES)
    modified.rule("a/1.json")
    finished = ocihooks("explain", "SETTINGS", "bundle")
    assert f"modifier {json.dumps(WORD)} is asked, too: it may add hooks, or refuse" in finished.stdout
    assert "poststop" not in finished.stdout
    document = ocihooks("explain", "SETTINGS", "bundle", "--json").json()
    assert (document["modifiers"], document["removes"]) == ([WORD], {})
