"""`ocihooks injector`: what a container gets of the injector files, and the filter that gives it."""

from __future__ import annotations

import io
import json
import subprocess
from textwrap import dedent
from typing import Any

import pytest
from tests.cli.place import PROGRAM, Place, Run, environment

NOTHING = '{"ociVersion":"1.0.2","process":{"args":["sh"],"env":["PATH=/bin"]}}'
ASKS = '{"ociVersion":"1.0.2","process":{"args":["sh"],"env":["WITH=1"]}}'


def write(place: Place, name: str, flag: str = "WITH", **members: Any) -> None:
    """Write an injector file; {DIR} stands for the place."""
    place.write(f"injectors/{name}", json.dumps({"activation_flag": flag, **members}))


@pytest.fixture
def injectors(place: Place) -> Place:
    """A place whose settings name a directory of injector files, and a bundle that asks for some."""
    place.configure('injector-dir = "{DIR}/injectors"')
    place.write("tool", "tool").chmod(0o755)
    (place.root / "injectors").mkdir()
    place.write("bundle/config.json", ASKS)
    return place


def squeezed(text: str) -> str:
    """*text* with single blanks, since the width of columns depends on the length of {DIR}."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def test_explained(injectors: Place, ocihooks: Run) -> None:
    """Every file is shown with its way, each thing with what becomes of it, and variables without their values."""
    binaries = ["{DIR}/tool:/opt/tool", {"source": "/none", "optional": True}]
    write(injectors, "a.json", devices="/dev/null", directories=["/opt"], binaries=binaries, env=["TOOLS=secret"])
    write(injectors, "b.json", "OTHER", binaries=["/none"])
    write(injectors, "c.json", way="copy", binaries=["/bin/true"])
    hook = injectors.write("bin/oci-injector-hook", "#!/bin/sh\n")
    hook.chmod(0o755)
    injectors.rule("a/1.json", path=str(hook), env=[f"OCI_INJECTOR_CONFIG_DIR={injectors.root}/injectors"])
    before = (injectors.root / "bundle/config.json").read_bytes()
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle")
    assert (finished.status, finished.stderr) == (0, "")
    assert squeezed(finished.stdout) == squeezed("""\
{DIR}/injectors/a.json: given before the container is created: nothing in it has to be copied
/devices /dev/null present every container has it
/directories/0 /opt made the runtime makes it for what is mounted below it
/binaries/0 {DIR}/tool -> /opt/tool mount
/binaries/1 /none left out it does not exist
/env/0 TOOLS set
{DIR}/injectors/b.json: not asked for: the container has no variable "OTHER"
{DIR}/injectors/c.json: copied by a hook: the file says "way": "copy"
/binaries/0 /bin/true copy
""")
    assert (injectors.root / "bundle/config.json").read_bytes() == before


def test_refused(injectors: Place, ocihooks: Run) -> None:
    """What can't be given is told with its reason and remedy, and status 1."""
    write(injectors, "a.json", binaries=["/none", "{DIR}/tool:/opt/tool"])
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle")
    assert (finished.status, finished.stderr) == (1, "")
    assert squeezed(finished.stdout) == squeezed("""\
{DIR}/injectors/a.json: not given: "/none" can't be given to the container: it does not exist
/binaries/0 /none no it does not exist
/binaries/1 {DIR}/tool -> /opt/tool mount
ocihooks: {DIR}/injectors/a.json: /binaries/0: "/none" can't be given to the container: it does not exist
hint: name a file of the host that is there
the container would not be created
""")


def test_optional(injectors: Place, ocihooks: Run) -> None:
    """An optional file that can't be given stops nobody, and nothing is given."""
    write(injectors, "a.json", directories=["/opt"], optional=True, devices=["/dev/null"])
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle")
    assert (finished.status, finished.stderr) == (1, "")
    assert finished.stdout.startswith(
        "{DIR}/injectors/a.json: not given: it can only be copied, and the file's devices"
    )
    assert filtered(injectors, ASKS).stdout == ASKS


def test_json(injectors: Place, ocihooks: Run) -> None:
    """Programs get the same, with what the configuration gains."""
    write(injectors, "a.json", binaries=["{DIR}/tool:/opt/tool"], libraries=["{DIR}/tool:/opt/lib/t.so"], way="mount")
    write(injectors, "b.json", "OTHER", directories=["/opt"])
    document = ocihooks("injector", "explain", "SETTINGS", "bundle", "--json").json()
    assert document["verdict"] == "given"
    first, second = document["files"]
    assert (first["asked"], first["way"], second["asked"], second["way"]) == (True, "mount", False, None)
    assert [entry["outcome"] for entry in first["entries"]] == ["mount", "mount"]
    assert second["entries"] == [
        {"pointer": "/directories/0", "source": None, "destination": "/opt", "outcome": None, "why": None}
    ]
    assert [mount["destination"] for mount in document["adds"]["mounts"]] == ["/opt/tool", "/opt/lib/t.so"]
    assert document["problems"] == []


def test_other_directory(injectors: Place, ocihooks: Run) -> None:
    """--dir looks elsewhere; a directory that is missing has no files."""
    injectors.write("other/a.json", '{"activation_flag": "WITH", "binaries": "{DIR}/tool"}')
    assert ocihooks("injector", "explain", "SETTINGS", "bundle", "--dir", "other").status == 0
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle", "--dir", "none")
    assert (finished.status, finished.stdout) == (1, "there are no injector files in {DIR}/none\n")


def test_sandbox(injectors: Place, ocihooks: Run) -> None:
    """The sandbox container of a pod gets nothing unless the settings say so."""
    write(injectors, "a.json", binaries="{DIR}/tool")
    annotations = '"annotations":{"io.kubernetes.cri.container-type":"sandbox"},'
    injectors.write("bundle/config.json", ASKS.replace('"process"', f'{annotations}"process"'))
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle")
    assert finished.status == 1
    assert finished.stdout.startswith("this is the sandbox container of a pod, which gets nothing\n")
    injectors.configure('injector-dir = "{DIR}/injectors"\nsandbox = true')
    assert ocihooks("injector", "explain", "SETTINGS", "bundle").status == 0


def test_switched_off(injectors: Place, ocihooks: Run) -> None:
    """While hooks are switched off no container gets anything, and that is said."""
    write(injectors, "a.json", binaries="{DIR}/tool")
    ocihooks("disable", "SETTINGS")
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle")
    assert finished.status == 1
    assert "hooks are switched off" in finished.stderr
    assert ocihooks("injector", "explain", "SETTINGS", "bundle", "--json").json()["verdict"] == "nothing"


def filtered(place: Place, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the filter in a process of its own."""
    command = [PROGRAM, "injector", "filter", "--settings", str(place.settings), *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment())


def test_filter(injectors: Place) -> None:
    """The filter prints the configuration with what its container asks for; others it hands on byte for byte."""
    write(injectors, "a.json", binaries="{DIR}/tool:/opt/tool")
    done = filtered(injectors, ASKS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f'{ASKS[:-1]},"mounts":[{{"destination":"/opt/tool",')
    assert filtered(injectors, done.stdout).stdout == done.stdout
    assert filtered(injectors, f" {NOTHING}\n").stdout == f" {NOTHING}\n"


def test_filter_of_a_rule(injectors: Place, ocihooks: Run) -> None:
    """As the hook of a rule it does what the setting does."""
    write(injectors, "a.json", binaries="{DIR}/tool:/opt/tool")
    given = filtered(injectors, ASKS).stdout
    injectors.configure()
    words = ["ocihooks", "injector", "filter", "--dir", str(injectors.root / "injectors")]
    injectors.rule("a/1.json", path=PROGRAM, args=words, stages=["precreate"])
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle").status == 0
    assert (injectors.root / "bundle/config.json").read_text() == given


def test_dry_run(injectors: Place, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """--dry-run prints the difference."""
    write(injectors, "a.json", env=["TOOLS=/opt"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ASKS.encode())))
    finished = ocihooks("injector", "filter", "SETTINGS", "--dry-run")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout == dedent("""\
        --- standard input
        +++ standard input with hooks
        @@ -5,7 +5,8 @@
               "sh"
             ],
             "env": [
        -      "WITH=1"
        +      "WITH=1",
        +      "TOOLS=/opt"
             ]
           }
         }
        """)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(NOTHING.encode())))
    assert ocihooks("injector", "filter", "SETTINGS", "--dry-run").stdout == "nothing would change\n"


def test_inject(injectors: Place, ocihooks: Run) -> None:
    """`ocihooks inject` does it as the wrapper does, once, and shows it beforehand."""
    write(injectors, "a.json", binaries="{DIR}/tool:/opt/tool")
    given = filtered(injectors, ASKS).stdout
    shown = ocihooks("inject", "SETTINGS", "--bundle", "bundle", "--dry-run").stdout
    assert '+      "destination": "/opt/tool",\n' in shown
    finished = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert finished.stdout == dedent("""\
        hooks added to {DIR}/bundle/config.json
        injector files change the document, see "ocihooks injector explain"
        """)
    assert (injectors.root / "bundle/config.json").read_text() == given
    again = ocihooks("inject", "SETTINGS", "--bundle", "bundle")
    assert (again.status, again.stdout) == (0, "{DIR}/bundle/config.json has these hooks already\n")


BAD_CALLS = {
    "no-bundle": (["explain"], "explain needs a bundle"),
    "explain-dry-run": (["explain", "bundle", "--dry-run"], "explain needs a bundle, and changes nothing"),
    "filter-bundle": (["filter", "bundle"], "filter reads a configuration on standard input"),
    "filter-json": (["filter", "--json"], "filter reads a configuration on standard input"),
    "no-config": (["explain", "injectors"], "injectors is no bundle: it holds no config.json"),
    "action": (["undo"], "invalid value for '{explain|filter}'"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_wrong_usage(name: str, injectors: Place, ocihooks: Run) -> None:
    """Wrong usage is told in a sentence with a hint, and status 2."""
    words, message = BAD_CALLS[name]
    finished = ocihooks("injector", *words, "--settings", str(injectors.settings))
    assert (finished.status, finished.stdout) == (2, "")
    assert finished.stderr.startswith(f"ocihooks: {message}")
    assert "\nhint: " in finished.stderr


BAD_INPUTS = {
    "injector-file": ('{"binaries": []}', ASKS, '{DIR}/injectors/a.json: missing required member "activation_flag"'),
    "entry": ('{"activation_flag": "WITH", "binaries": [5]}', ASKS, "{DIR}/injectors/a.json: /binaries/0: expected a"),
    "configuration": ('{"activation_flag": "WITH"}', "{", "not JSON"),
    "environment": ('{"activation_flag": "WITH"}', ASKS.replace('["WITH=1"]', "5"), "/process/env: expected an array"),
    "thing": ('{"activation_flag": "WITH", "binaries": "/none"}', ASKS, '"/none" can\'t be given to the container'),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input(name: str, injectors: Place, ocihooks: Run) -> None:
    """A broken injector file or configuration is told with its place and a hint by both actions, and status 1."""
    file, configuration, message = BAD_INPUTS[name]
    injectors.write("injectors/a.json", file)
    injectors.write("bundle/config.json", configuration)
    finished = ocihooks("injector", "explain", "SETTINGS", "bundle")
    done = filtered(injectors, configuration)
    assert (finished.status, done.returncode, done.stdout) == (1, 1, "")
    for said in (finished.stdout + finished.stderr, injectors.named(done.stderr)):
        assert message in said
        assert "\nhint: " in said
        assert "Traceback" not in said
