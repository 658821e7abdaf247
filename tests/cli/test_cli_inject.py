"""`ocihooks inject`: what the wrapper does on create, for one bundle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.place import PROGRAM, TRUE, Place, Run, environment

from ocihooks.cli.inject import indented
from ocihooks.document import parse_document


def test_injected(place: Place, ocihooks: Run) -> None:
    """The hooks of matching rules are added, all other bytes stay; doing it again changes nothing."""
    place.configure('static-hooks = ["{DIR}/static.json"]')
    place.write("static.json", '{"hooks": {"poststop": [{"path": "/bin/true"}]}}')
    place.rule("a/1.json", stages=["createRuntime", "poststop"])
    bundle = place.bundle()
    before = bundle.config_path.read_bytes()
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout == dedent("""\
        hooks added to {DIR}/bundle/config.json
          1.json    createRuntime
          1.json    poststop
          1 static  poststop
        all bytes outside of hooks stay as they are
        """)
    after = bundle.config_path.read_bytes()
    start = after.index(b',"hooks":')
    assert after[:start] == before[:-1]
    assert json.loads(after).keys() - json.loads(before).keys() == {"hooks"}
    again = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert (again.status, again.stdout) == (0, "{DIR}/bundle/config.json has these hooks already\n")
    assert bundle.config_path.read_bytes() == after


def test_no_match(place: Place, ocihooks: Run) -> None:
    """Status 1 when no rule matches, and the file is not touched."""
    place.rule("a/1.json", when={"annotations": {"x": "y"}})
    bundle = place.bundle()
    before = os.stat(bundle.config_path)
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert (finished.status, finished.stdout) == (1, "no rule matches; {DIR}/bundle/config.json stays as it is\n")
    assert os.stat(bundle.config_path) == before


def test_dry_run(place: Place, ocihooks: Run) -> None:
    """--dry-run shows the difference of the indented documents, numbers as they were written, and writes nothing."""
    place.rule("a/1.json", env=["A=b"])
    text = '{"ociVersion":"1.0.2","process":{"args":["sh"]},"x":1.50e2}'
    path = place.write("bundle/config.json", text)
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--dry-run")
    assert finished.stdout == dedent("""\
        --- {DIR}/bundle/config.json
        +++ {DIR}/bundle/config.json with hooks
        @@ -5,5 +5,20 @@
               "sh"
             ]
           },
        -  "x": 1.50e2
        +  "x": 1.50e2,
        +  "hooks": {
        +    "createRuntime": [
        +      {
        +        "path": "/bin/true",
        +        "args": [
        +          "/bin/true"
        +        ],
        +        "env": [
        +          "A=b",
        +          "OCIHOOKS_RULE={DIR}/a/1.json",
        +          "OCIHOOKS_STAGE=createRuntime"
        +        ]
        +      }
        +    ]
        +  }
         }
        hooks would be added to {DIR}/bundle/config.json
          1.json  createRuntime
        all bytes outside of hooks stay as they are
        """)
    assert finished.status == 0
    assert path.read_text() == text


def test_filters(place: Place, ocihooks: Run) -> None:
    """Filters rewrite the document; --dry-run runs them, too, and shows what they did."""
    script = place.write("bin/filter", "#!/bin/sh\nsed s/old/new/\n")
    script.chmod(0o755)
    place.rule("a/1.json", path=str(script), stages=["precreate"])
    bundle = place.bundle(hostname="old")
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--dry-run")
    assert '-  "hostname": "old",\n+  "hostname": "new",\n' in finished.stdout
    assert "filters rewrite the document" in finished.stdout
    assert bundle.config()["hostname"] == "old"
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle").status == 0
    assert bundle.config()["hostname"] == "new"


def test_other_file(place: Place, ocihooks: Run) -> None:
    """--config names another configuration of the bundle."""
    place.rule("a/1.json")
    bundle = place.bundle()
    bundle.config_path.rename(bundle.directory / "spec.json")
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--config", "spec.json").status == 0
    assert "hooks" in json.loads((bundle.directory / "spec.json").read_text())


def test_stale_hooks(place: Place, ocihooks: Run) -> None:
    """Hooks of a rule that is gone are taken out again."""
    place.rule("a/1.json").rename(place.root / "a/2.json")
    bundle = place.bundle()
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle").status == 0
    (place.root / "a/2.json").unlink()
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle").status == 0
    assert bundle.config()["hooks"] == {"createRuntime": []}


def test_refused(place: Place, ocihooks: Run) -> None:
    """What makes the wrapper refuse a container makes this fail, and the file stays as it was."""
    place.write("a/1.json", "[]")
    bundle = place.bundle()
    before = bundle.config_path.read_bytes()
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr.startswith("ocihooks: {DIR}/a/1.json: /: expected an object, found an array")
    assert bundle.config_path.read_bytes() == before


def test_tolerated(place: Place, ocihooks: Run) -> None:
    """What the policy tolerates is a warning, and the rule is left out."""
    place.configure('on-invalid = "warn"')
    place.rule("a/1.json", path="/no/such")
    place.rule("a/2.json")
    place.bundle()
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert finished.status == 0
    assert finished.stderr.startswith('ocihooks: warning: {DIR}/a/1.json: /hook/path: program "/no/such": ')
    assert "  2.json  createRuntime\n" in finished.stdout
    assert "1.json  " not in finished.stdout.replace("2.json", "")


def test_switched_off(place: Place, ocihooks: Run) -> None:
    """While hooks are switched off, nothing is added, as with the wrapper."""
    place.rule("a/1.json")
    bundle = place.bundle()
    ocihooks("disable", "SETTINGS")
    for arguments in ([], ["--dry-run"]):
        finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle", *arguments)
        assert finished.status == 1
        assert finished.stdout == "hooks are switched off; {DIR}/bundle/config.json stays as it is\n"
        assert "hint: switch them on again" in finished.stderr
    assert "hooks" not in bundle.config()


def test_json(place: Place, ocihooks: Run) -> None:
    """The JSON document says what was done."""
    place.rule("a/1.json")
    place.bundle()
    first = ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--dry-run", "--json").json()
    assert first.pop("diff").startswith("--- {DIR}/bundle/config.json\n")
    assert first == {
        "result": "injected",
        "dry_run": True,
        "changed": True,
        "config": "{DIR}/bundle/config.json",
        "rules": ["1.json"],
        "modifiers": [],
        "filters": [],
        "skipped": [],
        "static": 0,
        "disabled": None,
        "warnings": [],
    }
    results = [ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--json").json() for _ in range(2)]
    assert [(document["result"], document["changed"], document["diff"]) for document in results] == [
        ("injected", True, None),
        ("already injected", False, None),
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param([], 2, "missing option", id="no-bundle-given"),
        pytest.param(["--bundle", "none"], 2, "'none' does not exist", id="no-such-directory"),
        pytest.param(["--bundle", "a"], 2, "a is no bundle: it holds no config.json", id="no-config"),
        pytest.param(["--bundle", "broken"], 1, "not JSON", id="broken-config"),
        pytest.param(["--bundle", "bundle", "--config", "rootfs"], 1, "expected a regular file", id="directory"),
    ],
)
def test_bad_input(arguments: list[str], status: int, message: str, place: Place, ocihooks: Run) -> None:
    """Whatever is wrong is told in a sentence."""
    (place.bundle().directory / "rootfs").mkdir()
    place.write("broken/config.json", "{")
    finished = ocihooks("inject", "SETTINGS", *arguments)
    assert (finished.status, finished.stdout) == (status, "")
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_indented_is_the_same_document(place: Place) -> None:
    """The indented form that differences show is the same JSON document."""
    bundle = place.bundle(annotations={"a": 'quote" \\ ü \n'}, hooks={"poststop": []})
    data = bundle.config_path.read_bytes()
    text = "\n".join(indented(parse_document(data, "config.json").members))
    assert json.loads(text) == json.loads(data)
    assert max(map(len, text.splitlines())) < 120


def test_interrupted(place: Place) -> None:
    """Ctrl-C ends it at once with status 130 and no traceback; the filter is ended, the file stays as it was."""
    script = place.write(
        "bin/filter", "#!/bin/sh\necho $$ > {DIR}/started.tmp\nmv {DIR}/started.tmp {DIR}/started\nsleep 60\n"
    )
    script.chmod(0o755)
    place.rule("a/1.json", path=str(script), stages=["precreate"])
    bundle = place.bundle()
    before = bundle.config_path.read_bytes()
    command = [PROGRAM, "inject", "--settings", str(place.settings), "--bundle", str(bundle.directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    started = place.root / "started"
    wait_for(started)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    assert bundle.config_path.read_bytes() == before
    assert not Path("/proc", started.read_text().strip()).exists()


def wait_for(path: Path) -> None:
    """Wait until *path* exists."""
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_read_only_directory(place: Place, ocihooks: Run) -> None:
    """A bundle that can't be written is the environment's fault: status 3, and the remedy where there is one."""
    place.rule("a/1.json")
    bundle = place.bundle()
    subprocess.run(["chattr", "+i", bundle.config_path], check=False, capture_output=True)
    if os.access(bundle.config_path, os.W_OK):
        pytest.skip("this file system has no immutable files")
    try:
        finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    finally:
        subprocess.run(["chattr", "-i", bundle.config_path], check=True)
    assert (finished.status, finished.stdout) == (3, "")
    assert finished.stderr.startswith("ocihooks: {DIR}/bundle/config.json: can't be replaced: ")
    assert TRUE not in bundle.config_path.read_text()
