"""runc's hook lists: what the recorded cases do not show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocihooks.errors import DocumentError
from ocihooks.execution.errors import HookFunctionError, HookNotRunnableError, HookTimeoutError
from ocihooks.execution.hook_lists import CommandHook, FunctionHook, HookLists, state_text
from ocihooks.spec.hook import Hooks
from ocihooks.spec.state import State, Status

STATE = State(oci_version="1.0.2", id="c1", status=Status.CREATED, bundle="/b", pid=42)


def test_functions_get_the_state_and_run_among_commands(tmp_path: Path) -> None:
    """Function hooks are called with the state they were run with, in their place between commands."""
    seen: list[State | None] = []
    touch = CommandHook(path="/bin/sh", args=("sh", "-c", "cat > state"), dir=str(tmp_path))
    HookLists({"prestart": [FunctionHook(function=seen.append), touch]}).run("prestart", STATE)
    assert seen == [STATE]
    assert json.loads((tmp_path / "state").read_text())["id"] == "c1"


def test_failing_function_names_its_place_and_stops_the_list() -> None:
    """What a function raises becomes an error with its place, and nothing behind it runs."""
    seen: list[State | None] = []

    def refuse(_: State | None) -> None:
        raise LookupError("no device")

    lists = HookLists({"poststop": [FunctionHook(function=refuse), FunctionHook(function=seen.append)]})
    with pytest.raises(HookFunctionError, match="poststop hook #0: function failed: LookupError: no device") as caught:
        lists.run("poststop", STATE)
    assert isinstance(caught.value.__cause__, LookupError)
    assert seen == []


def test_item_without_command_is_refused_when_it_is_run() -> None:
    """A null item is kept on reading and writing, and running it is an error instead of a crash."""
    lists = HookLists.parse(b'{"prestart": [null]}')
    assert '"prestart":[{}]' in lists.to_text()
    with pytest.raises(HookNotRunnableError, match="prestart hook #0: not started: it has no command"):
        lists.run("prestart", STATE)


@pytest.mark.parametrize("timeout_ns", [0, -1])
def test_timeout_that_is_over_starts_nothing(tmp_path: Path, timeout_ns: int) -> None:
    """A timeout of nothing is a timeout, and the program has not even been started."""
    touch = CommandHook(path="/bin/touch", args=("touch", str(tmp_path / "ran")), timeout_ns=timeout_ns)
    with pytest.raises(HookTimeoutError, match="not started"):
        touch.run(STATE)
    assert list(tmp_path.iterdir()) == []


def test_longest_timeout_is_no_limit_in_practice() -> None:
    """The longest timeout that 64 bits hold runs the program."""
    [hook] = HookLists.from_spec(
        Hooks.from_json({"poststart": [{"path": "/bin/true", "timeout": (1 << 63) - 1}]})
    ).lists["poststart"]
    assert isinstance(hook, CommandHook)
    assert hook.timeout_ns == (1 << 63) - 1
    assert hook.run(STATE).status == 0


def test_spec_timeout_beyond_64_bits_is_refused() -> None:
    """A timeout that runtimes can't read is an error, not capped."""
    hooks = Hooks.from_json({"poststart": [{"path": "/bin/true", "timeout": 1 << 63}]})
    with pytest.raises(
        DocumentError, match="/bin/true: expected a timeout of at most 64 bits, found 9223372036854775808"
    ):
        HookLists.from_spec(hooks)


def test_all_problems_of_the_text_are_told() -> None:
    """Every fault of a document is in the error, not only the first."""
    with pytest.raises(DocumentError) as caught:
        HookLists.parse(b'{"prestart": [{"path": 1}, {"env": "A=1"}], "poststop": {}}')
    assert [problem.pointer for problem in caught.value.problems] == [
        "/prestart/0/path",
        "/prestart/1/env",
        "/poststop",
    ]


def test_default_environment_leaves_functions_alone() -> None:
    """Only commands without an environment get the default one."""
    function = FunctionHook(function=print)
    lists = HookLists({"prestart": [CommandHook(path="/x"), CommandHook(path="/y", env=("A=1",)), function, None]})
    x, y, same, nothing = lists.with_default_env(["PATH=/bin"]).lists["prestart"]
    assert [getattr(item, "env", None) for item in (x, y)] == [("PATH=/bin",), ("A=1",)]
    assert (same, nothing) == (function, None)


def test_state_is_written_as_runc_does() -> None:
    """Annotations by name and markup escaped; pid and annotations only where there are any."""
    state = State(
        oci_version="1", id="<c>", status=Status.STOPPED, bundle="/b", pid=0, annotations={"b": "2", "a": "&"}
    )
    assert state_text(state) == (
        '{"ociVersion":"1","id":"\\u003cc\\u003e","status":"stopped","bundle":"/b",'
        '"annotations":{"a":"\\u0026","b":"2"}}'
    )
    assert '"annotations"' not in state_text(State(oci_version="1", id="c", status="x", bundle="/", annotations={}))
