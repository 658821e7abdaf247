"""The interpreter or the package was upgraded or removed under an installed wrapper."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.test_wrapper_failures import break_everything, change_paths, take_package_away
from tests.integration.wrappers import Installations, Simulated, Wrapper, assert_refused, rules_of

import ocihooks
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.wrapper.arguments import OTHER

Break = Callable[[Wrapper, MadeBundle], None]

FOREIGN = bytes(byte ^ 0xFF for byte in importlib.util.MAGIC_NUMBER)
"""The first bytes of code that another interpreter compiled."""


def compile_by_another(wrapper: Wrapper, _: MadeBundle) -> None:
    """The compiled code is of another interpreter."""
    for image in wrapper.images:
        content = image.read_bytes()
        image.write_bytes(FOREIGN + content[len(FOREIGN) :])


def take_images_away(wrapper: Wrapper, _: MadeBundle) -> None:
    """There is no compiled code."""
    for image in wrapper.images:
        image.unlink()


def use_plain_sources(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """The package is there as sources only, as behind an upgrade of the interpreter; so are no images."""
    place = bundle.directory.parent / "package"
    ignored = shutil.ignore_patterns("__pycache__", "ocihooks-launcher")
    shutil.copytree(Path(ocihooks.__file__).parent, place / "ocihooks", ignore=ignored)
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    change_paths(
        wrapper, lambda paths: [str(place), *(path for path in paths if not (Path(path) / "ocihooks").is_dir())]
    )


def damage_bytecode(wrapper: Wrapper, bundle: MadeBundle) -> None:
    """Beside the sources lies code that another interpreter compiled, under the name that ours looks for."""
    use_plain_sources(wrapper, bundle)
    for source in (bundle.directory.parent / "package").rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        compiled.parent.mkdir(exist_ok=True)
        compiled.write_bytes(FOREIGN + bytes(100))


def take_interpreter_away(wrapper: Wrapper) -> Path:
    """The interpreter is gone; returns the path where it was."""
    first, *_ = wrapper.python_script.read_text().partition("\n")
    python = first.removeprefix("#!").removesuffix(" -IS")
    gone = f"{python[:-4]}gone"
    for file in {wrapper.script, wrapper.python_script}:
        content = file.read_bytes()
        assert python.encode() in content
        file.write_bytes(content.replace(python.encode(), gone.encode()))
    return Path(gone)


UPGRADES: dict[str, Break] = {
    "code-of-another-interpreter": compile_by_another,
    "no-compiled-code": take_images_away,
    "sources-only": use_plain_sources,
    "bytecode-of-another-interpreter": damage_bytecode,
}
LOSSES: dict[str, Break] = {"all-files": break_everything, "package": take_package_away}
ALL = UPGRADES | LOSSES


@pytest.mark.parametrize("name", ALL)
def test_other_operations(
    installations: Installations, private_directory: Path, rootfs: Path, form: str, name: str
) -> None:
    """Whatever is broken, missing or of another version: every operation but three reaches the runtime as it is."""
    runtime = installations.directory / "echo-runc"
    runtime.write_text('#!/bin/sh\nprintf "%s;" "$@"\n')
    runtime.chmod(0o755)
    wrapper = installations.wrapper(runtime)
    bundle = make_bundle(private_directory / "b", rootfs=rootfs)
    ALL[name](wrapper, bundle)
    for words in every_other_operation():
        assert said(wrapper, words) == (0, "".join(f"{word};" for word in words), "")


def every_other_operation() -> list[tuple[str, ...]]:
    """A usual call of each operation that reads no config.json."""
    return [("--root", "/r", "--log=/proc/nowhere", operation, "c1", "") for operation in OTHER]


def said(wrapper: Wrapper, words: tuple[str, ...]) -> tuple[int, str, str]:
    """Status and output of a call."""
    call = subprocess.run([wrapper.script, *words], capture_output=True, text=True, check=False, timeout=60)
    return call.returncode, call.stdout, call.stderr


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_creates_after_an_upgrade(simulated: Simulated, upgrade: Break) -> None:
    """Code of another interpreter, or none, costs time: containers get their hooks, without and with kept rules."""
    upgrade(simulated.wrapper, simulated.bundle)
    for name in ("a.json", "b.json"):
        simulated.wrapper.write_rule(name, hook={"path": "/bin/cat"}, when={"commands": ["true|(?i)X"]})
        call = simulated.create()
        assert (call.returncode, call.stderr) == (0, ""), call
        assert simulated.call("delete", "--force", "c1").returncode == 0
    assert rules_of(simulated.bundle) == ["a.json", "b.json"]


def test_interpreter_gone(simulated: Simulated, form: str) -> None:
    """
    Without the interpreter no container is created, and config.json stays.

    The launcher says why, on standard error and in the log, and hands all other operations on; the script can't be
    started at all, which is what the engine then says.
    """
    simulated.wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    before = simulated.bundle.config_path.read_bytes()
    gone = take_interpreter_away(simulated.wrapper)
    log = simulated.directory / "log.json"
    options = ("--log", str(log), "--log-format", "json")
    if form == "launcher":
        assert_refused(simulated.create(*options), str(gone), "it does not exist", "hint: install ocihooks")
        assert str(gone) in json.loads(log.read_text())["msg"]
        assert simulated.fake.calls() == ()
        for words in (words for words in every_other_operation() if words[3] not in ("mounts", "init", "help", "h")):
            simulated.call(*words)
            assert simulated.fake.calls()[-1].argv[1:] == words
    else:
        with pytest.raises(FileNotFoundError):
            simulated.create(*options)
        assert simulated.fake.calls() == ()
    assert simulated.bundle.config_path.read_bytes() == before
    assert os.listdir(simulated.bundle.directory) == ["config.json"]
