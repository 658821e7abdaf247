"""
What oci-injector-hook costs: copies against those of cp, and a container that asks for nothing against the interpreter.

As in bench.py the runs of a row and of what it is compared with take turns, and the least CPU time of each counts, user
and system, with all processes that were started and waited for. For many small files it is the time that a container
waits, since two processes make them where there are two processors; of that the median of the ratios of all turns
counts, since two processors and the disk are seldom all at their best. Their CPU time stands below it. Copies of both
stay on one file system.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench import cpu_seconds, verdict

from ocihooks.install.install import Request, install

NAME = "oci-injector-hook"
LIBRARIES, LIBRARY_BYTES = 8, 128 << 20
"""1 GiB of libraries."""

SMALL_FILES, SMALL_BYTES = 1000, 3000


@dataclass(frozen=True, kw_only=True)
class Times:
    """What a run took."""

    cpu_s: float
    waited_s: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """A command, with what it reads and with variables besides PATH."""

    argv: list[str]
    stdin: str = os.devnull
    environ: dict[str, str] = field(default_factory=dict)

    def times(self) -> Times:
        """Run it once."""
        begin = time.perf_counter()
        cpu_s = cpu_seconds(self.argv, self.stdin, self.environ)
        return Times(cpu_s=cpu_s, waited_s=time.perf_counter() - begin)


@dataclass(kw_only=True)
class Row:
    """
    One line of the table.

    Attributes:
        label: What is measured.
        ours: The hook's run.
        other: What it is compared with.
        limit: The largest ratio that we allow ourselves.
        rounds: How many turns each takes.
        is_waiting: Whether the limit is for the time until the end; else it is for CPU time.
        before: Called before each run, not measured.
        times: What the runs of both took.
    """

    label: str
    ours: Run
    other: Run
    limit: float
    rounds: int
    is_waiting: bool = False
    before: Callable[[], object] = lambda: None
    times: tuple[list[Times], list[Times]] = field(default_factory=lambda: ([], []))

    def measure(self) -> None:
        """Let both take turns."""
        for _ in range(self.rounds):
            for number, run in enumerate((self.ours, self.other)):
                self.before()
                self.times[number].append(run.times())

    def __str__(self) -> str:
        least = [min(run.cpu_s for run in runs) for runs in self.times]
        cpu = _line(f"{self.label}, CPU time", least, None if self.is_waiting else self.limit)
        if not self.is_waiting:
            return cpu
        usual = [statistics.median(run.waited_s for run in runs) for runs in self.times]
        ratio = statistics.median(ours.waited_s / other.waited_s for ours, other in zip(*self.times, strict=True))
        return f"{_line(f'{self.label}, median until the end', usual, self.limit, ratio)}\n{cpu}"


def _line(label: str, seconds: list[float], limit: float | None, ratio: float | None = None) -> str:
    ours, other = seconds
    ratio = ours / other if ratio is None else ratio
    shown = "" if limit is None else f"{limit:6.2f} {verdict(ratio, limit)}"
    return f"{label:80} {ours * 1000:8.2f} {other * 1000:8.2f} {ratio:7.2f} {shown}".rstrip()


class Scene:
    """Programs, sources and roots in one directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.python = ""

    def program(self, name: str, members: dict[str, object], *, asks: bool = True) -> Run:
        """The hook for a container *name* that asks for what an injector file with *members* says, or does not."""
        conf, bundle = self.place / f"conf-{name}", self.place / f"bundle-{name}"
        for directory in (conf, bundle / "rootfs/etc", bundle / "rootfs/lib64"):
            directory.mkdir(parents=True)
        (bundle / "rootfs/lib64/ld-linux-x86-64.so.2").touch()
        (conf / "a.json").write_text(json.dumps({"activation_flag": "WITH", **members}))
        config = {"process": {"env": ["WITH=1"] if asks else ["A=1"]}, "root": {"path": "rootfs"}}
        (bundle / "config.json").write_text(json.dumps(config))
        state = self.place / f"state-{name}"
        state.write_text(json.dumps({"ociVersion": "1.0.2", "id": "c", "status": "creating", "bundle": str(bundle)}))
        record = install(Request(prefix=str(self.place / f"prefix-{name}"), program=NAME, name=NAME))
        self.python = record.python
        return Run(argv=[record.script], stdin=str(state), environ={"OCI_INJECTOR_CONFIG_DIR": str(conf)})

    def sources(self, name: str, count: int, data: bytes) -> Path:
        """A directory with *count* files of that content."""
        directory = self.place / name
        directory.mkdir()
        for number in range(count):
            (directory / f"lib{number}.so.1").write_bytes(data)
        return directory


def copies(
    scene: Scene, kind: str, source: Path, cp: list[str], *, limit: float, rounds: int, is_waiting: bool = False
) -> Row:
    """A row: all files of *source* into a root, against *cp*, whose last words are a source and a target."""
    files = [str(path) for path in sorted(source.iterdir())]
    ours = scene.program(kind, {"directories": [str(source)], kind: files})
    target, root = scene.place / f"copied-{kind}", scene.place / f"bundle-{kind}/rootfs{source}"

    numbers = count()

    def clear() -> None:
        for directory in (target, root):
            if directory.exists() and kind == "libraries":
                shutil.rmtree(directory)
            elif directory.exists():  # ext4 takes long to make a file where many have just been removed
                directory.rename(scene.place / f"former-{next(numbers)}")

    label = f"{len(files)} {kind} of {source.name}, against {' '.join(cp)}"
    other = Run(argv=[shutil.which(cp[0]) or cp[0], *cp[1:], str(source), str(target)])
    return Row(label=label, ours=ours, other=other, limit=limit, rounds=rounds, is_waiting=is_waiting, before=clear)


def large_files(scene: Scene, rounds: int) -> Row:
    """1 GiB of libraries."""
    source = scene.sources("1 GiB", LIBRARIES, os.urandom(LIBRARY_BYTES))
    return copies(scene, "libraries", source, ["cp", "-r", "--reflink=auto"], limit=1.1, rounds=max(rounds // 3, 6))


def small_files(scene: Scene, rounds: int) -> Row:
    """1,000 files."""
    source = scene.sources("3 kB each", SMALL_FILES, os.urandom(SMALL_BYTES))
    return copies(scene, "miscellaneous", source, ["cp", "-a"], limit=1.5, rounds=rounds, is_waiting=True)


def nothing(scene: Scene, rounds: int) -> Row:
    """A container that asks for nothing."""
    ours = scene.program("nothing", {"binaries": ["/bin/true"]}, asks=False)
    floor = Run(argv=[scene.python, "-I", "-S", "-c", "pass"])
    return Row(label="a container that asks for nothing", ours=ours, other=floor, limit=1.4, rounds=3 * rounds)


ROWS = {"large": large_files, "small": small_files, "nothing": nothing}


@contextmanager
def scene_in_temporary_directory() -> Iterator[Scene]:
    """A scene on a disk, in a directory that root alone could have written."""
    with tempfile.TemporaryDirectory(prefix="ocihooks-bench-", dir="/tmp") as directory:
        yield Scene(Path(directory))


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="how many turns a row takes (default 25)")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=[*ROWS], help="measure these rows only")
    options = parser.parse_args()
    with scene_in_temporary_directory() as scene:
        print(f"{'':80} {'ms':>8} {'other':>8} {'ratio':>7} {'limit':>6}")
        for name in options.only:
            row = ROWS[name](scene, options.rounds)
            row.measure()
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
