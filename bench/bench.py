"""
What the wrapper costs: one table of CPU times of whole processes, as ratios to the interpreter's own start.

Machines are noisy, so the runs of all rows take turns, in another order each time, and the minimum of user plus system
time over all turns counts.
The runtime behind the wrapper is an empty static program, so that only our share is seen. Bundles are on a tmpfs where
there is one, as containerd, Docker and CRI-O have theirs in /run; rules are on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocihooks import Container, Hook, HookManager, match, run_hook
from ocihooks.compiled.ruleset import RuleSet
from ocihooks.injection import SUPERVISOR
from ocihooks.install.install import Request, install
from ocihooks.install.launcher import is_built
from ocihooks.install.record import Record
from ocihooks.settings import Settings
from ocihooks.testing.bundles import MadeBundle, make_bundle, make_rootfs
from ocihooks.wrapper.refresh import read_rules

QUIET_S = 2.5
"""Rules are kept compiled only when they have not been touched for two seconds."""

ANNOTATIONS = {f"com.example.rule{number}": "yes" for number in (3, 7, 50)}


@dataclass(kw_only=True)
class Row:
    """
    One line of the table.

    Attributes:
        label: What is measured.
        argv: The command.
        limit: The largest ratio to the interpreter's start that we allow ourselves; None: no budget.
        before: Called before each run, not measured.
        stdin: The file that standard input comes from.
        best_s: The least CPU time of a run so far.
        calls: How many processes the command stands for, in rows of whole life-cycles.
    """

    label: str
    argv: list[list[str]]
    limit: float | None = None
    before: Callable[[], object] | None = None
    stdin: str = os.devnull
    best_s: float = float("inf")

    def run(self) -> None:
        """Run once and keep the time if it is the least."""
        if self.before:
            self.before()
        self.best_s = min(self.best_s, sum(cpu_seconds(argv, self.stdin) for argv in self.argv))


def cpu_seconds(argv: list[str], stdin: str = os.devnull, environ: Mapping[str, str] | None = None) -> float:
    """User and system time of one process, with all that exec costs; *environ* is what it has besides PATH."""
    null = os.open(os.devnull, os.O_RDWR)
    actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (1, 2)]
    actions.append((os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0))  # type: ignore[arg-type]
    pid = os.posix_spawn(argv[0], argv, {"PATH": "/usr/bin:/bin", **(environ or {})}, file_actions=actions)
    os.close(null)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"bench: {argv}: wait status {status}")
    return usage.ru_utime + usage.ru_stime


class Scene:
    """Temporary directories: *place* for rule sets of several sizes and installations, *bundles* for bundles."""

    def __init__(self, place: Path, bundles: Path) -> None:
        self.place = place
        self.bundles = bundles
        self.runtime = place / "runc"  # by this name the wrapper knows whose command line it reads
        compile_true(self.runtime)
        self.rootfs = make_rootfs(place / "rootfs")
        self.state = place / "state"
        self.state.write_text('{"ociVersion":"1.0.2","id":"c1","status":"creating","pid":42,"bundle":"/b"}')
        self.rows: list[Row] = []
        self.installed: dict[tuple[str, bool], Record] = {}

    def rules(self, name: str, count: int, *, regular: bool = False) -> Path:
        """A hooks directory with *count* rules, of which those of ANNOTATIONS match a container that has them."""
        directory = self.place / f"hooks-{name}"
        directory.mkdir()
        for number in range(count):
            key = rf"^com\.example\.rule{number}$"
            value = "^(yes|true)$" if regular else "^yes$"
            rule = {
                "version": "1.0.0",
                "hook": {"path": "/bin/true"},
                "when": {"annotations": {key: value}},
                "stages": ["createRuntime"],
            }
            (directory / f"{number:04}.json").write_text(json.dumps(rule))
        return directory

    def install(self, name: str, directory: Path, *, launcher: bool) -> Record:
        """An installation with the rules in *directory*."""
        kind = "launched" if launcher else "script"
        record = install(
            Request(
                prefix=str(self.place / f"{kind}-{name}"),
                runtime=str(self.runtime),
                hooks_dirs=(str(directory),),
                settings=str(self.place / "config.toml"),
                cache_dir=str(self.place / f"cache-{kind}-{name}"),
                launcher=launcher,
            )
        )
        self.installed[name, launcher] = record
        return record

    def bundle(self, name: str, annotations: dict[str, str] | None = None, size: int = 0) -> MadeBundle:
        """A bundle; *size* makes its config.json that large."""
        made = make_bundle(self.bundles / name, rootfs=self.rootfs, annotations=annotations)
        if size:
            config = made.config()
            config["process"]["env"] += [f"PADDING{number}={'x' * 100}" for number in range(size // 120)]
            made.write_config(config)
        return made

    def create(self, label: str, name: str, bundle: MadeBundle, limit: float | None, *, launcher: bool) -> None:
        """A row: create a container of *bundle* under the rules *name*."""
        program = self.installed[name, launcher].script
        text = bundle.config_path.read_bytes()
        self.rows.append(
            Row(
                label=label,
                argv=[[program, "create", "--bundle", str(bundle.directory), "--pid-file", "/tmp/pid", "c1"]],  # noqa: S108
                limit=limit,
                before=lambda: bundle.config_path.write_bytes(text),
            )
        )


def compile_true(program: Path) -> None:
    """The emptiest runtime there is."""
    source = program.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n")
    compiler = shutil.which("cc") or sys.exit(
        "bench: a C compiler is needed for the floor (apt-get install gcc libc6-dev)"
    )
    subprocess.run([compiler, "-O2", "-static", "-o", str(program), str(source)], check=True)


def set_up(scene: Scene) -> None:
    """All rows."""
    sizes = {"0": 0, "1": 1, "100": 100, "1000": 1000}
    directories = {name: scene.rules(name, count) for name, count in sizes.items()}
    directories["re2"] = scene.rules("re2", 100, regular=True)
    kinds = [True, False] if is_built() else [False]
    for launcher in kinds:
        for name, directory in directories.items():
            scene.install(name, directory, launcher=launcher)
    plain, three = scene.bundle("plain"), scene.bundle("three", ANNOTATIONS)
    near = scene.bundle("near", dict.fromkeys(ANNOTATIONS, "no"))
    large, large_three = scene.bundle("large", size=1 << 20), scene.bundle("large3", ANNOTATIONS, size=1 << 20)
    write_drop_in_files(scene)
    time.sleep(QUIET_S)
    for launcher in kinds:
        prefix = "launcher: " if launcher else "script:   "
        program = scene.installed["100", launcher].script
        scene.rows.append(
            Row(label=f"{prefix}delete, kill, …", argv=[[program, "delete", "c1"]], limit=0.15 if launcher else 1.2)
        )
        for name in sizes:
            limit = 0.2 if launcher else 1.4 if name == "1000" else 1.2
            scene.create(f"{prefix}create, {name} rules, none possible", name, plain, limit, launcher=launcher)
        scene.create(f"{prefix}create, 100 rules, none matches", "100", near, 1.2, launcher=launcher)
        scene.create(f"{prefix}create, 100 rules, 3 match", "100", three, 1.2, launcher=launcher)
        scene.create(f"{prefix}create, 1000 rules, 3 match", "1000", three, 1.4, launcher=launcher)
        scene.create(f"{prefix}create, 100 rules, 3 match by RE2", "re2", three, 2.0, launcher=launcher)
        scene.create(f"{prefix}create, 100 rules, 1 MiB, none possible", "100", large, None, launcher=launcher)
        scene.create(f"{prefix}create, 100 rules, 1 MiB, 3 match", "100", large_three, None, launcher=launcher)
        supervisor = next(file for file in scene.installed["100", launcher].files if file.endswith(SUPERVISOR))
        for records in ([], [f"--records={scene.place}/records.jsonl"]) if launcher == kinds[0] else ():
            label = f"supervisor: an empty hook{', with a record' if records else ''}"
            scene.rows.append(
                Row(label=label, argv=[[supervisor, *records, "--", str(scene.runtime), "true"]], limit=1.3)
            )
        drop_ins(scene, plain, launcher=launcher)
        life_cycles(scene, prefix, program, plain)
        cold(scene, prefix, plain, launcher=launcher)


def life_cycles(scene: Scene, prefix: str, program: str, bundle: MadeBundle) -> None:
    """The calls of one container's life as engines make them, through the wrapper."""
    task = ["--root", "/r", "--log", "/nowhere/log.json", "--log-format", "json"]
    create = ["create", "--bundle", str(bundle.directory), "--pid-file", "/nowhere/pid", "c1"]
    docker = [
        [*task, *create],
        *([*task, *words] for words in (["start", "c1"], ["delete", "c1"], ["delete", "--force", "c1"])),
    ]
    podman = [create, ["start", "c1"], ["kill", "c1", "15"], ["delete", "--force", "c1"]]
    for engine, calls in (("Docker", docker), ("Podman", podman)):
        argv = [[program, *words] for words in calls]
        scene.rows.append(Row(label=f"{prefix}life of a container, {engine}, {len(argv)} calls", argv=argv))


def write_drop_in_files(scene: Scene) -> None:
    """A hook file for each of the drop-ins, and settings for the one that has them."""
    hook = {"path": "/bin/true", "args": ["true"], "env": ["A=1"]}
    files = scene.place / "drop-ins"
    files.mkdir(exist_ok=True)
    (files / "hooks.json").write_text(json.dumps({"hooks": {"createRuntime": [hook]}}))
    (files / "bare.json").write_text(json.dumps({"createRuntime": [hook]}))
    settings = (
        f'[container-hooks]\npath = "{files}/bare.json"\n'
        f'[container-hooks-runtime]\ndebug = "{files}/log"\nruntimes = ["{scene.runtime}"]\n'
    )
    (files / "config.toml").write_text(settings)


def drop_ins(scene: Scene, bundle: MadeBundle, *, launcher: bool) -> None:
    """oci-add-hooks and container-hooks-runtime, each with one hook for every container."""
    files = scene.place / "drop-ins"
    kind = "launched" if launcher else "script"
    add = install(Request(prefix=f"{files}/{kind}", name="oci-add-hooks", program="oci-add-hooks", launcher=launcher))
    toolkit = install(
        Request(
            prefix=f"{files}/{kind}",
            name="container-hooks-runtime",
            program="container-hooks-runtime",
            launcher=launcher,
            settings=f"{files}/config.toml",
            cache_dir=f"{files}/cache-{kind}",
        )
    )
    words = ["--hook-config-path", f"{files}/hooks.json", "--runtime-path", str(scene.runtime)]
    text = bundle.config_path.read_bytes()
    for program, limit in (([add.script, *words], 0.15), ([toolkit.script], 0.2)):
        label = f"{'launcher: ' if launcher else 'script:   '}{Path(program[0]).name}"
        other = Row(
            label=f"{label}, other operations", argv=[[*program, "delete", "c1"]], limit=limit if launcher else 1.2
        )
        create = Row(
            label=f"{label}, create",
            argv=[[*program, "create", "--bundle", str(bundle.directory), "c1"]],
            limit=1.2,
            before=lambda: bundle.config_path.write_bytes(text),
        )
        scene.rows += [other, create]


def cold(scene: Scene, prefix: str, bundle: MadeBundle, *, launcher: bool) -> None:
    """A create that has to read all rules."""
    record = scene.installed["100", launcher]
    scene.create(f"{prefix}create, 100 rules, cold", "100", bundle, None, launcher=launcher)
    scene.rows[-1].before = lambda: shutil.rmtree(record.cache_dir, ignore_errors=True)


def measure(rows: list[Row], rounds: int) -> None:
    """Let all rows take turns; the order changes, so that no row always follows the same other one."""
    for number in range(rounds):
        for row in random.sample(rows, len(rows)):
            row.run()
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {rounds} rounds", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr)


def in_process(scene: Scene) -> Iterator[tuple[str, float, float]]:
    """Loading and matching inside one process: label, milliseconds, limit in milliseconds."""
    directory = scene.place / "hooks-1000"
    loading = min(timed(lambda: HookManager([directory])) for _ in range(5))
    yield "in process: load 1000 files", loading * 1000, 150.0
    rules: RuleSet = read_rules(Settings(hooks_dirs=(str(directory),)))
    container = Container(args=("/bin/sh",), annotations=ANNOTATIONS)
    matching = min(timed(lambda: match(rules.candidates(container), container)) for _ in range(50))
    yield "in process: match 1000 compiled rules", matching * 1000, 2.0
    manager = HookManager([directory])
    config = {"process": {"args": ["/bin/sh"]}}
    matching = min(timed(lambda: manager.hooks(config, ANNOTATIONS)) for _ in range(20))
    yield "in process: match 1000 rules with reasons", matching * 1000, 20.0
    program = "/bin/true"
    os.closerange(3, 1 << 16)  # what our caller left open would be closed in hooks only
    hook, pairs = Hook(path=program), []
    for _ in range(300):
        spawning = timed(lambda: os.waitpid(os.posix_spawn(program, [program], {}), 0))
        pairs.append((spawning, timed(lambda: run_hook(hook, b"{}"))))
    spawning, running = (sum(sorted(seconds)[:100]) / 100 for seconds in zip(*pairs, strict=True))
    yield "in process: run_hook of /bin/true", running * 1000, spawning * 1500


def timed(function: Callable[[], object]) -> float:
    """Seconds that *function* takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


@contextmanager
def scene_in_temporary_directory() -> Iterator[Scene]:
    """A scene whose directories root alone could have written, as trust asks for."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    in_memory = next((place for place in ("/run", "/dev/shm") if [place, "tmpfs"] in mounts), "/tmp")  # noqa: S108
    with (
        tempfile.TemporaryDirectory(prefix="ocihooks-bench-", dir="/tmp") as directory,
        tempfile.TemporaryDirectory(prefix="ocihooks-bench-", dir=in_memory) as bundles,
    ):
        yield Scene(Path(directory), Path(bundles))


def verdict(value: float, limit: float | None) -> str:
    """Whether *value* keeps its budget."""
    if limit is None:
        return ""
    return "ok" if value <= limit else "OVER"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=150, help="how many turns each row takes (default 150)")
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only the rows of whole processes whose label has it"
    )
    given = parser.parse_args()
    with scene_in_temporary_directory() as scene:
        set_up(scene)
        python = next(iter(scene.installed.values())).python
        floor = Row(label="python3 -I -S -c pass (the floor)", argv=[[python, "-I", "-S", "-c", "pass"]])
        bare = Row(label="exec of an empty static program", argv=[[str(scene.runtime)]])
        rows = [row for row in scene.rows if given.only in row.label]
        measure([floor, bare, *rows], given.rounds)
        print(f"{'':58} {'CPU ms':>8} {'ratio':>7} {'x exec':>7} {'limit':>6}")
        for row in (bare, floor, *rows):
            ratio, execs = row.best_s / floor.best_s, row.best_s / bare.best_s
            shown = "" if row.limit is None else f"{row.limit:.2f}"
            print(
                f"{row.label:58} {row.best_s * 1000:8.2f} {ratio:7.2f} {execs:7.1f} {shown:>6} "
                f"{verdict(ratio, row.limit)}".rstrip()
            )
        for label, milliseconds, limit in () if given.only else in_process(scene):
            print(f"{label:58} {milliseconds:8.2f} {'':7} {'':7} {limit:6.4g} {verdict(milliseconds, limit)}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
