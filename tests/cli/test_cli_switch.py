"""`ocihooks disable` and `ocihooks enable`: the kill switch."""

from __future__ import annotations

import os

import pytest
from tests.cli.place import Place, Run

from ocihooks.wrapper.switch import is_disabled


def test_disable(place: Place, ocihooks: Run) -> None:
    """A file beside the settings switches hooks off; how to undo it is said."""
    finished = ocihooks("disable", "SETTINGS")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout == (
        "hooks are off: all containers start without them\n"
        "switch: {DIR}/etc/disabled\n"
        "undo: ocihooks enable --settings {DIR}/etc/config.toml\n"
    )
    assert is_disabled(str(place.settings))
    assert (place.root / "etc/disabled").read_bytes() == b""


def test_disable_twice(ocihooks: Run) -> None:
    """Twice is as good as once; the reason stays."""
    ocihooks("disable", "SETTINGS", "--reason", "first")
    finished = ocihooks("disable", "SETTINGS")
    assert finished.status == 0
    assert finished.stdout.startswith('hooks were off already\nswitch: {DIR}/etc/disabled\nreason: "first"\n')


def test_reason(place: Place, ocihooks: Run) -> None:
    """A reason is one line in the file, and another one replaces it."""
    assert 'reason: "first"\n' in ocihooks("disable", "SETTINGS", "--reason", "first").stdout
    assert (
        'reason: "second: ü"\n'.replace("ü", "\\u00fc")
        in ocihooks("disable", "SETTINGS", "--reason", "second: ü").stdout
    )
    assert (place.root / "etc/disabled").read_text() == "second: ü\n"


def test_enable(place: Place, ocihooks: Run) -> None:
    """Enabling takes the file away; twice is as good as once."""
    ocihooks("disable", "SETTINGS")
    finished = ocihooks("enable", "SETTINGS")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout == (
        "hooks are on: containers that start from now on get them\n"
        "undo: ocihooks disable --settings {DIR}/etc/config.toml\n"
    )
    assert not is_disabled(str(place.settings))
    assert ocihooks("enable", "SETTINGS").stdout.startswith("hooks were on already\n")
    assert os.listdir(place.root / "etc") == ["config.toml"]


def test_no_settings(place: Place, ocihooks: Run) -> None:
    """The switch works before there are settings: its directory is made."""
    assert ocihooks("disable", "--settings", "{DIR}/new/ocihooks/config.toml").status == 0
    assert is_disabled(str(place.root / "new/ocihooks/config.toml"))
    assert (place.root / "new/ocihooks").stat().st_mode & 0o777 == 0o755


def test_json(place: Place, ocihooks: Run) -> None:
    """The JSON document says whether anything changed, and how it is now."""
    words = ["disable", "SETTINGS", "--reason", "x", "--json"]
    first = ocihooks(*words).json()
    assert (first["changed"], first["disabled"]["reason"], first["disabled"]["file"]) == (
        True,
        "x",
        "{DIR}/etc/disabled",
    )
    assert ocihooks(*words).json() == first | {"changed": False}
    assert ocihooks("enable", "SETTINGS", "--json").json() == {"changed": True, "disabled": None}
    assert ocihooks("enable", "SETTINGS", "--json").json() == {"changed": False, "disabled": None}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(["disable", "SETTINGS", "--reason", "a\nb"], 2, "expected one line", id="two-lines"),
        pytest.param(["disable", "SETTINGS", "--reason", "x" * 201], 2, "at most 200 characters", id="long-reason"),
        pytest.param(["disable", "SETTINGS", "why"], 2, "unexpected extra argument", id="extra-word"),
        pytest.param(["disable", "--settings", "{DIR}/etc"], 2, "is a directory", id="directory-as-settings"),
        pytest.param(["disable", "--settings", "/proc/x/config.toml"], 3, "/proc/x: can't be made", id="no-directory"),
        pytest.param(["enable", "SETTINGS", "--reason", "x"], 2, "no such option", id="reason-of-enable"),
        pytest.param(["enable", "--settings", "{DIR}/etc"], 2, "is a directory", id="enable-directory"),
        pytest.param(["enable", "--settings"], 2, "requires an argument", id="no-value"),
    ],
)
def test_bad_usage(arguments: list[str], status: int, message: str, place: Place, ocihooks: Run) -> None:
    """What can't be meant is refused, and nothing is switched."""
    finished = ocihooks(*arguments)
    assert (finished.status, finished.stdout) == (status, "")
    assert message in finished.stderr
    assert not is_disabled(str(place.settings))


def test_untrusted_directory(place: Place, ocihooks: Run) -> None:
    """Where everybody may write, the wrapper would not look at the switch, so it is refused with the remedy."""
    place.settings.parent.chmod(0o777)
    finished = ocihooks("disable", "SETTINGS")
    assert finished.status == 3
    assert finished.stderr.endswith("hint: chmod o-w {DIR}/etc\n")
    assert not (place.root / "etc/disabled").exists()


def test_directory_as_switch(place: Place, ocihooks: Run) -> None:
    """Something else in the place of the switch is left alone."""
    (place.root / "etc/disabled").mkdir()
    assert ocihooks("enable", "SETTINGS").status == 3
    assert (place.root / "etc/disabled").is_dir()
