"""
Hooks that misbehave: each is over, with all of its descendants, within a second of its timeout, and leaves nothing.

Survivors are found by a variable that only the hook and its descendants have in their environment.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.execution import descendants, process, runner, spawned
from ocihooks.execution.cancel import Cancellation
from ocihooks.execution.errors import (
    HookCancelledError,
    HookFailedError,
    HookNotRunnableError,
    HookRunError,
    HookTimeoutError,
)
from ocihooks.execution.exec import Exec
from ocihooks.execution.process import HookProcess
from ocihooks.execution.program import Program
from ocihooks.execution.result import HookResult
from ocihooks.execution.run import Run
from ocihooks.execution.runner import result_of, run_hook
from ocihooks.spec.hook import Hook

STATE = b"x" * 1_000_000
Record = Callable[[str, object], None]

TIMEOUT_S = 0.5
"""For the hooks that never end; the others have all the time they want."""

LATE_S = 10.0
"""How long after its timeout a run may end on a machine that has other things to do; the hooks would take a minute."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program and what has to become of it; *status* None: unknown."""

    program: tuple[str, ...]
    error: type[HookRunError] | None
    status: int | None


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


DAEMON = """
import os, time
if os.fork(): END
os.setsid()
if os.fork(): os._exit(0)
for fd in range(3): os.close(fd)
time.sleep(60)
"""
"""Forks twice, leaves session and group, and closes its streams; END is what the hook itself does."""

SESSIONS = """
import os, time
for _ in range(20):
    if os.fork(): break
    os.setsid()
time.sleep(60)
"""
"""Twenty generations, each in a session of its own."""

CHAIN = """
import os
while True:
    if os.fork(): os._exit(0)
    os.setsid()
"""
"""Each generation lives for a millisecond and leaves the session of the one before."""

CROWD = """
import os
mine, theirs = os.pipe()
for _ in range(300):
    if not os.fork():
        os.close(theirs)
        os.read(mine, 1)
        os._exit(0)
END
"""
"""Three hundred children that end all at once when the hook does; END is what the hook itself does."""

CASES = {
    "ignores-term": Case(
        program=sh("trap '' TERM INT HUP; while :; do sleep 60; done"), error=HookTimeoutError, status=-9
    ),
    "stops-itself": Case(program=sh("kill -STOP $$"), error=HookTimeoutError, status=-9),
    "forks-50": Case(program=sh("for i in $(seq 50); do sleep 60 & done; wait"), error=HookTimeoutError, status=-9),
    "forks-300": Case(program=python(CROWD.replace("END", "os.wait()")), error=HookTimeoutError, status=-9),
    "orphans-300": Case(program=python(CROWD.replace("END", "os._exit(0)")), error=None, status=0),
    "daemonises": Case(program=python(DAEMON.replace("END", "time.sleep(60)")), error=HookTimeoutError, status=-9),
    "daemonises-and-fails": Case(
        program=python(DAEMON.replace("END", "time.sleep(0.3); os._exit(3)")), error=HookFailedError, status=3
    ),
    "new-sessions": Case(program=python(SESSIONS), error=HookTimeoutError, status=-9),
    "fork-chain": Case(program=python(CHAIN), error=HookTimeoutError, status=0),
    "holds-the-pipe": Case(program=sh("sleep 60 & exit 0"), error=HookTimeoutError, status=0),
    "late": Case(program=sh("sleep 60 & exit 3"), error=HookTimeoutError, status=3),
    "late-in-silence": Case(program=sh("sleep 60 >/dev/null 2>&1 & exit 3"), error=HookFailedError, status=3),
    "never-reads": Case(program=sh("sleep 60"), error=HookTimeoutError, status=-9),
    "never-reads-and-succeeds": Case(program=sh("exit 0"), error=None, status=0),
    "100-megabytes": Case(program=sh("head -c 100000000 /dev/zero"), error=None, status=0),
    "endless-output": Case(program=sh("while :; do echo y; done"), error=HookTimeoutError, status=-9),
    "endless-both": Case(program=sh("cat /dev/zero & cat /dev/zero >&2"), error=HookTimeoutError, status=-9),
    "dies-by-signal": Case(program=sh("ulimit -c 0; kill -ABRT $$"), error=HookFailedError, status=-6),
    "kills-its-group": Case(program=sh("sleep 60 & kill -KILL 0"), error=HookFailedError, status=-9),
    "missing": Case(program=("/no/such",), error=HookNotRunnableError, status=None),
    "kills-its-parent": Case(
        program=sh("sleep 60 & sleep 0.1; kill -KILL $PPID; sleep 60"), error=HookFailedError, status=None
    ),
    "stops-its-parent": Case(program=sh("sleep 0.1; kill -STOP $PPID; sleep 60"), error=HookTimeoutError, status=None),
}


@pytest.fixture
def mark() -> Iterator[str]:
    """A variable for the environment of hooks; whoever has it, or a longer one, at the end is a survivor."""
    entry = f"OCIHOOKS_TEST={uuid.uuid4().hex}"
    yield entry
    deadline = time.monotonic() + 2  # on a busy machine those that were killed need a moment to be gone
    while (survivors := marked(entry, exactly=False)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in survivors:
        os.kill(pid, 9)
    assert not survivors


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks run under a keeper, whatever else this process does."""
    monkeypatch.setattr(runner, "process_for", lambda *_, **__: HookProcess())


@pytest.fixture
def need_root(unavailable: Callable[[OCIHooksError], None]) -> None:
    """For tests that become another user or make namespaces."""
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))


def marked(entry: str, *, exactly: bool = True) -> list[int]:
    """Live processes that have *entry* in their environment, or one that begins so."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and has(path, entry, exactly)]


def has(process: Path, entry: str, exactly: bool) -> bool:
    try:
        entries = (process / "environ").read_bytes().split(b"\0")
        found = entry.encode() in entries if exactly else any(one.startswith(entry.encode()) for one in entries)
        return found and not is_zombie(process)
    except OSError:
        return False


def command_line(pid: int) -> str:
    """The words of a process, each with a NUL behind it; "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def is_zombie(process: Path) -> bool:
    return (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"


@contextmanager
def nothing_left() -> Iterator[None]:
    """There are neither descriptors nor children that were not there before; others' may go meanwhile."""
    before = belongings()
    yield
    assert belongings() - before == set()


def reap_left() -> None:
    """Wait for the end of what hooks left behind for a moment."""

    def none_is_left() -> bool:
        spawned._reap_left()
        return not spawned._left

    wait_until(none_is_left)


def belongings() -> set[tuple[str, str]]:
    children = Path("/proc/thread-self/children").read_text().split()
    return {("fd", name) for name in os.listdir("/proc/self/fd")} | {("child", pid) for pid in children}


def run(program: tuple[str, ...], mark: str, timeout_s: float = TIMEOUT_S) -> HookResult:
    hook = Hook(path=program[0], args=program, env=("PATH=/usr/bin:/bin", mark))
    return run_hook(hook, STATE, timeout_s=timeout_s, output_limit=65536)


def result_or_error(program: tuple[str, ...], mark: str, timeout_s: float) -> HookResult | HookRunError:
    try:
        return run(program, mark, timeout_s)
    except HookRunError as error:
        return error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_misbehaving_hook_is_over_in_time_and_leaves_nothing(case: Case, mark: str, kept: None) -> None:
    """Whatever a hook does, it's over soon after its timeout, without survivors, zombies or descriptors."""
    check_kept(case, mark, late_s=LATE_S)


def check_kept(case: Case, mark: str, late_s: float) -> None:
    timeout_s = TIMEOUT_S if case.error is HookTimeoutError else 20
    reap_left()
    with nothing_left():
        started = time.monotonic()
        outcome = result_or_error(case.program, mark, timeout_s)
        assert time.monotonic() - started < timeout_s + late_s
        assert marked(mark) == []
    if isinstance(outcome, HookRunError):
        assert type(outcome) is case.error
        assert (outcome.result.status if outcome.result else None) == case.status
    else:
        assert (case.error, case.status) == (None, outcome.status)


SETUP = """
import os, resource, signal, sys, time
from ocihooks.execution.runner import result_of, run_hook
from ocihooks.spec.hook import Hook
def sh(script, *env): return Hook(path="/bin/sh", args=("sh", "-c", script), env=("PATH=/usr/bin:/bin", *env))
"""

KEPT = """
from ocihooks.execution import process, runner
runner.process_for = lambda *_, **__: process.HookProcess()
"""
"""Makes hooks run under a keeper."""

PEAK = """
def peak_kib(): return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""

REPEATED = f"""
import json
from ocihooks.execution import runner
from ocihooks.execution.errors import HookRunError
program, mark, timeout_s, times = json.loads(sys.argv[1])
kinds = set()
given = runner.process_for
def process_for(*args, **options):
    process = given(*args, **options)
    kinds.add(type(process).__name__)
    return process
runner.process_for = process_for
{PEAK}hook = Hook(path=program[0], args=tuple(program), env=("PATH=/usr/bin:/bin", mark))
def belongings(): return os.listdir("/proc/self/fd"), open("/proc/thread-self/children").read()
def outcome():
    try: return "none", run_hook(hook, b"x" * 1_000_000, timeout_s=timeout_s, output_limit=65536).status
    except HookRunError as error: return type(error).__name__, error.result and error.result.status
before, outcomes, longest, at_first = belongings(), set(), 0, peak_kib()
for _ in range(times):
    started = time.monotonic()
    outcomes.add(outcome())
    longest = max(longest, time.monotonic() - started)
deadline = time.monotonic() + 10
while belongings() != before and time.monotonic() < deadline:
    run_hook(Hook(path="/bin/true"), b"")
after = belongings()
print(json.dumps([sorted(kinds), list(outcomes), longest, before == after, peak_kib() - at_first, peak_kib()]))
"""
"""Runs a program again and again as a child of a process that does nothing else."""

OF_THE_KEEPER = ("kills-its-parent", "stops-its-parent")
SPAWNED_CASES = {name: case for name, case in CASES.items() if name not in OF_THE_KEEPER}
BUSY = ("fork-chain", "100-megabytes", "endless-output", "endless-both")
"""Cases that need a processor, as long as they last."""

MEMORY_KIB = 64 * 1024


def check_repeated(case: Case, mark: str, times: int, late_s: float, prefix: str = "") -> None:
    """Run a program so often in one process, under a keeper where *prefix* says so."""
    timeout_s = TIMEOUT_S if case.error is HookTimeoutError else 20
    words = json.dumps([case.program, mark, timeout_s, times])
    done = in_a_fresh_interpreter(prefix + REPEATED, words, timeout_s=60 + times * (timeout_s + 1))
    kinds, outcomes, longest, nothing_left_behind, growth_kib, peak = json.loads(done.stdout or "[0, 0, 0, 0, 0, 0]")
    assert kinds[-1:] == ["HookProcess" if prefix else "SpawnedHook"], done.stderr  # the last in the alphabet
    assert outcomes == [[case.error.__name__ if case.error else "none", case.status]]
    assert longest < timeout_s + late_s
    assert nothing_left_behind
    assert growth_kib < MEMORY_KIB // 2
    assert peak < MEMORY_KIB
    assert marked(mark) == []


@pytest.mark.parametrize("case", SPAWNED_CASES.values(), ids=SPAWNED_CASES)
def test_misbehaving_hook_of_a_caller_without_other_children(case: Case, mark: str) -> None:
    """A hook that is the caller's own child ends as one under a keeper does, and costs little memory."""
    check_repeated(case, mark, times=1, late_s=LATE_S)


def few_at_once(work: Callable[[str], object], names: Iterable[str], most: int = 5) -> dict[str, object]:
    """What *work* returns for each name; *most* at once of those that only wait, one by one of the others."""
    names = list(names)
    with ThreadPoolExecutor(most) as workers:
        quiet = {name: workers.submit(work, name) for name in names if name not in BUSY}
        found = {name: future.result() for name, future in quiet.items()}
    return found | {name: work(name) for name in names if name in BUSY}


def promised_s() -> float:
    """How late a hook may be: a second; more where twice as many want to run as there are processors."""
    return 1.0 if os.getloadavg()[0] < 2 * (os.cpu_count() or 1) else 4.0


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", KEPT], ids=["spawned", "kept"])
def test_misbehaving_hooks_again_and_again(prefix: str, mark: str, record_property: Record) -> None:
    """Ten times in one process it's the same and takes no longer, as the caller's child and under a keeper."""
    names = CASES if prefix else SPAWNED_CASES
    late_s = promised_s()
    few_at_once(lambda name: check_repeated(CASES[name], f"{mark}-{name}", 10, late_s, prefix), names)
    record_property("amount", f"{10 * len(names):,} runs of hooks in the library, late by less than {late_s:.0f} s")


NAIVE = """
import json, subprocess
program, mark, timeout_s = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))
subprocess.run(program, env={"PATH": "/usr/bin:/bin", "OCIHOOKS_TEST": mark.partition("=")[2]}, input=b"x" * 1_000_000,
               capture_output=True, timeout=timeout_s)
"""
"""What the standard library does about a timeout."""


def fault_of_the_naive(name: str, mark: str) -> str:
    """What is wrong when the standard library runs a case, in namespaces in which all of it ends; "" if nothing is."""
    timeout_s = TIMEOUT_S if CASES[name].error is HookTimeoutError else 20
    code = f"{SETUP}try:\n    exec({NAIVE!r})\nexcept Exception: pass\n{PEAK}print(peak_kib()); sys.stdin.read()"
    words = [sys.executable, "-c", code, json.dumps([CASES[name].program, mark, timeout_s])]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *words],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], timeout_s + 1.5)  # with half a second for its start
        peak = int(process.stdout.readline() or MEMORY_KIB) if ready else 0
        fault = "late" if not ready else "too large" if peak >= MEMORY_KIB else "survived" if marked(mark) else ""
        process.kill()
    return fault


def test_the_naive_runner_is_noticed(mark: str, need_root: None, record_property: Record) -> None:
    """Control: with the standard library's timeout the same hooks are late, leave survivors, or fill memory."""
    names = ["forks-50", "daemonises", "holds-the-pipe", "late-in-silence", "100-megabytes", "endless-both"]
    faults = few_at_once(lambda name: fault_of_the_naive(name, f"{mark}-{name}"), names)
    assert [name for name, fault in faults.items() if not fault] == []
    record_property("control", f"{len(faults):,} kinds of hooks are late, survive or fill memory under subprocess.run")
    wait_until(lambda: marked(mark, exactly=False) == [])


def test_all_fifty_children_are_counted(mark: str) -> None:
    """The number of killed processes includes the hook and every child."""
    program = CASES["forks-50"].program
    hook = Hook(path=program[0], args=program, env=("PATH=/usr/bin:/bin", mark))
    with Cancellation() as cancellation:

        def cancel_when_all_run() -> None:
            wait_until(lambda: len(marked(mark)) == 51)
            cancellation.request()

        when_all_run = threading.Thread(target=cancel_when_all_run)
        when_all_run.start()
        with pytest.raises(HookCancelledError) as caught:
            run_hook(hook, STATE, cancel=cancellation)
        when_all_run.join()
    assert caught.value.result is not None
    assert caught.value.result.killed == 51


def in_a_fresh_interpreter(
    code: str, *words: str, prefix: tuple[str, ...] = (), timeout_s: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own, with what `SETUP` makes."""
    return subprocess.run(
        [*prefix, sys.executable, "-u", "-c", SETUP + code, *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_output_does_not_fill_memory(mark: str) -> None:
    """A hundred megabytes of output cost less than ten of memory."""
    done = in_a_fresh_interpreter(f"""
run_hook(sh("exit 0"), b"", output_limit=65536)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run_hook(sh("head -c 100000000 /dev/zero", {mark!r}), b"", output_limit=65536)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
""")
    assert int(done.stdout) < 10_000, done.stderr


@contextmanager
def caller(code: str, script: str, mark: str) -> Iterator[subprocess.Popen[str]]:
    """A caller in a process of its own, whose ``hook`` makes three processes of *script*; ready when these run."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{SETUP}hook = sh({script!r}, {mark!r})\n{code}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: len(marked(mark)) == 3)
            yield process
        finally:
            process.kill()


def is_asleep(process: Path) -> bool:
    return (process / "stat").read_text().rpartition(")")[2].split()[0] == "S"


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["", KEPT], ids=["spawned", "kept"])
def test_hook_does_not_outlive_a_caller_that_is_killed(how: str, mark: str) -> None:
    """When the caller dies by SIGKILL the hook and its children are killed, though nobody asked for it."""
    script = "setsid sleep 60 & sleep 60 & wait; sleep 60"
    with caller(f"{how}\nrun_hook(hook, b'')", script, mark) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: len(children.read_text().split()) == (1 if how else 2))  # the keeper; or hook and guard
        process.kill()
        wait_until(lambda: not marked(mark))


@pytest.mark.parametrize(
    ("how", "first"),
    [("", ""), (KEPT, ""), (KEPT, "sleep 0.1; kill -STOP $PPID;")],
    ids=["spawned", "kept", "keeper-stopped-by-the-hook"],
)
def test_interrupt_from_the_keyboard_kills_the_hook(how: str, first: str, mark: str) -> None:
    """Ctrl-C in the caller ends hook and children before the exception goes on, even if the keeper can't help."""
    code = f"""{how}
try: run_hook(hook, b"")
except KeyboardInterrupt: print("interrupted", flush=True); sys.stdin.read()
"""
    with caller(code, f"{first} sleep 60 & sleep 60; :", mark) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        assert marked(mark) == []
        process.communicate()


def test_interrupt_at_the_start_kills_the_hook(mark: str) -> None:
    """A hook whose caller is interrupted before it knows the process id does not run on."""
    done = in_a_fresh_interpreter(f"""
import posix
spawn = posix.posix_spawn
def interrupted(*words, **options):
    spawn(*words, **options)
    raise KeyboardInterrupt
posix.posix_spawn = interrupted
try:
    run_hook(sh("sleep 60", {mark!r}), b"")
except KeyboardInterrupt:
    print("children:", open("/proc/thread-self/children").read().split())
""")
    assert done.stdout == "children: []\n", done.stderr
    assert marked(mark) == []


def test_descendants_live_on_though_one_stopped_the_keeper(mark: str, kept: None) -> None:
    """After success nobody is killed, even if the keeper can't say any more who is left."""
    script = "keeper=$PPID; sleep 60 >/dev/null 2>&1 & (sleep 0.2; kill -STOP $keeper; sleep 0.2) & echo $!"
    with nothing_left():
        result = run(sh(script), mark, timeout_s=20)
    assert (result.status, result.killed, result.left_running) == (0, 0, ())
    (survivor,) = marked(mark)
    os.kill(survivor, signal.SIGKILL)
    wait_until(lambda: not marked(mark))


def test_order_to_a_keeper_that_is_gone(mark: str) -> None:
    """The keeper may be killed just before it's told something; that is no error yet, and told by the reports."""
    hook = Hook(path="/bin/sh", args=("sh", "-c", "/bin/sleep 0.1; kill -KILL $PPID; exec /bin/sleep 60"), env=(mark,))
    with nothing_left(), Run(drain_s=None, kill_grace_s=0, kill_leftovers=False) as run:
        run.start(Exec(Program.of(hook)), b"", cwd=None, capture=False, output_limit=None)
        keeper_process = Path(f"/proc/{Path('/proc/thread-self/children').read_text().split()[-1]}")
        wait_until(lambda: is_zombie(keeper_process))
        run.process.order(process.KILL)
        run.follow(None)
        assert (run.process.lost, result_of(run).status, result_of(run).killed) == (True, None, 0)


def test_keeper_sleeps_while_the_hook_does(mark: str) -> None:
    """A keeper that has reaped the hook's orphans waits for what comes next, without a look every now and then."""
    script = "(sleep 61 & sleep 61 &) & exec sleep 60"
    hook = Hook(path="/bin/sh", args=("sh", "-c", script), env=("PATH=/usr/bin:/bin", mark))
    with nothing_left(), Run(drain_s=None, kill_grace_s=0, kill_leftovers=False) as run:
        run.start(Exec(Program.of(hook)), b"", cwd=None, capture=False, output_limit=None)
        keeper = Path(f"/proc/{Path('/proc/thread-self/children').read_text().split()[-1]}")

        def sleepers(seconds: int) -> list[int]:
            return [pid for pid in marked(mark) if command_line(pid) == f"sleep\0{seconds}\0"]

        wait_until(lambda: len(sleepers(61)) == 2 and len(sleepers(60)) == 1)
        for orphan in sleepers(61):
            os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: len((keeper / "task" / keeper.name / "children").read_text().split()) == 1)
        wait_until(lambda: all(is_asleep(keeper) for _ in range(100)))
        run.follow(time.monotonic())


def test_signalling_skips_children_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of children that is out of date does no harm, and the others still get the signal."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        (tmp_path / "children").write_text(f"4194305 {child.pid} ")
        monkeypatch.setattr(descendants, "_CHILDREN", str(tmp_path / "children"))
        assert descendants.signal_children(signal.SIGTERM)
        assert child.wait(20) == -signal.SIGTERM
    assert list(descendants._read("4194305")) == []


def test_signalling_descendants(monkeypatch: pytest.MonkeyPatch) -> None:
    """All below are signalled at once; numbers that are nobody's, or are somebody else's by now, get no signal."""
    with (
        subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True, stdout=subprocess.PIPE) as child,
        subprocess.Popen(["sleep", "60"]) as spared,
        subprocess.Popen(["true"]) as ended,
    ):
        wait_until(lambda: is_zombie(Path(f"/proc/{ended.pid}")))
        wait_until(lambda: len(descendants.descendants(child.pid)) == 1)
        (grandchild,) = descendants.descendants(child.pid)
        answers = [[ended.pid, grandchild], [4194305, ended.pid, spared.pid, grandchild]]

        def answer(_: int) -> list[int]:
            if len(answers) == 1:
                ended.wait()
            return answers.pop()

        monkeypatch.setattr(descendants, "descendants", answer)
        descendants.signal_descendants(signal.SIGKILL)
        assert child.wait(20) == 0, "what it waited for is gone"
        assert spared.poll() is None
        spared.kill()


def test_caller_without_standard_streams() -> None:
    """A caller that has closed its three standard descriptors gets and gives the same bytes."""
    done = in_a_fresh_interpreter("""
out = os.dup(1)
for fd in range(3): os.close(fd)
result = run_hook(sh("cat; echo err >&2"), b"in", cwd="/", timeout_s=20)
os.write(out, result.stdout + result.stderr)
""")
    assert (done.stdout, done.stderr) == ("inerr\n", "")


@pytest.mark.parametrize("blocked", [False, True], ids=["unblocked", "blocked"])
def test_caller_that_lets_sigpipe_kill_it(blocked: bool) -> None:
    """A hook that does not read can't kill a caller whose SIGPIPE is at its default, and all stays as it was."""
    done = in_a_fresh_interpreter(f"""
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGPIPE] if {blocked} else [])
result = run_hook(sh("exec <&-; exec sleep 0.2"), bytes(1_000_000))
is_default = signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL
print(result.status, is_default, signal.SIGPIPE in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
""")
    assert (done.stdout, done.returncode) == (f"0 True {blocked}\n", 0), done.stderr


def test_caller_that_ignores_sigchld() -> None:
    """A caller that has its children reaped by the kernel gets the status all the same."""
    done = in_a_fresh_interpreter("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for script in ("exit 0", "exit 7"):
    try: print(run_hook(sh(script), b"").status)
    except Exception as error: print(error.result.status)
""")
    assert done.stdout == "0\n7\n", done.stderr


@pytest.mark.parametrize("cwd", [None, "/"])
def test_caller_without_descriptors_left(cwd: str | None) -> None:
    """When there are no descriptors to be had the hook is not started, none is lost, and the message says why."""
    done = in_a_fresh_interpreter(f"""
resource.setrlimit(resource.RLIMIT_NOFILE, (14, 14))
before = os.listdir("/proc/self/fd")
for spare in range(14 - len(before), -1, -1):
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(spare)]
    try: print(run_hook(Hook(path="/bin/sleep", args=("sleep", "0.05")), b"", cwd={cwd!r}).status)
    except Exception as error: print(type(error).__name__, error.message)
    for fd in held: os.close(fd)
    assert os.listdir("/proc/self/fd") == before
""")
    lines = done.stdout.splitlines()
    refused = "HookNotRunnableError not started: no process for it: Too many open files"
    assert set(lines) <= {"0", refused, refused.replace("no process for it", "can't change to its working directory")}
    assert refused in lines
    assert (lines[-1], done.returncode) == ("0", 0), done.stderr


def test_somebody_else_reaps_the_hook() -> None:
    """A caller whose signal handler takes the hook's status away is told that nobody knows it."""
    done = in_a_fresh_interpreter("""
signal.signal(signal.SIGALRM, lambda *_: os.waitpid(-1, 0))
signal.setitimer(signal.ITIMER_REAL, 0.1)
try: run_hook(sh("sleep 0.3"), b"")
except Exception as error: print(error.result.status, error.code)
""")
    assert done.stdout == "None exit_status\n", done.stderr


def test_somebody_else_ends_the_guard() -> None:
    """A run goes on without its guard."""
    done = in_a_fresh_interpreter("""
def end_the_guard(*_):
    children = open("/proc/thread-self/children").read().split()
    if len(children) < 2: return signal.setitimer(signal.ITIMER_REAL, 0.05)
    guard = int(children[-1])
    os.kill(guard, signal.SIGKILL)
    os.waitpid(guard, 0)
signal.signal(signal.SIGALRM, end_the_guard)
signal.setitimer(signal.ITIMER_REAL, 0.2)
print(run_hook(sh("exec sleep 0.5"), b"").status)
""")
    assert done.stdout == "0\n", done.stderr


def test_odd_environment_of_a_program_that_is_missing(mark: str) -> None:
    """A hook whose environment only execve takes is told to be missing like any other."""
    with pytest.raises(HookNotRunnableError, match="program not found"):
        run_hook(Hook(path="/no/such", env=("ODD", mark)), b"")


def test_caller_without_processes_left(need_root: None) -> None:
    """When no process can be made the hook counts as not started, whichever fork it was."""
    done = in_a_fresh_interpreter(f"""{KEPT}
os.setuid(54321)
for most in (1, 2):
    resource.setrlimit(resource.RLIMIT_NPROC, (most, 2))
    try: run_hook(Hook(path="/bin/true"), b"")
    except Exception as error: print(type(error).__name__, error.message)
""")
    refused = "HookNotRunnableError not started: no process for it: Resource temporarily unavailable"
    assert done.stdout.splitlines() == [refused] * 2, done.stderr


def test_caller_without_a_process_left(need_root: None) -> None:
    """When the hook itself can't be made it counts as not started, and a caller without guard runs hooks, too."""
    done = in_a_fresh_interpreter("""
from ocihooks.execution import spawned
spawned.send = lambda *_: print("signalled")
os.setuid(54321)
for most in (2, 1):
    resource.setrlimit(resource.RLIMIT_NPROC, (most, 2))
    try: print(run_hook(sh("exec sleep 0.1"), b"").status)
    except Exception as error: print(type(error).__name__, error.message)
""")
    refused = "HookNotRunnableError not started: no process for it: Resource temporarily unavailable"
    assert done.stdout.splitlines() == ["0", refused], done.stderr


UNUSABLE_PROC = {
    "missing": ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"),
    "of-another-pid-namespace": ("unshare", "--pid", "--fork", "--kill-child"),
}


@pytest.mark.parametrize("prefix", UNUSABLE_PROC.values(), ids=UNUSABLE_PROC)
def test_without_usable_proc_the_hooks_group_is_killed(prefix: tuple[str, ...], mark: str, need_root: None) -> None:
    """Where /proc can't tell who descends from whom, the hook and all of its group still end in time."""
    done = in_a_fresh_interpreter(
        f"""
try: run_hook(sh("sleep 60 & sleep 60; :", {mark!r}), b"", timeout_s=0.5)
except Exception as error: print(type(error).__name__, error.result.status)
""",
        prefix=prefix,
    )
    assert done.stdout == "HookTimeoutError -9\n", done.stderr
    assert marked(mark) == []


def test_kernel_without_lists_of_children(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel keeps no list of children, the keeper finds them by reading all of /proc."""
    monkeypatch.setattr(descendants, "_CHILDREN", "/proc/no/such")
    with pytest.raises(HookTimeoutError):
        run(CASES["new-sessions"].program, mark)
    assert marked(mark) == []


def test_leftovers_of_a_spawned_hook_are_reaped_when_hooks_run(tmp_path: Path) -> None:
    """What lives on after success is the caller's child, and is reaped when the next hook runs after its end."""
    os.mkfifo(tmp_path / "end")
    done = in_a_fresh_interpreter(
        """
from ocihooks.execution import spawned
def leave():  # what lives until the fifo has been opened for writing
    left = run_hook(sh(f"(read end <{sys.argv[1]}; exit 3) >/dev/null 2>&1 & exit 0"), b"").left_running
    assert len(left) == len(spawned._left) == 1, left
    return left[0]
def end(): open(sys.argv[1], "w").close()
left = leave()
print(run_hook(sh("exit 0"), b"").status, len(spawned._left))
end()
os.waitid(os.P_PID, left, os.WEXITED | os.WNOWAIT)
print(run_hook(sh("exit 0"), b"").status, len(spawned._left))
left = leave()
end()
os.waitpid(left, 0)
print(run_hook(sh("exit 0"), b"").status, len(spawned._left))
leave()
child = os.fork()
print(run_hook(sh("exit 0"), b"").status, len(spawned._left), flush=True)
if child:
    os.waitpid(child, 0)
    end()
""",
        str(tmp_path / "end"),
    )
    assert sorted(done.stdout.splitlines()) == ["0 0", "0 0", "0 0", "0 1", "0 1"], done.stderr


WAYS = {
    "": "SpawnedHook",
    "import threading; threading.Thread(target=time.sleep, args=[1], daemon=True).start()": "HookProcess",
    "import subprocess; child = subprocess.Popen(['sleep', '1'])": "HookProcess",
    "signal.signal(signal.SIGCHLD, lambda *_: None)": "HookProcess",
}


@pytest.mark.parametrize(("before", "kind"), WAYS.items(), ids=["alone", "threads", "children", "waits-for-children"])
def test_who_starts_the_hook(before: str, kind: str) -> None:
    """Only a caller that has nothing else to wait for is the hook's parent."""
    done = in_a_fresh_interpreter(f"""{before}
from ocihooks.execution.exec import Exec
from ocihooks.execution.program import Program
from ocihooks.execution.spawned import process_for
execute = Exec(Program.of(sh("exit 0")))
kinds = [type(process_for(execute, has_directory=is_given)).__name__ for is_given in (False, True)]
odd = Exec(Program.of(sh("exit 0", "ODD")))
print(*kinds, type(process_for(odd, has_directory=False)).__name__, run_hook(sh("exit 0"), b"").status)
""")
    assert done.stdout.split() == [kind, "HookProcess", "HookProcess", "0"], done.stderr


def test_caller_sleeps_while_the_hook_does() -> None:
    """Looking after a hook becomes rarer, and costs no more when only its output is still waited for."""
    done = in_a_fresh_interpreter("""
from ocihooks.execution.output import Pump
waits, wait = [], Pump.wait
def counted(pump, seconds):
    waits.append(seconds)
    wait(pump, seconds)
Pump.wait = counted
print(run_hook(sh("(sleep 0.6; echo late) & sleep 0.3"), b"").stdout, len(waits) < 30)
""")
    assert done.stdout == "b'late\\n' True\n", done.stderr


def test_lowest_descriptor_of_the_caller() -> None:
    """A caller's descriptor does not reach the hook, even if it is the first one behind the standard three."""
    done = in_a_fresh_interpreter("""
os.dup2(1, 3)
print(run_hook(sh("cd /proc/self/fd; echo *"), b"").stdout.split()[:-1])
""")
    assert done.stdout == "[b'0', b'1', b'2']\n", done.stderr


def test_other_children_of_the_caller_are_left_alone(mark: str) -> None:
    """Killing a hook's descendants does not touch what the caller itself had started, in whatever session."""
    with (
        subprocess.Popen(["sleep", "60"]) as same,
        subprocess.Popen(["sleep", "60"], start_new_session=True) as other,
    ):
        with pytest.raises(HookTimeoutError):
            run(CASES["daemonises"].program, mark)
        assert (same.poll(), other.poll()) == (None, None)
        same.kill()
        other.kill()


def test_caller_stays_a_subreaper_or_not() -> None:
    """The caller adopts nobody's orphans afterwards unless it did before."""
    libc = ctypes.CDLL(None)
    get, put = 37, 36
    for wanted in (0, 1, 0):
        libc.prctl(put, wanted, 0, 0, 0)
        run_hook(Hook(path="/bin/true"), b"")
        value = ctypes.c_int(-1)
        libc.prctl(get, ctypes.byref(value), 0, 0, 0)
        assert value.value == wanted


def test_many_threads_run_hooks_at_once(mark: str) -> None:
    """Hooks that run at the same time get their own state back, and one's failure does not end another."""
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(8):
            state = f"{number}.{turn}" * 5000
            script = f"/bin/cat; exit {turn % 2}"
            outcome = None
            try:
                outcome = run_hook(Hook(path="/bin/sh", args=("sh", "-c", script), env=(mark,)), state)
            except HookFailedError as error:
                outcome = error.result
            if outcome is None or (outcome.status, outcome.stdout) != (turn % 2, state.encode()):
                wrong.append((number, turn, outcome))

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    with nothing_left():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def soak(runs: int) -> None:
    hooks = [
        (Hook(path="/bin/true"), None),
        (Hook(path="/no/such"), HookNotRunnableError),
        (Hook(path="/bin/false"), HookFailedError),
        (Hook(path="/bin/sh", args=("sh", "-c", "/bin/sleep 0.01 >/dev/null 2>&1 & exit 0")), None),
        (Hook(path="/bin/sh", args=("sh", "-c", "/bin/sleep 9 >/dev/null 2>&1 & exit 1")), HookFailedError),
    ]
    for number in range(runs):
        hook, error = hooks[number % len(hooks)]
        try:
            run_hook(hook, b"x" * 1000)
            assert error is None
        except HookRunError as raised:
            assert type(raised) is error  # noqa: PT017


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_hundreds_of_runs_leave_neither_descriptors_nor_zombies() -> None:
    """Hundreds of hooks, good and bad, cost no descriptor, no zombie and no memory that stays."""
    soak(10)
    memory = resident_kib()
    reap_left()
    with nothing_left():
        soak(200)
        reap_left()
    assert resident_kib() - memory < 5 * 1024


@pytest.mark.slow
def test_ten_thousand_runs_leave_nothing(record_property: Record) -> None:
    """Ten thousand hooks cost no descriptor, no zombie and less than five megabytes."""
    soak(100)
    memory = resident_kib()
    reap_left()
    with nothing_left():
        soak(10_000)
        reap_left()
    assert resident_kib() - memory < 5 * 1024
    record_property("amount", "10,000 hooks")
