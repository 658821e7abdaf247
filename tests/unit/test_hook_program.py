"""Functions as hooks: what they are given, how they fail, and the rule file that they print."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ocihooks
from ocihooks.injection import DEFAULT_PATH
from ocihooks.testing.bundles import MadeBundle

MakeBundle = Callable[..., MadeBundle]
Program = Callable[..., Path]

ANNOTATED = {"annotations": {"^a$": "^b$"}}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Write a hook program whose function has this body."""

    def write(body: str, *, stages: str = '["createRuntime"]', more: str = "") -> Path:
        file = tmp_path / "my_hook.py"
        file.write_text(
            "import ocihooks\n"
            f"@ocihooks.hook(stages={stages}, when={ANNOTATED}{more})\n"
            f"def my_hook(call):\n    {body}\n"
            "if __name__ == '__main__':\n    my_hook.main()\n"
        )
        return file

    return write


def run(file: Path, *words: str, state: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program as a runtime would."""
    command = [sys.executable, "-I", str(file), *words]
    text = state_of(file.parent) if state is None else state
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, env={})


def state_of(bundle: Path) -> str:
    """A container's state."""
    return json.dumps({"ociVersion": "1.0.2", "id": "c1", "status": "creating", "bundle": str(bundle), "pid": 7})


def test_what_it_is_given(program: Program, oci_bundle: MakeBundle) -> None:
    """The function gets the state, and the configuration and root file system of the bundle when it asks."""
    bundle = oci_bundle(annotations={"a": "b"})
    file = program("print(call.state.id, call.state.pid, call.stage, call.config['annotations'], call.rootfs)")
    done = run(file, state=state_of(bundle.directory))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"c1 7 None {{'a': 'b'}} {bundle.rootfs}\n"


def test_configuration_is_read_late(program: Program) -> None:
    """A function that does not ask for the configuration runs where there is none; one that asks is told."""
    assert run(program("print(call.state.bundle)")).returncode == 0
    done = run(program("call.config"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"my_hook: {program('call.config').parent}/config.json: ")
    assert done.stderr.count("\n") <= 2


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param("raise ValueError('no such\\n  device')", "no such device", id="plain"),
        pytest.param("raise KeyError('x')", "KeyError: 'x'", id="riddle"),
        pytest.param("raise ZeroDivisionError", "ZeroDivisionError", id="nothing-said"),
        pytest.param("open('/does/not/exist')", "FileNotFoundError: [Errno 2]", id="system"),
        pytest.param("raise ocihooks.OCIHooksError('no', file='/f', hint='do')", "/f: no\nhint: do", id="ours"),
        pytest.param("raise RuntimeError('a\\x1b[31m')", "a\\x1b[31m", id="control-characters"),
    ],
)
def test_failure(body: str, sentence: str, program: Program) -> None:
    """What the function raises becomes a sentence and status 1, without a traceback."""
    done = run(program(body))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"my_hook: {sentence}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="no-json"),
        pytest.param("[]", id="no-object"),
        pytest.param('{"id": 5}', id="wrong-type"),
        pytest.param("[" * 100_000, id="nested"),
    ],
)
def test_bad_state(state: str, program: Program) -> None:
    """What is no state is refused with a sentence, and the function is not called."""
    done = run(program("print('called')"), state=state)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("my_hook: standard input: not the state of a container: ")
    assert done.stderr.count("\n") == 1


def test_whole_input_is_read(program: Program) -> None:
    """A state of any size is read to its end, since crun can't stand a hook that leaves some."""
    large = json.loads(state_of(Path("/b"))) | {"annotations": {"large": "x" * 1_000_000}}
    assert run(program("pass"), state=json.dumps(large)).returncode == 0


def test_rule(program: Program) -> None:
    """--rule prints a rule file that runs this very file with this interpreter, isolated, and that can be read."""
    file = program("pass", stages='["createRuntime", "poststop"]', more=", timeout=5, env=['A=1']")
    done = run(file, "--rule")
    assert (done.returncode, done.stderr) == (0, "")
    rule = json.loads(done.stdout)
    assert rule["hook"] == {
        "path": sys.executable,
        "args": [sys.executable, "-I", str(file)],
        "env": ["A=1"],
        "timeout": 5,
    }
    (file.parent / "10.json").write_text(done.stdout)
    read = ocihooks.read_hook(file.parent / "10.json")
    assert read.stages == ("createRuntime", "poststop")
    assert read.when.to_json() == ANNOTATED


def test_rule_of_a_console_script(program: Program, tmp_path: Path) -> None:
    """Where another program calls main, as a console script does, the rule names that program."""
    program("pass")
    script = tmp_path / "my-hook"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom my_hook import my_hook\nmy_hook.main()\n"
    )
    found = json.loads(run(script, "--rule").stdout)["hook"]
    assert found == {"path": str(script), "args": [str(script)], "env": [DEFAULT_PATH]}


@pytest.mark.parametrize(
    ("stages", "more", "message"),
    [
        pytest.param('["createruntime"]', "", '/stages/0: unknown stage "createruntime"', id="stage"),
        pytest.param('["poststop"]', ", timeout='5'", "/hook/timeout: ", id="timeout"),
        pytest.param('["precreate"]', "", '/stages/0: unknown stage "precreate"', id="filter"),
    ],
)
def test_bad_rule(stages: str, more: str, message: str, program: Program) -> None:
    """A rule that nobody could read is not printed, and the place of the fault is told."""
    done = run(program("pass", stages=stages, more=more), "--rule")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"my_hook.py: {message}" in done.stderr


def test_bad_pattern() -> None:
    """The rule has to have patterns that RE2 takes."""

    @ocihooks.hook(stages=[ocihooks.Stage.POSTSTOP], when={"commands": ["("]})
    def broken(call: ocihooks.HookCall) -> None:
        """Never called."""

    with pytest.raises(ocihooks.HookError, match="not valid RE2"):
        broken.rule()


def test_usage(program: Program) -> None:
    """Other words get a usage line and status 2."""
    done = run(program("print('called')"), "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: my_hook [--rule]")


def test_function_can_be_called() -> None:
    """The decorated function is still one, with its name and docstring."""

    @ocihooks.hook(stages=["poststop"], when={"always": True})
    def answer(call: ocihooks.HookCall) -> str:
        """Tell the id."""
        return call.state.id

    state = ocihooks.State(oci_version="1.0.2", id="c1", status=ocihooks.Status.STOPPED, bundle="/b")
    assert answer(ocihooks.HookCall(state)) == "c1"
    assert (answer.name, answer.__doc__) == ("answer", "Tell the id.")


def test_runtime_runs_it(program: Program, run_stage: Callable[..., ocihooks.StageRun], oci_bundle: MakeBundle) -> None:
    """Its own rule makes a runtime run it, and the stage is told."""
    file = program("print(call.stage, call.state.status)")
    rules = file.parent / "rules"
    rules.mkdir()
    (rules / "10.json").write_text(run(file, "--rule").stdout)
    (hook,) = run_stage("createRuntime", oci_bundle(annotations={"a": "b"}), hooks_dirs=[rules]).hooks
    assert (hook.outcome, hook.stdout) == ("succeeded", b"createRuntime creating\n")
