"""The installed script: what reaches the runtime in whatever state we are, and what is refused then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ocihooks
from ocihooks.errors import UntrustedError
from ocihooks.install.image import ASLEEP, ENDINGS, EVERY_CALL, EVERY_CREATE, build_image, build_start
from ocihooks.install.script import START, make_script
from ocihooks.package import package_paths
from ocihooks.testing.bundles import make_bundle
from ocihooks.trust import check_trusted, trust_here
from ocihooks.wrapper import main
from ocihooks.wrapper.installation import Installation

PYTHON = os.path.realpath(sys.executable)
NAME = "ocihooks-runtime"
RULE = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {"always": True}, "stages": ["createRuntime"]}

OTHERS = [
    ["start", "c1"],
    ["state", "c1"],
    ["kill", "c1", "9"],
    ["kill", "--all", "c1", "KILL"],
    ["delete", "--force", "c1"],
    ["exec", "--process", "/tmp/p", "--detach", "c1"],
    ["--root", "/r", "--log", "/none/log.json", "--log-format", "json", "delete", "c1"],
    ["--root=/r", "ps", "--format", "json", "c1"],
    ["update", "--resources", "-", "c1"],
    ["checkpoint", "--help"],
    ["--version"],
    ["features"],
    ["list"],
    [],
    ["state", "create"],
    ["kill", "run", "9"],
    ["delete", "restore"],
    ["exec", "c1", "run"],
    ["state", "odd \n\x1b\xff words é", ""],
]

CHANGING = [
    ["create", "--bundle", "BUNDLE", "c1"],
    ["--root", "/r", "create", "-b", "BUNDLE", "c1"],
    ["--root=/r", "--log-format=json", "run", "--bundle=BUNDLE", "c1"],
    ["-root", "/r", "create", "-bundle", "BUNDLE", "c1"],
    ["restore", "--bundle", "BUNDLE", "c1"],
]


class Place:
    """A script in front of a runtime that notes its words, with settings, rules and a bundle."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hooks = directory / "hooks.d"
        self.etc = directory / "etc"
        self.lib = directory / "lib"
        for path in (self.hooks, self.etc, self.lib):
            path.mkdir(mode=0o755)
        self.script = directory / NAME
        self.image = self.lib / NAME
        self.settings = self.etc / "config.toml"
        self.noted = directory / "noted"
        self.log = directory / "log.json"
        self.runtime = directory / "runc"
        self.runtime.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > {self.noted}\nexit 7\n')
        self.runtime.chmod(0o755)
        self.bundle = make_bundle(directory / "bundle", rootfs=directory / "none")
        self.rule("a.json", json.dumps(RULE))
        self.write()

    def rule(self, name: str, text: str) -> None:
        (self.hooks / name).write_text(text)
        (self.hooks / name).chmod(0o644)

    def write(self, paths: Sequence[str] | None = None, *, images: bool = False, **members: Any) -> None:
        """Write the script, and images if asked for."""
        facts: dict[str, Any] = {
            "name": NAME,
            "script": str(self.script),
            "runtime": str(self.runtime),
            "flavour": "runc",
            "settings": str(self.settings),
            "hooks_dirs": (str(self.hooks),),
            "cache_dir": str(self.directory / "cache"),
        }
        installation = Installation(**(facts | members))
        made = make_script(installation, PYTHON, package_paths() if paths is None else paths, str(self.image))
        self.script.write_text(made.text)
        self.script.chmod(0o755)
        if images:
            self.image.with_suffix(START).write_bytes(build_start(made.body, str(self.script), made.key))
            for ending, modules in ENDINGS.items():
                self.image.with_suffix(ending).write_bytes(build_image(modules, EVERY_CALL))

    def call(self, words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Call the script as an engine does."""
        self.noted.unlink(missing_ok=True)
        shown = [word.replace("BUNDLE", str(self.bundle.directory)) for word in words]
        self.words = [os.fsencode(word) for word in shown]
        settings: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL, "cwd": "/", "env": {}}
        run: subprocess.CompletedProcess[bytes] = subprocess.run(
            [str(self.script), *shown], check=False, timeout=60, **(settings | options)
        )
        return run

    def reached(self, run: subprocess.CompletedProcess[bytes]) -> bool:
        """Whether the runtime got exactly the words, and the caller exactly what the runtime said."""
        if not self.noted.exists():
            return False
        assert (run.returncode, run.stdout, run.stderr) == (7, b"", b"")
        got = self.noted.read_bytes()
        assert got == (b"".join(word + b"\0" for word in self.words) or b"\0")
        return True

    def refused(self, run: subprocess.CompletedProcess[bytes]) -> list[str]:
        """The lines on standard error of a container that was not created."""
        assert not self.noted.exists()
        assert (run.returncode, run.stdout) == (1, b"")
        lines = run.stderr.decode().splitlines()
        assert lines[0].startswith(f"{NAME}: ")
        assert "; container not created" in lines[0]
        assert "Traceback" not in run.stderr.decode()
        return lines


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place in which everything is fine."""
    try:
        for path in (*package_paths(), PYTHON):
            check_trusted(path, trust_here())
    except UntrustedError as error:
        pytest.skip(f"interpreter and package could be written by others here: {error}")
    return Place(tmp_path)


def everything_broken(place: Place) -> None:
    """Broken settings, rules, images and cache, and no package."""
    place.rule("x.json", "{")
    place.settings.write_text("= 1")
    for ending in (START, *ENDINGS):
        place.image.with_suffix(ending).write_bytes(b"\0" * 100)
    empty = place.directory / "empty"
    empty.mkdir()
    place.write([str(empty)])


BROKEN: list[Any] = [
    pytest.param(lambda place: place.settings.write_text("= 1"), "config.toml: line 1", id="settings"),
    pytest.param(lambda place: place.rule("x.json", "{"), "x.json: line 1", id="rule"),
    pytest.param(lambda place: place.hooks.chmod(0o777), "hooks.d: not used", id="untrusted-directory"),
    pytest.param(
        lambda place: place.rule("x.json", json.dumps(RULE | {"hook": {"path": "/n"}})), "x.json", id="program"
    ),
    pytest.param(lambda place: place.bundle.config_path.unlink(), "config.json: can't be read", id="no-config"),
    pytest.param(lambda place: place.bundle.write_config(b"{"), "config.json: line 1", id="config"),
    pytest.param(everything_broken, "the package ocihooks can't be imported", id="everything"),
]


class TestHealthy:
    """Everything in its place."""

    @pytest.mark.parametrize("images", [False, True], ids=["package", "images"])
    def test_words(self, images: bool, place: Place) -> None:
        """The runtime gets the very words of the engine, whatever they are."""
        place.write(images=images)
        for words in OTHERS:
            assert place.reached(place.call(words))
        assert "hooks" not in place.bundle.config()

    @pytest.mark.parametrize("words", CHANGING, ids=lambda words: " ".join(words)[:40])
    def test_hooks(self, words: list[str], place: Place) -> None:
        """So it does when the container gets hooks."""
        assert place.reached(place.call(words))
        assert "hooks" in place.bundle.config()

    @pytest.mark.parametrize("words", [["create", "c1", "c2"], ["create"], ["run", "--help"]], ids=" ".join)
    def test_left_to_the_runtime(self, words: list[str], place: Place) -> None:
        """A line that the runtime refuses or answers itself is left to it."""
        assert place.reached(place.call(words, cwd=place.bundle.directory))
        assert "hooks" not in place.bundle.config()

    def test_doubt(self, place: Place) -> None:
        """A line that may mean two bundles is refused, with the remedy."""
        lines = place.refused(place.call(["create", "--new-option", "--bundle=BUNDLE", "c1"]))
        assert lines[1].startswith("hint: name the bundle with --bundle DIR")

    def test_environment(self, place: Place) -> None:
        """Variables for interpreters mean nothing to the script."""
        evil = place.directory / "evil"
        evil.mkdir()
        for name in ("json.py", "posix.py", "sitecustomize.py", "ocihooks.py"):
            (evil / name).write_text(f"open({str(place.directory / 'planted')!r}, 'w')\n")
        environment = {"PYTHONPATH": str(evil), "PYTHONSTARTUP": f"{evil}/json.py", "PYTHONHOME": str(evil)}
        assert place.reached(place.call(CHANGING[0], env=environment, cwd=evil))
        assert not (place.directory / "planted").exists()


class TestBroken:
    """Something of ours is broken."""

    @pytest.mark.parametrize(("spoil", "place_of_error"), BROKEN)
    def test_other_operations(self, spoil: Callable[[Place], None], place_of_error: str, place: Place) -> None:
        """Every other operation reaches the runtime all the same."""
        spoil(place)
        for words in OTHERS if spoil is everything_broken else OTHERS[:5]:
            assert place.reached(place.call(words))

    @pytest.mark.parametrize("words", CHANGING[1:], ids=lambda words: " ".join(words)[:30])
    def test_spellings(self, words: list[str], place: Place) -> None:
        """Without the package, a line is recognised in every spelling."""
        everything_broken(place)
        assert place.refused(place.call(words))

    @pytest.mark.parametrize(("spoil", "place_of_error"), BROKEN)
    @pytest.mark.parametrize("words", [CHANGING[0], CHANGING[3]], ids=["two-dashes", "one-dash"])
    def test_refused(self, words: list[str], spoil: Callable[[Place], None], place_of_error: str, place: Place) -> None:
        """No container is created: one sentence with place and remedy, on standard error and in the log."""
        spoil(place)
        config = place.bundle.config_path
        before = config.read_bytes() if config.exists() else None
        run = place.call(["--log", str(place.log), "--log-format", "json", *words])
        lines = place.refused(run)
        assert place_of_error in lines[0]
        assert lines[1].startswith("hint: ")
        (entry,) = map(json.loads, place.log.read_text().splitlines())
        assert entry["level"] == "error"
        assert lines[0] in entry["msg"]
        assert (config.read_bytes() if config.exists() else None) == before

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(Path.mkdir, id="directory"),
            pytest.param(os.mkfifo, id="fifo"),
            pytest.param(lambda path: path.symlink_to("/dev/full"), id="link"),
        ],
    )
    @pytest.mark.parametrize("spoil", [everything_broken, lambda place: place.rule("x.json", "{")], ids=["all", "rule"])
    def test_odd_log(self, spoil: Callable[[Place], None], make: Callable[[Path], object], place: Place) -> None:
        """A log that can't be written keeps nobody from saying it on standard error."""
        spoil(place)
        make(place.log)
        assert place.refused(place.call(["--log", str(place.log), *CHANGING[0]]))

    @pytest.mark.parametrize("spoil", [everything_broken, lambda place: place.rule("x.json", "{")], ids=["all", "rule"])
    def test_closed_streams(self, spoil: Callable[[Place], None], place: Place) -> None:
        """Neither do closed streams keep the log from being written."""
        spoil(place)
        bundle = str(place.bundle.directory)
        command = 'exec "$0" --log "$1" --log-format json create --bundle "$2" c1 <&- >&- 2>&-'
        run = subprocess.run(["sh", "-c", command, place.script, place.log, bundle], check=False, cwd="/")
        assert run.returncode == 1
        assert not place.noted.exists()
        assert json.loads(place.log.read_text())["level"] == "error"

    @pytest.mark.parametrize("images", [False, True], ids=["package", "images"])
    def test_runtime_is_gone(self, images: bool, place: Place) -> None:
        """A runtime that is gone is named, and a container that needs it is not prepared."""
        place.write(images=images)
        place.runtime.unlink()
        before = place.bundle.config_path.read_bytes()
        for words in (OTHERS[0], CHANGING[0]):
            run = place.call(words)
            assert (run.returncode, run.stdout) == (1, b"")
            first, hint = run.stderr.decode().splitlines()
            assert first.startswith(f"{NAME}: {place.runtime}: the OCI runtime does not exist")
            assert hint.startswith("hint: ")
        assert place.bundle.config_path.read_bytes() == before


class Copy:
    """A copy of the package that a test may spoil, and the script that uses it."""

    def __init__(self, place: Place, *, images: bool) -> None:
        self.place = place
        self.site = place.directory / "site"
        self.package = self.site / "ocihooks"
        source = Path(ocihooks.__file__).parent
        shutil.copytree(source, self.package, ignore=shutil.ignore_patterns("__pycache__", "testing"))
        paths = [str(self.site), *package_paths()[1:]]
        place.write(paths, images=images)
        for ending in ENDINGS if images else ():
            code = f"import sys; sys.path[:0] = {paths}; from ocihooks.install.image import ENDINGS, build_image; "
            code += f"sys.stdout.buffer.write(build_image(ENDINGS[{ending!r}], ENDINGS['.call']))"
            built = subprocess.run([PYTHON, "-IS", "-c", code], check=True, capture_output=True).stdout
            place.image.with_suffix(ending).write_bytes(built)

    def spoil(self, module: str, text: str) -> None:
        (self.package / module).write_text(text)


class TestOurFaults:
    """Faults of our own, and packages that are not whole."""

    @pytest.fixture
    def copy(self, place: Place) -> Copy:
        """A whole package."""
        return Copy(place, images=False)

    def test_whole(self, copy: Copy) -> None:
        """The copy works."""
        assert copy.place.reached(copy.place.call(CHANGING[0]))
        assert "hooks" in copy.place.bundle.config()

    @pytest.mark.parametrize(
        "error",
        [
            "RuntimeError('bad\\nline')",
            "AssertionError()",
            "RecursionError('deep')",
            "FileNotFoundError(2, 'No such file or directory')",
            "PermissionError(13, 'Permission denied')",
        ],
    )
    def test_internal_error(self, error: str, copy: Copy) -> None:
        """A fault of ours is one sentence with its place, and no words from which engines draw other conclusions."""
        copy.spoil("wrapper/plan.py", f"def plan_for(*_):\n    raise {error}\n")
        first, hint = copy.place.refused(copy.place.call(CHANGING[0]))
        assert first.startswith(f"{NAME}: internal error at plan.py:2: {error.partition('(')[0]}")
        assert hint.startswith("hint: please report this")
        for words in ("no such file or directory", "permission denied"):
            assert words not in first.lower()

    @pytest.mark.parametrize(
        ("module", "text", "message"),
        [
            pytest.param("wrapper/create.py", None, "can't import", id="no-create"),
            pytest.param("document.py", None, "can't import", id="no-document"),
            pytest.param(
                "hooksd/readers.py", "import nonexistent_module\n", "can't import nonexistent_module", id="library"
            ),
            pytest.param("wrapper/create.py", "def (", "SyntaxError", id="syntax"),
            pytest.param("wrapper/main.py", None, "the package ocihooks can't be imported", id="no-main"),
            pytest.param("wrapper/main.py", "def (", "the package ocihooks can't be imported", id="main-syntax"),
            pytest.param("errors.py", "import nothing_at_all\n", "the package ocihooks is not whole", id="errors"),
            pytest.param("__init__.py", "raise RuntimeError", "the package ocihooks can't be imported", id="init"),
        ],
    )
    def test_not_whole(self, module: str, text: str | None, message: str, copy: Copy) -> None:
        """A package that was half upgraded refuses containers, and lets all else through."""
        (copy.package / module).unlink()
        if text is not None:
            copy.spoil(module, text)
        lines = copy.place.refused(copy.place.call(CHANGING[0]))
        assert message in lines[0]
        assert lines[1].startswith("hint: ")
        for words in OTHERS[:4]:
            assert copy.place.reached(copy.place.call(words))

    def test_report_is_gone(self, copy: Copy) -> None:
        """Even without the module that tells errors, no container is created and other calls go through."""
        (copy.package / "wrapper/report.py").unlink()
        copy.place.rule("x.json", "{")
        first, *_ = copy.place.refused(copy.place.call(CHANGING[0]))
        assert "x.json: line 1" in first
        assert copy.place.reached(copy.place.call(OTHERS[0]))


LOADING = """
import sys

sys.path[:0] = {paths}
from ocihooks.wrapper.installation import Installation
from ocihooks.wrapper.main import main

def load(ending):
    with open({loaded!r}, "a") as stream:
        stream.write(ending)

settings = {{"settings": {settings!r}, "hooks_dirs": ({hooks!r},)}}
main(Installation(name="w", script="/w", runtime={runtime!r}, **settings), load)
"""
"""A wrapper whose images are empty, and that notes which ones it asks for."""


class TestImages:
    """Compiled modules in files of their own."""

    @pytest.mark.parametrize(
        ("words", "asked"),
        [
            pytest.param(["state", "c1"], "", id="other"),
            pytest.param(["create", "--bundle", "BUNDLE", "c1"], ".create", id="create"),
        ],
    )
    def test_needed(self, words: list[str], asked: str, place: Place) -> None:
        """The image of what a container needs is loaded once where one is prepared, and by no other call."""
        loaded = place.directory / "loaded"
        loaded.touch()
        text = LOADING.format(
            paths=package_paths(),
            loaded=str(loaded),
            settings=str(place.settings),
            hooks=str(place.hooks),
            runtime=str(place.runtime),
        )
        shown = [word.replace("BUNDLE", str(place.bundle.directory)) for word in words]
        run = subprocess.run([PYTHON, "-IS", "-c", text, *shown], capture_output=True, check=False, cwd="/", env={})
        assert (run.returncode, run.stderr) == (7, b"")
        assert loaded.read_text() == asked
        assert ("hooks" in place.bundle.config()) == bool(asked)

    @pytest.mark.parametrize("ending", [START, *ENDINGS])
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(None, id="missing"),
            pytest.param(b"", id="empty"),
            pytest.param(b"x" * 5000, id="foreign"),
            pytest.param("cut", id="cut"),
            pytest.param("flipped", id="flipped"),
        ],
    )
    def test_damaged(self, content: bytes | str | None, ending: str, place: Place) -> None:
        """Whatever is wrong with one, the package is used in its place."""
        place.write(images=True)
        file = place.image.with_suffix(ending)
        data = file.read_bytes()
        file.unlink()
        if content == "cut":
            file.write_bytes(data[: len(data) // 2])
        elif content == "flipped":
            file.write_bytes(data[:4] + bytes(byte ^ 0xFF for byte in data[4:]))
        elif isinstance(content, bytes):
            file.write_bytes(content)
        assert place.reached(place.call(OTHERS[0]))
        assert place.reached(place.call(CHANGING[0]))
        assert "hooks" in place.bundle.config()

    def test_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What read the rules is forgotten, with what came of the package; the errors and what is others' stay."""
        came = {"ocihooks.of_image": "_modules_", "ocihooks.of_package": "__cached__"}
        came |= {"ocihooks.woken": "__name__", "foreign_of_image": "_modules_", "foreign": "__cached__"}
        made = {name: ModuleType(name) for name in came}
        for name, mark in came.items():
            setattr(made[name], mark, name)
        monkeypatch.setattr(main, "restart_if_outdated", lambda: None)
        monkeypatch.setattr("ocihooks.wrapper.create._modules_", sys.modules, raising=False)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "modules", dict(sys.modules))
            forget = main.load_refreshing(lambda part: sys.modules.update(made) if part == ".refresh" else None)
            forget()
            left = set(made) & set(sys.modules)
        assert left == {"ocihooks.woken", "foreign_of_image", "foreign"}

    def test_body_of_another_script(self, place: Place) -> None:
        """A compiled body that belongs to other settings is not used."""
        place.write(images=True, hooks_dirs=("/nonexistent/hooks.d",))
        start = place.image.with_suffix(START).read_bytes()
        place.write(images=True)
        place.image.with_suffix(START).write_bytes(start)
        assert place.reached(place.call(CHANGING[0]))
        assert "hooks" in place.bundle.config()

    def test_package_is_gone(self, place: Place) -> None:
        """Images without the package serve all calls but those that need more than they hold."""
        copy = Copy(place, images=True)
        shutil.rmtree(copy.package)
        for words in (*OTHERS[::4], CHANGING[0]):
            assert place.reached(place.call(words))
        assert "hooks" in place.bundle.config()
        place.settings.write_text("[ocihooks]\ninjector-dir = '/nonexistent'\n")
        assert "can't import" in place.refused(place.call(CHANGING[0]))[0]

    def test_other_version(self, place: Place) -> None:
        """Images of another version than the package are not mixed with it."""
        copy = Copy(place, images=True)
        copy.spoil("version.py", '"""The version."""\n\n__version__ = "99.0"\n')
        copy.spoil(
            "settings.py",
            (copy.package / "settings.py").read_text()
            + "\nimport ocihooks.version as v\nassert v.__version__ == '99.0'\n",
        )
        assert place.reached(place.call(CHANGING[0]))
        assert "hooks" in place.bundle.config()


LISTER = """
import sys, posix
before = set(sys.modules)
def listed(*_):
    posix.write(1, repr(sorted(set(sys.modules) - before)).encode())
    posix._exit(0)
posix.execv = listed
sys.argv = sys.argv[1:]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"), {"__name__": "__main__"})
"""

BUILTIN = {"_json", "_signal", "gc"}
"""Modules of the interpreter, written in C, that the warm path uses besides those that every start loads."""

NOT_NEEDED = {*ASLEEP, "_re2"}
"""What images hold for the day on which it is needed."""


class TestWarmPath:
    """Which modules are imported: each costs time at every start of every container."""

    @staticmethod
    def imported(place: Place, words: Sequence[str]) -> list[str]:
        """The modules that are there when the runtime is started, and were not when the interpreter was."""
        shown = [word.replace("BUNDLE", str(place.bundle.directory)) for word in words]
        command = [PYTHON, "-I", "-S", "-B", "-c", LISTER, str(place.script), *shown]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", env={})
        assert run.stderr == ""
        names: list[str] = eval(run.stdout)
        return names

    def test_other_operations(self, place: Place) -> None:
        """Without images, too, all operations but create, run and restore import next to nothing."""
        for words in OTHERS[::4]:
            assert set(self.imported(place, words)) - BUILTIN == set(EVERY_CALL) - NOT_NEEDED

    def test_create(self, place: Place) -> None:
        """Without images, too, a create whose rules are in the cache imports no library."""
        time.sleep(2.1)  # what was written within the last two seconds is not kept
        cold = self.imported(place, CHANGING[0])
        assert set(cold) > {*EVERY_CALL, *EVERY_CREATE, "dataclasses"} - NOT_NEEDED
        place.bundle = make_bundle(place.directory / "second", rootfs=place.directory / "none")
        assert set(self.imported(place, CHANGING[0])) - BUILTIN == {*EVERY_CALL, *EVERY_CREATE} - BUILTIN - NOT_NEEDED
        assert "hooks" in place.bundle.config()
