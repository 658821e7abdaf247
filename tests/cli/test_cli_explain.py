"""`ocihooks explain`: which rules match a container, and why."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest
from tests.cli.place import TRUE, Place, Run

from ocihooks.settings import read_settings
from ocihooks.testing.configs import bind_mount
from ocihooks.wrapper.create import inject_rules
from ocihooks.wrapper.refresh import read_rules


@pytest.fixture
def ruled(place: Place) -> Place:
    """Rules of every kind."""
    place.configure('static-hooks = ["{DIR}/static.json"]')
    place.write("static.json", '{"poststop": [{"path": "/bin/true", "timeout": 5}]}')
    place.rule(
        "a/10-gpu.json", when={"annotations": {"^gpu$": "^yes$"}, "commands": ["sh$", "^x$"]}, args=["t", "--all"]
    )
    place.rule("b/10-gpu.json", when={"annotations": {"^gpu$": "^yes$"}, "commands": ["sh$", "^x$"]}, args=["t", "-v"])
    place.rule("a/20-trace.json", when={"annotations": {"^gpu$": "^no$"}, "hasBindMounts": True}, stages=["prestart"])
    place.rule("a/30-off.json")
    place.write("b/30-off.json", "")
    place.rule("a/40-filter.json", stages=["precreate"])
    place.rule("a/50-empty.json", when={})
    return place


def test_made_up(ruled: Place, ocihooks: Run) -> None:
    """One screen: what rules see, every rule with every condition and what it saw, and what config.json would gain."""
    finished = ocihooks("explain", "SETTINGS", "--annotation", "gpu=yes", "--command", "/bin/bash")
    assert finished.stdout == dedent("""\
        container    made up
        command      "/bin/bash"
        annotations  "gpu" = "yes"
        bind mounts  none but the engine's own
        rules        {DIR}/a, {DIR}/b

        match      10-gpu.json -> createRuntime
                   met  annotations "^gpu$" = "^yes$"  saw "gpu" = "yes"
                   met  commands "sh$" or "^x$"        saw "/bin/bash"
                   {DIR}/b/10-gpu.json overrides {DIR}/a/10-gpu.json
        no match   20-trace.json
                   not met  hasBindMounts true            saw none
                   not met  annotations "^gpu$" = "^no$"  saw "gpu" = "yes"; the key is there, its value differs
        masked     30-off.json
                   {DIR}/b/30-off.json masks {DIR}/a/30-off.json
        match      40-filter.json -> precreate
                   met  always true
        no match   50-empty.json
                   no condition is given, so it never matches

        what config.json gains (+), loses (-), and what rewrites it (|):
          +  createRuntime  /bin/true "-v"  {DIR}/b/10-gpu.json
          +  poststop       /bin/true       static hook file
          |  precreate      /bin/true       {DIR}/a/40-filter.json
        """)
    assert (finished.status, finished.stderr) == (0, "")


def test_no_match(place: Place, ocihooks: Run) -> None:
    """Status 1 when no rule matches."""
    place.rule("a/1.json", when={"commands": ["^/bin/x$"]})
    finished = ocihooks("explain", "SETTINGS", "--command", "/bin/y")
    assert finished.status == 1
    assert finished.stdout.splitlines()[6:] == [
        "no match   1.json",
        '           not met  commands "^/bin/x$"  saw "/bin/y"',
        "",
        "no rule matches",
        "config.json stays as it is",
    ]


def test_no_rules(ocihooks: Run) -> None:
    """Without rules, the directories are named."""
    finished = ocihooks("explain", "SETTINGS", "--no-process")
    assert finished.status == 1
    assert "command      no process\n" in finished.stdout
    assert "no rules in {DIR}/a, {DIR}/b\n" in finished.stdout


def test_no_process(place: Place, ocihooks: Run) -> None:
    """Without a process commands are not asked."""
    place.rule("a/1.json", when={"always": True, "commands": ["^/bin/x$"]})
    finished = ocihooks("explain", "SETTINGS", "--no-process")
    assert finished.status == 0
    assert 'not asked  commands "^/bin/x$"  the configuration has no process' in finished.stdout


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        pytest.param(["--bind-mount"], True, id="any"),
        pytest.param(["--mount", "/srv:/srv"], True, id="of-a-user"),
        pytest.param(["--mount", f"/var/lib/docker/containers/{'a' * 64}/hosts:/etc/hosts"], False, id="of-the-engine"),
        pytest.param(["--annotation", "a=b"], False, id="none"),
    ],
)
def test_bind_mounts(option: list[str], expected: bool, place: Place, ocihooks: Run) -> None:
    """Bind mounts that the engine makes for itself do not count."""
    place.rule("a/1.json", when={"hasBindMounts": True})
    document = ocihooks("explain", "SETTINGS", *option, "--json").json()
    assert document["container"]["has_bind_mounts"] is expected
    assert document["rules"][0]["matched"] is expected


def test_bundle(ruled: Place, ocihooks: Run) -> None:
    """A bundle is explained as it stands: what it has already is not gained, what no longer matches is lost."""
    mark = f"OCIHOOKS_RULE={ruled.root}/a/99-gone.json"
    old = {"path": TRUE, "args": ["old"], "env": [mark, "OCIHOOKS_STAGE=poststop"]}
    ruled.bundle(args=["/bin/sh"], annotations={"gpu": "yes"}, hooks={"poststop": [{"path": TRUE, "timeout": 5}, old]})
    finished = ocihooks("explain", "SETTINGS", "bundle")
    assert finished.status == 0
    assert finished.stdout.startswith("container    bundle\n")
    assert finished.stdout.endswith(
        "what config.json gains (+), loses (-), and what rewrites it (|):\n"
        "  -  poststop       /bin/true       {DIR}/a/99-gone.json\n"
        '  +  createRuntime  /bin/true "-v"  {DIR}/b/10-gpu.json\n'
        "  |  precreate      /bin/true       {DIR}/a/40-filter.json\n"
    )


def test_injected_bundle(place: Place, ocihooks: Run) -> None:
    """After injection nothing is left to gain."""
    place.rule("a/1.json")
    place.bundle()
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle").status == 0
    finished = ocihooks("explain", "SETTINGS", "bundle")
    assert (finished.status, finished.stdout.splitlines()[-1]) == (0, "config.json stays as it is")


def test_undecided(place: Place, ocihooks: Run) -> None:
    """A rule that can't be decided is shown as such, with all others; the container is refused."""
    place.rule("a/1.json", when={"commands": ["x"]})
    place.rule("a/2.json")
    place.rule("a/3.json", when={"commands": ["y"], "always": False})
    place.bundle(args=[])
    finished = ocihooks("explain", "SETTINGS", "bundle")
    assert finished.status == 1
    lines = finished.stdout.splitlines()
    assert lines[6:] == [
        "undecided  1.json",
        "           process.args is empty, so no command can be compared; expected at least one entry",
        "           the container is not created",
        "match      2.json -> createRuntime",
        "           met  always true",
        "no match   3.json",
        "           not met  always false",
        "",
        "the container is not created:",
        "ocihooks: {DIR}/a/1.json: process.args is empty, so no command can be compared; expected at least one entry",
    ]
    document = ocihooks("explain", "SETTINGS", "bundle", "--json").json()
    assert [(rule["matched"], rule["effect"]) for rule in document["rules"]] == [
        (None, "refuses"),
        (True, "applies"),
        (False, "none"),
    ]


@pytest.mark.parametrize(
    ("policy", "effect", "verdict"),
    [
        pytest.param("fail", "refuses", "refused", id="fail"),
        pytest.param("warn", "left out", "match", id="warn"),
        pytest.param("ignore", "left out", "match", id="ignore"),
    ],
)
def test_policy(policy: str, effect: str, verdict: str, place: Place, ocihooks: Run) -> None:
    """What is wrong with rules means what the policy says: the container is refused, or created without them."""
    place.configure(f'on-invalid = "{policy}"')
    place.write("a/1.json", "{")
    place.rule("a/2.json", path="/no/such")
    place.rule("a/3.json", path="/no/such", when={"annotations": {"x": "y"}})
    document = ocihooks("explain", "SETTINGS", "--command", "/x", "--json").json()
    assert document["verdict"] == verdict
    assert [(rule["status"], rule["effect"]) for rule in document["rules"]] == [
        ("invalid", effect),
        ("missing program", effect),
        ("missing program", "none"),
    ]
    assert [problem["code"] for problem in document["refused"]] == (["json_syntax"] if policy == "fail" else [])
    text = ocihooks("explain", "SETTINGS", "--command", "/x").stdout
    assert f'(on-invalid = "{policy}")' in text
    assert "invalid    1.json\n           {DIR}/a/1.json: line 1 column 2: not JSON" in text


def test_sandbox(place: Place, ocihooks: Run) -> None:
    """The sandbox container of a pod gets no hooks of rules unless the settings say so."""
    place.rule("a/1.json")
    annotation = "io.kubernetes.cri.container-type=sandbox"
    finished = ocihooks("explain", "SETTINGS", "--annotation", annotation)
    assert finished.status == 1
    assert "container    made up, the sandbox of a pod\n" in finished.stdout
    assert "rules do not apply to the sandbox containers of pods" in finished.stdout
    place.configure("sandbox = true")
    assert ocihooks("explain", "SETTINGS", "--annotation", annotation).status == 0


def test_switched_off(place: Place, ocihooks: Run) -> None:
    """The kill switch is shouted; matching is explained nevertheless."""
    place.rule("a/1.json")
    ocihooks("disable", "SETTINGS", "--reason", "why not")
    finished = ocihooks("explain", "SETTINGS", "--bind-mount")
    assert finished.status == 0
    first, *_, last = finished.stdout.splitlines()
    assert first.startswith("ocihooks: warning: {DIR}/etc/disabled: hooks are switched off since ")
    assert first.endswith('"why not"')
    assert last == "hooks are switched off: the container is created without them"


def test_untrusted_switch(place: Place, ocihooks: Run) -> None:
    """A kill switch that somebody else could have put there refuses every container, and the reason is shown."""
    place.rule("a/1.json")
    place.write("etc/disabled", "").chmod(0o666)
    finished = ocihooks("explain", "SETTINGS", "--bind-mount")
    assert finished.status == 1
    assert "the container is not created:\nocihooks: {DIR}/etc/disabled: not used, since " in finished.stdout
    assert ocihooks("list", "SETTINGS").status == 0
    assert ocihooks("check", "SETTINGS").status == 1


def test_one_rule(ruled: Place, ocihooks: Run) -> None:
    """--rule shows one rule, and its answer is the status."""
    assert ocihooks("explain", "SETTINGS", "--command", "/x", "--rule", "40-filter.json").status == 0
    finished = ocihooks("explain", "SETTINGS", "--command", "/x", "--rule", "10-gpu.json")
    assert finished.status == 1
    assert "10-gpu.json" in finished.stdout
    assert "20-trace.json" not in finished.stdout


def test_container_text_is_quoted(place: Place, ocihooks: Run) -> None:
    """What a container's author chose can't forge lines or control the terminal, and long texts are cut."""
    place.rule("a/1.json", when={"annotations": {"^a": "x"}})
    place.bundle(args=["sh\x1b[2J\nmatch      evil.json"], annotations={"a\n": "x" * 5000})
    finished = ocihooks("explain", "SETTINGS", "bundle")
    assert "\x1b" not in finished.stdout
    assert '"sh\\u001b[2J\\nmatch      evil.json"' in finished.stdout
    assert max(map(len, finished.stdout.splitlines())) < 400


def test_json(ruled: Place, ocihooks: Run) -> None:
    """The JSON document has all of it."""
    document: dict[str, Any] = ocihooks(
        "explain", "SETTINGS", "--annotation", "gpu=yes", "--mount", "/srv:/srv", "--json"
    ).json()
    rules = document.pop("rules")
    assert document == {
        "verdict": "match",
        "container": {
            "bundle": None,
            "command": "/bin/sh",
            "annotations": {"gpu": "yes"},
            "has_bind_mounts": True,
            "sandbox": False,
        },
        "live": None,
        "disabled": None,
        "adds": {
            "createRuntime": [
                {
                    "path": TRUE,
                    "args": ["t", "-v"],
                    "env": [
                        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        "OCIHOOKS_RULE={DIR}/b/10-gpu.json",
                        "OCIHOOKS_STAGE=createRuntime",
                    ],
                }
            ],
            "poststop": [{"path": TRUE, "timeout": 5}],
        },
        "removes": {},
        "modifiers": [],
        "filters": [{"name": "40-filter.json", "file": "{DIR}/a/40-filter.json", "path": TRUE}],
        "refused": [],
        "problems": [],
    }
    assert [rule["name"] for rule in rules] == [
        "10-gpu.json",
        "20-trace.json",
        "30-off.json",
        "40-filter.json",
        "50-empty.json",
    ]
    assert rules[1] | {"problems": []} == {
        "name": "20-trace.json",
        "file": "{DIR}/a/20-trace.json",
        "status": "active",
        "overrides": [],
        "matched": False,
        "effect": "none",
        "policy": "fail",
        "supervision": None,
        "stages": ["createRuntime"],
        "when": {"annotations": {"^gpu$": "^no$"}, "hasBindMounts": True, "anyOf": False},
        "conditions": [
            {"name": "hasBindMounts", "wanted": True, "seen": True, "met": True, "note": None},
            {
                "name": "annotations",
                "wanted": ["^gpu$", "^no$"],
                "seen": ["gpu", "yes"],
                "met": False,
                "note": "the key is there, its value differs",
            },
        ],
        "problems": [],
    }
    assert (rules[2]["status"], rules[2]["matched"], rules[2]["when"]) == ("masked", None, None)


def test_same_as_the_wrapper(ruled: Place, ocihooks: Run) -> None:
    """What explain announces is what inject writes."""
    made = ruled.bundle(args=["/bin/sh"], annotations={"gpu": "yes"}, mounts=[bind_mount("/srv", "/srv")])
    ruled.rule("a/40-filter.json", when={})  # filters rewrite the whole document
    announced = ocihooks("explain", "SETTINGS", "bundle", "--json").stdout
    assert ocihooks("inject", "SETTINGS", "--bundle", "bundle").status == 0
    assert json.loads(ruled.named(made.config_path.read_text()))["hooks"] == json.loads(announced)["adds"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "no container to explain", id="nothing"),
        pytest.param(["--annotation", "gpu"], '--annotation "gpu": expected KEY=VALUE', id="annotation-without-value"),
        pytest.param(["--annotation", "=x"], '--annotation "=x": expected KEY=VALUE', id="annotation-without-key"),
        pytest.param(["--mount", "/srv"], '--mount "/srv": expected SOURCE:DEST', id="mount-without-destination"),
        pytest.param(["--mount", "/a:b"], '--mount "/a:b": expected SOURCE:DEST', id="relative-destination"),
        pytest.param(["--no-process", "--command", "x"], "contradict each other", id="contradiction"),
        pytest.param(
            ["bundle", "--bind-mount"], "a container that is there is explained as it is", id="bundle-and-made-up"
        ),
        pytest.param(["a"], "a is no bundle: it holds no config.json", id="no-bundle"),
        pytest.param(["./none"], "./none is no bundle: it holds no config.json", id="no-such-directory"),
        pytest.param(["--bind-mount", "--rule", "x.json"], '--rule "x.json": there is no such rule', id="no-such-rule"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, place: Place, ocihooks: Run) -> None:
    """What can't be meant is refused with status 2, one sentence and a hint."""
    place.bundle()
    finished = ocihooks("explain", "SETTINGS", *arguments)
    assert (finished.status, finished.stdout) == (2, "")
    first, second = finished.stderr.splitlines()
    assert message in first
    assert second.startswith("hint: ")


def test_broken_bundle(place: Place, ocihooks: Run) -> None:
    """A config.json that runtimes would read differently is refused, and the way to all of its problems told."""
    place.write("bundle/config.json", '{"ociVersion": "1.0.2", "process": {"args": "sh"}}')
    finished = ocihooks("explain", "SETTINGS", "bundle")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr.startswith(
        "ocihooks: {DIR}/bundle/config.json: /process/args: expected an array, found a string\nhint: "
    )


@pytest.mark.parametrize(("limit", "gained"), [(5, False), (6, True)], ids=["as it is", "of another rule"])
def test_supervised_by_an_installed_wrapper(place: Place, ocihooks: Run, limit: int, gained: bool) -> None:
    """A supervised hook is the same whichever installation supervises it."""
    place.configure('supervise = "on"')
    place.rule("a/10-x.json", timeout=5)
    bundle = place.bundle()
    rules = read_rules(read_settings(str(place.settings)))
    inject_rules(str(bundle.config_path), rules, "/usr/local/lib/ocihooks/ocihooks-runtime.supervise")
    place.rule("a/10-x.json", timeout=limit)
    told = ocihooks("explain", "SETTINGS", "--json", str(bundle.directory)).json()
    assert (bool(told["adds"]), bool(told["removes"])) == (gained, gained)
