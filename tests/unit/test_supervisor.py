"""The supervisor as a program: what it hands to the hook, what it passes on, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocihooks.injection import Additions, equals, merged, rule_entry, rule_of, supervision
from ocihooks.spec.hook import Hook
from ocihooks.supervisor.state import State, parse
from ocihooks.supervisor.task import read_task
from ocihooks.supervisor.templates import TemplateError, expand

PACKAGE = Path(__file__).parents[2] / "src/ocihooks"
SUPERVISOR = (os.path.realpath(sys.executable), "-IS", str(PACKAGE / "supervisor/start.py"))

STATE = {"ociVersion": "1.0.2", "id": "c1", "status": "created", "pid": 42, "bundle": "/b"}
RULE = "/etc/hooks.d/10-a.json"


class SupervisedHook:
    """A hook as the wrapper has it, with the supervisor's words."""

    def __init__(self, path: str, args: tuple[str, ...], env: tuple[str, ...], timeout: int | None, **how: Any) -> None:
        self.path, self.args, self.env, self.timeout = path, args, env, timeout
        given: dict[str, Any] = {"on_failure": "fail", "kill_leftovers": False, "records": "", **how}
        self.supervision = supervision(timeout=timeout, **given)


def sh(script: str, *args: str, env: tuple[str, ...] = (), timeout: int | None = None, **how: Any) -> SupervisedHook:
    return SupervisedHook("/bin/sh", ("sh", "-c", script, *args), env, timeout, **how)


def command(hook: Any, stage: str = "createRuntime") -> tuple[list[str], dict[str, str]]:
    """Command line and environment of the supervisor for *hook*, from the entry that the wrapper would write."""
    entry = rule_entry(hook, RULE, stage, SUPERVISOR)
    return [entry["path"], *entry["args"][1:]], dict(item.split("=", 1) for item in entry["env"])


def run(
    hook: Any, state: object = STATE, stage: str = "createRuntime", **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run *hook* under the supervisor, as a runtime would."""
    argv, environ = command(hook, stage)
    data = state if isinstance(state, bytes) else json.dumps(state).encode()
    return subprocess.run(
        argv, env=environ, input=data, capture_output=True, check=False, timeout=30, **{"cwd": "/", **options}
    )


@pytest.fixture
def mark() -> Iterator[str]:
    """A variable by which all processes of one hook are found; none may be left."""
    entry = f"MARK={uuid.uuid4().hex}"
    yield entry
    left = marked(entry)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def marked(entry: str) -> list[int]:
    """The processes that have *entry* in their environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if entry.encode() in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:
            continue
    return found


def until_marked(entry: str, count: int) -> None:
    until(lambda: len(marked(entry)) == count)


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestEntry:
    """What the wrapper writes."""

    def test_round_trip(self) -> None:
        """The supervisor reads from the entry what the wrapper was told."""
        env = ("LD_PRELOAD=/x.so", "A=1\n2", "ODD", "=odd", *(f"N{n}=" for n in range(12)))
        hook = sh("x", env=env, timeout=7, on_failure="warn", kill_leftovers=True, records="/r")
        argv, environ = command(hook, "poststop")
        task = read_task(argv[3:], environ)
        assert (task.path, task.args, task.env) == ("/bin/sh", ("sh", "-c", "x"), env)
        assert (task.timeout_s, task.on_failure, task.kill_leftovers, task.records) == (7, "warn", True, "/r")
        assert (task.rule, task.stage) == (RULE, "poststop")

    def test_environment_is_disguised(self) -> None:
        """No variable of the hook reaches the supervisor under its own name, and none its command line."""
        entry = rule_entry(sh("x", env=("LD_PRELOAD=/x.so", "TOKEN=geheim")), RULE, "poststop", SUPERVISOR)
        assert all(item.startswith("OCIHOOKS_") for item in entry["env"])
        assert "geheim" not in " ".join(entry["args"])

    def test_outer_timeout_is_longer(self) -> None:
        """The runtime's own timeout is there in case the supervisor hangs; without one there is none."""
        assert rule_entry(sh("x", timeout=3), RULE, "poststart", SUPERVISOR)["timeout"] == 8
        assert "timeout" not in rule_entry(sh("x"), RULE, "poststart", SUPERVISOR)

    @pytest.mark.parametrize(
        ("stage", "supervisor", "expected"),
        [
            pytest.param("createContainer", SUPERVISOR, False, id="createContainer"),
            pytest.param("startContainer", SUPERVISOR, False, id="startContainer"),
            pytest.param("prestart", SUPERVISOR, True, id="prestart"),
            pytest.param("createRuntime", (), False, id="no-supervisor"),
        ],
    )
    def test_stages(self, stage: str, supervisor: tuple[str, ...], expected: bool) -> None:
        """Only hooks that run on the host are supervised."""
        assert (rule_entry(sh("x"), RULE, stage, supervisor)["path"] != "/bin/sh") == expected

    def test_plain_hooks_are_not_supervised(self) -> None:
        """A hook object of the library, of which nobody said how to supervise it, stays as it is."""
        assert rule_entry(Hook(path="/bin/sh"), RULE, "poststop", SUPERVISOR)["path"] == "/bin/sh"

    def test_marks_still_work(self) -> None:
        """Supervised entries are known as ours, replaced when they change, and equal to a foreign plain one."""
        additions = Additions(rules=[("poststop", RULE, sh("x"))], directories=["/etc/hooks.d"], supervisor=SUPERVISOR)
        once = merged(None, additions)
        assert once is not None
        assert rule_of(once["poststop"][0]) == RULE
        assert merged(once, additions) is None
        changed = Additions(rules=[("poststop", RULE, sh("y"))], directories=["/etc/hooks.d"], supervisor=SUPERVISOR)
        again = merged(once, changed)
        assert again is not None
        assert [entry["args"][-1] for entry in again["poststop"]] == ["y"]
        native = {"path": "/bin/sh", "args": ["sh", "-c", "x"]}
        assert equals(native, sh("x"))
        assert merged({"poststop": [native]}, additions) is None

    @pytest.mark.parametrize(
        "words",
        [["-x"], ["--timeout", "3"], ["--records=/r"], ["--"], ["--", "/bin/true"], ["--unknown=1", "--", "a", "b"]],
    )
    def test_words_of_others(self, words: list[str]) -> None:
        """Who starts the supervisor by hand is told what it is for."""
        done = subprocess.run([*SUPERVISOR, *words], env={}, input=b"", capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(b"ocihooks: the supervisor is started by runtimes, with words from config.json")
        assert b"Traceback" not in done.stderr


class TestWorld:
    """What the hook is given."""

    @pytest.mark.parametrize(
        ("stage", "sent", "expected"),
        [
            pytest.param("prestart", "created", "creating", id="prestart"),
            pytest.param("createRuntime", "created", "creating", id="createRuntime"),
            pytest.param("poststart", "created", "running", id="poststart"),
            pytest.param("poststop", "stopped", "stopped", id="poststop"),
        ],
    )
    def test_status(self, stage: str, sent: str, expected: str) -> None:
        """The status is that of the stage, whatever the runtime sent; all else is as it was, in its order."""
        state = {**STATE, "status": sent, "annotations": {"a": "x" * 5000, "ü": "\ud800"}, "root": "/r", "n": 1.5}
        seen = json.loads(run(sh("cat"), state, stage).stdout)
        assert seen == {**state, "status": expected}
        assert list(seen) == list(state)

    @pytest.mark.parametrize(
        "state",
        [b"", b"{", b"[1]", b"\xff", b'"x"', b"[" * 30_000, b" {} x"],
        ids=["nothing", "open", "array", "bytes", "text", "deep", "more"],
    )
    def test_state_that_is_none(self, state: bytes) -> None:
        """What is no state is handed on as it came, and is no reason to fail."""
        done = run(sh("cat"), state)
        assert (done.returncode, done.stdout) == (0, state)

    def test_environment(self) -> None:
        """Exactly the rule's variables, the two marks, and a fixed PATH unless the rule has one."""
        marks = {"OCIHOOKS_RULE": RULE, "OCIHOOKS_STAGE": "createRuntime"}
        without = run(SupervisedHook("/usr/bin/env", ("env", "-0"), ("A=1\n2",), None)).stdout
        given = run(
            SupervisedHook("/usr/bin/env", ("env", "-0"), ("PATH=/x", "A=1", "A=2", "PYTHONHOME=/y"), None)
        ).stdout
        assert dict(item.split("=", 1) for item in without.decode().split("\0")[:-1]) == marks | {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "A": "1\n2",
        }
        assert dict(item.split("=", 1) for item in given.decode().split("\0")[:-1]) == marks | {
            "PATH": "/x",
            "A": "2",
            "PYTHONHOME": "/y",
        }

    def test_working_directory(self, tmp_path: Path) -> None:
        """The working directory is the one that the runtime chose."""
        assert run(sh("pwd"), cwd=tmp_path).stdout == f"{tmp_path}\n".encode()

    def test_no_descriptor_reaches_the_hook(self) -> None:
        """The hook has three streams and nothing else, whatever the runtime left open."""
        reader, writer = os.pipe()
        done = run(sh("ls /proc/self/fd"), pass_fds=[reader, writer])
        os.close(reader)
        os.close(writer)
        assert done.stdout.split() == [b"0", b"1", b"2", b"3"], "3 is that of ls itself"


class TestTemplates:
    """Values in arguments and environment."""

    STATE_BYTES = json.dumps({**STATE, "annotations": {"a/b": "$(x) ${id}", "a]b": "odd", "": "empty"}}).encode()

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("${id}", "c1", id="id"),
            pytest.param("-${bundle}-${pid}-", "-/b-42-", id="several"),
            pytest.param("${annotations[a/b]}", "$(x) ${id}", id="not-again"),
            pytest.param("${annotations[a]b]}${annotations[]}", "oddempty", id="brackets"),
            pytest.param("$${id} $$${id}", "${id} $${id}", id="escaped"),
            pytest.param(
                "${HOME} ${id $id ${} ${annotations[a ${ID}", "${HOME} ${id $id ${} ${annotations[a ${ID}", id="none"
            ),
            pytest.param("$", "$", id="dollar"),
            pytest.param("", "", id="empty"),
        ],
    )
    def test_values(self, text: str, expected: str) -> None:
        """Templates become their value, which is not looked at again; all else stays."""
        assert expand(text, State(self.STATE_BYTES, "createRuntime")) == expected

    def test_annotation_that_is_missing(self) -> None:
        """An annotation that the container does not have is an error that names it, and the hook is not started."""
        done = run(sh("echo ran", "${annotations[x\n]}"))
        assert (done.returncode, done.stdout) == (127, b"")
        assert (
            b'was not started: ${annotations[\xe2\x80\xa6]} has no value, since the container has no annotation "x\\n"'
            in done.stderr
        )

    @pytest.mark.parametrize("name", ["id", "bundle", "rootfs"])
    def test_value_that_is_missing(self, name: str) -> None:
        """A value that the state does not have is an error."""
        with pytest.raises(TemplateError, match="has no value"):
            expand(f"${{{name}}}", State(b"{}", "createRuntime"))

    @pytest.mark.parametrize(
        ("members", "expected"), [({}, "0"), ({"pid": 0}, "0"), ({"pid": 7}, "7"), ({"pid": "x"}, "0")]
    )
    def test_pid(self, members: dict[str, Any], expected: str) -> None:
        """Where there is no process any more, the pid is 0 under every runtime."""
        state = {name: value for name, value in STATE.items() if name != "pid"} | members
        assert expand("${pid}", State(json.dumps(state).encode(), "poststop")) == expected

    @pytest.mark.parametrize(
        ("config", "root", "expected"),
        [
            pytest.param('{"root":{"path":"rootfs"}}', None, "{B}/rootfs", id="relative"),
            pytest.param('{"root":{"path":"/srv/r"}}', None, "/srv/r", id="absolute"),
            pytest.param("{", "/sent", "/sent", id="sent"),
            pytest.param("{", None, None, id="broken"),
            pytest.param('{"root":{"path":1}}', None, None, id="number"),
            pytest.param('{"root":[]}', None, None, id="array"),
        ],
    )
    def test_rootfs(self, tmp_path: Path, config: str, root: str | None, expected: str | None) -> None:
        """The root file system is what the runtime sent, else what the bundle says."""
        (tmp_path / "config.json").write_text(config)
        state = State(json.dumps({**STATE, "bundle": str(tmp_path), "root": root}).encode(), "createRuntime")
        if expected is None:
            with pytest.raises(TemplateError):
                expand("${rootfs}", state)
        else:
            assert expand("${rootfs}", state) == expected.replace("{B}", str(tmp_path))

    def test_values_are_single_words(self) -> None:
        """A value with blanks, quotes and line breaks is one argument, and one variable."""
        state = {**STATE, "annotations": {"a": "x y'\"\n$(touch /nowhere)"}}
        hook = sh('printf "%s|" "$@"; printf "%s" "$V"', "sh", "${annotations[a]}", "z", env=("V=${annotations[a]}",))
        value = state["annotations"]["a"]  # type: ignore[index]
        assert run(hook, state).stdout.decode() == f"{value}|z|{value}"

    @pytest.mark.parametrize("value", ["a\0b", "\ud800"], ids=["nul", "surrogate"])
    def test_value_that_no_program_can_be_given(self, value: str) -> None:
        """A NUL character or half of a surrogate pair is refused in a sentence."""
        done = run(sh("echo ran", "${annotations[a]}"), {**STATE, "annotations": {"a": value}})
        assert (done.returncode, done.stdout) == (127, b"")
        assert b"was not started: a value holds" in done.stderr


class TestPassingOn:
    """What the runtime gets back."""

    def test_success(self) -> None:
        """Output and status are the hook's."""
        done = run(sh("echo out; echo err >&2"))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")

    def test_failure(self) -> None:
        """A failing hook's status and last output come through, and one sentence behind it says whose they are."""
        done = run(sh("echo out; printf err >&2; exit 9"))
        sentence = 'createRuntime hook ["sh", "-c", "echo out; printf err >&2; exit 9"] ended with status 9'
        assert (done.returncode, done.stdout) == (9, b"out\n")
        assert done.stderr.decode() == f"err\nocihooks: {RULE}: {sentence}\n"

    def test_flood_stays_short(self) -> None:
        """What a failing hook printed is cut, since engines put all of it into one message."""
        done = run(sh("seq 100000; seq 100000 >&2; exit 1"))
        assert done.stdout.endswith(b"\n100000\n")
        assert len(done.stdout) + len(done.stderr) < 2500

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
    def test_signal(self, number: signal.Signals, tmp_path: Path) -> None:
        """A hook that a signal ends looks so from outside, too, and leaves no memory dump of ours."""
        done = run(sh(f"kill -{number.value} $$"), cwd=tmp_path)
        assert done.returncode == -number
        assert f"was ended by {number.name}" in done.stderr.decode()
        assert list(tmp_path.iterdir()) == []

    def test_missing_program(self) -> None:
        """A program that can't be started is named with the reason, in words that engines take for nothing else."""
        done = run(SupervisedHook("/no/such", ("x",), (), None))
        assert done.returncode == 127
        assert b"was not started: program not found" in done.stderr
        assert b"No such file" not in done.stderr

    @pytest.mark.parametrize(("policy", "word"), [("warn", "warned"), ("ignore", "ignored")])
    def test_tolerated(self, policy: str, word: str, tmp_path: Path) -> None:
        """A failure that is tolerated is a success for the runtime, and recorded."""
        done = run(sh("exit 3", on_failure=policy, records=str(tmp_path / "r")))
        assert done.returncode == 0
        assert b"ended with status 3; going on" in done.stderr
        assert json.loads((tmp_path / "r").read_text())["outcome"] == word

    def test_nobody_reads(self) -> None:
        """A runtime that is gone or reads nothing does not keep the supervisor waiting."""
        argv, environ = command(sh("seq 20000; exit 1"))
        started = time.monotonic()
        with subprocess.Popen(
            argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=-1
        ) as process:
            assert process.wait(60) == 1
        assert time.monotonic() - started < 30

    def test_closed_streams(self) -> None:
        """Without standard streams the hook runs all the same."""
        argv, environ = command(sh("exit 5"))
        closing = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv]
        assert subprocess.run(closing, env=environ, check=False).returncode == 5


class TestEnd:
    """What is left when all is over."""

    def test_timeout(self, mark: str) -> None:
        """A hook that passes its timeout is killed with all that it started, soon."""
        script = "setsid sleep 4711 & trap '' TERM; sleep 4711 & sleep 4711"
        started = time.monotonic()
        done = run(sh(script, timeout=1, env=(mark,)))
        assert time.monotonic() - started < 20
        assert done.returncode == 124
        assert b"did not end within 1 s and was killed" in done.stderr

    @pytest.mark.parametrize("timeout", [None, 1], ids=["no-timeout", "timeout-first"])
    def test_output_held_open(self, mark: str, tmp_path: Path, timeout: int | None) -> None:
        """A child that holds the output open delays a successful hook by a second at most, and lives on."""
        started = time.monotonic()
        hook = sh("sleep 4711 & echo ok", env=(mark,), timeout=timeout, records=str(tmp_path / "r"))
        done = run(hook)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"ok\n", b"")
        assert time.monotonic() - started < 20
        (left,) = json.loads((tmp_path / "r").read_text())["left_running"]
        assert marked(mark) == [left]
        os.kill(left, signal.SIGKILL)
        until_marked(mark, 0)

    def test_leftovers_killed(self, mark: str) -> None:
        """With leftovers = "kill" nothing outlives a hook that succeeded."""
        assert run(sh("setsid sleep 4711 >&- 2>&- & exit 0", env=(mark,), kill_leftovers=True)).returncode == 0

    def test_hook_dies_with_its_supervisor(self, mark: str) -> None:
        """A supervisor that the runtime kills takes the hook and its descendants with it."""
        argv, environ = command(sh("setsid sleep 4711 & sleep 4711", env=(mark,)))
        with subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL) as process:
            until_marked(mark, 3)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            until(lambda: len(children.read_text().split()) == 2)  # the hook and its guard
            process.kill()
        until_marked(mark, 0)

    def test_memory(self) -> None:
        """A hook that floods its output costs the supervisor no memory to speak of."""
        argv, environ = command(sh("head -c 100000000 /dev/zero"))
        code = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], stdin=-3, stdout=-3, check=True);"
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        done = subprocess.run([sys.executable, "-c", code, *argv], env=environ, capture_output=True, check=True)
        assert int(done.stdout) < 64 * 1024


@pytest.mark.parametrize("text", ["{}", ' {"a": [1, 2.5, "é", null, true]} \n', "[]", '"x"'])
def test_parse(text: str) -> None:
    """Documents are read as the standard library reads them."""
    assert parse(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", "{} {}", '{"a": 1,}', "nul", "[" * 100_000, "'"])
def test_parse_refuses(text: str) -> None:
    """What is no document is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  (which one is the library's affair)
        parse(text)
