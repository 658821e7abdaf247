"""
What the wrapper costs in a whole ``docker run --rm`` and ``ctr run --rm``, seen in two ways.

*In the wrapper* is the time from the engine's start of the wrapper to the start of the runtime, over all calls for one
container, less what it takes without the wrapper. Small programs in front of both note the times, in runs of their own.
This is exact to some tenths of a millisecond, and has the limit.

*More* is the difference of whole runs. It has all in it, also what the wrapper might make slower without being there,
and the hook that the runtime starts in the last rows. But whole runs differ by more than the wrapper costs, so what
stands behind it is where the difference lies with a certainty of 95 %, and the runtime takes part under a second name:
no row can be told more exactly than that one, whose difference is nobody's. So whole runs miss a limit only where the
whole range is beyond the limit, and beyond that row's.

All programs run once in each round, at another place each time, since a container is slower behind some than behind
others. The engines keep their files in memory, where no other program's disk can hold them up.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

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

LIMITS_PERCENT = {"none can match": 3.0}
"""How much longer a container may take. Where Python starts, that alone is more in the shortest containers."""

QUIET_S = 2.5
"""Rules are kept compiled only when they have not been touched for two seconds."""

RULES = {
    "none can match": {"annotations": {"^com\\.example\\.bench$": "^yes$"}},
    "none matches": {"hasBindMounts": True},
    "one matches": {"commands": ["^/bin/true$"]},
}
"""The condition of the last of a hundred rules; the others are as the first."""

Run = Callable[[str], Finished]

CLOCK = r"""
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char path[4096] = "", next[4096] = "";
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(path, sizeof path, "%s.times", argv[0]);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    dprintf(file, "%d %lld\n", getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
    snprintf(path, sizeof path, "%s.next", argv[0]);
    if (argc < 1 || readlink(path, next, sizeof next - 1) < 0) return 127;
    argv[0] = next;
    execv(next, argv);
    return 127;
}
"""


class Clocks:
    """Programs that note when they are started, and become another one."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._program = place / "clock"
        compiler = shutil.which("cc") or sys.exit("bench: a C compiler is needed (apt-get install gcc libc6-dev)")
        command = [compiler, "-O2", "-static", "-xc", "-", "-o", str(self._program)]
        subprocess.run(command, input=CLOCK, text=True, check=True)

    def before(self, program: str, name: str) -> str:
        """Such a program before *program*, called runc: by that name the wrapper knows whose command line it reads."""
        directory = self._place / name
        directory.mkdir()
        (directory / "runc.next").symlink_to(program)
        return str(shutil.copy(self._program, directory / "runc"))


def noted(clock: str) -> dict[int, float]:
    """Milliseconds at which the program *clock* was started since the last look, by process id."""
    file = Path(f"{clock}.times")
    lines = [line.split() for line in file.read_text().splitlines()]
    file.unlink()
    return {int(pid): int(nanoseconds) / 1e6 for pid, nanoseconds in lines}


@dataclass(kw_only=True)
class Row:
    """
    One line of the table.

    Attributes:
        label: What users type, and what the rules do.
        limit: How many percent more it may take with the wrapper; None: no limit.
        run: Runs one container with the program at the given path as its runtime.
        program: That path.
        outer: Path of a clock before the same program, which becomes *inner* in place of the runtime.
        inner: Path of a clock before the runtime.
        whole: Milliseconds of whole runs.
        between: Milliseconds between both clocks, in each run that has them.
    """

    label: str
    limit: float | None
    run: Run
    program: str
    outer: str
    inner: str
    whole: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Run once."""
        started = time.perf_counter()
        self.succeed(self.program)
        self.whole.append((time.perf_counter() - started) * 1000)

    def measure_between(self) -> None:
        """Run once with clocks."""
        self.succeed(self.outer)
        started, reached = noted(self.outer), noted(self.inner)
        self.between.append(sum(reached[pid] - at for pid, at in started.items()))

    def succeed(self, program: str) -> None:
        """Run a container with *program*."""
        finished = self.run(program)
        if finished.status != 0:
            sys.exit(f"bench: {finished}")

    def warm_up(self) -> None:
        """Have the wrapper store its compiled rules."""
        self.measure()
        self.measure_between()
        self.whole.clear()
        self.between.clear()


def install_wrapper(directory: Path, runtime: str, hooks: Path) -> str:
    """A wrapper; its path."""
    request = Request(
        prefix=str(directory / "prefix"),
        runtime=runtime,
        hooks_dirs=(str(hooks),),
        settings=str(directory / "config.toml"),
        cache_dir=str(directory / "cache"),
    )
    return install(request).script


def write_rules(hooks: Path, condition: object) -> Path:
    """A hundred rules, the last one with *condition*."""
    hooks.mkdir(parents=True)
    for number in range(100):
        when = condition if number == 99 else RULES["none can match"]
        rule = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": when, "stages": ["createRuntime"]}
        (hooks / f"{number:02}.json").write_text(json.dumps(rule))
    return hooks


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


def programs_of(place: Path) -> tuple[dict[str, tuple[str, str]], str]:
    """For each label the program and the same one behind a clock; and the clock before the runtime."""
    runtime, clocks = str(find_runtime("runc").path), Clocks(place)
    inner = clocks.before(runtime, "inner")
    (place / "other").symlink_to(runtime)
    programs = {
        "no wrapper": (runtime, clocks.before(inner, "outer")),
        "no wrapper, another name": (str(place / "other"), clocks.before(inner, "outer-other")),
    }
    for number, (label, condition) in enumerate(RULES.items()):
        hooks = write_rules(place / f"hooks{number}", condition)
        plain = install_wrapper(place / f"plain{number}", runtime, hooks)
        clocked = install_wrapper(place / f"clocked{number}", inner, hooks)
        programs[f"100 rules, {label}"] = plain, clocks.before(clocked, f"outer{number}")
    return programs, inner


@contextmanager
def tables() -> Iterator[list[list[Row]]]:
    """The rows of each command, with the engines running; the first two are without the wrapper."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"  # noqa: S108  (short paths, and no disk)
    with tempfile.TemporaryDirectory(prefix="ocihooks-bench-", dir=memory) as name:
        place = Path(name)
        place.chmod(0o755)
        image = write_image(place / "image.tar", make_rootfs(place / "rootfs"), name=IMAGE)
        programs, inner = programs_of(place)
        time.sleep(QUIET_S)
        with CgroupView() as view, PrivateHost(place / "d", view) as first, PrivateHost(place / "c", view) as second:
            docker, containerd = Docker(first, image), Containerd(second, image)
            runs = {
                "docker run --rm": docker_run(docker, [path for both in programs.values() for path in both]),
                "ctr run --rm": ctr_run(containerd),
            }
            yield [
                [
                    Row(
                        label=f"{command}, {label}",
                        limit=LIMITS_PERCENT.get(label.removeprefix("100 rules, ")),
                        run=run,
                        program=program,
                        outer=outer,
                        inner=inner,
                    )
                    for label, (program, outer) in programs.items()
                ]
                for command, run in runs.items()
            ]
            docker.close()
            containerd.close()


def in_turn(rows: list[Row], number: int) -> list[Row]:
    """
    *rows* in the order of a round: each takes each place, and runs behind each other one, equally often.

    That holds for a prime number of rows, such as five, in rounds that are a multiple of 5 times 4.
    """
    count = len(rows)
    step = 1 + number // count % (count - 1)
    return [rows[(number + step * place) % count] for place in range(count)]


def measure(table: list[list[Row]], rounds: int, clocked: int) -> None:
    """Fill all rows."""
    for row in itertools.chain(*table):
        row.warm_up()
    for number in range(rounds + clocked):
        for rows in table:
            for row in in_turn(rows, number):
                row.measure() if number < rounds else row.measure_between()
        print(f"\r{number + 1} of {rounds + clocked} rounds", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much longer something takes: the median, and where the true one lies with a certainty of 95 %."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, row: Row, before: list[float]) -> Self:
        """Of the whole runs of *row* to those of the same rounds in *before*."""
        pairs = sorted(mine - its for mine, its in zip(row.whole, before, strict=True))
        outside = max(0, math.floor(len(pairs) / 2 - 0.98 * math.sqrt(len(pairs))))
        return cls(median=statistics.median(pairs), least=pairs[outside], most=pairs[-1 - outside])


def print_rows(rows: list[Row]) -> None:
    """The lines of one command."""
    plain, other, *wrapped = rows
    without = statistics.median(plain.whole + other.whole)
    direct = statistics.median(plain.between + other.between)
    both = [statistics.fmean(pair) for pair in zip(plain.whole, other.whole, strict=True)]
    nobodys = Difference.of(other, plain.whole)
    print(f"{plain.label:46} {without:9.1f}")
    print_row(other, nobodys, without, direct)
    for row in wrapped:
        more = Difference.of(row, both)
        least = 0.0 if more.least <= nobodys.most else more.least / without * 100
        print_row(row, more, without, direct, least)


def print_row(row: Row, more: Difference, without: float, direct: float, least: float = 0.0) -> None:
    """One line; *least* is how many percent longer whole runs take for sure."""
    inside = statistics.median(row.between) - direct
    percent = inside / without * 100
    verdict = "" if row.limit is None else f"{row.limit:6.1f} {'OVER' if max(percent, least) > row.limit else 'ok'}"
    span = f"{more.least:.1f} to {more.most:.1f}"
    print(f"{row.label:46} {'':9} {more.median:8.1f} {span:>15} {inside:z10.2f} {percent:z8.1f} {verdict}".rstrip())


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="how often each row runs (default 40)")
    parser.add_argument("--clocked", type=int, default=10, help="how often it runs with clocks (default 10)")
    arguments = parser.parse_args()
    try:
        with tables() as table:
            measure(table, arguments.pairs, arguments.clocked)
    except UnavailableError as error:
        print(f"bench: not measured on engines: {error}")
        return 0
    print(f"{'':46} {'whole ms':>9} {'more ms':>8} {'95 %':>15} {'in wrapper':>10} {'percent':>8} {'limit':>6}")
    for rows in table:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
