"""The command line of `ocihooks nri`: what it refuses before any engine is asked."""

from __future__ import annotations

import os
import socket

import pytest
from tests.cli.place import Run

from ocihooks.errors import UsageError
from ocihooks.nri.service import Place, place_of


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        pytest.param(["--metrics", "0.0.0.0:9461"], 2, "metrics can't be served at", id="address-of-others"),
        pytest.param(["--metrics", "unix:/nowhere/m"], 3, "/nowhere/m: metrics can't be served there", id="place"),
        pytest.param(["--index", "5"], 2, 'plugin index "5": expected two digits', id="index"),
        pytest.param(["--index", "\u0665\u0660"], 2, "expected two digits", id="other-digits"),
        pytest.param(["--name", ""], 2, 'plugin name "": expected letters', id="no-name"),
        pytest.param(["--name", "a b"], 2, 'plugin name "a b": expected letters', id="odd-name"),
        pytest.param(["--settings", "/nowhere.toml"], 2, "does not exist", id="settings"),
    ],
)
def test_refused(words: list[str], status: int, message: str, ocihooks: Run) -> None:
    """Mistakes on the command line end it with a sentence that says what was expected."""
    finished = ocihooks("nri", "SETTINGS", *words)
    assert (finished.status, message in finished.stderr) == (status, True), finished.stderr


def test_environment_of_an_engine() -> None:
    """What an engine leaves in the environment counts in place of the command line."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = theirs.fileno()
        environment = {"NRI_PLUGIN_SOCKET": str(number), "NRI_PLUGIN_NAME": "gpu", "NRI_PLUGIN_IDX": "07"}
        found = place_of(environment, path="/run/nri.sock", name="ocihooks", index="50")
        assert found == Place(path="", descriptor=number, name="gpu", index="07")
        os.fstat(number)
    assert place_of({}, path="/run/nri.sock", name="ocihooks", index="50").path == "/run/nri.sock"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param({"NRI_PLUGIN_SOCKET": "77777"}, "expected the number of a descriptor", id="closed"),
        pytest.param({"NRI_PLUGIN_SOCKET": "0"}, 'NRI_PLUGIN_SOCKET is "0"', id="no-socket"),
        pytest.param({"NRI_PLUGIN_SOCKET": "9" * 30}, "NRI_PLUGIN_SOCKET is", id="huge"),
        pytest.param({"NRI_PLUGIN_SOCKET": "x"}, 'NRI_PLUGIN_SOCKET is "x"', id="no-number"),
        pytest.param({"NRI_PLUGIN_IDX": "7"}, 'plugin index "7": expected two digits', id="index"),
        pytest.param({"NRI_PLUGIN_NAME": "a/b"}, 'plugin name "a/b": expected letters, digits', id="name"),
    ],
)
def test_wrong_environment(variables: dict[str, str], message: str) -> None:
    """What no engine would have left there is refused."""
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull, "rb") as null:
        there = {"NRI_PLUGIN_SOCKET": str(theirs.fileno()), **variables}
        if there["NRI_PLUGIN_SOCKET"] == "0":
            there["NRI_PLUGIN_SOCKET"] = str(null.fileno())
            message = f'NRI_PLUGIN_SOCKET is "{null.fileno()}"'
        with pytest.raises(UsageError, match=message):
            place_of(there, path="", name="ocihooks", index="50")
