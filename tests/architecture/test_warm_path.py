"""What the wrapper imports and touches while its compiled rules are fresh: counts that no noisy machine can move."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ocihooks.install.image import EVERY_CALL, EVERY_CREATE
from ocihooks.install.install import Request, install
from ocihooks.install.record import Record
from ocihooks.testing.fake import Answer, write_fake_runtime

BUILTIN = {"_imp", "_json", "_signal", "_thread", "_warnings", "_weakref", "_io", "marshal", "posix", "sys", "time"}
"""Modules of the interpreter that the warm path may use besides those that every start loads; all are written in C."""

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
    place = tmp_path_factory.mktemp("warm")
    (place / "hooks.d").mkdir()
    (place / "hooks.d/10-hook.json").write_text(json.dumps(RULE))
    runtime = write_fake_runtime(place / "runtime", answers={"*": Answer()}).path
    record = install(
        Request(
            prefix=str(place / "prefix"),
            runtime=str(runtime),
            hooks_dirs=(str(place / "hooks.d"),),
            settings=str(place / "config.toml"),
            cache_dir=str(place / "cache"),
            launcher=False,
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
    assert imported(installed, "delete", "c1") - BUILTIN == set(EVERY_CALL)


def test_modules_of_a_create(installed: Record) -> None:
    """For a create with a match nothing is loaded but what the two images list: no os, no re, no json, no library."""
    made = bundle(place_of(installed))
    assert imported(installed, "create", "--bundle", str(made), "c1") - BUILTIN == {*EVERY_CALL, *EVERY_CREATE}
    assert "OCIHOOKS_RULE" in (made / "config.json").read_text()


@pytest.mark.skipif(not shutil.which("strace"), reason="strace counts the system calls")
def test_system_calls_on_our_files(installed: Record) -> None:
    """A create with a match opens five files of ours, and looks once at each source of the rules."""
    place = place_of(installed)
    made = bundle(place)
    log = place / "strace"
    command = ["strace", "-o", str(log), "-e", "trace=file,rename,renameat,fsync,flock", installed.script]
    subprocess.run([*command, "create", "--bundle", str(made), "c1"], check=True)
    text = log.read_text().partition(f'execve("{installed.runtime}"')[0]
    opened = re.findall(rf'open(?:at)?\([^"]*"({re.escape(str(place))}[^"]*)", (\S+)', text)
    files = [
        os.path.relpath(path, place) for path, flags in opened if "O_DIRECTORY" not in flags and "O_PATH" not in flags
    ]
    assert sorted(set(files)) == [
        "bundle/config.json",
        "prefix/bin/ocihooks-runtime",
        "prefix/lib/ocihooks/ocihooks-runtime.call",
        "prefix/lib/ocihooks/ocihooks-runtime.create",
        "prefix/lib/ocihooks/ocihooks-runtime.start",
    ]
    assert "fsync" not in text
    assert "flock" not in text
    looks = [path for path in re.findall(r'"(/[^"]*)"', text) if path == str(place / "hooks.d/10-hook.json")]
    assert len(looks) == 1
