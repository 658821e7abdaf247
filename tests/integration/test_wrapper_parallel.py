"""Many containers at once, while rules are edited: none fails, and each rule is seen old or new, never in part."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.integration.wrappers import Wrapper, entries_of, litter, rules_of

from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.runtimes import PrivateRuntime

CONTAINERS = 60
STAGES = ("createRuntime", "createContainer", "poststop")

# All at once; for each its exit statuses, and what was said.
_LIFE = """
exec >{directory}/out.$1 2>&1
{wrapper} --root {root} create --bundle {directory}/b$1 many-$1; echo "create $?"
{wrapper} --root {root} delete --force many-$1; echo "delete $?"
"""


def hook(generation: int) -> dict[str, Any]:
    """A hook that names its generation, in a file of more than one page."""
    return {"path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/null", str(generation), "x" * 10_000]}


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


@pytest.mark.runtime
@pytest.mark.parametrize("installed_runtime", ["runc"], indirect=True)
def test_many_at_once(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """Sixty containers at once while rules change, come and go: all start, each with whole rules, old or new."""
    wrapper.write_rule("changes.json", hook=hook(0), stages=STAGES)
    wrapper.write_rule("stays.json", hook=hook(0), stages=STAGES)
    bundles = [runtime.make_bundle() for _ in range(CONTAINERS)]
    for number, bundle in enumerate(bundles):
        (runtime.directory / f"b{number}").symlink_to(bundle.directory)

    def edit(number: int) -> None:
        wrapper.write_rule("changes.json", hook=hook(number), stages=STAGES)
        if number % 2:
            wrapper.write_rule("comes-and-goes.json", hook=hook(number), stages=STAGES)
        else:
            (wrapper.hooks_dirs[0] / "comes-and-goes.json").unlink()

    life = _LIFE.format(directory=runtime.directory, wrapper=wrapper.script, root=runtime.root)
    script = f"seq 0 {CONTAINERS - 1} | xargs -P {CONTAINERS} -I N sh -c '{life}' sh N"
    with editing(edit) as edits:
        call = runtime.execute(["/bin/sh", "-c", script])
    assert call.status == 0, call
    assert {said(runtime, number) for number in range(CONTAINERS)} == {"create 0\ndelete 0\n"}
    assert edits[0] > 100
    for bundle in bundles:
        seen = [tuple(generation_of(bundle, "changes.json", stage)) for stage in STAGES]
        assert len(seen[0]) == 1
        assert seen == [seen[0]] * 3
        assert 0 <= seen[0][0] <= edits[0]
        assert [generation_of(bundle, "stays.json", stage) for stage in STAGES] == [[0]] * 3
        others = [tuple(generation_of(bundle, "comes-and-goes.json", stage)) for stage in STAGES]
        assert others == [others[0]] * 3
        assert litter(bundle) == []
    assert len({tuple(generation_of(bundle, "changes.json", "poststop")) for bundle in bundles}) > 1
    assert runtime.containers() == ()


@pytest.mark.runtime
@pytest.mark.parametrize("installed_runtime", ["crun"], indirect=True)
def test_one_bundle_at_once(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """Calls that race for one bundle: each either creates its container or says that somebody changed config.json."""
    wrapper.write_rule("a.json", hook=hook(0), stages=STAGES)
    bundle = runtime.make_bundle()
    for number in range(12):
        (runtime.directory / f"b{number}").symlink_to(bundle.directory)
    life = _LIFE.format(directory=runtime.directory, wrapper=wrapper.script, root=runtime.root)
    assert runtime.execute(["/bin/sh", "-c", f"seq 0 11 | xargs -P 12 -I N sh -c '{life}' sh N"]).status == 0
    for number in range(12):
        text = said(runtime, number)
        assert text == "create 0\ndelete 0\n" or "changed by somebody else meanwhile" in text, text
        assert "Traceback" not in text
    assert [generation_of(bundle, "a.json", stage) for stage in STAGES] == [[0]] * 3
    assert litter(bundle) == []
