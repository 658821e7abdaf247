"""
Changes one place of a module after the other, and tells which changes no test notices.

    python mutation/mutate.py NAME...     names of mutation/modules.toml

Cosmic Ray makes the mutants; each is tested in a copy of the project, in namespaces of its own in which nothing but
/tmp can be written, since the modules are made to run as root. What came out is kept in mutation/results,
with the reasons that somebody wrote there.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code, use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "mutation/results"
PYTHON = PROJECT / ".venv/bin/python"
BROKEN = 98
"""What the server answers when it could not run tests."""

NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "mutation", "demo", "bench")

PYTEST = ("-q", "-x", "-n", "0", "--assert=plain", "-m", "not slow")
WITHOUT = ("randomly", "hypothesispytest", "cacheprovider", "ocihooks-account")
"""Plugins that cost time and find nothing here: order, generated input, what failed last, and the account."""

USUAL = (
    "Add_Sub|Sub_Add|Mul_FloorDiv|Div_Mul|FloorDiv_Mul|Mod_Mul|RShift_LShift|LShift_RShift|BitOr_BitAnd|BitAnd_BitOr"
)
UNUSUAL = (
    f"core/ReplaceBinaryOperator_(?!({USUAL})$)",
    r"core/ReplaceComparisonOperator_(Is_(?!IsNot)|IsNot_(?!Is$)|(?!Is)\w+_(Is|IsNot)$)",
    r"core/ReplaceUnaryOperator_(USub_(Invert|Not)|Invert_|UAdd_)",
)
"""Operators of Cosmic Ray that are left out: mistakes that nobody makes, each several times in every expression."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the named modules; the status tells whether every change that lived has a reason."""
    parser = argparse.ArgumentParser(description="tell which changes of a module no test notices")
    parser.add_argument("--again", action="store_true", help="try only the changes that lived the last time")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try a sample: every N-th change")
    parser.add_argument("name", nargs="+", help="a name of mutation/modules.toml, or the beginning of several")
    options = parser.parse_args(arguments)
    if PROJECT.is_relative_to("/tmp"):  # noqa: S108  (nothing is made there)
        parser.error(f"{PROJECT}: mutants can't see what is below /tmp; copy the project, for example to /var/tmp")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up
    modules = tomllib.loads((PROJECT / "mutation/modules.toml").read_text())
    wanted = [name for name in modules if any(name == one or name.startswith(f"{one}/") for one in options.name)]
    if not wanted:
        parser.error(f"not in mutation/modules.toml: {' '.join(options.name)}")
    results = [tested(name, modules[name], again=options.again, every=options.every) for name in wanted]
    return int(any(not one["why"] for result in results for one in result["survivors"]))


def tested(name: str, module: dict[str, Any], *, again: bool, every: int) -> dict[str, Any]:
    """Test one module, keep the result, and tell it."""
    kept = RESULTS / f"{name.replace('/', '-')}.json"
    former = json.loads(kept.read_text()) if kept.exists() else {"survivors": []}
    reasons = {(one["was"], one["is"]): one["why"] for one in former["survivors"]}
    with copy_of_the_project() as (copy, temporary), use_db(copy.parent / "session", WorkDB.Mode.create) as database:
        source = copy / module["source"]
        text = source.read_text()
        init([source], database, {})
        mutants = [item.mutations[0] for item in database.work_items if is_wanted(item.mutations[0], text)]
        tried = mutants[:: former["every"] if again else every]
        if again:
            tried = [one for one in tried if change(one, text)[1:] in reasons]
        with tests_of(module, copy, temporary) as tests:
            if not tests.pass_now():
                raise SystemExit(f"{name}: its tests fail without any change")
            survivors = [
                {"line": line, "was": was, "is": now, "why": reasons.get((was, now), "")}
                for line, was, now in survived(name, tried, text, tests)
            ]
    result = {
        "source": module["source"],
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "mutants": len(mutants),
        "every": former["every"] if again else every,
        "tried": former["tried"] if again else len(tried),
        "survivors": sorted(survivors, key=lambda one: (one["line"], one["is"])),
    }
    kept.write_text(json.dumps(result, indent=1) + "\n")
    say(f"{name}: {len(mutants)} mutants, {result['tried']} tried, {len(survivors)} lived")
    return result


@contextmanager
def copy_of_the_project() -> Iterator[tuple[Path, Path]]:
    """A copy to change, and a directory for what tests leave."""
    base = Path(tempfile.mkdtemp(prefix="ocihooks-mutation-", dir="/var/tmp"))
    base.chmod(0o755)
    copy, temporary = base / "copy", base / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)
    shutil.copytree(PROJECT, copy, ignore=NOT_COPIED, symlinks=True)
    # Compiled code that is known by the content of its source, so that no mutant is taken for another one.
    compile_all = [PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compile_all, "src", "tests/unit", "tests/conftest.py"], cwd=copy, check=True)
    try:
        yield copy, temporary
    finally:
        shutil.rmtree(base, ignore_errors=True)


class Tests:
    """The tests of a module, run by a process that stays, as `server.py` tells."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def pass_now(self, line: int = 0) -> bool:
        """Whether all tests pass with the project as it is at this moment; first those that execute *line*."""
        self._write(f"{line}\n")
        answer = self._process.stdout.readline() if self._process.stdout else ""
        if answer in ("", f"{BROKEN}\n"):
            raise SystemExit("tests can't be run")
        return answer == "0\n"

    def _write(self, text: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(text)
            self._process.stdin.flush()


@contextmanager
def tests_of(module: dict[str, Any], copy: Path, temporary: Path) -> Iterator[Tests]:
    """The tests of a module of the *copy*; they leave what they leave in *temporary*."""
    without = [word for name in WITHOUT for word in ("-p", f"no:{name}")]
    without += ["-k", f"not ({module['without']})"] if "without" in module else []
    words = [copy / module["source"], temporary, module.get("timeout_s", 30), *PYTEST, *without, "--", *module["tests"]]
    environ = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    server = [PYTHON, PROJECT / "mutation/server.py"]
    with subprocess.Popen(
        [str(word) for word in (*server, *words)],
        cwd=copy,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Tests(process)
        finally:
            process.kill()


def is_wanted(mutant: MutationSpec, text: str) -> bool:
    """Whether a mutant is a change of what the module does, and a mistake that somebody could make."""
    if any(re.match(pattern, mutant.operator_name) for pattern in UNUSUAL):
        return False
    if "TYPE_CHECKING" in text.splitlines()[mutant.start_pos[0] - 1]:
        return False
    return executed(text) != executed(mutated(mutant, text))


def mutated(mutant: MutationSpec, text: str) -> str:
    """The text of the module with that change."""
    changed: str | None = mutate_code(text, get_operator(mutant.operator_name)(), mutant.occurrence)
    if changed is None:
        raise ValueError(mutant)
    return changed


def executed(text: str) -> str:
    """The code of a module without annotations, which the interpreter does not evaluate."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    return ast.dump(tree)


def change(mutant: MutationSpec, text: str) -> tuple[int, str, str]:
    """The number of the first changed line, and what it was and is."""
    before, after = text.splitlines(), mutated(mutant, text).splitlines()
    number = next(number for number, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
    return number + 1, before[number].strip(), after[number].strip()


def survived(name: str, mutants: Sequence[MutationSpec], text: str, tests: Tests) -> Iterator[tuple[int, str, str]]:
    """The changes that no test noticed."""
    for number, mutant in enumerate(mutants, 1):
        with use_mutation(mutant.module_path, get_operator(mutant.operator_name)(), mutant.occurrence):
            lives = tests.pass_now(mutant.start_pos[0])
        if lives:
            line, was, now = change(mutant, text)
            say(f"{name} {number}/{len(mutants)}: {line}: {was}  ->  {now}")
            yield line, was, now


def say(line: str) -> None:
    """Print at once, since a run takes long."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
