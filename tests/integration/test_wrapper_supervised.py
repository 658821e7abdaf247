"""Supervised hooks on real runtimes: one world under both, timeouts that hold, and failures that are told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import FIXED_PATH, Notes, Wrapper, entries_of, live
from tests.unit import test_execution_misbehaving as misbehaving
from tests.unit.test_execution_misbehaving import CASES, MEMORY_KIB, few_at_once, marked

from ocihooks.execution.errors import HookTimeoutError
from ocihooks.injection import SUPERVISED_STAGES
from ocihooks.spec.stage import STAGES
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import Call, PrivateRuntime

pytestmark = pytest.mark.runtime

STATUS = {"prestart": "creating", "createRuntime": "creating", "poststart": "running", "poststop": "stopped"}


def sh(script: str, *args: str, **members: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script, *args], **members}


@pytest.fixture
def records(wrapper: Wrapper) -> Path:
    """The wrapper's record file, with supervision switched on."""
    file = wrapper.directory / "cache/records.jsonl"
    wrapper.write_settings(supervise="on", records=str(file))
    return file


def recorded(records: Path, kind: str = "run") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in records.read_text().splitlines()] if records.exists() else []
    return [record for record in found if record["kind"] == kind]


def create(runtime: PrivateRuntime, wrapper: Wrapper, bundle: MadeBundle) -> Call:
    return runtime.create(bundle, runtime.new_id(), program=wrapper.script)


def test_one_world_under_every_runtime(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, records: Path) -> None:
    """Status and environment are the same under both runtimes; pid and the rest are as they were sent."""
    for stage in STAGES:
        hook = notes.hook(stage, in_container=stage == "startContainer", env=["A=${id}", "LD_LIBRARY_PATH=/no/such"])
        wrapper.write_rule(f"{stage}.json", hook=hook, stages=[stage])
    bundle = runtime.make_bundle(annotations={"org.example": "yes"}, mounts=[notes.mount])
    _, pid = live(runtime, bundle, wrapper.script)
    for declared in SUPERVISED_STAGES:
        stage = "createRuntime" if declared == "prestart" else declared
        seen = notes.read(declared)
        assert seen.state["status"] == STATUS[stage]
        assert seen.state["annotations"] == {"org.example": "yes"}
        assert seen.state["bundle"] == str(bundle.directory)
        assert seen.environment == {
            "PATH": FIXED_PATH.removeprefix("PATH="),
            "A": seen.state["id"],
            "LD_LIBRARY_PATH": "/no/such",
            "OCIHOOKS_RULE": str(wrapper.hooks_dirs[0] / f"{declared}.json"),
            "OCIHOOKS_STAGE": stage,
        }
        assert stage == "poststop" or seen.state["pid"] == pid
    for stage in ("createContainer", "startContainer"):
        assert notes.read(stage).environment["A"] == "${id}", "not supervised"
    assert sorted(record["stage"] for record in recorded(records)) == [
        *("createRuntime", "createRuntime", "poststart", "poststop")
    ]


def test_records(runtime: PrivateRuntime, wrapper: Wrapper, records: Path) -> None:
    """One record for what was added, one for the run, without the values of the hook's environment."""
    hook = sh("cat > /dev/null; echo out; echo err >&2; exit 0", "sh", "${bundle}", env=["TOKEN=geheim"])
    rule = wrapper.write_rule("10-a.json", hook=hook)
    bundle = runtime.make_bundle()
    live(runtime, bundle, wrapper.script)
    (injection,), (run,) = recorded(records, "injection"), recorded(records)
    assert injection["hooks"] == [{"rule": str(rule), "stage": "createRuntime"}]
    assert injection["container"] == run["container"]
    assert (run["rule"], run["stage"], run["outcome"]) == (str(rule), "createRuntime", "succeeded")
    assert (run["status"], run["signal"], run["stdout"], run["stderr"]) == (0, None, "out\n", "err\n")
    assert run["argv"][-1] == str(bundle.directory)
    assert json.loads(run["state"])["id"] == run["container"]
    assert "geheim" not in records.read_text()


def test_failure_is_told_in_one_sentence(runtime: PrivateRuntime, wrapper: Wrapper, records: Path) -> None:
    """Who reads the runtime's standard error learns rule, stage, command, status and the hook's last words."""
    rule = wrapper.write_rule("10-a.json", hook=sh("echo no device >&2; exit 7"))
    failed = create(runtime, wrapper, runtime.make_bundle())
    assert failed.status != 0
    sentence = 'createRuntime hook ["sh", "-c", "echo no device >&2; exit 7"] ended with status 7'
    said = failed.stderr.replace("\\", "")
    assert f"ocihooks: {rule}: {sentence}" in said
    assert "no device" in said.partition("ocihooks: ")[0] + said.rpartition(sentence)[2]
    assert len(failed.stderr.encode()) < 3000
    (run,) = recorded(records)
    assert (run["outcome"], run["status"], run["message"]) == ("failed", 7, "ended with status 7")


def test_hook_that_a_signal_ends(runtime: PrivateRuntime, wrapper: Wrapper, records: Path) -> None:
    """A hook can be ended by signals under both runtimes, though crun starts it with all of them blocked."""
    rule = wrapper.write_rule("10-a.json", hook=sh("ulimit -c 0; kill -SEGV $$"))
    failed = create(runtime, wrapper, runtime.make_bundle())
    assert failed.status != 0
    assert f"ocihooks: {rule}: createRuntime hook" in failed.stderr
    assert "was ended by SIGSEGV" in failed.stderr
    (run,) = recorded(records)
    assert (run["outcome"], run["status"], run["signal"]) == ("failed", None, signal.SIGSEGV)


@pytest.mark.parametrize("own", [True, False], ids=["in-the-bundle", "elsewhere"])
def test_last_words_of_the_log(runtime: PrivateRuntime, wrapper: Wrapper, records: Path, own: bool) -> None:
    """The last error of a log in the bundle tells rule, status and last words; a log elsewhere keeps all words."""
    wrapper.write_rule("10-a.json", hook=sh("echo no device >&2; exit 7"))
    bundle = runtime.make_bundle()
    log = (bundle.directory if own else bundle.directory.parent) / "log.json"
    log.write_text('{"level":"info","msg":"former"}\n')
    log.chmod(0o640)
    words = ("--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle.directory))
    assert runtime.call(*words, runtime.new_id(), program=wrapper.script).status != 0
    assert log.stat().st_mode == 0o100640
    former, *errors = [json.loads(line) for line in log.read_text().splitlines()]
    assert former["msg"] == "former"
    told = [error["msg"] for error in errors if error["level"] == "error"]
    told = told[-1:] if own else told
    for fragment in ("/10-a.json: createRuntime hook", "ended with status 7", "no device"):
        assert any(fragment in message for message in told)
    assert own or any("error" in message and "hook" in message.partition("ocihooks: ")[0] for message in told)
    assert sorted(path.name for path in log.parent.iterdir() if "ocihooks-" in path.name) == []


@pytest.mark.parametrize("policy", ["warn", "ignore"])
def test_failure_that_is_tolerated(runtime: PrivateRuntime, wrapper: Wrapper, records: Path, policy: str) -> None:
    """Under on-failure = "warn" and "ignore" the container lives, and the record tells what happened."""
    wrapper.write_settings(on_failure=policy, records=str(records))
    for stage in SUPERVISED_STAGES:
        wrapper.write_rule(f"{stage}.json", hook=sh("exit 7"), stages=[stage])
    live(runtime, runtime.make_bundle(), wrapper.script)
    outcomes = {record["outcome"] for record in recorded(records)}
    assert outcomes == {"warned" if policy == "warn" else "ignored"}


def test_timeout_holds(runtime: PrivateRuntime, wrapper: Wrapper, records: Path) -> None:
    """A hook that passes its timeout is over soon, with children that hold its output."""
    wrapper.write_rule("10-a.json", hook=sh("trap '' TERM; /bin/sleep 4711 & /bin/sleep 4711", timeout=1))
    started = time.monotonic()
    failed = create(runtime, wrapper, runtime.make_bundle())
    assert time.monotonic() - started < 30
    assert failed.status != 0
    assert "did not end within 1 s and was killed" in failed.stderr
    (run,) = recorded(records)
    assert (run["timed_out"], run["left_running"]) == (True, [])
    assert run["killed"] >= 2, "a child that its dying parent reaps is not seen"
    assert 1 <= run["wall_s"] < 20


def test_doing_it_twice_equals_doing_it_once(runtime: PrivateRuntime, wrapper: Wrapper, records: Path) -> None:
    """A bundle that is used again has each supervised hook once; without supervision it has the plain one."""
    wrapper.write_rule("10-a.json", hook=sh("exit 0", timeout=3, env=["A=1"]))
    bundle = runtime.make_bundle()
    live(runtime, bundle, wrapper.script)
    (first,) = entries_of(bundle, "createRuntime")
    live(runtime, bundle, wrapper.script)
    assert entries_of(bundle, "createRuntime") == [first]
    assert first["timeout"] == 8
    assert len(recorded(records, "injection")) == 1
    wrapper.write_settings(supervise="off")
    live(runtime, bundle, wrapper.script)
    (plain,) = entries_of(bundle, "createRuntime")
    assert (plain["path"], plain["timeout"]) == ("/bin/sh", 3)


mark = misbehaving.mark

TIMEOUT_S, OF_THE_RUNTIME_S = 1, 1.5
"""The timeout of hooks that never end, and what a runtime may need besides."""


def timeout_of(name: str) -> int:
    """The timeout of a misbehaving hook; those that end by themselves have time for it."""
    return TIMEOUT_S if CASES[name].error is HookTimeoutError else 20


def write_misbehaving(wrapper: Wrapper, runtime: PrivateRuntime, mark: str) -> float:
    """
    Write a rule for each misbehaving hook, for containers with its name in an annotation.

    Returns:
        What the runtime may need besides: a second and a half, or more where a harmless container takes long already.
    """
    for name, case in CASES.items():
        env = ["PATH=/usr/bin:/bin", f"{mark}-{name}"]
        hook = {"path": case.program[0], "args": list(case.program), "env": env, "timeout": timeout_of(name)}
        wrapper.write_rule(f"{name}.json", hook=hook, when={"annotations": {"^case$": f"^{name}$"}})
    time.sleep(2.1)  # rules that were written a moment ago are not kept compiled
    for _ in range(2):
        started = time.monotonic()
        assert runtime.run_container(runtime.make_bundle(args=["true"]), program=wrapper.script).status == 0
    return max(OF_THE_RUNTIME_S, 5 * (time.monotonic() - started))


@contextmanager
def largest_supervisor() -> Iterator[list[int]]:
    """The largest memory in KiB that a supervisor had while the body ran."""
    peaks, over, known = [0], threading.Event(), set[str]()

    def watch() -> None:
        while not over.wait(0.05):
            for pid in set(filter(str.isdigit, os.listdir("/proc"))) - known:
                place = Path("/proc", pid)
                try:
                    if b".supervis" in (place / "cmdline").read_bytes():
                        peaks.append(int((place / "status").read_text().partition("VmHWM:")[2].split()[0]))
                    elif time.time() - place.stat().st_ctime > 1:
                        known.add(pid)
                except (OSError, IndexError):
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("installed_runtime", "form"), [("runc", "launcher"), ("crun", "script")], indirect=True, ids=["runc", "crun"]
)
def test_misbehaving_hooks(
    runtime: PrivateRuntime, wrapper: Wrapper, records: Path, mark: str, record_property: Callable[[str, object], None]
) -> None:
    """Whatever a hook does, create is over in time, nobody survives, and the supervisor stays small."""
    succeed = [name for name, case in CASES.items() if case.status == 0]  # some leave what holds their output
    rules = "".join(f'[ocihooks.rules."{name}.json"]\nleftovers = "kill"\n' for name in succeed)
    wrapper.write_settings(rules, supervise="on", records=str(records))
    of_the_runtime_s = write_misbehaving(wrapper, runtime, mark)

    def check(name: str) -> None:
        bundle, container_id = runtime.make_bundle(annotations={"case": name}), runtime.new_id()
        started = time.monotonic()
        status = runtime.create(bundle, container_id, program=wrapper.script).status
        took = time.monotonic() - started
        assert took < timeout_of(name) + 1 + of_the_runtime_s, name
        misbehaving.wait_until(lambda: marked(f"{mark}-{name}") == [], seconds=1)
        assert (status == 0) == (name in succeed), name
        if status == 0:
            assert runtime.delete(container_id, force=True).status == 0

    # Whoever stops the supervisor stops the only one who keeps time; crun then waits for it without end.
    names, rounds = [name for name in CASES if name != "stops-its-parent"], 2
    with largest_supervisor() as peaks:
        for _ in range(rounds):
            few_at_once(check, names, most=3)
    assert 0 < max(peaks) < MEMORY_KIB
    record_property("amount", f"{rounds * len(names):,} runs of {len(names)} kinds of hooks through {runtime.name}")


def kill_all(mark: str) -> None:
    """Kill whoever has the mark."""
    while found := marked(mark):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.mark.slow
@pytest.mark.parametrize(
    ("installed_runtime", "form"), [("runc", "launcher"), ("crun", "script")], indirect=True, ids=["runc", "crun"]
)
def test_the_runtime_alone_is_noticed(
    runtime: PrivateRuntime, wrapper: Wrapper, mark: str, record_property: Callable[[str, object], None]
) -> None:
    """Control: under the runtime's own timeout the same hooks are late or leave survivors."""
    of_the_runtime_s = write_misbehaving(wrapper, runtime, mark)

    def fault(name: str) -> str:
        call = (runtime.make_bundle(annotations={"case": name}), runtime.new_id())
        with ThreadPoolExecutor(1) as worker:
            created = worker.submit(runtime.create, *call, program=wrapper.script)
            end = time.monotonic() + TIMEOUT_S + 1 + of_the_runtime_s
            while not created.done() and time.monotonic() < end:
                time.sleep(0.05)
            found = "survived" if created.done() and marked(f"{mark}-{name}") else "" if created.done() else "late"
            kill_all(f"{mark}-{name}")
        kill_all(f"{mark}-{name}")
        return found

    names = ["forks-50", "daemonises", "holds-the-pipe", "late-in-silence"]
    faults = few_at_once(fault, names)
    assert [name for name, found in faults.items() if not found] == []
    record_property("control", f"{len(names):,} kinds of hooks are late or survive under {runtime.name} itself")
