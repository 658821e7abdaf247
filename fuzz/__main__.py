"""``python -m fuzz``: try targets, some at a time, and say what was found."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.corpora import keep
from fuzz.runs import Run, fuzz, minimised
from fuzz.targets import GROUPS
from ocihooks.errors import UnavailableError

ALL = tuple(target for targets in GROUPS.values() for target in targets)


def main() -> int:
    """Try the targets of the command line; the exit status is 1 if a law was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description="Feed readers with bytes that a fuzzer makes up."
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(ALL)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="make the smallest inputs that reach as much the kept ones")
    words = parser.parse_args()
    if unknown := set(words.targets) - set(ALL):
        parser.error(f"unknown target {', '.join(sorted(unknown))}; choose from {', '.join(ALL)}")
    with tempfile.TemporaryDirectory(prefix="ocihooks-fuzz-") as directory, ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [
            pool.submit(tried, target, words.seconds, Path(directory) / target, kept=words.keep)
            for target in words.targets or ALL
        ]
        try:
            findings = [run.result().finding for run in runs]
        except UnavailableError as error:
            pool.shutdown(cancel_futures=True)
            print(error.render("fuzz"), file=sys.stderr)
            return 3
    return int(any(finding is not None for finding in findings))


def tried(target: str, seconds: int, directory: Path, *, kept: bool) -> Run:
    """Try one target and say what came of it."""
    run = fuzz(target, seconds, directory)
    print(f"{target}: {run.tries:,} tries in {run.seconds:.0f} s, {run.reached} branches", flush=True)
    if run.finding is not None:
        print(f"{target}: broken by {run.finding!r}\n{run.said}", flush=True)
    elif kept:
        keep(target, minimised(target, directory))
    return run


if __name__ == "__main__":
    sys.exit(main())
