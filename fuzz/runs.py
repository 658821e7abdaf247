"""Runs of a fuzzer: Atheris for readers in Python, LibFuzzer for the launcher; both take the same options."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.corpora import kept, packed, unpack
from fuzz.reach import fewest
from fuzz.seeds import seeds
from fuzz.targets import LAUNCHER, READERS
from ocihooks.errors import UnavailableError

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "fuzz/launcher.c"
SANITIZERS = "-fsanitize=fuzzer,address,undefined"
LONGEST_BYTES = 2048
"""Longest input that is made up, since long ones make each try slower; limits have tests of their own."""

LIMITS = ("-timeout=20", "-rss_limit_mb=2048", f"-max_len={LONGEST_BYTES}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    What came of a run.

    Attributes:
        target: Which reader was tried.
        tries: How often.
        seconds: For how long.
        reached: How many branches of the reader were reached; 0 where the fuzzer did not say.
        finding: The input that broke a law, or made the reader fail; None: there was none.
        said: The end of what the fuzzer said.
    """

    target: str
    tries: int
    seconds: float
    reached: int
    finding: bytes | None
    said: str


def command_for(target: str, directory: Path, launcher: Path | None = None) -> tuple[str, ...]:
    """
    The program that tries *target*, which may have to be made in *directory*.

    Args:
        launcher: The launcher's source, if it is not ours.

    Raises:
        UnavailableError: There is no fuzzer for it.
    """
    if target in LAUNCHER:
        return (str(_compiled(target, directory, launcher)),)
    if importlib.util.find_spec("atheris") is None:
        raise UnavailableError("there is no Atheris for this Python", hint="tools/setup fuzz")
    return sys.executable, "-m", "fuzz.python_program", target


def _compiled(target: str, directory: Path, launcher: Path | None) -> Path:
    if not shutil.which("clang"):
        raise UnavailableError("there is no clang, which brings LibFuzzer", hint="tools/setup fuzz")
    program = directory / target
    what = f"-DFUZZ_{target.removeprefix('launcher-').upper()}"
    other = (f'-DLAUNCHER="{launcher}"',) if launcher else ()
    flags = ("-std=c11", "-g", "-O1", "-w", SANITIZERS, "-fno-sanitize-recover=all", what, *other)
    done = subprocess.run(
        ["clang", *flags, "-o", str(program), str(SOURCE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"clang can't make a fuzzer: {done.stderr}", hint="apt-get install libclang-rt-dev")
    return program


def fuzz(target: str, seconds: int, directory: Path, *, launcher: Path | None = None) -> Run:
    """
    Try *target* for so many *seconds*, beginning with what is kept; what was found worth keeping is in `corpus_in`.

    Args:
        directory: An empty directory of this run's own.

    Raises:
        UnavailableError: There is no fuzzer for it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    corpus, findings = corpus_in(directory), directory / "findings"
    unpack((*kept(target), *seeds(target)), corpus)
    findings.mkdir()
    command = [*command_for(target, directory, launcher), *LIMITS, f"-artifact_prefix={findings}/"]
    started = time.monotonic()
    done = _ran([*command, f"-max_total_time={seconds}", "-print_final_stats=1", str(corpus)], seconds + 120)
    found = packed(findings)
    assert found or not done.returncode, done.stdout[-4000:]
    tries, reached = (_last_number(pattern, done.stdout) for pattern in (r"executed_units: +(\d+)", r"cov: (\d+)"))
    return Run(
        target=target,
        tries=tries,
        seconds=time.monotonic() - started,
        reached=reached,
        finding=found[0] if found else None,
        said=done.stdout[-4000:],
    )


def corpus_in(directory: Path) -> Path:
    """Where a run in *directory* has its inputs."""
    return directory / "corpus"


def minimised(target: str, directory: Path) -> tuple[bytes, ...]:
    """Those inputs of a finished run in *directory*, seeds included, that reach every branch that all of them reach."""
    corpus = corpus_in(directory)
    if target in READERS:
        return fewest(READERS[target], (*packed(corpus), *kept(target), *seeds(target)))
    smallest = directory / "smallest"
    smallest.mkdir()
    command = [*command_for(target, directory), *LIMITS, "-use_counters=0", "-merge=1"]
    done = _ran([*command, str(smallest), str(corpus)], 600)
    assert not done.returncode, done.stdout[-4000:]
    return packed(smallest)


def _ran(command: Sequence[str], seconds: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds,
    )


def _last_number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0
