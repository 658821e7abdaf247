"""What the wrapper imports and touches while its compiled rules are fresh: counts that no noisy machine can move."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install.image import ASLEEP, EVERY_CALL, EVERY_CREATE, EXTENSIONS
from ocihooks.install.install import Request, install
from ocihooks.install.launcher import is_built
from ocihooks.install.record import Record
from ocihooks.testing.fake import Answer, write_fake_runtime

BUILTIN = {
    "_imp",
    "_json",
    "_signal",
    "_thread",
    "_warnings",
    "_weakref",
    "_io",
    "gc",
    "marshal",
    "posix",
    "sys",
    "time",
}
"""Modules of the interpreter that the warm path may use besides those that every start loads; all are written in C."""

NOT_NEEDED = {*ASLEEP, *EXTENSIONS}
"""What the images offer without loading it."""

RULE = {
    "version": "1.0.0",
    "hook": {"path": "/bin/true"},
    "when": {"annotations": {r"^com\.example\.hook$": "^yes$"}},
    "stages": ["createRuntime"],
}

LIST_MODULES = """
import sys, runpy, posix
before = set(sys.modules)
def report(*_):
    print(*sorted(set(sys.modules) - before), sep="\\n", flush=True)
    posix._exit(0)
posix.execv = report
sys.argv = sys.argv[1:]
with open(sys.argv[0]) as stream:
    exec(compile(stream.read(), sys.argv[0], "exec"), {"__name__": "__main__"})
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A wrapper without launcher, its rules compiled."""
    return installed_in(tmp_path_factory.mktemp("warm"), launcher=False)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[OCIHooksError], NoReturn]) -> Record:
    """A wrapper with the launcher in front, its rules compiled."""
    if not is_built():
        unavailable(UnavailableError("the package was built without the launcher", hint="apt-get install gcc"))
    return installed_in(tmp_path_factory.mktemp("launched"), launcher=True)


def installed_in(place: Path, *, launcher: bool) -> Record:
    """A wrapper whose rules are compiled."""
    (place / "hooks.d").mkdir()
    (place / "hooks.d/10-hook.json").write_text(json.dumps(RULE))
    runtime = write_fake_runtime(place / "runc", answers={"*": Answer()}).path
    record = install(
        Request(
            prefix=str(place / "prefix"),
            runtime=str(runtime),
            hooks_dirs=(str(place / "hooks.d"),),
            settings=str(place / "config.toml"),
            cache_dir=str(place / "cache"),
            launcher=launcher,
        )
    )
    time.sleep(2.1)  # rules are kept once nobody has touched them for two seconds
    subprocess.run([record.script, "create", "--bundle", bundle(place), "c1"], check=True)
    assert list((place / "cache").glob("*.rules"))
    return record


def bundle(place: Path) -> Path:
    """A bundle whose container the rule matches."""
    made = place / "bundle"
    made.mkdir(exist_ok=True)
    config = {"ociVersion": "1.0.2", "process": {"args": ["true"]}, "annotations": {"com.example.hook": "yes"}}
    (made / "config.json").write_text(json.dumps(config))
    return made


def place_of(record: Record) -> Path:
    """The directory of the installation."""
    return Path(record.script).parents[2]


def imported(record: Record, *words: str) -> set[str]:
    """The modules that a call of the wrapper imports until it becomes the runtime."""
    command = [record.python, "-IS", "-c", LIST_MODULES, record.script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_modules_of_other_operations(installed: Record) -> None:
    """For kill, delete, state, … nothing is loaded but what the first image lists."""
    assert imported(installed, "delete", "c1") - BUILTIN == set(EVERY_CALL) - NOT_NEEDED


def test_modules_of_a_create(installed: Record) -> None:
    """For a create with a match nothing is loaded but what the two images list: no os, no re, no json, no library."""
    made = bundle(place_of(installed))
    expected = {*EVERY_CALL, *EVERY_CREATE} - NOT_NEEDED
    assert imported(installed, "create", "--bundle", str(made), "c1") - BUILTIN == expected
    assert "OCIHOOKS_RULE" in (made / "config.json").read_text()


class Calls:
    """
    The system calls on files of ours until the runtime starts.

    Attributes:
        opened: The files that were opened, by their path below the installation's directory, without repetition.
        text: All of the trace.
    """

    def __init__(self, record: Record, *words: str) -> None:
        place = place_of(record)
        log = place / "strace"
        command = ["strace", "-o", str(log), "-e", "trace=file,rename,renameat,fsync,flock", record.script, *words]
        subprocess.run(command, check=True)
        self._place = place
        self.text = log.read_text().partition(f'execve("{record.runtime}"')[0]
        found = re.findall(rf'open(?:at)?\([^"]*"({re.escape(str(place))}[^"]*)", (\S+)', self.text)
        files = {path for path, flags in found if "O_DIRECTORY" not in flags and "O_PATH" not in flags}
        self.opened = sorted(re.sub("[0-9a-f]{16}", "X", os.path.relpath(path, place)) for path in files)

    def looks(self, name: str) -> int:
        """How often the file *name* was looked at."""
        return re.findall(r'"(/[^"]*)"', self.text).count(str(self._place / name))


PYTHONS_FILES = [
    "prefix/lib/ocihooks/ocihooks-runtime.call",
    "prefix/lib/ocihooks/ocihooks-runtime.create",
    "prefix/lib/ocihooks/ocihooks-runtime.start",
]
"""What the interpreter reads of ours, besides its script."""

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace counts the system calls")


@needs_strace
def test_system_calls_on_our_files(installed: Record) -> None:
    """A create with a match opens five files of ours, and looks once at each source of the rules."""
    calls = Calls(installed, "create", "--bundle", str(bundle(place_of(installed))), "c1")
    assert calls.opened == ["bundle/config.json", "prefix/bin/ocihooks-runtime", *PYTHONS_FILES]
    assert "fsync" not in calls.text
    assert "flock" not in calls.text
    assert calls.looks("hooks.d/10-hook.json") == 1


@needs_strace
def test_system_calls_of_the_launcher(launched: Record) -> None:
    """With the launcher a source is still looked at once, and a create that matches nothing opens two files of ours."""
    made = bundle(place_of(launched))
    calls = Calls(launched, "create", "--bundle", str(made), "c1")
    data = "cache/X.rules.skip"
    assert calls.opened == sorted(["bundle/config.json", data, *PYTHONS_FILES])
    assert calls.looks("hooks.d/10-hook.json") == 1
    (made / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "process": {"args": ["true"]}}))
    calls = Calls(launched, "create", "--bundle", str(made), "c1")
    assert calls.opened == ["bundle/config.json", data]
    assert calls.looks("hooks.d/10-hook.json") == 1


@needs_strace
def test_system_calls_of_other_operations(launched: Record, installed: Record) -> None:
    """Any other operation opens no file of ours but those of the program itself."""
    assert Calls(launched, "state", "c1").opened == []
    start, call = PYTHONS_FILES[2], PYTHONS_FILES[0]
    assert Calls(installed, "state", "c1").opened == ["prefix/bin/ocihooks-runtime", call, start]
