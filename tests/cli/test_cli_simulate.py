"""The command `simulate`: what it shows, what it runs, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.place import Place, Run

NOTE = 'cat > /dev/null; echo "$0" >> "$1"'


def script(text: str, *words: str) -> dict[str, Any]:
    """A hook that runs a line of shell."""
    return {"path": "/bin/sh", "args": ["sh", "-c", text, *words], "env": ["PATH=/usr/bin:/bin"]}


def plain(text: str) -> str:
    """*text* without what differs from run to run: times, process ids, names made by chance."""
    text = re.sub(r" +\d+\.\d{3} s", " TIME", text)
    text = re.sub(r"pid \d{2,}", "pid PID", text)
    return re.sub(r"\S*/ocihooks-simulate-\w+", "BUNDLE", text)


def test_output(place: Place, ocihooks: Run) -> None:
    """Stages come in order, with state, hooks, their rules, output and failures, and the result last."""
    place.rule("a/10-say.json", **script("cat > /dev/null; echo one; echo two >&2"))
    place.bundle(hooks={"poststart": [script("cat > /dev/null; exit 3"), script("cat > /dev/null")]})
    finished = ocihooks("simulate", "SETTINGS", "bundle", "--flavour", "runc", "--stop-after", "poststart")
    assert (finished.status, finished.stderr) == (1, "")
    shown = plain(finished.stdout)
    assert shown.startswith(
        """\
container  bundle
flavour    runc 1.1
rules      10-say.json

prestart        no hooks

createRuntime   during create, status creating, pid PID, in {DIR}/bundle
  succeeded TIME  /bin/sh "-c" "cat > /dev/null; echo one; echo two >&2"  10-say.json
    stdout  one
    stderr  two

createContainer no hooks

poststart       during create, status created, pid PID, in {DIR}/bundle
  failed TIME  /bin/sh "-c" "cat > /dev/null; exit 3"  config.json: ended with status 3
  not run               /bin/sh "-c" "cat > /dev/null"  config.json: a hook in front of it failed
  then       create fails with status 1, the container's program does not run, the poststop hooks run

"""
    )
    assert shown.endswith("1 of 2 hooks failed\n")


def test_failures_that_stop_nothing(place: Place, ocihooks: Run) -> None:
    """By the runtime-spec a failing poststart hook stops nothing; the status is 1 all the same."""
    place.bundle(hooks={"poststart": [script("exit 3")], "poststop": [script(NOTE, "gone", f"{place.root}/log")]})
    finished = ocihooks("simulate", "SETTINGS", "bundle")
    assert finished.status == 1
    assert "  then       a warning is logged, and all goes on\n" in finished.stdout
    assert (place.root / "log").read_text() == "gone\n"


def test_dry_run(place: Place, ocihooks: Run) -> None:
    """A dry run shows what each hook would read, and runs nothing."""
    place.rule("a/10.json", stages=["createRuntime", "startContainer"], **script(f"touch {place.root}/ran"))
    place.bundle()
    finished = ocihooks("simulate", "SETTINGS", "bundle", "--dry-run", "--flavour", "crun")
    assert finished.status == 0
    states = [json.loads(line.split(maxsplit=1)[1]) for line in finished.stdout.splitlines() if "  reads " in line]
    assert [(state["status"], state["pid"], state["bundle"]) for state in states] == [
        ("created", 1000, "{DIR}/bundle"),
        ("starting", 0, "/"),
    ]
    assert finished.stdout.count("  planned ") == 2
    assert finished.stdout.endswith("nothing was run; 1000 stands for the process id of the container\n")
    assert not (place.root / "ran").exists()


def test_stage(place: Place, ocihooks: Run) -> None:
    """Only the hooks of the asked stages run; those of others pass as if they had succeeded."""
    hooks = {
        "createRuntime": [script("exit 1")],
        **{stage: [script(NOTE, stage, f"{place.root}/log")] for stage in ("poststart", "poststop")},
    }
    place.bundle(hooks=hooks)
    finished = ocihooks("simulate", "SETTINGS", "bundle", "--stage", "poststart", "--stage", "poststop", "--json")
    assert finished.status == 0
    outcomes = [hook["outcome"] for stage in finished.json()["stages"] for hook in stage["hooks"]]
    assert outcomes == ["not run", "succeeded", "succeeded"]
    assert (place.root / "log").read_text() == "poststart\npoststop\n"


def test_rules_or_not(place: Place, ocihooks: Run) -> None:
    """Rules that match are added as the wrapper does, filters included, and --no-rules leaves them all out."""
    place.rule("a/10.json", stages=["precreate"], path="/bin/sh", args=["sh", "-c", "sed s/before/after/"])
    place.rule("a/20.json")
    place.bundle(annotations={"a": "before"})
    before = (place.root / "bundle/config.json").read_bytes()
    document = ocihooks("simulate", "SETTINGS", "bundle", "--json").json()
    assert document["rules"] == ["{DIR}/a/20.json", "{DIR}/a/10.json"]
    assert {stage["state"]["annotations"]["a"] for stage in document["stages"]} == {"after"}
    assert [hook["rule"] for stage in document["stages"] for hook in stage["hooks"]] == ["{DIR}/a/20.json"]
    document = ocihooks("simulate", "SETTINGS", "bundle", "--no-rules", "--json").json()
    assert document["rules"] is None
    assert [stage["hooks"] for stage in document["stages"]] == [[]] * 6
    assert (place.root / "bundle/config.json").read_bytes() == before


def test_made_up(place: Place, ocihooks: Run) -> None:
    """A container that is made up has a bundle with a config.json as long as the simulation takes."""
    place.rule("a/10.json", when={"annotations": {"^a$": "^b$"}}, **script("cat > /dev/null; pwd; cat config.json"))
    document = ocihooks("simulate", "SETTINGS", "--annotation", "a=b", "--json").json()
    (hook,) = [hook for stage in document["stages"] for hook in stage["hooks"]]
    directory, _, text = hook["stdout"].partition("\n")
    assert json.loads(text)["annotations"] == {"a": "b"}
    assert not Path(directory).exists()
    assert document["container"]["bundle"] is None


def test_switched_off(place: Place, ocihooks: Run) -> None:
    """While hooks are switched off no rule counts, and that is said."""
    place.rule("a/10.json", **script("exit 1"))
    place.bundle()
    ocihooks("disable", "SETTINGS")
    finished = ocihooks("simulate", "SETTINGS", "bundle")
    assert finished.status == 0
    assert "hooks are switched off" in finished.stderr
    assert finished.stdout.endswith("no hook was run\n")


def test_supervised_hooks_leave_no_records(place: Place, ocihooks: Run) -> None:
    """Supervised hooks run under the supervisor, whose policy counts, and no record tells of them."""
    place.configure('on-failure = "warn"\nrecords = "{DIR}/records"')
    place.rule("a/10.json", **script("cat > /dev/null; exit 3"))
    place.bundle()
    finished = ocihooks("simulate", "SETTINGS", "bundle")
    assert finished.status == 0
    assert "(supervised)" in finished.stdout
    assert "going on, since on-failure is warn" in finished.stdout
    assert not (place.root / "records").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "no container to simulate", id="nothing"),
        pytest.param(["bundle", "--annotation", "a=b"], "a bundle is simulated as it is", id="bundle-and-made-up"),
        pytest.param(["--annotation", "a"], '--annotation "a": expected KEY=VALUE', id="annotation"),
        pytest.param(["--mount", "x"], '--mount "x": expected SOURCE:DEST', id="mount"),
        pytest.param(["--no-process", "--command", "x"], "contradict each other", id="no-process"),
        pytest.param(["bundle", "--flavour", "kata"], "'kata' is not one of", id="flavour"),
        pytest.param(["bundle", "--stage", "createruntime"], "'createruntime' is not one of", id="stage"),
        pytest.param(["a"], "a is no bundle", id="no-bundle"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, place: Place, ocihooks: Run) -> None:
    """What can't be meant is refused with status 2, one sentence and a hint."""
    place.bundle()
    finished = ocihooks("simulate", "SETTINGS", *arguments)
    assert (finished.status, finished.stdout) == (2, "")
    first, second = finished.stderr.splitlines()
    assert message in first
    assert second.startswith("hint: ")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        pytest.param({"linux": 5}, "/linux: expected an object, found an integer 5", id="linux"),
        pytest.param({"linux": {"namespaces": ["pid"]}}, "/linux/namespaces/0: expected an object", id="namespace"),
        pytest.param({"root": {"path": 1}}, "/root/path: expected a string, found an integer 1", id="root"),
        pytest.param({"process": {"user": {"uid": "0"}}}, "/process/user/uid: expected an integer", id="user"),
        pytest.param({"hooks": {"poststop": {}}}, "/hooks/poststop: expected an array", id="hooks"),
    ],
)
def test_broken_configuration(member: dict[str, Any], message: str, place: Place, ocihooks: Run) -> None:
    """A configuration with something of the wrong type is refused with its place before anything is run."""
    bundle = place.bundle()
    bundle.write_config(bundle.config() | member)
    finished = ocihooks("simulate", "SETTINGS", "bundle")
    assert finished.status == 1
    assert finished.stderr.startswith("ocihooks: {DIR}/bundle/config.json: " + message)
    assert "succeeded" not in finished.stdout


def test_refused(place: Place, ocihooks: Run) -> None:
    """A container that the wrapper would refuse is not simulated, for the reason that the wrapper gives."""
    place.rule("a/10.json", path="/does/not/exist")
    place.bundle()
    finished = ocihooks("simulate", "SETTINGS", "bundle")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr.startswith("ocihooks: {DIR}/a/10.json: /hook/path: ")
