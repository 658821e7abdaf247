"""
Every operation of a runtime, called directly and through the wrapper: what it inherits, prints and returns is the same.

The runtime is a small program that writes down what it inherited, and then becomes runc or crun where one is asked for.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.integration.wrappers import Installations, Wrapper
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds
from tests.unit.test_launcher_surroundings import KINDS, facts

from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.runtimes import Call, PrivateRuntime
from ocihooks.wrapper.arguments import CHANGING, OTHER

builds = launcher_programs.builds

Record = Callable[[str, object], None]

LINES: tuple[tuple[str, ...], ...] = (
    *((operation, "--bundle", "BUNDLE", "c1") for operation in CHANGING),
    *((operation, "c1", "", "odd \n\x7f") for operation in OTHER),
    ("--root", "/r", "--log=/nowhere/log", "--debug", "state", "c1"),
    ("--unknown-option", "x", "kill", "c1", "9"),
    ("nonsense",),
    ("--version",),
    (),
)
"""A call of each operation, and lines that are none."""

OF_CPYTHON = {f"ignored {int(number)}" for number in (signal.SIGPIPE, signal.SIGXFSZ)}
"""What CPython ignores itself: without the launcher nobody knows how these signals were."""


def recorder(directory: Path, builds: Builds, name: str, runtime: Path | None = None) -> Path:
    """A program called *name* that writes down what it inherits, and becomes *runtime* if one is given."""
    program = directory / name
    if not program.exists():
        directory.mkdir(mode=0o755, exist_ok=True)
        shutil.copy(builds.surroundings, program)
        program.chmod(0o755)
        if runtime is not None:
            Path(f"{program}.next").symlink_to(runtime)
    return program


def inherited(program: Path) -> list[str]:
    """What the recorder *program* wrote down when it was called last."""
    file = Path(f"{program}.seen")
    seen = facts(file)
    file.unlink()
    return seen


def without_cpythons(seen: Sequence[str], wrapper: Wrapper) -> list[str]:
    """*seen* without what the wrapper can't know in its present form."""
    return [fact for fact in seen if wrapper.launched or fact not in OF_CPYTHON]


def called(builds: Builds, kind: str, program: Sequence[str | Path], recorded: Path, words: Sequence[str]) -> list[str]:
    """What the runtime *recorded* inherits when *program* is called in surroundings of this *kind*."""
    command = [str(builds.surroundings), "--start", kind, *map(str, program), *words]
    subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60
    )
    return inherited(recorded)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flavour", ["runc", "crun"])
def test_what_the_runtime_inherits(
    installations: Installations,
    builds: Builds,
    private_directory: Path,
    rootfs: Path,
    kind: str,
    flavour: str,
    record_property: Record,
) -> None:
    """For every operation words, environment bytes, directory, descriptors, signals, limits and the like are equal."""
    runtime = recorder(installations.directory / f"recording-{flavour}", builds, flavour)
    wrapper = installations.wrapper(runtime)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    bundle = make_bundle(private_directory / "b", rootfs=rootfs)
    for line in LINES:
        words = [str(bundle.directory) if word == "BUNDLE" else word for word in line]
        direct, wrapped = (called(builds, kind, [each], runtime, words) for each in (runtime, wrapper.script))
        assert wrapped == without_cpythons(direct, wrapper), line
        assert len(direct) > 20
    assert "hooks" in bundle.config()
    record_property("amount", f"{len(LINES)} calls, direct and wrapped")


def test_a_careless_wrapper_would_be_noticed(builds: Builds, private_directory: Path, record_property: Record) -> None:
    """Control: an exec by CPython that restores nothing shows."""
    runtime = recorder(private_directory / "recording", builds, "runc")
    careless: list[str | Path] = [
        sys.executable,
        "-ISc",
        "import posix, sys; posix.execv(sys.argv[1], sys.argv[1:])",
        runtime,
    ]
    unnoticed = []
    for kind in KINDS:
        direct, changed = (called(builds, kind, each, runtime, ["state"]) for each in ([runtime], careless))
        unnoticed += [kind] * (changed == direct)
    assert unnoticed == ["usable"], "there the signals that CPython ignores are ignored anyway"
    record_property("control", f"{len(KINDS) - 1} kinds of surroundings in which a careless exec shows")


LIFE: tuple[tuple[str, ...], ...] = (
    ("state", "ID"),
    ("create", "--bundle", "BUNDLE", "ID"),
    ("create", "--bundle", "BUNDLE", "ID"),
    ("create", "--bundle", "BUNDLE"),
    ("create", "--help"),
    ("state", "ID"),
    ("start", "ID"),
    ("start", "ID"),
    ("state", "ID"),
    ("list", "--format", "json"),
    ("ps", "--format", "json", "ID"),
    ("exec", "--env", "A=b", "--cwd", "/tmp", "ID", "/bin/sh", "-c", "echo $A; pwd; umask; echo err >&2; exit 5"),
    ("exec", "ID", "no-such-program"),
    ("pause", "ID"),
    ("resume", "ID"),
    ("update", "--pids-limit", "100", "ID"),
    ("events", "--stats", "ID"),
    ("delete", "ID"),
    ("checkpoint", "--image-path", "/proc/nowhere/image", "ID"),
    ("kill", "ID", "0"),
    ("kill", "ID", "KILL"),
    ("WAIT",),
    ("kill", "ID", "KILL"),
    ("delete", "ID"),
    ("delete", "ID"),
    ("delete", "--force", "ID"),
    ("restore", "--image-path", "/proc/nowhere/image", "--bundle", "BUNDLE", "ID"),
    ("run", "--bundle", "OTHER", "ID"),
    ("spec", "--bundle", "/proc/nowhere"),
    ("features",),
    ("--version",),
    ("nonsense", "ID"),
)
"""The life of a container, with mistakes."""


def normal(call: Call) -> tuple[int, list[str], list[str]]:
    """Status and output of a call without what differs from one call to the next: times and numbers of processes."""
    texts = (
        re.sub(r"time=\"[^\"]*\"|^\S+Z: |\d+", "", text, flags=re.MULTILINE) for text in (call.stdout, call.stderr)
    )
    out, err = (text.splitlines() for text in texts)
    return call.status, out, err


def lives(
    runtime: PrivateRuntime, builds: Builds, program: Path, recorded: Path, bundles: Sequence[MadeBundle], name: str
) -> list[tuple[list[str], tuple[int, list[str], list[str]]]]:
    """All calls of the life of *name* through *program*: what the runtime inherited, and what came of it."""
    places = {"ID": name, "BUNDLE": str(bundles[0].directory), "OTHER": str(bundles[1].directory)}
    seen = []
    for line in LIFE:
        if line == ("WAIT",):
            runtime.wait_for_status(places["ID"], "stopped")
            continue
        words = ["--root", str(runtime.root), *(places.get(word, word) for word in line)]
        call = runtime.execute([str(builds.surroundings), "--start", "usable", str(program), *words])
        new_files = re.compile(r"^(fd [012]: \S+) \d+")  # the call's own input and output
        seen.append(([new_files.sub(r"\1", fact) for fact in inherited(recorded)], normal(call)))
    return seen


@pytest.mark.runtime
@pytest.mark.every_combination
def test_the_life_of_a_container(
    runtime: PrivateRuntime, installations: Installations, builds: Builds, record_property: Record
) -> None:
    """On runc and crun each call of a life inherits, prints and returns through the wrapper what it does without."""
    recorded = recorder(installations.directory / f"becoming-{runtime.name}", builds, runtime.name, runtime.path)
    wrapper = installations.wrapper(recorded)
    marks = runtime.directory / "marks"
    wrapper.write_rule("a.json", hook={"path": "/bin/sh", "args": ["sh", "-c", f"cat >/dev/null; echo >>{marks}"]})
    bundles = [runtime.make_bundle(args=["sleep", "100"]), runtime.make_bundle(args=["sh", "-c", "echo out; exit 3"])]
    name = runtime.new_id()  # of this test alone, since cgroups are called after containers
    direct = lives(runtime, builds, recorded, recorded, bundles, name)
    assert not marks.exists()
    wrapped = lives(runtime, builds, wrapper.script, recorded, bundles, name)
    assert marks.read_text() == "\n" * 2
    lines = [line for line in LIFE if line != ("WAIT",)]
    differ = {
        line: (set(one[0]) ^ set(other[0]), one[1], other[1])
        for line, one, other in zip(lines, direct, wrapped, strict=True)
        if other != (without_cpythons(one[0], wrapper), one[1])
    }
    assert differ == {}
    assert {status for _, (status, _, _) in direct} >= {0, 1, 3, 5}
    record_property("amount", f"{len(lines)} calls of {runtime.name}, direct and wrapped")
