"""
What the wrapper costs in a whole ``docker run --rm`` and ``ctr run --rm``: pairs of runs with and without it, in turn.

The rows differ in what the 100 rules do: none can match (the launcher decides alone), none matches (Python decides),
one matches. Only the first has a limit: where Python starts, this alone is more than 3 % of the shortest containers,
and where a rule matches, the difference has the runtime's work in it, too, which starts one more program, the hook.

Machines are noisy, and noise only ever takes longer: so runs with and without it alternate, the fastest quarter of both
is compared, all runs of an engine without it count for each of its rows, and the engines keep their files in memory,
where no other program's disk can hold them up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ocihooks.errors import UnavailableError
from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import make_rootfs
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.engines.containerd import Containerd
from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.engines.host import Finished, PrivateHost
from ocihooks.testing.engines.image import write_image
from ocihooks.testing.runtimes import find_runtime

LIMITS_PERCENT = {"none can match": 3.0, "none matches": None, "one matches": None}
"""How much longer a container may take."""

MEMORY = ("/dev/shm", "/tmp")  # noqa: S108  (a new directory is made there)
"""Where engines keep their files: the first that is there."""

QUIET_S = 2.5
"""Rules are kept compiled only when they have not been touched for two seconds."""

RULES = {
    "none can match": {"annotations": {"^com\\.example\\.bench$": "^yes$"}},
    "none matches": {"hasBindMounts": True},
    "one matches": {"commands": ["^/bin/true$"]},
}
"""The condition of the last of a hundred rules; the others are as the first."""

Run = Callable[[str], Finished]


@dataclass(kw_only=True)
class Row:
    """
    One line of the table.

    Attributes:
        command: What users type.
        rules: What they do.
        limit: How many percent more it may take with the wrapper; None: no limit.
        run: Runs one container with the program at the given path as its runtime.
        wrapper: Path of the wrapper.
        pairs: Seconds without and with it.
    """

    command: str
    rules: str
    limit: float | None
    run: Run
    wrapper: str
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def measure(self, runtime: str) -> None:
        """Run a pair; which of the two comes first alternates."""
        order = [runtime, self.wrapper]
        if len(self.pairs) % 2:
            order.reverse()
        taken = {program: self.timed(program) for program in order}
        self.pairs.append((taken[runtime], taken[self.wrapper]))

    def timed(self, program: str) -> float:
        """Seconds that one container takes."""
        started = time.perf_counter()
        finished = self.run(program)
        if finished.status != 0:
            sys.exit(f"bench: {finished}")
        return time.perf_counter() - started

    def result(self, rows: list[Row]) -> tuple[float, float, float]:
        """Milliseconds without the wrapper in all *rows* of this command, milliseconds more with it, and in percent."""
        without = fastest_quarter([pair[0] for row in rows if row.command == self.command for pair in row.pairs])
        more = fastest_quarter([pair[1] for pair in self.pairs]) - without
        return without * 1000, more * 1000, more / without * 100


def fastest_quarter(seconds: list[float]) -> float:
    """The mean of the fastest quarter."""
    return statistics.fmean(sorted(seconds)[: max(1, len(seconds) // 4)])


def install_wrapper(directory: Path, runtime: str, condition: object) -> str:
    """A wrapper with a hundred rules; its path."""
    hooks = directory / "hooks.d"
    hooks.mkdir(parents=True)
    for number in range(100):
        when = condition if number == 99 else RULES["none can match"]
        rule = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["createRuntime"]}
        (hooks / f"{number:02}.json").write_text(json.dumps(rule))
    request = Request(
        prefix=str(directory / "prefix"),
        runtime=runtime,
        hooks_dirs=(str(hooks),),
        settings=str(directory / "config.toml"),
        cache_dir=str(directory / "cache"),
    )
    return install(request).script


def docker_run(docker: Docker, programs: list[str]) -> Run:
    """``docker run --rm`` with any of *programs*."""
    names = {program: f"r{number}" for number, program in enumerate(programs)}
    docker.configure({"runtimes": {name: {"path": program} for program, name in names.items()}})
    words = ("run", "--rm", "--network=none")
    return lambda program: docker.call(*words, f"--runtime={names[program]}", IMAGE, "/bin/true")


def ctr_run(containerd: Containerd) -> Run:
    """``ctr run --rm`` with any program."""
    words = ("run", "--rm", "--runc-binary")
    return lambda program: containerd.call(*words, program, IMAGE, "bench", "/bin/true")


@contextmanager
def rows() -> Iterator[tuple[str, list[Row]]]:
    """The runtime, and all rows with their engines running."""
    runtime = str(find_runtime("runc").path)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"  # noqa: S108  (short paths, and no disk)
    with tempfile.TemporaryDirectory(prefix="ocihooks-bench-", dir=memory) as name:
        place = Path(name)
        place.chmod(0o755)
        rootfs = make_rootfs(place / "rootfs")
        image = write_image(place / "image.tar", rootfs, name=IMAGE)
        wrappers = {
            label: install_wrapper(place / f"w{number}", runtime, condition)
            for number, (label, condition) in enumerate(RULES.items())
        }
        time.sleep(QUIET_S)
        with CgroupView() as view, PrivateHost(place / "d", view) as first, PrivateHost(place / "c", view) as second:
            docker, containerd = Docker(first, image), Containerd(second, image)
            runs = {
                "docker run --rm": docker_run(docker, [runtime, *wrappers.values()]),
                "ctr run --rm": ctr_run(containerd),
            }
            yield (
                runtime,
                [
                    Row(command=command, rules=label, limit=LIMITS_PERCENT[label], run=run, wrapper=wrapper)
                    for command, run in runs.items()
                    for label, wrapper in wrappers.items()
                ],
            )
            docker.close()
            containerd.close()


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="how many pairs each row runs (default 40)")
    pairs = parser.parse_args().pairs
    try:
        with rows() as (runtime, table):
            for row in table:
                row.timed(row.wrapper)  # stores its compiled rules
            for number in range(pairs):
                for row in table:
                    row.measure(runtime)
                print(f"\r{number + 1} of {pairs} rounds", end="", file=sys.stderr, flush=True)
            print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    except UnavailableError as error:
        print(f"bench: not measured on engines: {error}")
        return 0
    print(f"{'':48} {'without ms':>10} {'more ms':>8} {'percent':>8} {'limit':>6}")
    for row in table:
        without, more, percent = row.result(table)
        verdict = "" if row.limit is None else f"{row.limit:6.1f} {'ok' if percent <= row.limit else 'OVER'}"
        label = f"{row.command}, 100 rules, {row.rules}"
        print(f"{label:48} {without:10.1f} {more:8.1f} {percent:8.1f} {verdict}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
