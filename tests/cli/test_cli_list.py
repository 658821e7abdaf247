"""`ocihooks list`: every rule file with what became of it."""

from __future__ import annotations

import os
from textwrap import dedent

import pytest
from tests.cli.place import Place, Run

from ocihooks.cli.group import SUMMARIES


@pytest.fixture
def mixed(place: Place) -> Place:
    """One rule of each kind."""
    place.configure('static-hooks = ["{DIR}/static.json", "{DIR}/gone.json"]')
    place.write("static.json", '{"hooks": {"createRuntime": [{"path": "/bin/true"}], "poststop": []}}')
    place.rule("a/10-gpu.json", when={"annotations": {"^gpu$": "^(all|[0-9]+)$"}, "commands": ["^/bin/x$", "y$"]})
    place.rule("b/10-gpu.json", when={"hasBindMounts": True}, stages=["poststop"])
    place.rule("a/20-off.json")
    place.write("b/20-off.json", "")
    place.write("a/30-bad.json", "{")
    place.rule("b/40-gone.json", path="/no/such")
    place.rule("b/50-odd.json", timeout=0)
    place.write("a/60-old.json", '{"hook": "/bin/true", "stages": ["prestart"], "cmds": ["sh"], "annotations": ["a"]}')
    return place


def test_table(mixed: Place, ocihooks: Run) -> None:
    """Every file has a line; overridden ones follow the one that counts."""
    finished = ocihooks("list", "SETTINGS")
    assert finished.stdout == dedent("""\
        #  RULE          STATUS           STAGES         WHEN                                   FILE
        1  10-gpu.json   active           poststop       bind mounts                            {DIR}/b/10-gpu.json
        -  10-gpu.json   overridden       -              -                                      {DIR}/a/10-gpu.json
        2  20-off.json   masked           -              -                                      {DIR}/b/20-off.json
        -  20-off.json   overridden       -              -                                      {DIR}/a/20-off.json
        3  30-bad.json   invalid          -              -                                      {DIR}/a/30-bad.json
        4  40-gone.json  missing program  createRuntime  always                                 {DIR}/b/40-gone.json
        5  50-odd.json   unusable         createRuntime  always                                 {DIR}/b/50-odd.json
        6  60-old.json   active           prestart       annotation ".*" = "a" or command "sh"  {DIR}/a/60-old.json

        STATUS   HOOKS             STATIC HOOK FILE
        active   createRuntime: 1  {DIR}/static.json
        invalid  -                 {DIR}/gone.json
        """)
    assert finished.stderr == 'ocihooks: warning: 4 files can\'t be used\nhint: run "ocihooks check"\n'
    assert finished.status == 0


def test_conditions(place: Place, ocihooks: Run) -> None:
    """Conditions that must all hold are joined by "and", patterns are shown as in the file."""
    place.rule("a/1.json", when={"annotations": {"^a\\.b$": "c"}, "commands": ["^/bin/x$", "y$"], "always": False})
    assert (
        'never and annotation "^a\\\\.b$" = "c" and command ("^/bin/x$" or "y$")' in ocihooks("list", "SETTINGS").stdout
    )


def test_no_rules(ocihooks: Run) -> None:
    """Where there are no rules, the directories are named."""
    finished = ocihooks("list", "SETTINGS")
    assert (finished.status, finished.stdout, finished.stderr) == (0, "no rules in {DIR}/a, {DIR}/b\n", "")


def test_hooks_dir(place: Place, ocihooks: Run) -> None:
    """--hooks-dir replaces the directories of the settings; relative ones count from the working directory."""
    place.rule("c/1.json")
    place.rule("a/2.json")
    assert [rule["file"] for rule in ocihooks("list", "SETTINGS", "--hooks-dir", "c", "--json").json()["rules"]] == [
        "{DIR}/c/1.json"
    ]


def test_missing_directory(ocihooks: Run) -> None:
    """A directory that is named and does not exist is worth a warning."""
    finished = ocihooks("list", "SETTINGS", "--hooks-dir", "none")
    assert finished.stderr == "ocihooks: warning: {DIR}/none: there is no such directory\n"
    assert finished.status == 0


def test_name_with_control_characters(place: Place, ocihooks: Run) -> None:
    """A file name can't forge lines."""
    place.rule("a/1\n2  evil.json")
    assert "1  1\\n2  evil.json  active" in ocihooks("list", "SETTINGS").stdout


def test_json(mixed: Place, ocihooks: Run) -> None:
    """The JSON document has all of it."""
    document = ocihooks("list", "SETTINGS", "--json").json()
    assert document["settings"] == {
        "file": "{DIR}/etc/config.toml",
        "hooks_dirs": ["{DIR}/a", "{DIR}/b"],
        "position": "append",
        "on_invalid": "fail",
        "sandbox": False,
    }
    assert [(rule["order"], rule["name"], rule["status"], rule["overridden_by"]) for rule in document["rules"]] == [
        (1, "10-gpu.json", "active", None),
        (None, "10-gpu.json", "overridden", "{DIR}/b/10-gpu.json"),
        (2, "20-off.json", "masked", None),
        (None, "20-off.json", "overridden", "{DIR}/b/20-off.json"),
        (3, "30-bad.json", "invalid", None),
        (4, "40-gone.json", "missing program", None),
        (5, "50-odd.json", "unusable", None),
        (6, "60-old.json", "active", None),
    ]
    assert document["rules"][0] | {"problems": []} == {
        "order": 1,
        "name": "10-gpu.json",
        "file": "{DIR}/b/10-gpu.json",
        "directory": "{DIR}/b",
        "status": "active",
        "overridden_by": None,
        "stages": ["poststop"],
        "when": {"hasBindMounts": True, "anyOf": False},
        "hook": {"path": "/bin/true"},
        "supervision": None,
        "problems": [],
    }
    assert [problem["code"] for problem in document["rules"][4]["problems"]] == ["json_syntax"]
    assert [(entry["status"], entry["stages"]) for entry in document["static"]] == [
        ("active", {"createRuntime": 1}),
        ("invalid", {}),
    ]
    assert document["disabled"] is None
    assert document["problems"] == []


def test_switched_off(place: Place, ocihooks: Run) -> None:
    """While the kill switch is on, that is said first, with the reason."""
    ocihooks("disable", "SETTINGS", "--reason", "ticket 4711")
    os.utime(place.root / "etc/disabled", (1767323045, 1767323045))
    finished = ocihooks("list", "SETTINGS")
    assert finished.stderr == (
        "ocihooks: warning: {DIR}/etc/disabled: hooks are switched off since 2026-01-02T03:04:05Z, all containers "
        'start without them: "ticket 4711"\n'
        "hint: switch them on again with ocihooks enable --settings {DIR}/etc/config.toml\n"
    )
    assert finished.status == 0
    assert ocihooks("list", "SETTINGS", "--json").json()["disabled"] == {
        "file": "{DIR}/etc/disabled",
        "reason": "ticket 4711",
        "since": "2026-01-02T03:04:05Z",
    }


@pytest.mark.parametrize("command", [name for name in SUMMARIES if name in ("list", "check", "explain", "inject")])
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(["--settings", "none.toml"], 2, "none.toml", id="no-such-settings"),
        pytest.param(["--settings", "."], 2, "is a directory", id="directory-as-settings"),
        pytest.param(["--nope"], 2, "--nope", id="unknown-option"),
    ],
)
def test_bad_usage(command: str, arguments: list[str], status: int, message: str, ocihooks: Run) -> None:
    """The shared options refuse what can't be meant, in one sentence and a hint."""
    finished = ocihooks(command, *arguments)
    assert (finished.status, finished.stdout) == (status, "")
    first, hint = finished.stderr.splitlines()
    assert first.startswith("ocihooks: ")
    assert message in first
    assert hint == f'hint: run "ocihooks {command} --help"'


@pytest.mark.parametrize("command", [["list"], ["explain", "--bind-mount"], ["inject", "--bundle", "bundle"]])
def test_broken_settings(command: list[str], place: Place, ocihooks: Run) -> None:
    """Broken settings end a command with all their problems and status 1."""
    place.bundle()
    place.settings.write_text('[ocihooks]\nposition = "first"\nhook-dirs = []\n')
    finished = ocihooks(*command, "SETTINGS")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr == (
        'ocihooks: {DIR}/etc/config.toml: ocihooks.position: expected "append" or "prepend", found "first"\n'
        'hint: the default is "append"\n'
        'ocihooks: {DIR}/etc/config.toml: ocihooks.hook-dirs: unknown key "hook-dirs"\n'
        'hint: did you mean "hooks-dirs"?\n'
    )
