"""
Compiled rules in whatever state: foreign, damaged, untrusted, out of date, or of the future cost time, nothing else.

What is kept here differs from the rule files on purpose, so that the hooks tell where they come from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.integration.conftest import FORMS, LAUNCHER
from tests.integration.wrappers import Wrapper, assert_refused, entries_of, give_away, install_wrapper, litter
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds

from ocihooks.compiled.load import MAGIC
from ocihooks.compiled.ruleset import RuleSet
from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.install import launcher
from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.wrapper import refresh
from ocihooks.wrapper.cache import Cache
from ocihooks.wrapper.installation import Installation

builds = launcher_programs.builds

FILE, KEPT, SKIPPED = "from the file", "from what is kept", "skipped"
"""Where the hooks of a container come from, if it gets any."""


def write_rule(wrapper: Wrapper, word: str = FILE) -> Path:
    """The one rule, whose hook says *word*."""
    return wrapper.write_rule("a.json", hook={"path": "/bin/cat", "args": ["cat", word]}, when={"commands": ["^true$"]})


@dataclass(frozen=True, kw_only=True)
class Scene:
    """
    A wrapper in front of a runtime that does nothing, with kept rules that differ from those in the files.

    Attributes:
        rules: The file of the kept rules.
        skip: The launcher's data.
        kept: The bytes of both.
        skipping: The launcher's data that would let it skip every container.
        foreign: Kept rules of another installation.
    """

    wrapper: Wrapper
    bundle: MadeBundle
    config: bytes
    rules: Path
    skip: Path
    kept: dict[Path, bytes]
    skipping: bytes
    foreign: bytes

    def reset(self) -> None:
        """Make everything as good as new."""
        cache = self.rules.parent
        if cache.is_dir() and not cache.is_symlink():
            shutil.rmtree(cache)
        cache.unlink(missing_ok=True)
        cache.mkdir(mode=0o700)
        for file, content in self.kept.items():
            file.write_bytes(content)
            file.chmod(0o600)

    def create(self, script: Path | None = None, **options: Any) -> str:
        """Create a container, which has to work; returns where its hooks come from."""
        self.bundle.write_config(self.config)
        command = [str(script or self.wrapper.script), "create", "--bundle", str(self.bundle.directory), "c1"]
        call = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)
        assert (call.returncode, call.stdout, call.stderr) == (0, "started\n", ""), call
        assert litter(self.bundle) == []
        entries = entries_of(self.bundle, "createRuntime")
        return str(entries[0]["args"][1]) if entries else SKIPPED


@pytest.fixture(scope="module", params=FORMS)
def made(
    request: pytest.FixtureRequest,
    public_directory: Path,
    rootfs: Path,
    unavailable: Callable[[OCIHooksError], NoReturn],
) -> Scene:
    """The scene, with rules that are old enough to be kept."""
    if request.param == LAUNCHER and not launcher.is_built():
        unavailable(UnavailableError("the package was built without the launcher", hint="apt-get install gcc"))
    directory = public_directory / f"cache-{request.param}"
    directory.mkdir(mode=0o755)
    runtime = directory / "nothing-runc"
    runtime.write_text("#!/bin/sh\necho started\n")
    runtime.chmod(0o755)
    wrapper = install_wrapper(directory / "w", runtime, launcher=request.param == LAUNCHER)
    write_rule(wrapper)
    time.sleep(2.1)
    cache, foreign = cache_of(wrapper, wrapper.hooks_dirs), cache_of(wrapper, wrapper.hooks_dirs[:1])
    rules, skip = Path(cache.file), Path(cache.skip_file)
    keep(cache)
    kept = {rules: rules.read_bytes(), skip: skip.read_bytes()}
    keep(cache, texts=("nowhere to be found",))
    skipping = skip.read_bytes()
    keep(foreign)
    bundle = make_bundle(directory / "b", rootfs=rootfs)
    return Scene(
        wrapper=wrapper,
        bundle=bundle,
        config=bundle.config_path.read_bytes(),
        rules=rules,
        skip=skip,
        kept=kept,
        skipping=skipping,
        foreign=Path(foreign.file).read_bytes(),
    )


def cache_of(wrapper: Wrapper, hooks_dirs: Sequence[Path]) -> Cache:
    """Where the rules of *wrapper* are kept, if these were its hooks directories."""
    installation = Installation(
        name="",
        script="",
        runtime="",
        settings=str(wrapper.settings),
        hooks_dirs=tuple(map(str, hooks_dirs)),
        cache_dir=str(wrapper.directory / "cache"),
    )
    return Cache(installation, {})


def exchanged(value: Any) -> Any:
    """*value*, a tuple of tuples, with the other word in the hooks."""
    if isinstance(value, tuple):
        return tuple(map(exchanged, value))
    return KEPT if value == FILE else value


def keep(cache: Cache, texts: tuple[str, ...] | None = None) -> None:
    """Compile the rules and keep them, changed so that one can tell; *texts*: what the launcher shall look for."""
    real = refresh.read_rules

    def changed(settings: Any) -> RuleSet:
        rules = real(settings)
        rules.rules = exchanged(rules.rules)
        return rules

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh, "read_rules", changed)
        if texts is not None:
            patch.setattr(refresh, "texts_of", lambda _: texts)
        refresh.refresh(cache)


@pytest.fixture
def scene(made: Scene) -> Scene:
    """The scene as good as new."""
    made.reset()
    return made


def test_control(scene: Scene) -> None:
    """Kept rules that are whole are used, and the launcher skips by its data: so the tests below can fail."""
    assert scene.create() == KEPT
    scene.skip.write_bytes(scene.skipping)
    assert scene.create() == (SKIPPED if scene.wrapper.launched else KEPT)


def test_permissions_that_change_later(scene: Scene) -> None:
    """Rules are kept, and then a directory above them is opened to everybody: no container until it is closed."""
    assert scene.create() == KEPT
    scene.wrapper.directory.chmod(0o757)
    try:
        scene.bundle.write_config(scene.config)
        command = [str(scene.wrapper.script), "create", "--bundle", str(scene.bundle.directory), "c1"]
        call = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    finally:
        scene.wrapper.directory.chmod(0o755)
    assert_refused(call, "everybody may write", "hint: chmod o-w")
    assert scene.create() == KEPT


Damage = Callable[[Path, bytes], object]


def flipped(at: float) -> Damage:
    """Turns one bit at that part of a file."""

    def act(file: Path, content: bytes) -> None:
        data = bytearray(content)
        data[min(int(len(data) * at), len(data) - 1)] ^= 1
        file.write_bytes(data)

    return act


def in_place(make: Callable[[Path], object]) -> Damage:
    """Puts something else in the place of a file."""

    def act(file: Path, _: bytes) -> None:
        file.unlink()
        make(file)

    return act


DAMAGES: dict[str, Damage] = {
    "missing": in_place(lambda _: None),
    "empty": lambda file, _: file.write_bytes(b""),
    "half": lambda file, content: file.write_bytes(content[: len(content) // 2]),
    "all-but-one-byte": lambda file, content: file.write_bytes(content[:-1]),
    "one-byte-more": lambda file, content: file.write_bytes(content + b"\0"),
    "zeros": lambda file, content: file.write_bytes(bytes(len(content))),
    "text": lambda file, _: file.write_text("<!DOCTYPE html>\n"),
    **{f"bit-at-{part}": flipped(part) for part in (0, 0.05, 0.1, 0.3, 0.6, 0.9, 1)},
    "everybody-may-write": lambda file, _: file.chmod(0o666),
    "of-somebody-else": lambda file, _: give_away(file),
    "directory": in_place(Path.mkdir),
    "fifo": in_place(os.mkfifo),
    "device": in_place(lambda file: file.symlink_to("/dev/zero")),
    "loop": in_place(lambda file: file.symlink_to(file)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_rules(scene: Scene, damage: Damage) -> None:
    """Kept rules that are damaged, or that others could have written, are not used, and replaced where possible."""
    scene.skip.unlink()
    damage(scene.rules, scene.kept[scene.rules])
    assert [scene.create(), scene.create()] == [FILE, FILE]
    if not scene.rules.is_dir():
        assert scene.rules.read_bytes().startswith(MAGIC)
        assert scene.rules.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_rules_with_the_launchers_word(scene: Scene, damage: Damage) -> None:
    """When the launcher has looked at the sources, a part that is not needed then may be damaged, and no other."""
    damage(scene.rules, scene.kept[scene.rules])
    assert scene.create() in ((FILE, KEPT) if scene.wrapper.launched else (FILE,))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_data_of_the_launcher(scene: Scene, damage: Damage) -> None:
    """Data of the launcher that is damaged, or that others could have written, makes it skip nothing."""
    scene.skip.write_bytes(scene.skipping)
    damage(scene.skip, scene.skipping)
    assert scene.create() in (FILE, KEPT)


def test_rules_of_another_version(scene: Scene) -> None:
    """Rules that another version or another interpreter kept are not used."""
    content = scene.kept[scene.rules]
    tag = sys.implementation.cache_tag.encode()
    for other in (content.replace(MAGIC[:10], b"ocihooks 9", 1), content.replace(tag, tag[:-1] + b"x", 1)):
        assert other != content
        scene.reset()
        scene.rules.write_bytes(other)
        assert scene.create() == FILE


def test_rules_of_another_installation(scene: Scene) -> None:
    """Rules that were compiled for other directories are not used."""
    scene.rules.write_bytes(scene.foreign)
    assert scene.create() == FILE


@pytest.mark.parametrize("kind", ["writable", "of-somebody-else", "file", "missing", "dangling-link"])
def test_odd_cache_directory(scene: Scene, kind: str) -> None:
    """A directory that others could write is not trusted, and one that can't be made is done without."""
    cache = scene.rules.parent
    if kind == "writable":
        cache.chmod(0o777)
    elif kind == "of-somebody-else":
        give_away(cache)
    else:
        shutil.rmtree(cache)
        if kind == "file":
            cache.write_text("")
        elif kind == "dangling-link":
            cache.symlink_to("/proc/nowhere")
    assert [scene.create(), scene.create()] == [FILE, FILE]


BACK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec -= 3600;
    return (int)failed;
}
"""


def test_clock_that_goes_back(scene: Scene, builds: Builds, tmp_path: Path) -> None:
    """While the clock is an hour behind, sources lie in the future: nothing that is kept counts, nothing is kept."""
    source, library = tmp_path / "back.c", tmp_path / "back.so"
    source.write_text(BACK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    script = dynamic(scene, builds, tmp_path / "launcher") if scene.wrapper.launched else scene.wrapper.script
    scene.skip.write_bytes(scene.skipping)
    assert scene.create(script) == (SKIPPED if scene.wrapper.launched else KEPT)
    assert scene.create(script, env={"LD_PRELOAD": str(library)}) == FILE
    assert scene.rules.read_bytes() == scene.kept[scene.rules]
    scene.skip.unlink()
    assert scene.create(script) == KEPT


def dynamic(scene: Scene, builds: Builds, file: Path) -> Path:
    """The scene's launcher in a form that can be given another clock."""
    installed, program = scene.wrapper.script.read_bytes(), builds.plain.read_bytes()
    begin, place = installed.index(launcher.MARK), program.index(launcher.MARK)
    settings = installed[begin : begin + launcher.SETTINGS_BYTES]
    file.write_bytes(program[:place] + settings + program[place + len(settings) :])
    file.chmod(0o755)
    return file


@pytest.mark.skipif(not shutil.which("strace"), reason="strace holds the wrapper up")
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_rule_replaced_while_it_is_read(rootfs: Path, private_directory: Path, part: float) -> None:
    """A rule is replaced while the wrapper looks at it: it is seen old or new, and the old one is never kept."""
    runtime = private_directory / "nothing-runc"
    runtime.write_text("#!/bin/sh\n")
    runtime.chmod(0o755)
    wrapper = install_wrapper(private_directory / "w", runtime, launcher=False)
    write_rule(wrapper, "1")
    bundle = make_bundle(private_directory / "b", rootfs=rootfs)
    command = [str(wrapper.script), "create", "--bundle", str(bundle.directory), "c1"]
    config, trace = bundle.config_path.read_bytes(), private_directory / "trace"
    time.sleep(2.1)

    def create(*before: str) -> str:
        bundle.write_config(config)
        subprocess.run([*before, *command], check=True, timeout=60)
        return str(entries_of(bundle, "createRuntime")[0]["args"][1])

    assert create("strace", "-o", str(trace)) == "1"
    lines = [line for line in trace.read_text().splitlines() if "(" in line]
    points = [number for number, line in enumerate(lines) if 'a.json"' in line]
    at = points[round(part * (len(points) - 1))]
    name = lines[at].partition("(")[0]
    number = sum(line.startswith(f"{name}(") for line in lines[: at + 1])
    shutil.rmtree(wrapper.directory / "cache")
    held = ("strace", "-o", "/dev/null", "-e", f"inject={name}:delay_enter=500000:when={number}")
    worker = threading.Timer(0.35, replace_disguised, [wrapper])
    worker.start()
    assert create(*held) in ("1", "2")
    worker.join()
    assert create() == "2"
    time.sleep(2.1)
    assert [create(), create()] == ["2", "2"]


def replace_disguised(wrapper: Wrapper) -> None:
    """Put another rule of the same size and the same time of writing in the place of the rule."""
    times = (wrapper.hooks_dirs[0] / "a.json").stat()
    new = wrapper.write_file("new", (wrapper.hooks_dirs[0] / "a.json").read_text().replace('"1"', '"2"'))
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    new.rename(wrapper.hooks_dirs[0] / "a.json")
