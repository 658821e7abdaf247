"""What the wrapper meets rarely: odd links, switches that go meanwhile, users without a cache, hosts without /proc."""

from __future__ import annotations

import json
import os
import posix
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.unit.test_wrapper_create import Place
from tests.unit.test_wrapper_main import Place as Installed
from tests.unit.test_wrapper_rules import MatchingRule

import ocihooks
from ocihooks.document import read_config
from ocihooks.errors import RulesError, UnavailableError, UntrustedError, UsageError
from ocihooks.settings import Settings, read_settings
from ocihooks.trust import Trust, read_trusted, trust_here
from ocihooks.wrapper import switch
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.become import check_runtime
from ocihooks.wrapper.cache import Cache, environment, load_cached
from ocihooks.wrapper.create import prepare
from ocihooks.wrapper.installation import Installation
from ocihooks.wrapper.main import TOLD, WITHOUT_IMAGE, given_words, load_more
from ocihooks.wrapper.modifiers import modifier_findings
from ocihooks.wrapper.plan import container_of, plan_for
from ocihooks.wrapper.refresh import read_rules
from ocihooks.wrapper.refused import refused
from ocihooks.wrapper.report import report
from ocihooks.wrapper.rules import load_rules
from ocihooks.wrapper.usable import injectable_problems, program_problem

SOURCE = Path(ocihooks.__file__).parents[1]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place without rules and settings."""
    return Place(tmp_path)


class TestSwitch:
    """The kill switch."""

    @pytest.fixture
    def file(self, place: Place) -> Path:
        """The switch, with a reason."""
        file = place.etc / "disabled"
        file.write_text("maintenance\n")
        return file

    def test_dangling_link(self, place: Place, file: Path) -> None:
        """A link to nothing switches nothing off."""
        file.unlink()
        file.symlink_to("nothing")
        assert switch.is_disabled(str(place.settings_file)) is False

    def test_link_below_a_file(self, place: Place, file: Path) -> None:
        """A link that can't be followed is an error, since somebody wanted something by it."""
        file.unlink()
        place.write_settings("")
        file.symlink_to("config.toml/x")
        with pytest.raises(UntrustedError, match="not a directory") as caught:
            switch.is_disabled(str(place.settings_file))
        assert caught.value.file == str(file)

    def test_gone_meanwhile(self, place: Place, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A switch that goes between two looks is off."""

        def too_late(path: str, trust: Trust) -> bytes:
            file.unlink()
            return read_trusted(path, trust)

        monkeypatch.setattr(switch, "read_trusted", too_late)
        assert switch.read_switch(str(place.settings_file)) is None

    def test_spoilt_meanwhile(self, place: Place, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A switch that can't be read any more is named."""

        def too_late(path: str, trust: Trust) -> bytes:
            file.unlink()
            file.symlink_to("/dev/null/x")
            return read_trusted(path, trust)

        monkeypatch.setattr(switch, "read_trusted", too_late)
        with pytest.raises(UntrustedError) as caught:
            switch.read_switch(str(place.settings_file))
        assert caught.value.file == str(file)


def test_rule_below_a_file(place: Place) -> None:
    """A rule that is a link below a file refuses containers, and is named."""
    place.write_settings("")
    (place.hooks / "a.json").symlink_to("../etc/config.toml/x")
    (problem,) = load_rules(Settings(hooks_dirs=(str(place.hooks),))).refused
    assert (problem.file, problem.code) == (str(place.hooks / "a.json"), "read_failed")
    assert "not a directory" in problem.message


class TestDeciding:
    """What a container gets, and what is looked at for that."""

    def test_every_program_is_looked_at(self, place: Place) -> None:
        """A sound rule in front of one whose program is missing does not hide it."""
        place.rule("a.json")
        place.rule("b.json", hook={"path": "/nonexistent"})
        assert place.refusal().problems[0].file == str(place.hooks / "b.json")

    def test_programs_that_were_looked_at(self, place: Place) -> None:
        """Programs that were found sound a moment ago are not looked at again, and new ones are remembered."""
        program = place.directory / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        place.rule("a.json", hook={"path": str(program)})
        config, rules = read_config(str(place.config)), read_rules(Settings(hooks_dirs=(str(place.hooks),)))
        sound: set[str] = set()
        assert plan_for(config, rules, sound=sound).hooks
        assert sound
        program.unlink()
        assert plan_for(config, rules, sound=sound).hooks
        with pytest.raises(RulesError, match="program"):
            plan_for(config, rules, sound=set())

    @pytest.mark.parametrize("half", ["\\udc00", "\\ud800", "\\udfff", "a\\ud9ffb"])
    def test_half_of_a_pair(self, half: str, place: Place) -> None:
        """Half of a surrogate pair, which is no character, is seen as the character for that."""
        text = place.config.read_text().replace('"v"', f'"{half}"')
        place.config.write_text(text)
        seen = container_of(read_config(str(place.config))).annotations["k"]
        assert seen == re.sub(r"\\u....", "\ufffd", half)


def test_longest_reason(place: Place) -> None:
    """A reason for the kill switch may have 200 characters, and not one more."""
    assert switch.disable(str(place.settings_file), "x" * 200) is True
    with pytest.raises(UsageError, match="at most 200 characters"):
        switch.disable(str(place.settings_file), "x" * 201)


def test_directories_of_the_settings(place: Place) -> None:
    """An installation without directories of its own takes those of the settings."""
    place.rule()
    place.write_settings(f'hooks-dirs = ["{place.hooks}"]')
    call = parse(("create", "--bundle", str(place.bundle.directory), "c1"), "runc")
    cache = str(place.directory / "cache")
    installation = Installation(name="w", script="/w", runtime="/r", settings=str(place.settings_file), cache_dir=cache)
    prepare(call, installation, lambda: lambda: None)
    assert place.programs() == ["/bin/true"]


def test_modifier_without_a_file(place: Place) -> None:
    """A modifier that can't be found is told at the setting that names it."""
    place.write_settings('modifiers = ["no_such_module_anywhere:ask"]')
    (finding,) = modifier_findings(read_settings(str(place.settings_file)))
    assert (finding.file, finding.pointer) == (str(place.settings_file), "ocihooks.modifiers")


def test_no_place_for_compiled_rules(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users without a directory of their own have no compiled rules, and are told why."""
    monkeypatch.setattr(posix, "geteuid", lambda: 1234)
    for variable in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    installation = Installation(name="w", script="/w", runtime="/r", settings=str(place.settings_file))
    cache = Cache(installation, environment())
    assert (cache.file, cache.skip_file) == ("", "")
    assert load_cached(cache) == (None, "no safe place: $XDG_RUNTIME_DIR is not set")


def test_default_timeout_of_filters(place: Place) -> None:
    """A filter whose rule sets no timeout has that of the settings."""
    place.write_settings("default-timeout = 1")
    place.filter("exec sleep 60")
    place.rule("filter.json", hook={"path": str(place.directory / "filter")}, stages=["precreate"])
    error = place.refusal()
    assert (error.code, error.file) == ("timeout", str(place.hooks / "filter.json"))
    assert "did not end within 1 s" in error.message


class TestPrograms:
    """Programs of rules that match."""

    def test_text_of_an_interpreter(self, tmp_path: Path) -> None:
        """What stands behind -c is the rule's own text, also where it is the path of a file that others could write."""
        script = tmp_path / "script"
        script.write_text("exit 0\n")
        script.chmod(0o777)
        for words, refused_ones in (("-c",), 0), (("-ec",), 0), (("-e",), 1), ((), 1):
            rule = MatchingRule(path="/bin/sh", args=("sh", *words, str(script)))
            assert len(injectable_problems(rule, trust_here(), set())) == refused_ones

    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket is no program, whatever its mode says."""
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("program")
        (tmp_path / "program").chmod(0o755)
        problem = program_problem(str(tmp_path / "program"), "a.json", trust_here())
        assert problem is not None
        assert (problem.code, problem.message.endswith(" is no regular file")) == ("odd_program", True)


def fifo_instead(path: Path) -> None:
    """Put a FIFO that could be executed in the place of a file."""
    path.unlink()
    os.mkfifo(path, 0o755)


class TestRuntime:
    """What is looked at before a container is prepared."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Path:
        """A program that could be a runtime."""
        (tmp_path / "runc").write_text("#!/bin/sh\n")
        (tmp_path / "runc").chmod(0o755)
        return tmp_path / "runc"

    def test_good(self, program: Path) -> None:
        """Any executable file may be one."""
        check_runtime(str(program), "/nowhere/ocihooks-runtime")

    def test_relative(self, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A path from the working directory is one only for programs that say so, and never a bare name."""
        monkeypatch.chdir(program.parent)
        check_runtime("./runc", "/nowhere", relative=True)
        for path, relative in (("./runc", False), ("runc", True)):
            with pytest.raises(UnavailableError, match="expected the absolute path of an OCI runtime"):
                check_runtime(path, "/nowhere", relative=relative)

    @pytest.mark.parametrize(
        ("spoil", "cause"),
        [
            pytest.param(Path.unlink, "the OCI runtime does not exist", id="missing"),
            pytest.param(lambda path: path.chmod(0o644), "the OCI runtime is not executable", id="mode"),
            pytest.param(
                lambda path: (path.unlink(), path.mkdir()), "expected an OCI runtime, found a directory", id="directory"
            ),
            pytest.param(
                fifo_instead,
                "found something that is no regular file",
                id="fifo",
            ),
        ],
    )
    def test_refused(self, spoil: Callable[[Path], object], cause: str, program: Path) -> None:
        """What could not be executed later is refused now, with the same words."""
        spoil(program)
        with pytest.raises(UnavailableError, match=cause) as caught:
            check_runtime(str(program), "/nowhere/ocihooks-runtime")
        assert caught.value.file == str(program)

    def test_ourselves(self, program: Path) -> None:
        """The wrapper itself is no runtime, by whatever name."""
        other = program.with_name("other")
        other.hardlink_to(program)
        with pytest.raises(UnavailableError, match="found the wrapper that stands in front of it"):
            check_runtime(str(other), str(program))


@needs_root
def test_locale_without_proc(tmp_path: Path) -> None:
    """Where nobody knows whether the interpreter set LC_CTYPE, the runtime gets what is there."""
    script = tmp_path / "become.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(SOURCE)!r})\nfrom ocihooks.wrapper.become import become\n"
        "become('/bin/sh', ['-c', 'echo $LC_CTYPE'], own='/nowhere')\n"
    )
    command = 'mount -t tmpfs tmpfs /proc; exec env -i LC_CTYPE=C.UTF-8 "$@"'
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", command, "sh"]
    run = subprocess.run([*words, sys.executable, "-I", "-S", script], capture_output=True, text=True, check=True)
    assert run.stdout == "C.UTF-8\n"


def test_runtime_with_a_nul() -> None:
    """What no program can be given is explained, too."""
    error = refused("/usr/bin/runc", ValueError("embedded null byte"))
    assert (error.file, error.message) == ("/usr/bin/runc", "the OCI runtime can't be executed: embedded null byte")


def test_log_exchanged_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO that takes the place of the log while it is opened gets nothing, and holds nobody."""
    log = tmp_path / "log"
    log.write_text("")
    opened: list[int] = []
    really = posix.open

    def exchange(path: str, flags: int, mode: int = 0o777) -> int:
        if path == str(log) and not opened:
            log.unlink()
            os.mkfifo(log)
            opened.append(really(path, os.O_RDONLY | os.O_NONBLOCK))
        return really(path, flags, mode)

    monkeypatch.setattr(posix, "open", exchange)
    report("it broke", parse(["--log", str(log), "create", "--bundle", "/b", "c1"]))
    try:
        assert os.read(opened[0], 100) == b""
    finally:
        os.close(opened[0])


def test_ignored_interrupt(tmp_path: Path) -> None:
    """A runtime in the background of a shell ignores Ctrl-C, as it would without us."""
    place = Installed(tmp_path)
    place.runtime.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\n")
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    runs = [
        subprocess.run([*shell, program, "state", "c1"], capture_output=True, text=True, check=True)
        for program in (place.script, place.runtime)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert int(runs[0].stdout.split()[1], 16) & 1 << (signal.SIGINT - 1)


@pytest.mark.parametrize(
    ("launched", "words", "given"),
    [
        (True, [f"{TOLD}1000:ff", "state", "c1"], (["state", "c1"], 0x1000, 0xFF)),
        (True, [f"{TOLD}0:", "create"], (["create"], 0, 0)),
        (True, ["state", "c1"], (["state", "c1"], 0, 0)),
        (True, [], ([], 0, 0)),
        (False, [f"{TOLD}1000:ff", "state"], ([f"{TOLD}1000:ff", "state"], 0, 0)),
        (False, [WITHOUT_IMAGE, "state"], (["state"], 0, 0)),
        (True, [WITHOUT_IMAGE, f"{TOLD}1:2", "state"], (["state"], 1, 2)),
    ],
    ids=["told", "unknown", "nothing", "no-words", "not-launched", "without-image", "both"],
)
def test_words_of_the_launcher(
    launched: bool, words: list[str], given: tuple[list[str], int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the launcher tells is taken from the words only where there is a launcher, and never reaches the runtime."""
    monkeypatch.setattr(sys, "argv", ["w", *words])
    assert given_words(Installation(name="w", script="/w", runtime="/r", launched=launched)) == given


def test_half_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image that can be loaded in part only, nothing is used."""

    def load(part: str) -> None:
        monkeypatch.setitem(sys.modules, "ocihooks.half", ModuleType("ocihooks.half"))
        raise ImportError(part)

    before = set(sys.modules)
    load_more(load)
    assert set(sys.modules) == before


WITHOUT_CACHE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.become import check_runtime
from ocihooks.wrapper.cache import Cache, environment, load_cached
from ocihooks.wrapper.installation import Installation

installation = Installation(name="w", script="/w", runtime="/r", settings=sys.argv[2])
cache = Cache(installation, environment())
print(json.dumps([cache.file, cache.skip_file, load_cached(cache)]))
"""


@needs_root
@pytest.mark.parametrize("has_directory", [True, False], ids=["XDG_RUNTIME_DIR", "nothing"])
def test_users_cache(has_directory: bool, private_directory: Path, public_package: Path, ordinary_python: str) -> None:
    """Users have compiled rules below their own directory, and none where there is no such directory."""
    command = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", ordinary_python, "-I", "-S", "-B"]
    words = ["-c", WITHOUT_CACHE, json.dumps([str(public_package)]), str(private_directory / "config.toml")]
    environ = {"XDG_RUNTIME_DIR": str(private_directory)} if has_directory else {}
    run = subprocess.run([*command, *words], env=environ, capture_output=True, text=True, check=True)
    file, skip_file, (rules, reason) = json.loads(run.stdout)
    assert rules is None
    if has_directory:
        assert file.startswith(f"{private_directory}/ocihooks/")
        assert skip_file == f"{file}.skip"
    else:
        assert (file, skip_file, reason) == ("", "", "no safe place: $XDG_RUNTIME_DIR is not set")
