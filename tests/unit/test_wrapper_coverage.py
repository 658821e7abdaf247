"""Every branch of the wrapper is taken by its tests, also in the processes that become the runtime."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

import ocihooks

PROJECT = Path(__file__).parents[2]
TESTS = sorted(str(path) for path in (PROJECT / "tests/unit").glob("test_wrapper_*.py") if path != Path(__file__))
LEFT_OUT = (
    *("TestWarmPath", "warm_path_imports_nothing", "closed_standard_descriptors"),
    *("test_any_line", "never_lose_the_bundle", "test_too_many"),
)
"""Tests that see what is imported for measuring, and such as take long for no branch of their own."""

MEASURES = """

import posix
import sys

sys.path.append({site!r})
import coverage

if coverage.Coverage.current() is None:
    import atexit

    measuring = coverage.Coverage(config_file={settings!r}, data_suffix=True, messages=False)
    measuring.start()
    replaced = posix.execv, posix._exit

    def execv(*arguments: object) -> None:
        measuring.save()
        replaced[0](*arguments)

    def end(status: int) -> None:
        measuring.save()
        replaced[1](status)

    def at_end() -> None:
        try:
            measuring.save()
        except Exception:
            pass  # some tests leave no room for files

    posix.execv, posix._exit = execv, end
    atexit.register(at_end)
"""
"""
Behind the package's own beginning: measures each process that imports it.

The wrapper's interpreter imports nothing that the environment asks for, and its process ends with an exec.
"""


@pytest.mark.slow
def test_every_branch_of_the_wrapper(public_directory: Path) -> None:
    """The tests of the wrapper take every branch of it."""
    place = public_directory / "coverage-wrapper"
    place.mkdir()
    place.chmod(0o755)
    data = place / "data"
    data.mkdir()
    data.chmod(0o777)  # some of the measured processes are another user's
    package = place / "site/ocihooks"
    shutil.copytree(Path(ocihooks.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    settings = place / "settings.ini"
    settings.write_text(
        f"[run]\nbranch = True\nparallel = True\ninclude = */ocihooks/wrapper/*.py\ndata_file = {data}/data\n"
        f"[paths]\nwrapper =\n    {package}/wrapper\n    */site/ocihooks/wrapper\n    */package/ocihooks/wrapper\n"
        "[report]\nexclude_also =\n    if TYPE_CHECKING:\n"
    )
    site = str(Path(coverage.__file__).parents[1])
    with (package / "__init__.py").open("a") as stream:
        stream.write(MEASURES.format(site=site, settings=str(settings)))
    environ = os.environ | {"PYTHONPATH": str(package.parent)}
    measure = [sys.executable, "-m", "coverage"]
    tests = ["-m", "pytest", "-q", "-n", "0", "-m", "not slow", "-k", f"not ({' or '.join(LEFT_OUT)})", *TESTS]
    done = subprocess.run(
        [*measure, "run", f"--rcfile={settings}", *tests],
        cwd=PROJECT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    subprocess.run([*measure, "combine", "-q", f"--rcfile={settings}"], cwd=place, check=True)
    report = [*measure, "report", "-m", f"--rcfile={settings}", "--fail-under=100"]
    told = subprocess.run(report, cwd=place, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
