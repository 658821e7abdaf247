"""The recorded runs of the wrappers, replayed against our programs of the same name in all forms that they have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.install.install import Request, install

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

EXPECTED = {
    # file: program, cases, of which differ where the record is marked as a defect
    "oci_add_hooks": ("oci-add-hooks", 115, 31),
    "container_hooks_runtime": ("container-hooks-runtime", 158, 30),
    "container_hooks_ctk": ("container-hooks-ctk", 184, 36),
}

Program = Callable[[str], Path]


def in_the_environment(name: str) -> Path:
    """The program as pip puts it into the environment's bin."""
    return Path(sys.executable).with_name(name)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    """The forms of the programs, by name: installed ones are a launcher, where it was built, or a script."""

    def installed(name: str, launcher: bool | None) -> Path:
        prefix = str(tmp_path_factory.mktemp("installed"))
        cache = f"{prefix}/cache" if name == "container-hooks-runtime" else None
        request = Request(prefix=prefix, program=name, name=name, cache_dir=cache, launcher=launcher)
        return Path(install(request).script)

    def archive(name: str) -> Path:
        directory = tmp_path_factory.mktemp("archives")
        subprocess.run([sys.executable, str(PROJECT / "tools/programs.py"), str(directory), name], check=True)
        return directory / name

    return {
        "archive": archive,
        "environment": in_the_environment,
        "installed": lambda name: installed(name, None),
        "script": lambda name: installed(name, False),
    }


SLOW = {
    ("container_hooks_ctk", "environment"),
    ("container_hooks_ctk", "installed"),
    ("container_hooks_runtime", "archive"),
    ("container_hooks_runtime", "environment"),
    ("oci_add_hooks", "installed"),
}
FORMS = [
    pytest.param(
        name, form, id=f"{name}-{form}", marks=[pytest.mark.slow] if (name, form) in SLOW or form == "script" else []
    )
    for name, forms in {
        "oci_add_hooks": ("environment", "installed", "script"),
        "container_hooks_runtime": ("archive", "environment", "installed", "script"),
        "container_hooks_ctk": ("archive", "environment", "installed"),
    }.items()
    for form in forms
]
"""The recorded files with the forms of the program that each is replayed in."""


WITH_OWN_STATE = (
    *("unshare", "--mount", "--propagation", "private"),
    *("sh", "-c", 'mount -t tmpfs -o mode=755 tmpfs /var/lib && exec "$@"', "sh"),
)
"""Runs a command with an empty /var/lib, where undo records of the machine would be."""


def replay(recorded: Path, program: Path, *before: str) -> list[str]:
    """The lines that the harness prints, run by the command *before*."""
    command = [*before, sys.executable, str(HERE / "wrappers_harness.py"), str(recorded), "--", str(program)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stderr == ""
    return finished.stdout.splitlines()


@pytest.mark.early
@pytest.mark.skipif(os.geteuid() != 0, reason="the cases need root")
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_recorded_runs(name: str, form: str, forms: dict[str, Program]) -> None:
    """Every recorded run agrees, but for those whose record is a defect."""
    program, count, differing = EXPECTED[name]
    before = WITH_OWN_STATE if name == "container_hooks_ctk" else ()
    lines = replay(HERE / f"{name}.jsonl", forms[form](program), *before)
    assert [line for line in lines if line.startswith(("FAIL", "SKIP"))] == []
    assert lines[-1] == f"{count} cases, 0 failed, {differing} differ on purpose, 0 skipped"


RUNS_THE_IMAGE = ("ldconfig-environment", "ldconfig-fails", "ldconfig-in-usr-sbin")
"""Cases of the injector in which the image's own ldconfig runs as root, which ours never does."""


@pytest.mark.early
@pytest.mark.skipif(os.geteuid() != 0, reason="the cases need root")
@pytest.mark.parametrize("form", ["installed", pytest.param("environment", marks=pytest.mark.slow)])
def test_recorded_injections(form: str, forms: dict[str, Program]) -> None:
    """Every recorded injection agrees, but for defects and for what an image's own program did."""
    lines = replay(HERE / "oci_injector_hook.jsonl", forms[form]("oci-injector-hook"))
    failed = [line.removeprefix("FAIL oci_injector_hook/libraries/") for line in lines if line.startswith("FAIL")]
    assert failed == list(RUNS_THE_IMAGE)
    assert lines[-1] == "121 cases, 3 failed, 34 differ on purpose, 0 skipped"


def test_harness_notices_disagreement(tmp_path: Path) -> None:
    """A run that was to end otherwise is counted as failed."""
    case = next(
        json.loads(line) for line in (HERE / "oci_add_hooks.jsonl").read_text().splitlines() if "one-pass" in line
    )
    case["expect"]["exit"] = 42
    (tmp_path / "wrong.jsonl").write_text(json.dumps(case))
    lines = replay(tmp_path / "wrong.jsonl", in_the_environment("oci-add-hooks"))
    assert f"FAIL {case['id']}" in lines
