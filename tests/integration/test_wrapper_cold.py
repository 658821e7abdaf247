"""A create that reads rules anew: what it imports and opens, and what becomes of it when its image is damaged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.modifying import write_modifier
from tests.integration.wrappers import ALWAYS, Wrapper, install_wrapper, rules_of

from ocihooks.install.image import EVERY_CALL, EVERY_CREATE, REFRESH, REFRESHING
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.fake import Answer, write_fake_runtime

BUILTIN = {"_json", "_re2", "_signal", "gc", "itertools", "posix", "time"}
"""Modules of the interpreter, or of RE2, that are written in C."""

IMAGES = {*EVERY_CALL, *EVERY_CREATE, *REFRESHING}

LIST_MODULES = """
import sys, posix
before = set(sys.modules)
def report(*_):
    print(*sorted(set(sys.modules) - before), flush=True)
    posix._exit(0)
posix.execv = report
sys.argv = sys.argv[1:]
with open(sys.argv[0]) as stream:
    exec(compile(stream.read(), sys.argv[0], "exec"), {"__name__": "__main__"})
"""

HOOK = {"path": "/bin/true"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Wrapper:
    """A wrapper in Python."""
    place = tmp_path_factory.mktemp("cold")
    return install_wrapper(
        place / "w", write_fake_runtime(place / "runc", answers={"*": Answer()}).path, launcher=False
    )


@pytest.fixture
def wrapper(installed: Wrapper) -> Wrapper:
    """That wrapper with three rules that are too young to be kept, and no settings."""
    for directory in installed.hooks_dirs:
        for file in directory.iterdir():
            file.unlink()
    installed.settings.unlink(missing_ok=True)
    installed.write_rule("always.json", hook=HOOK)
    installed.write_rule("key.json", hook=HOOK, when={"annotations": {r"^com\.example\.a$": "^yes$"}})
    installed.write_file("old.json", json.dumps({"hook": "/bin/true", "stage": ["poststop"], "annotation": ["^yes$"]}))
    return installed


@pytest.fixture
def bundle(tmp_path: Path, rootfs: Path) -> MadeBundle:
    """The bundle of a container that all rules match."""
    return make_bundle(tmp_path / "bundle", rootfs=rootfs, annotations={"com.example.a": "yes"})


def imported(wrapper: Wrapper, bundle: MadeBundle) -> set[str]:
    """The modules that a create imports until it becomes the runtime."""
    python = wrapper.python_script.read_text().partition(" ")[0][2:]
    command = [python, "-IS", "-c", LIST_MODULES, str(wrapper.python_script)]
    words = ["create", "--bundle", str(bundle.directory), "c1"]
    return set(subprocess.run([*command, *words], capture_output=True, text=True, check=True).stdout.split())


def create(wrapper: Wrapper, bundle: MadeBundle) -> subprocess.CompletedProcess[str]:
    """Create a container as an engine does."""
    words = ["create", "--bundle", str(bundle.directory), "c1"]
    return subprocess.run([wrapper.script, *words], capture_output=True, text=True, check=False)


def given(bundle: MadeBundle) -> list[str | None]:
    """The rules whose hooks the container got."""
    return [*rules_of(bundle, "createRuntime"), *rules_of(bundle, "poststop")]


ALL: list[str | None] = ["always.json", "key.json", "old.json"]


def test_modules(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """Rules are read, compiled and matched with nothing of the standard library but what is written in C."""
    assert imported(wrapper, bundle) - BUILTIN - IMAGES == set()
    assert given(bundle) == ALL


def test_modules_for_re2(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """RE2 is loaded where a pattern needs it, and alone."""
    assert "_re2" not in imported(wrapper, bundle)
    wrapper.write_rule("pattern.json", hook=HOOK, when={"commands": ["^(/bin/sh|/bin/bash)$"]})
    assert imported(wrapper, bundle) - BUILTIN - IMAGES == set()
    assert "_re2" in imported(wrapper, bundle)


def test_modules_for_settings(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """Settings need what reads TOML, and nothing of what makes dataclasses, guesses or parses JSON."""
    wrapper.write_settings(hooks_dirs=["/nonexistent"], position="prepend")
    loaded = imported(wrapper, bundle)
    assert "tomllib" in loaded
    assert loaded.isdisjoint({"dataclasses", "difflib", "inspect", "json"})
    assert given(bundle) == ALL


def test_finding(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """A broken rule is told of with place and remedy, and a guess, as by the package."""
    wrapper.write_rule("x.json", hook=HOOK, stages=["createruntime"])
    done = create(wrapper, bundle)
    assert done.returncode == 1
    assert 'x.json: /stages/0: unknown stage "createruntime"' in done.stderr
    assert 'did you mean "createRuntime"?' in done.stderr
    assert "hooks" not in bundle.config()
    (wrapper.hooks_dirs[0] / "x.json").write_text("{\n  oops")
    assert "x.json: line 2 column 3: not JSON" in create(wrapper, bundle).stderr


MODIFIER = """
from dataclasses import asdict, replace
from ocihooks import Hook
def change(c):
    hook = replace(Hook(path="/bin/true"), timeout=3)
    c.add_hook("createRuntime", replace(hook, args=tuple(asdict(hook))))
"""


def test_dataclasses_of_others(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """Filters and modifiers get the classes that the documentation tells of, though rules were read without them."""
    wrapper.write_rule("filter.json", hook={"path": "/bin/cat"}, stages=["precreate"])
    wrapper.write_settings(modifiers=[write_modifier(wrapper, MODIFIER, "change")], default_timeout=20)
    assert create(wrapper, bundle).stderr == ""
    added = bundle.config()["hooks"]["createRuntime"][-1]
    assert (added["timeout"], added["args"]) == (3, ["path", "args", "env", "timeout", "extra"])


@pytest.mark.skipif(not shutil.which("strace"), reason="strace counts the system calls")
def test_system_calls(wrapper: Wrapper, bundle: MadeBundle, tmp_path: Path) -> None:
    """Each rule file is opened once, below its directory; besides the images only one file of the package is."""
    log = tmp_path / "strace"
    calls = "execve,openat,open,read,fstat,newfstatat,close"
    words = ["create", "--bundle", str(bundle.directory), "c1"]
    subprocess.run(["strace", "-o", str(log), "-e", f"trace={calls}", str(wrapper.script), *words], check=True)
    text = log.read_text().partition(f'execve("{wrapper.runtime}"')[0]
    for name in ALL:
        (opened,) = re.findall(rf'.*"{name}".*', text)
        assert "O_NOFOLLOW" in opened
        assert not re.search(rf"open\w*\([^)]*hooks\.d/{name}", text)
    first, last = (text.index(f'"{name}"') for name in (ALL[0], ALL[-1]))
    between = text[first:last].splitlines()
    assert len(between) == 4 * 2 + 1, "open, fstat, read and close"
    files = re.findall(r'open\w*\([^"]*"([^"]*/ocihooks/[^"]*\.pyc?)"', text)
    assert [file for file in files if not file.endswith("version.py")] == []


def damaged(data: bytes, damage: str) -> bytes:
    """The image *data* as it is after *damage*."""
    kind, _, tenths = damage.partition("-")
    kept = data[: len(data) * int(tenths or 10) // 10]
    made = {"cut": kept[: len(data) - 1], "zeros": kept.ljust(len(data), b"\0"), "foreign": b"\0\0\r\n" + data[4:]}
    return made[kind]


DAMAGES = ["cut", *(f"cut-{part}" for part in range(10)), "zeros-1", "zeros-4", "zeros-8", "foreign"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged(damage: str, wrapper: Wrapper, bundle: MadeBundle) -> None:
    """Whatever is wrong with the image, the package is imported, and the container gets the same hooks."""
    (file,) = (image for image in wrapper.images if image.suffix == REFRESH)
    data = file.read_bytes()
    try:
        file.write_bytes(damaged(data, damage))
        loaded = imported(wrapper, bundle)
    finally:
        file.write_bytes(data)
    assert "dataclasses" in loaded
    assert given(bundle) == ALL


@pytest.mark.parametrize("ending", [".create", REFRESH])
def test_missing(ending: str, wrapper: Wrapper, bundle: MadeBundle) -> None:
    """So it is without it, and without the one before it, so that image and package are not mixed."""
    (file,) = (image for image in wrapper.images if image.suffix == ending)
    data = file.read_bytes()
    try:
        file.unlink()
        loaded = imported(wrapper, bundle)
    finally:
        file.write_bytes(data)
    assert "dataclasses" in loaded
    assert given(bundle) == ALL


def test_edited(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """A rule that changes, comes or goes is seen by the next create, as are links and masks."""
    create(wrapper, bundle)
    assert given(bundle) == ALL
    wrapper.write_rule("key.json", hook=HOOK, when={"annotations": {"^com.example.a$": "^no$"}})
    wrapper.write_file("old.json", "", directory=1)
    outside = wrapper.directory / "linked.json"
    outside.write_text(wrapper.write_rule("z.json", hook=HOOK, when=ALWAYS).read_text())
    (wrapper.hooks_dirs[0] / "link.json").symlink_to(outside)
    create(wrapper, bundle)
    assert given(bundle) == ["always.json", "link.json", "z.json"]
