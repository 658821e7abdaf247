"""Running one hook: what the program gets, what the caller gets back, and what each option changes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocihooks.execution import runner
from ocihooks.execution.cancel import Cancellation
from ocihooks.execution.errors import (
    HookCancelledError,
    HookFailedError,
    HookNotRunnableError,
    HookRunError,
    HookTimeoutError,
)
from ocihooks.execution.output import OUTPUT_LIMIT
from ocihooks.execution.process import HookProcess
from ocihooks.execution.result import HookResult
from ocihooks.execution.runner import MAX_TIMEOUT_S, run_hook
from ocihooks.spec.hook import Hook
from ocihooks.spec.state import State, Status


def sh(script: str, *, env: tuple[str, ...] | None = ("PATH=/usr/bin:/bin",), timeout: int | None = None) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script), env=env, timeout=timeout)


def python(code: str) -> Hook:
    return Hook(path=sys.executable, args=("python", "-I", "-S", "-c", code), env=("PATH=/usr/bin:/bin",))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(params=["spawned", "kept"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs hooks as children of this process, if it has no others, and under a keeper."""
    if request.param == "kept":
        monkeypatch.setattr(runner, "process_for", lambda *_, **__: HookProcess())


@pytest.fixture
def left_behind() -> Iterator[list[int]]:
    """Process ids that a test wants killed when it is over."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_success_gives_status_both_streams_and_the_time() -> None:
    """A hook that succeeds is told apart by stream, with its wall time."""
    result = run_hook(sh("cat; echo err >&2"), b"in")
    assert (result.status, result.stdout, result.stderr) == (0, b"in", b"err\n")
    assert 0 < result.wall_s < 30
    assert (result.timed_out, result.killed, result.left_running) == (False, 0, ())


STATE = State(oci_version="1.2.0", id="c1", status=Status.CREATED, bundle="/b", pid=7, annotations={"k": "é"})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(STATE, STATE.to_json(), id="State"),
        pytest.param('{"id": "é"}', {"id": "é"}, id="text"),
        pytest.param(b'{"id": 1}', {"id": 1}, id="bytes"),
    ],
)
def test_state_reaches_standard_input_as_json(state: State | str | bytes, expected: object) -> None:
    """The hook reads the state, whichever form the caller has it in."""
    assert json.loads(run_hook(Hook(path="/bin/cat"), state).stdout) == expected


def test_state_is_sent_as_runtimes_do() -> None:
    """A State is sent without spaces, and characters as they are, since scripts search it as text."""
    found = run_hook(Hook(path="/bin/cat"), STATE).stdout.decode()
    assert found.endswith('"id":"c1","status":"created","pid":7,"bundle":"/b","annotations":{"k":"é"}}')


def test_state_larger_than_any_pipe_arrives_whole() -> None:
    """Three megabytes of state reach a hook that reads slowly and writes at the same time."""
    state = os.urandom(3_000_000)
    assert run_hook(Hook(path="/bin/cat"), state).stdout == state


@pytest.mark.parametrize("script", ["exit 0", "exec <&-; exec sleep 0.1"], ids=["exits", "closes-stdin"])
def test_state_that_is_not_read_is_no_error(script: str) -> None:
    """A hook that ignores three megabytes of state succeeds."""
    assert run_hook(sh(script), b"x" * 3_000_000).status == 0


@pytest.mark.parametrize(
    ("args", "argv"),
    [
        pytest.param(None, ["/bin/cat"], id="none"),
        pytest.param((), ["/bin/cat"], id="empty"),
        pytest.param(("zero", "/proc/self/cmdline"), ["zero", "/proc/self/cmdline"], id="zero-as-given"),
        pytest.param(("", "/proc/self/cmdline"), ["", "/proc/self/cmdline"], id="empty-zero"),
        pytest.param(("a b\né", "/proc/self/cmdline"), ["a b\né", "/proc/self/cmdline"], id="odd-characters"),
    ],
)
def test_args_are_the_whole_argv(args: tuple[str, ...] | None, argv: list[str]) -> None:
    """Arguments are handed over as given, and the path stands in where there are none."""
    if args:
        assert run_hook(Hook(path="/bin/cat", args=args), b"").stdout.decode().split("\0")[:-1] == argv
    else:
        assert run_hook(Hook(path="/bin/sh", args=args), b'echo "$0"').stdout == b"/bin/sh\n"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param(None, [], id="none"),
        pytest.param((), [], id="empty"),
        pytest.param(("B=2", "A=1"), ["B=2", "A=1"], id="order"),
        pytest.param(("A=1", "B=2", "A=3"), ["B=2", "A=3"], id="last-wins-at-its-place"),
        pytest.param(("A", "", "A"), ["A", "A"], id="without-equals"),
        pytest.param(("A", "A=1", "A"), ["A", "A=1", "A"], id="without-equals-is-no-name"),
        pytest.param(("=A=1", "A=2", "=A=3"), ["A=2", "=A=3"], id="leading-equals"),
        pytest.param(("=A=1", "=B=2"), ["=A=1", "=B=2"], id="leading-equals-of-two-names"),
        pytest.param(("=x", "="), ["="], id="without-name"),
        pytest.param(("É=é", "A=1=2"), ["É=é", "A=1=2"], id="odd-values"),
    ],
)
def test_environment_is_exactly_what_the_hook_says(env: tuple[str, ...] | None, expected: list[str]) -> None:
    """Nothing of the caller's environment reaches the hook, and odd entries are handed on."""
    result = run_hook(Hook(path="/bin/cat", args=("cat", "/proc/self/environ"), env=env), b"")
    assert result.stdout.decode().split("\0")[:-1] == expected


@pytest.mark.parametrize("number", range(1, 8))
def test_args_beside_an_odd_environment(number: int) -> None:
    """However many arguments there are, all arrive and nothing behind them, though the environment is odd."""
    words = ("sh", "-c", 'echo "$0" "$@"', *map(str, range(number)))
    assert run_hook(Hook(path="/bin/sh", args=words, env=("ODD",)), b"").stdout.decode().split() == list(words[3:])


def test_hook_has_a_session_of_its_own() -> None:
    """The hook leads its own session and process group."""
    result = run_hook(sh("read pid comm state ppid pgrp session rest < /proc/self/stat; echo $$ $pgrp $session"), b"")
    pid, group, session = result.stdout.split()
    assert pid == group == session
    assert int(session) != os.getsid(0)


@pytest.mark.parametrize("number", [3, 1000], ids=["few", "sparse"])
def test_no_descriptor_of_the_caller_reaches_the_hook(tmp_path: Path, number: int) -> None:
    """Not even an inheritable descriptor of the caller is open in the hook, however high its number."""
    with open(tmp_path / "secret", "w") as file:
        descriptor = fcntl.fcntl(file, fcntl.F_DUPFD, number)
        try:
            result = run_hook(python("import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])"), b"")
        finally:
            os.close(descriptor)
    assert result.stdout == b"[0, 1, 2]\n"


@pytest.mark.parametrize("env", [(), ("ODD",)], ids=["usual", "odd-environment"])
def test_signals_of_the_hook_are_as_if_python_were_not_there(env: tuple[str, ...]) -> None:
    """What Python ignores and handles is at its default in the hook, which has the caller's signal mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    ignored = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        hook = Hook(path="/bin/cat", args=("cat", "/proc/self/status"), env=env)
        lines = run_hook(hook, b"").stdout.decode().splitlines()
    finally:
        signal.signal(signal.SIGUSR1, ignored)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    sets = {
        name: int(value, 16)
        for name, _, value in (line.partition(":") for line in lines)
        if name[:3] == "Sig" and "/" not in value
    }
    of_the_c_library = 1 << 31 | 1 << 32  # posix_spawn ignores 32 and 33, which programs can't use anyway
    assert sets["SigIgn"] & ~of_the_c_library == 1 << signal.SIGUSR1 - 1
    assert sets["SigBlk"] == 1 << signal.SIGUSR2 - 1
    assert sets["SigCgt"] == 0


def test_working_directory(tmp_path: Path) -> None:
    """The hook runs in the directory that was asked for, and a relative path is looked up from there."""
    (tmp_path / "h").write_text("#!/bin/sh\n/bin/pwd\n")
    (tmp_path / "h").chmod(0o755)
    assert run_hook(Hook(path="./h"), b"", cwd=tmp_path).stdout == f"{tmp_path}\n".encode()
    assert run_hook(Hook(path="/bin/pwd"), b"").stdout == f"{os.getcwd()}\n".encode()


@pytest.mark.parametrize(
    ("path", "mode", "content", "reason"),
    [
        pytest.param("missing", None, "", "program not found", id="missing"),
        pytest.param("plain", 0o644, "#!/bin/sh\n", "not an executable file", id="not-executable"),
        pytest.param("interpreter", 0o755, "#!/no/such\n", "interpreter in its #! line", id="interpreter-missing"),
        pytest.param("text", 0o755, "echo\n", "neither a binary for this machine nor a script", id="no-interpreter"),
        pytest.param("plain/x", 0o755, "#!/bin/sh\n", "not a directory", id="below-a-file"),
        pytest.param("x" * 300, None, "", "File name too long", id="too-long"),
    ],
)
def test_program_that_cannot_start(tmp_path: Path, path: str, mode: int | None, content: str, reason: str) -> None:
    """A program that can't be executed gives its path and the cause, and no result."""
    if mode is not None:
        file = tmp_path / path.partition("/")[0]
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(HookNotRunnableError, match=reason) as caught:
        run_hook(Hook(path=str(tmp_path / path)), b"")
    assert caught.value.file == str(tmp_path / path)
    assert (caught.value.code, caught.value.result) == ("start_failed", None)


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        pytest.param(Hook(path="/bin/t\0rue"), "path holds a NUL", id="nul-in-path"),
        pytest.param(Hook(path="/bin/true", args=("a", "b\0")), r"args\[1\] holds a NUL", id="nul-in-args"),
        pytest.param(Hook(path="/bin/true", args=("a", "\0")), r"args\[1\] holds a NUL", id="nul-alone-in-args"),
        pytest.param(Hook(path="/bin/true", env=("KEY=s\0ecret",)), 'variable "KEY" of env holds', id="nul-in-env"),
        pytest.param(Hook(path="/bin/\ud800"), "half of a surrogate pair", id="surrogate"),
        pytest.param(Hook(path="/bin/true", args=("x" * 200_000,)), "longer than the kernel allows", id="too-long"),
    ],
)
def test_what_the_kernel_cannot_take_is_refused(hook: Hook, reason: str) -> None:
    """NUL bytes, lone surrogates and endless arguments are refused, without showing a variable's value."""
    with pytest.raises(HookNotRunnableError, match=reason) as caught:
        run_hook(hook, b"")
    assert "ecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("cwd", "cause"), [("missing", errno.ENOENT), ("file", errno.ENOTDIR), ("fifo", errno.ENOTDIR)]
)
def test_working_directory_that_is_none(tmp_path: Path, cwd: str, cause: int) -> None:
    """A bad working directory is named as the cause, not the program, with the system's words for it."""
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(HookNotRunnableError, match=f"working directory: {os.strerror(cause)}"):
        run_hook(Hook(path="/no/such"), b"", cwd=tmp_path / cwd)


def test_working_directory_that_is_closed_to_the_hook(public_directory: Path) -> None:
    """A directory that the caller may see but not enter is named as the cause, too."""
    closed = public_directory / "closed"
    closed.mkdir(mode=0o000)
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(65534)
        with pytest.raises(HookNotRunnableError, match="working directory: Permission denied"):
            run_hook(Hook(path="/bin/true"), b"", cwd=closed)
    finally:
        os.seteuid(before)
        closed.rmdir()


@pytest.mark.parametrize("timeout", [0, -1, -(2**63), MAX_TIMEOUT_S + 1, 2**63 - 1])
def test_impossible_timeout_is_refused_before_the_start(tmp_path: Path, timeout: int) -> None:
    """A timeout that would end the hook at once, or overflow, stops it from being started at all."""
    with pytest.raises(HookNotRunnableError, match=f"its timeout is {timeout}, expected more than 0"):
        run_hook(sh(f"touch {tmp_path}/ran", timeout=timeout), b"")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("timeout_s", [0.0, -0.5, float("nan"), float("inf")])
def test_impossible_timeout_of_the_caller_is_refused(timeout_s: float) -> None:
    """The caller's own limit is held to the same bounds."""
    with pytest.raises(HookNotRunnableError, match="its timeout is"):
        run_hook(sh("exit 0", timeout=1), b"", timeout_s=timeout_s)


def test_longest_timeout_is_fine() -> None:
    """The largest timeout that runtimes can count, in 64 bits of nanoseconds, does not end the hook."""
    assert MAX_TIMEOUT_S * 10**9 < 2**63 <= (MAX_TIMEOUT_S + 1) * 10**9
    assert run_hook(sh("exit 0", timeout=MAX_TIMEOUT_S), b"").status == 0


def test_callers_timeout_overrides_that_of_the_hook() -> None:
    """A longer limit of the caller saves a hook whose own would have killed it."""
    assert run_hook(sh("sleep 1.2", timeout=1), b"", timeout_s=20).status == 0


@pytest.mark.parametrize(
    ("script", "code", "status", "text"),
    [
        pytest.param("echo boo >&2; exit 3", "exit_status", 3, 'ended with status 3; stderr: "boo"', id="status"),
        pytest.param("exit 255", "exit_status", 255, "ended with status 255", id="highest-status"),
        pytest.param("kill -SEGV $$", "signal", -11, "was ended by SIGSEGV", id="signal"),
        pytest.param("kill -HUP $$", "signal", -1, "was ended by SIGHUP", id="lowest-signal"),
        pytest.param("kill -40 $$", "signal", -40, "was ended by signal 40", id="real-time-signal"),
    ],
)
def test_failure_says_how_and_why(script: str, code: str, status: int, text: str) -> None:
    """A failure names the program, its status and its last words."""
    with pytest.raises(HookFailedError) as caught:
        run_hook(sh(f"ulimit -c 0; {script}"), b"")
    assert str(caught.value) == f'/bin/sh: ["sh", "-c", "ulimit -c 0; {script}"] {text}'
    assert caught.value.code == code
    assert result_of(caught.value).status == status


def result_of(error: HookRunError) -> HookResult:
    assert error.result is not None
    return error.result


def test_only_the_last_lines_of_stderr_are_shown_and_quoted() -> None:
    """However much a hook complains, the message keeps the last lines, as one line of ASCII."""
    with pytest.raises(HookFailedError) as caught:
        run_hook(sh(r"seq 1000 >&2; printf '\033[2Jl\303\244st \377\n' >&2; exit 1"), b"")
    message = caught.value.message
    assert r'stderr: "997\n998\n999\n1000\n\u001b[2Jl\u00e4st \ufffd"' in message
    assert len(message) < 1200
    assert result_of(caught.value).stderr.startswith(b"1\n2\n")


def test_output_is_kept_whole_by_default() -> None:
    """Two streams of two megabytes each come back whole."""
    script = "head -c 2000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait"
    result = run_hook(sh(script), b"")
    assert (len(result.stdout), len(result.stderr)) == (2_000_000, 2_000_000)
    assert (result.stdout_truncated, result.stderr_truncated) == (False, False)


def test_output_limit_keeps_the_end_of_each_stream() -> None:
    """With a limit the last bytes are kept and the loss is told, for each stream alone."""
    result = run_hook(sh("seq 100000; echo few >&2"), b"", output_limit=OUTPUT_LIMIT)
    assert len(result.stdout) == OUTPUT_LIMIT
    assert result.stdout.endswith(b"\n99999\n100000\n")
    assert (result.stdout_truncated, result.stderr_truncated) == (True, False)
    assert result.stderr == b"few\n"


def test_without_capture_output_goes_to_dev_null() -> None:
    """A hook whose output nobody wants has /dev/null, and a child that keeps it open is not waited for."""
    script = "test $(readlink /proc/$$/fd/1) = /dev/null && test $(readlink /proc/$$/fd/2) = /dev/null"
    result = run_hook(sh(f"{script} && (sleep 60 & echo out)"), b"", capture=False, kill_leftovers=True)
    assert (result.status, result.stdout, result.stderr, result.killed) == (0, b"", b"", 1)
    assert result.wall_s < 20


def test_output_of_a_child_left_behind_is_waited_for() -> None:
    """What a background child writes after the hook's success counts, as recorded of other implementations."""
    assert run_hook(sh("(sleep 0.5; echo late) & echo early"), b"").stdout == b"early\nlate\n"


def test_drain_limit_ends_the_wait_and_lets_the_child_live(left_behind: list[int]) -> None:
    """With a drain limit a successful hook's child is not waited for, lives on, and is listed."""
    result = run_hook(sh("sleep 60 & echo $!"), b"", drain_s=0.1)
    left_behind += result.left_running
    assert result.left_running == (int(result.stdout),)
    assert is_alive(int(result.stdout))
    assert (result.status, result.killed, result.timed_out) == (0, 0, False)


def test_output_within_the_drain_limit_is_complete() -> None:
    """A drain limit loses nothing that comes in time."""
    assert run_hook(sh("(sleep 0.2; echo late) & exit 0"), b"", drain_s=20).stdout == b"late\n"


def test_limit_before_the_drain_limit_counts() -> None:
    """A timeout that passes first ends the run even while output is waited for."""
    with pytest.raises(HookTimeoutError, match="status 0, but a process it left behind held its output open") as caught:
        run_hook(sh("sleep 60 & exit 0"), b"", timeout_s=1.5, drain_s=20)
    assert result_of(caught.value).killed == 1


def test_leftovers_under_a_keeper_belong_to_nobody(left_behind: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that a successful hook leaves is not our child, so it can't become our zombie."""
    monkeypatch.setattr(runner, "process_for", lambda *_, **__: HookProcess())
    result = run_hook(sh("setsid sleep 60 >/dev/null 2>&1 & exit 0"), b"")
    left_behind += result.left_running
    assert len(result.left_running) == 1
    parent = int(Path(f"/proc/{result.left_running[0]}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent != os.getpid()


def test_leftovers_are_killed_when_asked() -> None:
    """The caller may have a successful hook's descendants killed, too."""
    result = run_hook(sh("setsid sleep 60 & echo $!"), b"", kill_leftovers=True)
    assert (result.status, result.killed, result.left_running) == (0, 1, ())
    assert not is_alive(int(result.stdout))


@pytest.mark.parametrize(("end", "status"), [("exit 3", 3), ("kill -KILL $$", -9)], ids=["status", "signal"])
def test_failure_with_drain_limit_kills_at_once(end: str, status: int) -> None:
    """A failed hook's children don't get the time that a successful one's would, and only they count as killed."""
    with pytest.raises(HookFailedError) as caught:
        run_hook(sh(f"sleep 60 & echo $!; {end}"), b"", drain_s=30)
    result = result_of(caught.value)
    assert (result.status, result.killed) == (status, 1)
    assert result.wall_s < 20
    assert not is_alive(int(result.stdout))


def test_grace_lets_a_hook_clean_up() -> None:
    """With a grace period SIGTERM comes first, and what the hook says then is kept; it still counts as timed out."""
    with pytest.raises(HookTimeoutError) as caught:
        run_hook(sh("trap 'echo bye; exit 4' TERM; (sleep 60 &); sleep 60 & wait"), b"", timeout_s=1.5, kill_grace_s=20)
    result = result_of(caught.value)
    assert (result.status, result.stdout, result.timed_out) == (4, b"bye\n", True)
    assert result.killed >= 1, "the orphan that SIGTERM ended counts"
    assert result.wall_s < 15


def test_grace_ends_with_sigkill() -> None:
    """A hook that ignores SIGTERM is killed when the grace period is over."""
    with pytest.raises(HookTimeoutError) as caught:
        run_hook(sh("trap '' TERM; while :; do sleep 60; done"), b"", timeout_s=0.3, kill_grace_s=0.3)
    assert result_of(caught.value).status == -signal.SIGKILL


def test_timeout_names_limit_and_last_words() -> None:
    """The message of a timeout says how long the hook had and what it said last."""
    with pytest.raises(HookTimeoutError) as caught:
        run_hook(sh("echo waiting for godot >&2; exec sleep 60"), b"", timeout_s=1.25)
    assert caught.value.message.endswith('did not end within 1.25 s and was killed; stderr: "waiting for godot"')
    assert (caught.value.code, result_of(caught.value).timed_out) == ("timeout", True)
    assert result_of(caught.value).wall_s >= 1.25
    assert caught.value.hint


def test_deadline_of_the_caller_holds_whatever_the_timeout() -> None:
    """The caller's deadline ends a hook that has time left."""
    with pytest.raises(HookTimeoutError, match=r"within 0\.\d+ s"):
        run_hook(sh("sleep 60", timeout=50), b"", deadline=time.monotonic() + 0.4)


def test_deadline_in_the_past_starts_nothing(tmp_path: Path) -> None:
    """A hook that would be killed at once is not started."""
    with pytest.raises(HookTimeoutError, match="not started") as caught:
        run_hook(sh(f"touch {tmp_path}/ran"), b"", deadline=time.monotonic())
    assert caught.value.result is None
    assert not (tmp_path / "ran").exists()


@contextmanager
def cancelled_once(is_time: Callable[[], bool]) -> Iterator[Cancellation]:
    """A switch that another thread turns as soon as *is_time*."""

    def wait() -> None:
        while not is_time() and not over.wait(0.01):
            pass
        cancellation.request()

    over = threading.Event()
    with Cancellation() as cancellation:
        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield cancellation
        finally:
            over.set()
            thread.join()


def test_cancelling_from_another_thread_kills_hook_and_children(tmp_path: Path) -> None:
    """A cancelled hook is gone with all of its children, and the error says who wanted it."""
    started = tmp_path / "started"
    with (
        cancelled_once(started.exists) as cancellation,
        pytest.raises(HookCancelledError, match="cancelled by its caller") as caught,
    ):
        run_hook(sh(f"sleep 60 & sleep 60 & : > {started}; wait"), b"", cancel=cancellation, timeout_s=50)
    result = result_of(caught.value)
    assert (result.killed, result.left_running, result.timed_out) == (3, (), False)


def test_cancelling_while_output_is_waited_for(tmp_path: Path) -> None:
    """Cancelling works as well between the hook's end and that of its output."""
    pid = tmp_path / "pid"
    script = f"sleep 60 & echo $$ > {pid}.new; mv {pid}.new {pid}; exit 0"
    with (
        cancelled_once(lambda: pid.exists() and not is_alive(int(pid.read_text()))) as cancellation,
        pytest.raises(HookCancelledError) as caught,
    ):
        run_hook(sh(script), b"", cancel=cancellation, drain_s=50)
    assert result_of(caught.value).killed == 1


def test_any_descriptor_can_cancel_and_stays_the_callers() -> None:
    """A plain descriptor that becomes readable cancels too, and is still open afterwards."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        threading.Timer(0.3, theirs.send, [b"x"]).start()
        with pytest.raises(HookCancelledError):
            run_hook(sh("sleep 60"), b"", cancel=ours.fileno())
        assert ours.recv(1) == b"x"


def test_cancelled_before_the_start_starts_nothing(tmp_path: Path) -> None:
    """A request that is there already keeps the hook from being started, and costs the caller no descriptor."""
    before = sorted(os.listdir("/proc/self/fd"))
    with Cancellation() as cancellation:
        cancellation.request()
        cancellation.request()
        with pytest.raises(HookCancelledError, match="not started") as caught:
            run_hook(sh(f"touch {tmp_path}/ran"), b"", cancel=cancellation)
    assert caught.value.result is None
    assert not (tmp_path / "ran").exists()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_unused_cancellation_changes_nothing() -> None:
    """A switch that nobody uses does not disturb the run."""
    with Cancellation() as cancellation:
        assert run_hook(sh("exit 0"), b"", cancel=cancellation).status == 0


def test_cancellation_stays_with_its_process() -> None:
    """No other program that the caller starts gets the switch, and nobody is held up by it."""
    with Cancellation() as cancellation:
        assert (os.get_inheritable(cancellation.fileno()), os.get_blocking(cancellation.fileno())) == (False, False)


def test_errors_say_their_errno_in_words() -> None:
    """A cause that has no sentence of ours is told in the system's words."""
    with pytest.raises(HookNotRunnableError, match=os.strerror(errno.ENAMETOOLONG)):
        run_hook(Hook(path="/" + "x" * 5000), b"")
