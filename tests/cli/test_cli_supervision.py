"""Supervision as the commands show it: records, statistics, and what list, check, explain and inject say about it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.place import PROGRAM, TRUE, Place, Run, environment

from ocihooks.diagnostics import KINDS
from ocihooks.records.append import append

RUN: dict[str, Any] = {
    "container": "c1",
    "rule": "/h/10-a.json",
    "stage": "createRuntime",
    "outcome": "succeeded",
    "message": "",
    "argv": ["a", "b c"],
    "started": "2026-01-02T03:04:05.000Z",
    "wall_s": 0.25,
    "status": 0,
    "signal": None,
    "timed_out": False,
    "killed": 0,
    "left_running": [],
    "stdout": "",
    "stderr": "",
    "state": "{}",
}
FAILURE = RUN | {
    "outcome": "failed",
    "message": "was ended by SIGKILL",
    "status": None,
    "signal": 9,
    "stderr": "no\x1b device\n",
    "killed": 3,
    "left_running": [7, 8],
    "rule": "/h/20-b.json",
}
INJECTION = {
    "container": "c2",
    "bundle": "/b",
    "operation": "create",
    "hooks": [{"rule": "/h/10-a.json", "stage": "poststop"}],
}


@pytest.fixture
def records(place: Place) -> Path:
    """The record file that the settings name; empty."""
    place.configure('records = "{DIR}/log/records.jsonl"')
    return place.root / "log/records.jsonl"


def fill(records: Path) -> None:
    append(str(records), "injection", INJECTION)
    append(str(records), "run", RUN)
    append(str(records), "run", FAILURE)
    append(str(records), "run", RUN | {"container": "c1x", "outcome": "warned", "message": "ended with status 3"})


class TestLogs:
    """The command logs."""

    def test_lines(self, records: Path, place: Place, ocihooks: Run) -> None:
        """A line for each record, oldest first, with what matters."""
        fill(records)
        shown = ocihooks("logs", "--settings", str(place.settings))
        assert (shown.status, shown.stderr) == (0, "")
        lines = [line.split("  ", 1)[1] for line in shown.stdout.splitlines()]
        assert lines == [
            "c2  got  poststop 10-a.json",
            "c1  createRuntime  10-a.json  succeeded  0.25 s",
            "c1  createRuntime  20-b.json  failed  0.25 s  was ended by SIGKILL",
            "c1x  createRuntime  10-a.json  warned  0.25 s  ended with status 3",
        ]

    def test_odd_records(self, records: Path, place: Place, ocihooks: Run) -> None:
        """What has another type than we write is left out of what is shown."""
        append(str(records), "injection", INJECTION | {"hooks": 5, "injector_files": "x"})
        append(str(records), "run", FAILURE | {"argv": 5, "left_running": 7})
        shown = ocihooks("logs", "--settings", str(place.settings))
        assert (shown.status, len(shown.stdout.splitlines())) == (0, 2)
        last = ocihooks("logs", "--last-failure", "--settings", str(place.settings))
        assert (last.status, "left running" in last.stdout) == (0, False)

    @pytest.mark.parametrize(
        ("hooks", "others", "line"),
        [
            ([("precreate", "/h/5-f.json")], {"injector_files": ["/i/a.json"]}, "precreate 5-f.json, injector a.json"),
            ([], {"injector_files": ["/i/a.json", "/i/b.json"]}, "injector a.json, injector b.json"),
            ([], {}, "hooks of modifiers"),
        ],
        ids=["filter", "injector", "modifiers"],
    )
    def test_other_ways(
        self,
        hooks: list[tuple[str, str]],
        others: dict[str, object],
        line: str,
        records: Path,
        place: Place,
        ocihooks: Run,
    ) -> None:
        """What filters, injector files and modifiers gave is told, too."""
        given = {"hooks": [{"rule": rule, "stage": stage} for stage, rule in hooks], **others}
        append(str(records), "injection", INJECTION | given)
        shown = ocihooks("logs", "--settings", str(place.settings))
        assert (shown.status, shown.stdout.split("  ", 1)[1]) == (0, f"c2  got  {line}\n")
        chosen = ocihooks("logs", "--stage", "precreate", "--settings", str(place.settings))
        assert chosen.status == (0 if "precreate" in line else 1)

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            pytest.param(["--container", "c1"], 3, id="container"),
            pytest.param(["--container", "c1x"], 1, id="one-container"),
            pytest.param(["--rule", "10-a.json"], 3, id="rule"),
            pytest.param(["--rule", "/h/20-b.json", "--failed"], 1, id="failed-rule"),
            pytest.param(["--stage", "poststop"], 1, id="stage"),
            pytest.param(["--failed"], 2, id="failed"),
            pytest.param(["--last-failure"], 1, id="last"),
            pytest.param(["--container", "none"], 0, id="none"),
        ],
    )
    def test_selection(self, options: list[str], count: int, records: Path, place: Place, ocihooks: Run) -> None:
        """Records are selected by container, rule, stage and failure; none is status 1."""
        fill(records)
        shown = ocihooks("logs", *options, "--settings", str(place.settings), "--json")
        assert len(shown.json()["records"]) == count
        assert shown.status == (0 if count else 1)

    def test_last_failure(self, records: Path, place: Place, ocihooks: Run) -> None:
        """The last failure is told with all that is known, control characters escaped."""
        append(str(records), "run", FAILURE)
        append(str(records), "run", RUN)
        shown = ocihooks("logs", "--last-failure", "--settings", str(place.settings)).stdout
        for words in (
            "c1",
            "/h/20-b.json",
            "a 'b c'",
            "was ended by SIGKILL (failed)",
            "SIGKILL",
            "3 processes",
            "7, 8",
        ):
            assert words in shown
        assert shown.endswith("stderr:\n  no\\x1b device\n")

    def test_nothing(self, records: Path, place: Place, ocihooks: Run) -> None:
        """Without records there is a sentence, and status 1."""
        shown = ocihooks("logs", "--settings", str(place.settings))
        assert (shown.status, shown.stdout, shown.stderr) == (1, "", "no such record in {DIR}/log/records.jsonl\n")

    def test_exclusive(self, ocihooks: Run) -> None:
        """Following and the last failure exclude each other."""
        shown = ocihooks("logs", "--follow", "--last-failure")
        assert (shown.status, "exclude each other" in shown.stderr) == (2, True)

    def test_follow(self, records: Path, place: Place) -> None:
        """New records are shown as they come, and an interrupt ends it."""
        append(str(records), "run", RUN | {"container": "old"})
        argv = [PROGRAM, "logs", "--follow", "--failed", "--json", "--settings", str(place.settings)]
        unbuffered = environment(PYTHONUNBUFFERED="1")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=unbuffered) as process:
            assert process.stdout
            deadline = time.monotonic() + 60
            while records.name not in " ".join(opened(process.pid)):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            fill(records)
            found = [json.loads(process.stdout.readline())["outcome"] for _ in range(2)]
            process.terminate()
        assert found == ["failed", "warned"]


def opened(pid: int) -> list[str]:
    """The files that a process has open."""
    directory = f"/proc/{pid}/fd"
    found = []
    for fd in os.listdir(directory):
        try:
            found.append(os.readlink(f"{directory}/{fd}"))
        except OSError:
            continue
    return found


class TestStats:
    """The command stats."""

    def test_table(self, records: Path, place: Place, ocihooks: Run) -> None:
        """A line for each rule and stage."""
        fill(records)
        shown = ocihooks("stats", "--settings", str(place.settings))
        rows = [line.split() for line in shown.stdout.splitlines()]
        assert rows == [
            ["RULE", "STAGE", "RUNS", "FAILED", "P50", "P95", "MAX"],
            ["10-a.json", "createRuntime", "2", "1", *["0.250", "s"] * 3],
            ["20-b.json", "createRuntime", "1", "1", *["0.250", "s"] * 3],
        ]

    def test_json(self, records: Path, place: Place, ocihooks: Run) -> None:
        """The same for programs."""
        fill(records)
        document = ocihooks("stats", "--json", "--settings", str(place.settings)).json()
        assert [(entry["rule"], entry["count"]) for entry in document["hooks"]] == [
            ("/h/10-a.json", 2),
            ("/h/20-b.json", 1),
        ]

    def test_nothing(self, records: Path, place: Place, ocihooks: Run) -> None:
        """Without runs there is a sentence, and status 1."""
        append(str(records), "injection", INJECTION)
        shown = ocihooks("stats", "--settings", str(place.settings))
        assert (shown.status, shown.stdout, shown.stderr) == (1, "", "no run is recorded in {DIR}/log/records.jsonl\n")


class TestRules:
    """Supervised rules in the other commands."""

    def test_list(self, place: Place, ocihooks: Run) -> None:
        """A supervised rule says so."""
        place.configure('[ocihooks.rules."10-a.json"]\non-failure = "warn"\nleftovers = "kill"')
        place.rule("a/10-a.json")
        place.rule("a/20-b.json")
        text = ocihooks("list", "--settings", str(place.settings)).stdout
        assert text.count("createRuntime (supervised)") == 1
        rules = ocihooks("list", "--json", "--settings", str(place.settings)).json()["rules"]
        assert [rule["supervision"] for rule in rules] == [{"on_failure": "warn", "kill_leftovers": True}, None]

    def test_explain_and_inject(self, place: Place, ocihooks: Run) -> None:
        """What runs in the end is shown, and injecting twice equals injecting once."""
        place.configure('supervise = "on"\nrecords = "{DIR}/r"')
        place.rule("a/10-a.json", args=["true", "${id}"], timeout=3)
        bundle = place.bundle()
        settings = ("--settings", str(place.settings))
        explained = ocihooks("explain", str(bundle.directory), *settings).stdout
        assert f'+  createRuntime  {TRUE} "${{id}}" (supervised)' in explained
        assert ocihooks("inject", "--bundle", str(bundle.directory), *settings).status == 0
        (entry,) = bundle.config()["hooks"]["createRuntime"]
        assert entry["args"][-4:] == ["--", TRUE, "true", "${id}"]
        assert entry["timeout"] == 8
        again = ocihooks("inject", "--bundle", str(bundle.directory), *settings)
        assert "has these hooks already" in again.stdout
        state = json.dumps({"ociVersion": "1", "id": "c1", "status": "creating", "bundle": "/b"})
        ran = subprocess.run(
            [entry["path"], *entry["args"][1:]],
            env=dict(item.split("=", 1) for item in entry["env"]),
            input=state.encode(),
            check=False,
        )
        assert ran.returncode == 0, "the supervisor of the package works without an installed wrapper"
        assert json.loads((place.root / "r").read_text())["argv"] == ["true", "c1"]

    @pytest.mark.parametrize(
        ("code", "settings", "rule"),
        [
            pytest.param(
                "shell_template", 'supervise = "on"', {"path": "/bin/sh", "args": ["sh", "-ec", "x ${id}"]}, id="shell"
            ),
            pytest.param("unsupervised_template", "", {"env": ["A=${id}"]}, id="template"),
            pytest.param("unsupervised_stage", 'on-failure = "warn"', {"stages": ["createContainer"]}, id="stage"),
        ],
    )
    def test_check(self, code: str, settings: str, rule: dict[str, Any], place: Place, ocihooks: Run) -> None:
        """What supervision makes of a rule is warned about, in the words of the table."""
        place.configure(settings)
        place.rule("a/10-a.json", **rule)
        (kind,) = [kind for kind in KINDS if kind.code == code]
        findings = ocihooks("check", "--settings", str(place.settings), "--json").json()["findings"]
        assert [(finding["message"], finding["severity"]) for finding in findings if finding["code"] == code] == [
            (kind.example, "warning")
        ]

    @pytest.mark.parametrize(
        ("settings", "rule"),
        [
            pytest.param('supervise = "on"', {"args": ["x", "-v", "${id}"], "env": ["A=${id}"]}, id="supervised"),
            pytest.param("", {"args": ["sh", "-c", "echo ${HOME} $${id}"]}, id="no-templates"),
            pytest.param('supervise = "on"', {"args": ["sh", "-c", "$1", "sh", "${id}"]}, id="argument"),
            pytest.param('supervise = "on"', {"stages": ["createContainer"]}, id="stage"),
        ],
    )
    def test_check_good(self, settings: str, rule: dict[str, Any], place: Place, ocihooks: Run) -> None:
        """What works is not warned about."""
        place.configure(settings)
        place.rule("a/10-a.json", **rule)
        codes = {
            finding["code"]
            for finding in ocihooks("check", "--settings", str(place.settings), "--json").json()["findings"]
        }
        assert codes & {"shell_template", "unsupervised_template", "unsupervised_stage"} == set()
