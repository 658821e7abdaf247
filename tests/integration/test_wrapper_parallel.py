"""
Many containers at once, while rules are edited: none fails, and each rule is seen old or new, never in part.

On runc with the launcher and on crun with the script a smaller number each time; the full five hundred, with a
thousand edits, are marked slow. One of them measures how long the same takes the runtime alone. The nine hooks that
each container gets cost the runtime itself about as much as the container, so twice the time is promised in comparison
with the runtime when the same hooks are in config.json already. Rules that are written all the time are never kept
compiled: each of the containers reads them anew.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.wrappers import Installations, Wrapper, entries_of, litter, rules_of

from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.runtimes import PrivateRuntime

Record = Callable[[str, object], None]

STAGES = ("createRuntime", "createContainer", "poststop")

# All at once; for each its exit statuses, and what was said.
_LIFE = """
exec >{directory}/out.$1 2>&1
{wrapper} --root {root} create --bundle {directory}/b$1 {name}-$1; echo "create $?"
{wrapper} --root {root} delete --force {name}-$1; echo "delete $?"
"""


def life_of(runtime: PrivateRuntime, program: str | Path) -> str:
    """The script of a life; ids are of this test alone, since cgroups are called after them."""
    return _LIFE.format(directory=runtime.directory, wrapper=program, root=runtime.root, name=runtime.new_id())


def hook(generation: int) -> dict[str, Any]:
    """A hook that names its generation in eight digits, in a file of more than one page."""
    return {"path": "/bin/sh", "args": ["sh", "-c", "read -r state; :", f"{generation:08}", "x" * 10_000]}


def write_disguised(wrapper: Wrapper, generation: int) -> None:
    """Change the rule ``same.json`` so that its size and its time of writing stay what they were."""
    new = wrapper.write_rule(".same.json", hook=hook(generation), stages=STAGES)
    os.utime(new, (1, 1))
    new.rename(wrapper.hooks_dirs[0] / "same.json")


@contextmanager
def editing(edit: Callable[[int], object]) -> Iterator[list[int]]:
    """Call *edit* with 1, 2, 3 … while the body runs; the list has what was done at last."""
    done, over = [0], threading.Event()

    def work() -> None:
        for number in itertools.count(1):
            if over.wait(0.002):
                return
            edit(number)
            done[0] = number

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield done
    finally:
        over.set()
        worker.join()


def generation_of(bundle: MadeBundle, rule: str, stage: str) -> list[int]:
    """Which generations of a rule's hook are among the hooks of *stage*."""
    names = rules_of(bundle, stage)
    return [int(entry["args"][3]) for entry, name in zip(entries_of(bundle, stage), names, strict=True) if name == rule]


def said(runtime: PrivateRuntime, number: int) -> str:
    """What one life printed, without the warnings of a busy runtime that it will try once more to remove a cgroup."""
    lines = (runtime.directory / f"out.{number}").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if "(will retry)" not in line)


def live_at_once(runtime: PrivateRuntime, program: str | Path, count: int) -> float:
    """Have *count* containers live at once, and return how many seconds that took; each has to say what it should."""
    script = f"seq 0 {count - 1} | xargs -P {count} -I N sh -c '{life_of(runtime, program)}' sh N"
    began = time.monotonic()
    call = runtime.execute(["/bin/sh", "-c", script], timeout_s=600)
    took_s = time.monotonic() - began
    assert call.status == 0, call
    assert {said(runtime, number) for number in range(count)} == {"create 0\ndelete 0\n"}
    return took_s


CROWDS = [
    pytest.param("runc", "launcher", 60, False, id="60-runc-launcher"),
    pytest.param("crun", "script", 40, False, id="40-crun-script"),
    pytest.param("runc", "launcher", 500, True, id="500-runc-launcher", marks=pytest.mark.slow),
    pytest.param("runc", "script", 200, False, id="200-runc-script", marks=pytest.mark.slow),
    pytest.param("crun", "launcher", 200, False, id="200-crun-launcher", marks=pytest.mark.slow),
]


@pytest.mark.runtime
@pytest.mark.every_combination
@pytest.mark.parametrize(
    ("installed_runtime", "form", "count", "measured"), CROWDS, indirect=["installed_runtime", "form"]
)
def test_many_at_once(
    runtime: PrivateRuntime, wrapper: Wrapper, count: int, measured: bool, record_property: Record
) -> None:
    """Many containers at once while rules change, come and go: all start, each with whole rules, old or new."""
    for name in ("changes.json", "stays.json"):
        wrapper.write_rule(name, hook=hook(0), stages=STAGES)
    write_disguised(wrapper, 0)
    bundles = [runtime.make_bundle() for _ in range(count)]
    for number, bundle in enumerate(bundles):
        (runtime.directory / f"b{number}").symlink_to(bundle.directory)

    def edit(number: int) -> None:
        wrapper.write_rule("changes.json", hook=hook(number), stages=STAGES)
        write_disguised(wrapper, number)
        if number % 2:
            wrapper.write_rule("comes-and-goes.json", hook=hook(number), stages=STAGES)
        else:
            (wrapper.hooks_dirs[0] / "comes-and-goes.json").unlink()

    bare_s = resting_s = same_s = 0.0
    if measured:
        bare_s = live_at_once(runtime, runtime.path, count)
        time.sleep(2.1)
        live_at_once(runtime, wrapper.script, 1)  # which keeps the rules compiled
        resting_s = live_at_once(runtime, wrapper.script, count)
        same_s = live_at_once(runtime, runtime.path, count)  # with the hooks that are in config.json now
    with editing(edit) as edits:
        wrapped_s = live_at_once(runtime, wrapper.script, count)
        for _ in range(20):
            if count < 500 or 3 * edits[0] > 2 * count:  # each edit changes three files
                break
            live_at_once(runtime, wrapper.script, 50)  # a busy machine edits slowly
    assert 3 * edits[0] > 2 * count or count < 500
    record_property("amount", f"{count} creates")
    record_property("amount", f"{3 * edits[0]} edits")
    if measured:
        record_property("amount", f"{resting_s / same_s:.1f} times as long as runc with the same hooks, rules at rest")
        record_property("amount", f"{resting_s / bare_s:.1f} times as long as runc without hooks, rules at rest")
        record_property(
            "amount", f"{wrapped_s / same_s:.1f} times as long as runc with the same hooks, rules that change"
        )
        assert max(resting_s, wrapped_s) <= 2 * same_s + 20  # some seconds are for machines that are busy
    for bundle in bundles:
        for name in ("changes.json", "same.json"):
            seen = [tuple(generation_of(bundle, name, stage)) for stage in STAGES]
            assert len(seen[0]) == 1
            assert seen == [seen[0]] * 3
            assert 0 <= seen[0][0] <= edits[0] + 1
        assert [generation_of(bundle, "stays.json", stage) for stage in STAGES] == [[0]] * 3
        others = [tuple(generation_of(bundle, "comes-and-goes.json", stage)) for stage in STAGES]
        assert others == [others[0]] * 3
        assert litter(bundle) == []
    for name in ("changes.json", "same.json"):
        assert len({tuple(generation_of(bundle, name, "poststop")) for bundle in bundles}) > 1
    assert runtime.containers() == ()


def create_all(wrapper: Wrapper, bundles: list[MadeBundle]) -> set[int]:
    """Create a container from each bundle, all at once; returns the generations of the hooks that they got."""
    commands = [[str(wrapper.script), "create", "--bundle", str(bundle.directory), "c"] for bundle in bundles]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
    assert [process.communicate(timeout=60)[0] for process in started] == [b""] * len(bundles)
    assert [process.returncode for process in started] == [0] * len(bundles)
    return {generation for bundle in bundles for generation in generation_of(bundle, "same.json", "poststop")}


def test_compiled_rules_at_once(installations: Installations, private_directory: Path, rootfs: Path) -> None:
    """Many that find the compiled rules fresh, stale or too young to be kept, and many that compile them at once."""
    wrapper = installations.wrapper("/bin/true")
    bundles = [make_bundle(private_directory / f"b{number}", rootfs=rootfs) for number in range(8)]
    cache = wrapper.directory / "cache"
    write_disguised(wrapper, 0)
    time.sleep(2.1)  # rules that were written a moment ago are not kept compiled
    assert [create_all(wrapper, bundles) for _ in range(2)] == [{0}, {0}]
    (kept,) = cache.glob("*.rules")
    before = kept.read_bytes()
    write_disguised(wrapper, 1)
    assert create_all(wrapper, bundles) == {1}
    time.sleep(2.1)
    assert create_all(wrapper, bundles) == {1}
    assert kept.read_bytes() != before
    assert sorted(path.suffix for path in cache.iterdir()) == [".rules", ".skip"]
    write_disguised(wrapper, 2)
    assert create_all(wrapper, bundles) == {2}


@pytest.mark.runtime
@pytest.mark.every_combination
@pytest.mark.parametrize("installed_runtime", ["crun"], indirect=True)
def test_one_bundle_at_once(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """Calls that race for one bundle: each either creates its container or says that somebody changed config.json."""
    wrapper.write_rule("a.json", hook=hook(0), stages=STAGES)
    bundle = runtime.make_bundle()
    for number in range(12):
        (runtime.directory / f"b{number}").symlink_to(bundle.directory)
    life = life_of(runtime, wrapper.script)
    assert runtime.execute(["/bin/sh", "-c", f"seq 0 11 | xargs -P 12 -I N sh -c '{life}' sh N"]).status == 0
    for number in range(12):
        text = said(runtime, number)
        assert text == "create 0\ndelete 0\n" or "changed by somebody else meanwhile" in text, text
        assert "Traceback" not in text
    assert [generation_of(bundle, "a.json", stage) for stage in STAGES] == [[0]] * 3
    assert litter(bundle) == []
