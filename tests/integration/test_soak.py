"""The same again and again: nothing grows and nothing is left, neither where containers are created nor in a reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.wrappers import Wrapper, litter

from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import PrivateRuntime

Record = Callable[[str, object], None]

WORKERS = 4
STAGES = ("createRuntime", "createContainer", "poststop")

# Each worker has a bundle of its own, which it uses again; every status that is not 0 leaves a line.
_LIVES = """
for worker in {workers}; do (
  number=0
  while [ $number -lt {count} ]; do
    id={name}-$worker-$number
    {wrapper} --root {root} create --bundle {directory}/w$worker $id || echo "create $id: $?"
    {wrapper} --root {root} delete --force $id || echo "delete $id: $?"
    number=$((number + 1))
  done >{directory}/out.$worker 2>&1 </dev/null
) & done
wait
"""


def live_and_die(runtime: PrivateRuntime, wrapper: Wrapper, count: int) -> None:
    """Let each worker create and delete *count* containers."""
    script = _LIVES.format(
        workers=" ".join(map(str, range(WORKERS))),
        count=count,
        name=runtime.new_id(),
        wrapper=wrapper.script,
        root=runtime.root,
        directory=runtime.directory,
    )
    call = runtime.execute(["/bin/sh", "-c", script], timeout_s=600)
    assert call.status == 0, call
    for worker in range(WORKERS):
        lines = (runtime.directory / f"out.{worker}").read_text().splitlines()
        # A busy runc complains of cgroups besides, which it could not remove at once.
        assert [line for line in lines if line.startswith(("create ", "delete "))] == []


def belongings(wrapper: Wrapper, runtime: PrivateRuntime, bundles: list[MadeBundle]) -> dict[str, object]:
    """All that could become more: files, mounts, containers, and what configurations hold."""
    mounts = runtime.execute(["cat", "/proc/self/mountinfo"]).stdout
    return {
        "files": sorted(str(path) for path in wrapper.directory.rglob("*")),
        "litter": [litter(bundle) for bundle in bundles],
        "configurations": [bundle.config_path.read_bytes() for bundle in bundles],
        "mounts": sum(str(runtime.directory) in line for line in mounts.splitlines()),
        "containers": runtime.containers(),
    }


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize(
    ("installed_runtime", "form"), [("runc", "launcher"), ("crun", "script")], indirect=True, ids=["runc", "crun"]
)
def test_a_thousand_creates(runtime: PrivateRuntime, wrapper: Wrapper, record_property: Record) -> None:
    """After a thousand containers there are as many files, mounts and containers as before."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/null"]}
    for number in range(10):
        wrapper.write_rule(f"{number}.json", hook=hook, stages=STAGES)
    bundles = [runtime.make_bundle() for _ in range(WORKERS)]
    for number, bundle in enumerate(bundles):
        (runtime.directory / f"w{number}").symlink_to(bundle.directory)
    time.sleep(2.1)  # rules that were written a moment ago are not kept compiled
    live_and_die(runtime, wrapper, 3)
    before = belongings(wrapper, runtime, bundles)
    live_and_die(runtime, wrapper, 1000 // WORKERS)
    after = belongings(wrapper, runtime, bundles)
    assert {name for name in before if before[name] != after[name]} == set()
    record_property("amount", "1,000 creates")


RELOADS = """
import gc, json, os, sys
from pathlib import Path
from ocihooks.hooksd.manager import HookManager

place, count = Path(sys.argv[1]), int(sys.argv[2])
GOOD = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {"annotations": {"^a$": "^b.*c$"}}}
STAGES = (["poststop"], ["prestart", "poststart"])

def held():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), pages * os.sysconf("SC_PAGE_SIZE")

def reload(number):
    file = place / f"{number % 10}.json"
    file.write_text("{" if number % 3 == 0 else json.dumps(GOOD | {"stages": STAGES[number % 2]}))
    try:
        manager.reload()
    except Exception as error:
        assert "json" in str(error), error

for number in range(10):
    (place / f"{number}.json").write_text(json.dumps(GOOD | {"stages": STAGES[0]}))
manager = HookManager([place])
for number in range(300):
    reload(number)
before = held()
for number in range(count):
    reload(number)
print(json.dumps([before, held()]))
"""
"""Reads a directory again and again, in which a file is changed or broken each time."""


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_reloads(count: int, tmp_path: Path, record_property: Record) -> None:
    """Reading rules again and again costs no descriptor, no thread, and less than five megabytes."""
    words = [sys.executable, "-c", RELOADS, str(tmp_path), str(count)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 5 << 20
    record_property("amount", f"{count:,} reloads")
