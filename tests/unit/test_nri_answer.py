"""What containers are given: the wrapper's decisions, for what an engine tells of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.nri_place import GPU, Rules

from ocihooks.injection import DEFAULT_PATH
from ocihooks.nri.messages import tells_args
from ocihooks.nri.wire import part_field
from ocihooks.testing.nri.engine import CallError, EngineLink
from ocihooks.testing.nri.objects import GivenHook, Mount, Pod, PodContainer, creation
from ocihooks.testing.nri.protocol import mapping, member, members

YES = {"com.example.gpu": "yes"}
MANY = {f"com.example.{number}": "x" * number for number in range(200)}
ALWAYS = {"always": True}


@pytest.fixture
def rules(private_directory: Path) -> Rules:
    """An empty hooks directory, named by settings."""
    made = Rules(private_directory)
    made.configure()
    return made


def stages(given: Mapping[str, list[GivenHook]]) -> dict[str, list[str]]:
    """The stages with the paths of their hooks."""
    return {stage: [hook.path for hook in hooks] for stage, hooks in given.items()}


def test_hook(rules: Rules) -> None:
    """A container that a rule matches is given the rule's hook as the wrapper writes it, marks and all."""
    file = rules.rule("10-gpu.json", args=["true", "-x"], env=["A=1"], timeout=5, stages=["prestart", "poststop"])
    with rules.asked() as engine:
        given = engine.create(PodContainer(annotations=YES))
    marks = (f"OCIHOOKS_RULE={file}", "OCIHOOKS_STAGE=createRuntime")
    hook = GivenHook(path="/bin/true", args=("true", "-x"), env=("A=1", *marks), timeout=5)
    assert given["createRuntime"] == [hook]
    assert list(given) == ["createRuntime", "poststop"]
    assert rules.metrics.rules == {"10-gpu.json": 1}


def test_defaults(rules: Rules) -> None:
    """A hook without arguments and environment gets its path and a fixed PATH, so that it never has the container's."""
    rules.rule("10-gpu.json")
    with rules.asked() as engine:
        (hook,) = engine.create(PodContainer(annotations=YES))["createRuntime"]
    assert (hook.args, hook.env[0], hook.timeout) == (("/bin/true",), DEFAULT_PATH, None)


def test_annotations(rules: Rules) -> None:
    """Annotations of the pod count as well as those of the container, which win."""
    rules.rule("10-gpu.json")
    with rules.asked() as engine:
        assert engine.create(PodContainer(), Pod(annotations=YES))
        assert engine.create(PodContainer(annotations=YES), Pod(annotations={"com.example.gpu": "no"}))
        assert not engine.create(PodContainer(annotations={"com.example.gpu": "no"}), Pod(annotations=YES))
        assert not engine.create(PodContainer())


@pytest.mark.parametrize(
    ("when", "container"),
    [
        pytest.param(
            {"commands": ["python3$"]}, PodContainer(args=("/usr/bin/python3", "-m", "http.server")), id="command"
        ),
        pytest.param({"commands": ["(?i)PYTHON[23]$"]}, PodContainer(args=("/usr/bin/python3",)), id="command-by-re2"),
        pytest.param(
            {"annotations": {"^com\\.example\\.": "^(yes|true)$"}},
            PodContainer(annotations=YES),
            id="annotation-by-re2",
        ),
        pytest.param(
            {"hasBindMounts": True},
            PodContainer(mounts=(Mount(destination="/data", source="/srv/data"),)),
            id="bind-mount",
        ),
        pytest.param(
            {"annotations": {"^label$": "^größe$"}}, PodContainer(annotations={"label": "größe"}), id="not-ascii"
        ),
    ],
)
def test_conditions(when: Mapping[str, Any], container: PodContainer, rules: Rules) -> None:
    """Each condition is met by what an engine tells, and not by a container that lacks it."""
    rules.rule("10.json", when)
    with rules.asked() as engine:
        assert stages(engine.create(container)) == {"createRuntime": ["/bin/true"]}
        assert engine.create(PodContainer(args=("/bin/sh",))) == {}


def test_mounts_of_the_engine(rules: Rules) -> None:
    """The mounts that engine and kubelet make for every container are no bind mounts of anybody."""
    rules.rule("10.json", {"hasBindMounts": True})
    with rules.asked() as engine:
        assert engine.create(PodContainer()) == {}


def test_sandbox(rules: Rules) -> None:
    """The sandbox container of a pod is given nothing, and a pod that calls itself one is not believed."""
    rules.rule("10.json", ALWAYS)
    with rules.asked() as engine:
        assert engine.create(PodContainer(id="5" * 64), Pod(id="5" * 64)) == {}
        for name, value in (
            ("io.kubernetes.cri-o.ContainerType", "sandbox"),
            ("io.kubernetes.docker.type", "podsandbox"),
        ):
            assert engine.create(PodContainer(), Pod(annotations={name: value}))


def test_no_arguments(rules: Rules) -> None:
    """A rule about commands can't be decided for a container whose arguments an engine does not tell."""
    rules.rule("10.json", {"commands": ["sh$"]})
    with rules.asked() as engine, pytest.raises(CallError, match=r"process\.args is empty") as caught:
        engine.create(PodContainer(args=()))
    assert caught.value.code == 9


@pytest.mark.parametrize(
    "container",
    [
        PodContainer(annotations={"a": "yes\0no"}),
        PodContainer(annotations={"a\0": "yes"}),
        PodContainer(args=("a\0b",)),
    ],
    ids=["value", "name", "argument"],
)
def test_nul(container: PodContainer, rules: Rules) -> None:
    """A NUL character in what rules ask about is refused, since runtimes would read it differently."""
    rules.rule("10.json", ALWAYS)
    with rules.asked() as engine, pytest.raises(CallError, match="a NUL character in "):
        engine.create(container)


@pytest.mark.parametrize("shortcut", ["true", "false"])
def test_no_arguments_and_the_shortcut(shortcut: str, rules: Rules) -> None:
    """Nor does the shortcut let it start, though it has no text that the rule needs; other containers are let go."""
    rules.configure(f"shortcut = {shortcut}")
    rules.rule("10.json", {"commands": ["python3$"]})
    with rules.asked() as engine:
        assert engine.create(PodContainer(args=("/bin/sh",))) == {}
        assert stages(engine.create(PodContainer(args=("python3",)))) == {"createRuntime": ["/bin/true"]}
        with pytest.raises(CallError, match=r"process\.args is empty"):
            engine.create(PodContainer(args=()))


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        pytest.param(creation(Pod(), PodContainer(args=("sh", "-c"))), True, id="usual"),
        pytest.param(creation(Pod(), PodContainer(args=("x" * 300,), annotations=MANY)), True, id="long"),
        pytest.param(member(2, member(1, "c") + member(4, 300) + members(7, [""])), True, id="empty-argument"),
        pytest.param(member(1, members(7, ["pod"])) + member(2, member(1, "c")), False, id="none"),
        pytest.param(creation(Pod(), PodContainer(args=(), env=(":\1x",), annotations=MANY)), False, id="only-others"),
        pytest.param(member(1, "pod"), False, id="no-container"),
        pytest.param(b"", False, id="empty"),
        pytest.param(member(2, member(1, "c") + b"\x09" + bytes(8) + members(7, ["sh"])), False, id="odd-field"),
        pytest.param(b"\x12\x7f" + member(1, "c1"), False, id="cut-off"),
    ],
)
def test_told_arguments(payload: bytes, told: bool) -> None:
    """A request that is only stepped over says what the container runs, unless it does not or can't be understood."""
    framed = part_field(3, payload)
    assert tells_args(framed, 1) is told


def test_present_hooks(rules: Rules) -> None:
    """Hooks that the container has already are not given again: the same ones, and foreign ones that are equal."""
    file = rules.rule("10-gpu.json", env=["A=1"], timeout=5)
    rules.rule("20-gpu.json", path="/bin/false", timeout=7)
    marks = (f"OCIHOOKS_RULE={file}", "OCIHOOKS_STAGE=createRuntime")
    ours = GivenHook(path="/bin/true", args=("/bin/true",), env=("A=1", *marks), timeout=5)
    foreign = GivenHook(path="/bin/false", timeout=7)
    other = GivenHook(path="/bin/date", args=("date",))
    with rules.asked() as engine:
        container = PodContainer(annotations=YES, hooks={"createRuntime": (other, ours, foreign)})
        assert engine.create(container) == {}
        container = PodContainer(annotations=YES, hooks={"createRuntime": (other, foreign), "poststop": (other,)})
        assert engine.create(container) == {"createRuntime": [ours]}
        container = PodContainer(annotations=YES, hooks={"createRuntime": (ours,)})
        assert stages(engine.create(container)) == {"createRuntime": ["/bin/false"]}


def test_static_hooks(rules: Rules) -> None:
    """Static hook files go into every container as they stand."""
    static = rules.root / "static.json"
    static.write_text(json.dumps({"hooks": {"poststart": [{"path": "/bin/date", "env": ["B=2"], "timeout": 3}]}}))
    rules.configure(f'static-hooks = ["{static}"]')
    with rules.asked() as engine:
        assert engine.create(PodContainer()) == {"poststart": [GivenHook(path="/bin/date", env=("B=2",), timeout=3)]}


@pytest.mark.parametrize("timeout", ["1.5", "1e3", "9" * 30])
def test_odd_static_timeout(timeout: str, rules: Rules) -> None:
    """A timeout that a message can't hold refuses the container and names the hook."""
    static = rules.root / "static.json"
    static.write_text('{"poststart": [{"path": "/bin/date", "timeout": TIMEOUT}]}'.replace("TIMEOUT", timeout))
    rules.configure(f'static-hooks = ["{static}"]')
    with rules.asked() as engine, pytest.raises(CallError, match=r'hook "/bin/date" of poststart: .* whole seconds'):
        engine.create(PodContainer())


@pytest.mark.parametrize(
    ("policy", "told"),
    [pytest.param("warn", ["missing_program"], id="warn"), pytest.param("ignore", [], id="ignore")],
)
def test_missing_program_tolerated(policy: str, told: list[str], rules: Rules) -> None:
    """A matching rule whose program is missing is left out where the policy says so, and told once if at all."""
    rules.configure(f'on-invalid = "{policy}"')
    rules.rule("10.json", path="/nowhere/hook")
    rules.rule("20.json")
    with rules.asked() as engine:
        for _ in range(3):
            assert stages(engine.create(PodContainer(annotations=YES))) == {"createRuntime": ["/bin/true"]}
    assert [problem.code for problem in rules.told] == told


def test_missing_program(rules: Rules) -> None:
    """By default it refuses the containers that it matches, says why and which, and leaves others alone."""
    file = rules.rule("10.json", path="/nowhere/hook")
    rules.rule("20.json", ALWAYS)
    with rules.asked() as engine:
        with pytest.raises(CallError) as caught:
            engine.create(PodContainer(annotations=YES))
        assert stages(engine.create(PodContainer())) == {"createRuntime": ["/bin/true"]}
    assert caught.value.message.startswith(
        f'ocihooks: {file}: /hook/path: program "/nowhere/hook": it does not exist; '
        f'container "web" {"c" * 64} of pod "default/shop" not created; hint: install the program'
    )
    assert rules.metrics.errors == {"missing_program": 1}


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        pytest.param("", None, id="fail"),
        pytest.param('[ocihooks.rules."10.json"]\non-invalid = "warn"', "warn", id="warn-about-it"),
        pytest.param('on-invalid = "ignore"', "ignore", id="ignore"),
    ],
)
def test_filters(settings: str, outcome: str | None, rules: Rules) -> None:
    """A rule that wants to rewrite the configuration is told once, and refuses what it matches by policy."""
    rules.configure(settings)
    file = rules.rule("10.json", stages=["precreate", "poststop"])
    with rules.asked() as engine:
        if outcome is None:
            with pytest.raises(CallError, match=f"{file}: /stages: NRI has no stage precreate"):
                engine.create(PodContainer(annotations=YES))
        else:
            assert stages(engine.create(PodContainer(annotations=YES))) == {"poststop": ["/bin/true"]}
        assert engine.create(PodContainer()) == {}
    assert [(problem.code, problem.severity, problem.file) for problem in rules.told] == [
        ("beyond_nri", "warning", str(file))
    ]


def test_settings_beyond_nri(rules: Rules) -> None:
    """Settings that engines leave no room for are told once, and have no effect."""
    rules.configure('position = "prepend"\nsandbox = true')
    rules.rule("10.json", ALWAYS)
    with rules.asked() as engine:
        other = GivenHook(path="/bin/date", args=("date",))
        given = engine.create(PodContainer(hooks={"createRuntime": (other,)}))
        assert stages(given) == {"createRuntime": ["/bin/true"]}
    assert [problem.code for problem in rules.told] == ["beyond_nri"] * 2


@pytest.mark.parametrize("policy", ["fail", "warn"])
def test_modifiers(policy: str, rules: Rules) -> None:
    """Modifiers, which are for every container, refuse every container by default, and are told once otherwise."""
    rules.configure(f'modifiers = ["/opt/modifier.py:modify"]\non-invalid = "{policy}"')
    rules.rule("10.json", ALWAYS)
    with rules.asked() as engine:
        if policy == "fail":
            with pytest.raises(CallError, match="NRI has no modifiers"):
                engine.create(PodContainer())
        else:
            assert stages(engine.create(PodContainer())) == {"createRuntime": ["/bin/true"]}
    assert [problem.code for problem in rules.told] == ["beyond_nri"]


def test_supervised(rules: Rules) -> None:
    """The hook of a supervised rule is given as a call of the supervisor."""
    rules.configure(f'supervise = "on"\nrecords = "{rules.root}/records.jsonl"')
    rules.rule("10.json", timeout=5)
    with rules.asked() as engine:
        (hook,) = engine.create(PodContainer(annotations=YES))["createRuntime"]
    assert hook.args[-3:] == ("--", "/bin/true", "/bin/true")
    assert hook.timeout == 10
    record = json.loads((rules.root / "records.jsonl").read_text())
    assert (record["kind"], record["container"]) == ("injection", "c" * 64)
    assert record["hooks"] == [{"rule": f"{rules.hooks}/10.json", "stage": "createRuntime"}]


def test_log(rules: Rules) -> None:
    """The log of the settings gets a line for each container, refused ones as well, as the wrapper writes it."""
    rules.configure(f'log = "{rules.root}/log"')
    rules.rule("10.json")
    with rules.asked() as engine:
        engine.create(PodContainer(annotations=YES))
        engine.create(PodContainer())
        rules.rule("10.json", path="/nowhere/hook")
        wait_until(lambda: refuses(engine, PodContainer(annotations=YES)))
    lines = [json.loads(line) for line in (rules.root / "log").read_text().splitlines()]
    assert [(line["msg"], line["rules"]) for line in lines[:2]] == [
        ("hooks added", ["10.json createRuntime"]),
        ("nothing to add", []),
    ]
    assert (lines[-1]["level"], "/nowhere/hook" in lines[-1]["msg"]) == ("error", True)


def refuses(engine: EngineLink, container: PodContainer) -> bool:
    """Whether *container* is refused."""
    try:
        engine.create(container)
    except CallError:
        return True
    return False


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.02)


def test_dry_run(rules: Rules) -> None:
    """A dry run tells what each container would be given, or why it would be refused, and gives nothing."""
    rules.configure(f'records = "{rules.root}/records.jsonl"\nlog = "{rules.root}/log"')
    rules.rule("10-gpu.json", stages=["createRuntime", "poststop"])
    rules.rule("20-bad.json", {"commands": ["^/bad$"]}, path="/nowhere/hook")
    with rules.asked(dry_run=True) as engine:
        assert engine.create(PodContainer(annotations=YES)) == {}
        assert engine.create(PodContainer()) == {}
        assert engine.create(PodContainer(args=("/bad",))) == {}
    label = f'container "web" {"c" * 64} of pod "default/shop"'
    assert rules.said[-4] == f"{label} would get createRuntime 10-gpu.json, poststop 10-gpu.json"
    assert rules.said[-3] == f"{label} would get nothing"
    assert rules.said[-2].startswith(f"would be refused: {rules.hooks}/20-bad.json: /hook/path: program")
    assert sorted(path.name for path in rules.root.iterdir()) == ["etc", "hooks.d"]


def test_newer_protocol(rules: Rules) -> None:
    """Fields that a newer engine adds to pods, containers and requests are skipped."""
    rules.rule("10-gpu.json")
    extra = member(90, 7) + member(91, "later") + member(2000, b"\xff\xfe")
    with rules.asked() as engine:
        assert engine.create(PodContainer(annotations=YES, extra=extra), Pod(extra=extra))
        payload = member(1, Pod().packed()) + extra + member(2, PodContainer(annotations=YES).packed(Pod())) + extra
        assert engine.call("CreateContainer", payload)


def test_thousands_of_annotations(rules: Rules) -> None:
    """Thousands of annotations are no trouble, and the one that counts is found among them."""
    rules.rule("10-gpu.json")
    many = {f"com.example.annotation-{number}": "x" * 50 for number in range(5000)}
    with rules.asked() as engine:
        assert engine.create(PodContainer(annotations={**many, **YES}))
        assert not engine.create(PodContainer(annotations=many))


BROKEN = {
    "annotation-not-utf-8": (
        member(2, member(1, "c1") + member(3, "web") + member(6, b"\x0a\x01\xff")),
        "container: field 6 is not UTF-8: invalid start byte",
        'container "web" c1',
    ),
    "argument-is-a-number": (
        member(1, member(2, "shop") + member(4, "default")) + member(2, member(1, "c1") + member(7, 5)),
        "container: field 7: expected text, found a number",
        'container without a name c1 of pod "default/shop"',
    ),
    "pod-cut-off": (member(1, b"\x0a\x70abc"), "pod: it ends 109 bytes before", "container without a name"),
    "container-is-a-number": (member(2, 1), "field 2: expected a message", "container without a name"),
    "request-cut-off": (b"\x12\x7f" + member(1, "c1"), "it ends 123 bytes before", "container without a name c1"),
    "name-is-no-name": (
        member(2, member(1, "c\n1\x1b") + member(3, 'w"eb\x00') + member(7, 1)),
        "container: field 7",
        'container "w\\"eb\\u0000" "c\\n1\\u001b"',
    ),
    "mount-not-utf-8": (
        member(2, member(1, "c1") + members(7, ["sh"]) + member(9, member(1, b"\xff"))),
        "the request is broken: field 1 is not UTF-8",
        "container without a name c1",
    ),
    "hook-cut-off": (
        member(2, member(1, "c1") + members(7, ["sh"]) + member(10, member(1, b"\x0a\x09x"))),
        "container: it ends 8 bytes before",
        "container without a name c1",
    ),
}


@pytest.mark.parametrize(("payload", "reason", "label"), BROKEN.values(), ids=BROKEN)
def test_broken_request(payload: bytes, reason: str, label: str, rules: Rules) -> None:
    """A request that can't be read is refused with the reason and the container; the next one is served."""
    rules.rule("10.json", {"always": True, "hasBindMounts": True})
    rules.rule("20.json", ALWAYS)
    with rules.asked() as engine:
        with pytest.raises(CallError) as caught:
            engine.call("CreateContainer", payload)
        assert reason in caught.value.message
        assert f"; {label}" in caught.value.message
        assert caught.value.message.isprintable()
        assert caught.value.code == 3
        assert stages(engine.create(PodContainer())) == {"createRuntime": ["/bin/true"]}
    assert rules.metrics.errors == {"nri_request": 1}


@pytest.mark.parametrize(
    ("when", "possible", "counts"),
    [
        pytest.param(GPU, True, [0, 1, 0, 0, 0, 0], id="annotation"),
        pytest.param({"commands": ["python3$"]}, True, [0, 0, 0, 0, 0, 1], id="command"),
        pytest.param({"annotations": {"^gr.*": "^x.y$"}}, True, [0, 0, 1, 0, 0, 0], id="re2"),
        pytest.param({"annotations": {"^größe$": "^"}}, False, [0, 0, 1, 0, 0, 0], id="not-ascii"),
        pytest.param({"annotations": {"^(a|b)$": "^(c|d)$"}}, False, [0, 0, 0, 1, 0, 0], id="alternatives"),
        pytest.param({"annotations": {"(?i)GPU$": "(?i)YES"}}, False, [0, 1, 0, 0, 0, 0], id="any-case"),
        pytest.param({"hasBindMounts": True}, False, [0, 0, 0, 0, 1, 0], id="bind-mount"),
    ],
)
def test_shortcut_never_skips_a_match(when: Mapping[str, Any], possible: bool, counts: list[int], rules: Rules) -> None:
    """With and without the shortcut the same containers are given the same; it is there only for plain needs."""
    rules.rule("10.json", when)
    containers = [
        PodContainer(args=("/bin/sh",)),
        PodContainer(annotations=YES, args=("/bin/sh",)),
        PodContainer(annotations={"größe": "x-y"}, args=("/bin/sh",)),
        PodContainer(annotations={"b": "c"}, args=("x",)),
        PodContainer(env=("com.example.gpu=yes",), args=("x",), mounts=(Mount(destination="/d", source="/d"),)),
        PodContainer(args=("/x/python3",)),
    ]
    with rules.live() as live:
        assert (live.state.possible is not None) is possible
    for setting in ("true", "false"):
        rules.configure(f"shortcut = {setting}")
        with rules.asked() as engine:
            assert [len(engine.create(one).get("createRuntime", ())) for one in containers] == counts


def test_shortcut(rules: Rules) -> None:
    """Requests without a text that a rule needs are answered unread, broken ones as well, until a rule needs them."""
    rules.rule("10-gpu.json")
    broken = member(2, mapping(6, {"a": "b"}) + b"\x32\x03\x0a\x01\xff")
    with rules.asked() as engine:
        assert engine.call("CreateContainer", broken) == b""
        rules.rule("20.json", ALWAYS)
        wait_until(lambda: engine.create(PodContainer()))
        with pytest.raises(CallError, match="not UTF-8"):
            engine.call("CreateContainer", broken)


def test_answer_too_large(rules: Rules) -> None:
    """Hooks that don't fit into an answer refuse the container instead of breaking the link."""
    for number in range(6):
        rules.rule(f"{number}.json", args=["x" * 900_000])
    with rules.asked() as engine:
        with pytest.raises(CallError, match=r"its hooks take 54\d+ bytes, more than fit"):
            engine.create(PodContainer(annotations=YES))
        assert engine.create(PodContainer()) == {}


def test_large_answer(rules: Rules) -> None:
    """An answer with the hooks of many rules comes as an engine can read it."""
    for number in range(60):
        rules.rule(f"{number:03}.json", stages=["createRuntime", "poststop"], env=[f"N={number}"])
    with rules.asked() as engine:
        given = engine.create(PodContainer(annotations=YES))
    assert [hook.env[0] for hook in given["poststop"]] == [f"N={number}" for number in range(60)]
