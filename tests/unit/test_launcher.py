"""The launcher's decisions: which calls become the runtime at once, which start the wrapper, and what if it can't."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit import launcher_programs
from tests.unit.launcher_programs import Builds, Bundle, Case, Installed, Ran, answers, make_config, patched

from ocihooks.compiled.skip import checksum_of
from ocihooks.errors import UnavailableError, UsageError
from ocihooks.install import launcher

builds = launcher_programs.builds
installed = launcher_programs.installed
bundle = launcher_programs.bundle

RECORDED = json.loads((Path(__file__).parents[1] / "conformance" / "engine_argv.json").read_text())
CALLS = [call for engine in RECORDED["engines"] for scenario in engine["scenarios"] for call in scenario["calls"]]

HARMLESS = (
    *("start", "state", "kill", "delete", "exec", "list", "ps", "spec", "pause", "resume", "update", "features"),
    *("events", "checkpoint"),
)
CHANGING = ("create", "run", "restore")
GLOBALS = {
    "none": [],
    "docker": ["--root", "/r", "--log", "/l", "--log-format", "json"],
    "equals signs": ["--root=/r", "--log=/l", "--log-format=json", "--rootless=true", "--cgroup-manager=cgroupfs"],
    "flags": ["--debug", "--systemd-cgroup"],
    "an option as a value": ["--log", "--debug", "--root", "create"],
    "an operation as a value": ["--root", "create", "--criu", "run", "--cgroup-manager=restore"],
    "empty values": ["--root", "", "--log="],
}
NOT_SURE = {
    "nothing": [],
    "an unknown option": ["--new", "start", "x"],
    "an unknown option with a value": ["--new=1", "start", "x"],
    "an abbreviation": ["--lo", "/l", "start", "x"],
    "one dash": ["-root", "/r", "start", "x"],
    "short options": ["-v", "start", "x"],
    "a flag with a value": ["--debug=false", "start", "x"],
    "a missing value": ["--root"],
    "options only": ["--root", "/r"],
    "two dashes": ["--", "start", "x"],
    "a lone dash": ["-", "start", "x"],
    "an empty word": ["", "start", "x"],
    "an unknown operation": ["begin", "x"],
    "an operation in capitals": ["START", "x"],
    "an operation with blanks": [" start", "x"],
    "version": ["--version"],
    "help": ["--help"],
}


def started_wrapper(ran: Ran, installed: Installed, words: list[str]) -> bool:
    """Whether the wrapper was started with exactly *words* behind its own."""
    option, script, told, *handed_on = map(os.fsdecode, ran.words)
    form = installed.script.with_suffix(".start") if told_checksum(ran) else installed.script
    ours = (option, script) == ("-IS", str(form)) and told.startswith("--ignored-signals=0:")
    return ran.program == "python" and ours and handed_on == words and ran.status == 0


def told_checksum(ran: Ran) -> int:
    """What the wrapper was told about the sources: the checksum of the data, or 0."""
    return int(ran.words[2].decode().partition(":")[2], 16)


def became_runtime(ran: Ran, words: list[str]) -> bool:
    """Whether the runtime got exactly *words*."""
    return ran.program == "runtime" and ran.words == tuple(map(os.fsencode, words)) and ran.status == 0


class TestOperations:
    """Which program gets a call, with which words."""

    @pytest.mark.parametrize("options", GLOBALS.values(), ids=GLOBALS)
    def test_harmless_operations_become_the_runtime(self, installed: Installed, options: list[str]) -> None:
        """Behind well-known global options every operation that reads no config.json goes to the runtime at once."""
        for operation in HARMLESS:
            words = [*options, operation, "--all", "id", "", "create"]
            assert became_runtime(installed.call(*words), words), operation

    @pytest.mark.parametrize("options", GLOBALS.values(), ids=GLOBALS)
    def test_changing_operations_start_the_wrapper(self, installed: Installed, options: list[str]) -> None:
        """Operations that read a config.json start the wrapper, with all words behind the ignored signals."""
        for operation in CHANGING:
            words = [*options, operation, "--bundle", "/b", "id", "start", ""]
            assert started_wrapper(installed.call(*words), installed, words), operation

    @pytest.mark.parametrize("words", NOT_SURE.values(), ids=NOT_SURE)
    def test_unusual_lines_start_the_wrapper(self, installed: Installed, words: list[str]) -> None:
        """Whatever the launcher does not surely understand is left to the wrapper."""
        assert started_wrapper(installed.call(*words), installed, words)

    def test_every_recorded_call_is_understood(self, builds: Builds) -> None:
        """All calls that real engines made take the short way, but create and the question for the version."""
        found = answers(builds.driver, [Case(call["argv"]) for call in CALLS])
        for call, answer in zip(CALLS, found, strict=True):
            slow = call["subcommand"] == "create" or call["argv"] == ["--version"]
            assert answer == ("p" if slow else "r"), call["argv"]

    @pytest.mark.parametrize("name", ["", "runc", "/nowhere/x", "-", "a b", "--log"])
    def test_the_own_name_is_of_no_account(self, installed: Installed, name: str) -> None:
        """Whatever an engine passes as the program's name, the runtime gets its own path."""
        options: dict[str, Any] = {"executable": str(installed.launcher)}
        done = subprocess.run([name, "start", "x"], check=False, timeout=60, **options)
        assert done.returncode == 0
        facts = (installed.directory / "runtime.seen").read_text().splitlines()
        assert facts[0] == "word " + os.fsencode(installed.runtime).hex()

    def test_words_of_any_bytes_arrive(self, installed: Installed) -> None:
        """Words that are no UTF-8, with line breaks or blanks, reach both programs as they are."""
        odd = [b"\xff\xfe", b"a\nb", b" ", b"\t", b"\xc5\xbf", b"%s%n", b"$(x)"]
        assert installed.call("exec", *odd).words == (b"exec", *odd)
        assert installed.call("run", *odd).words[3:] == (b"run", *odd)

    @pytest.mark.parametrize("operation", ["exec", "run"])
    @pytest.mark.parametrize(
        ("count", "size"), [(5_000, 1), (100_000, 0), (1, 131_000), (13, 131_000)], ids=["5000", "100000", "long", "13"]
    )
    def test_many_and_long_words_arrive(self, installed: Installed, operation: str, count: int, size: int) -> None:
        """Five thousand words, a hundred thousand empty ones, and words as long as the kernel allows arrive."""
        words = [operation, *["x" * size] * count]
        ran = installed.call(*words)
        assert ran.words[-len(words) :] == tuple(map(str.encode, words))
        assert ran.program == ("runtime" if operation == "exec" else "python")

    def test_the_wrapper_is_told_the_ignored_signals(self, installed: Installed, builds: Builds) -> None:
        """The hexadecimal number has bit N-1 for each ignored signal N that a program can ask about."""
        told = installed.call("run", before=[str(builds.surroundings), "--start", "signals"]).words[2].decode()
        odd = {number for number in range(1, 65) if number % 2} | {25}
        expected = sum(
            1 << (number - 1) for number in odd - {9, 19, 33}
        )  # two can't be ignored, one is the C library's
        assert told == f"--ignored-signals={expected:x}:0"


def removed(path: Path) -> None:
    """Remove a file, so that something else can take its place."""
    path.unlink(missing_ok=True)


class Trouble:
    """Ways to make a create in a bundle one that must not be skipped."""

    def data_missing(self, bundle: Bundle) -> None:
        removed(bundle.data)

    def data_empty(self, bundle: Bundle) -> None:
        bundle.data.write_bytes(b"")

    def data_of_zeros(self, bundle: Bundle) -> None:
        bundle.data.write_bytes(bytes(64))

    def data_truncated(self, bundle: Bundle) -> None:
        bundle.data.write_bytes(bundle.encoded()[:-8])

    def data_with_a_tail(self, bundle: Bundle) -> None:
        bundle.data.write_bytes(bundle.encoded() + bytes(8))

    def data_of_another_format(self, bundle: Bundle) -> None:
        bundle.data.write_bytes(bundle.encoded().replace(b"skip 1", b"skip 2"))

    def data_too_large(self, bundle: Bundle) -> None:
        bundle.texts += tuple(f"{number:0100}" for number in range(42_000))
        bundle.store()

    def data_writable_by_group(self, bundle: Bundle) -> None:
        bundle.data.chmod(0o620)

    def data_writable_by_others(self, bundle: Bundle) -> None:
        bundle.data.chmod(0o602)

    def data_behind_a_link(self, bundle: Bundle) -> None:
        bundle.data.rename(bundle.data.with_suffix(".real"))
        bundle.data.symlink_to(bundle.data.with_suffix(".real"))

    def data_a_fifo(self, bundle: Bundle) -> None:
        removed(bundle.data)
        os.mkfifo(bundle.data, 0o600)

    def data_a_directory(self, bundle: Bundle) -> None:
        removed(bundle.data)
        bundle.data.mkdir()

    def no_sources(self, bundle: Bundle) -> None:
        bundle.sources = ()
        bundle.store()

    def no_texts(self, bundle: Bundle) -> None:
        bundle.texts = ()
        bundle.store()

    def source_written(self, bundle: Bundle) -> None:
        (bundle.rules / "10.json").write_text("[]")

    def source_written_with_old_times(self, bundle: Bundle) -> None:
        path = bundle.rules / "10.json"
        status = path.stat()
        path.write_text("[]")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def source_replaced(self, bundle: Bundle) -> None:
        other = bundle.rules.parent / "other"
        other.write_text("{}")
        other.rename(bundle.rules / "10.json")

    def source_removed(self, bundle: Bundle) -> None:
        removed(bundle.rules / "10.json")

    def source_removed_from_a_directory_that_is_none(self, bundle: Bundle) -> None:
        bundle.sources = bundle.sources[1:2]
        bundle.store()
        removed(bundle.rules / "10.json")

    def source_with_another_mode(self, bundle: Bundle) -> None:
        (bundle.rules / "10.json").chmod(0o640)

    def source_added(self, bundle: Bundle) -> None:
        (bundle.rules / "20.json").write_text("{}")

    def missing_source_made(self, bundle: Bundle) -> None:
        (bundle.rules / "missing").write_text("{}")

    def directory_above_with_another_mode(self, bundle: Bundle) -> None:
        bundle.rules.parent.chmod(0o711)

    def directory_above_exchanged(self, bundle: Bundle) -> None:
        bundle.rules.rename(bundle.rules.with_suffix(".old"))
        bundle.rules.mkdir()

    def source_from_the_future(self, bundle: Bundle) -> None:
        os.utime(bundle.rules / "10.json", (4e9, 4e9))
        bundle.store()

    def source_from_before_1970(self, bundle: Bundle) -> None:
        os.utime(bundle.rules / "10.json", (-5, -5))
        bundle.store()

    def config_missing(self, bundle: Bundle) -> None:
        removed(bundle.config)

    def config_empty(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(b"")

    def config_too_large(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(annotations={"x": "y" * (1 << 20)}))

    def config_a_link(self, bundle: Bundle) -> None:
        bundle.config.rename(bundle.path / "real")
        bundle.config.symlink_to("real")

    def config_a_fifo(self, bundle: Bundle) -> None:
        removed(bundle.config)
        os.mkfifo(bundle.config)

    def config_a_socket(self, bundle: Bundle) -> None:
        removed(bundle.config)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("config.json")  # the test runs in the bundle, since such paths have to be short

    def config_a_directory(self, bundle: Bundle) -> None:
        removed(bundle.config)
        bundle.config.mkdir()

    def text_in_a_value(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(annotations={"x": "has com.example.gpu inside"}))

    def text_at_the_end(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config() + b"com.example.gpu")

    def own_mark(self, bundle: Bundle) -> None:
        bundle.texts = ("OCIHOOKS_RULE=",)
        bundle.store()
        bundle.config.write_bytes(make_config(hooks={"prestart": [{"path": "/x", "env": ["OCIHOOKS_RULE=/r"]}]}))

    def escaped_letter(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(annotations={"x": "Z"}).replace(b"Z", b"\\u0063om.example.gpu"))

    def escaped_slash(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(annotations={"x": "Z"}).replace(b"Z", b"a\\/b"))

    def no_process(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(b'{"ociVersion":"1.0.2"}')

    def no_args(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(process={"cwd": "/"}))

    def empty_args(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(process={"args": [], "env": ["args"]}, hooks={"x": [{"args": ["y"]}]}))

    def args_elsewhere(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config(process={"user": {"args": ["x"]}}, more={"args": ["x"]}))

    def two_processes(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(b'{"process":{},' + make_config()[1:])

    def process_in_capitals(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(b'{"PROCESS":{},' + make_config()[1:])

    def process_with_a_long_s(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(b'{"proce\xc5\xbfs":{"args":[]},' + make_config()[1:])

    def two_args(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config().replace(b'"args"', b'"args":[],"args"'))

    def args_in_capitals(self, bundle: Bundle) -> None:
        bundle.config.write_bytes(make_config().replace(b'"args"', b'"Args":[],"args"'))


TROUBLE = {name.replace("_", " "): way for name, way in vars(Trouble).items() if not name.startswith("__")}
DISTRUST = {name: way for name, way in TROUBLE.items() if name.startswith(("data", "no sources", "source"))}

PLAIN_CREATES = {
    "plain": ["create", "--bundle", "B", "id"],
    "equals sign": ["create", "--bundle=B", "id"],
    "all options": [
        *(
            "--root",
            "/r",
            "--log",
            "/l",
            "--log-format",
            "json",
            "--systemd-cgroup",
            "create",
            "--no-pivot",
            "--bundle",
        ),
        *("B", "--no-new-keyring", "--pid-file", "/p", "--console-socket=/c", "--preserve-fds", "2", "id"),
    ],
    "twice the option": ["create", "--bundle", "relative", "--bundle", "B", "id"],
    "all letters of an id": ["create", "--bundle", "B", "a0_+-.Z"],
}

OTHER_CREATES = {
    "run": ["run", "--bundle", "B", "id"],
    "restore": ["restore", "--bundle", "B", "id"],
    "no bundle": ["create", "id"],
    "empty bundle": ["create", "--bundle", "", "id"],
    "relative bundle": ["create", "--bundle", ".", "id"],
    "bundle of a path that is too long": ["create", "--bundle", "B" + "/." * 2040, "id"],
    "last bundle is relative": ["create", "--bundle", "B", "--bundle", "x", "id"],
    "short option": ["create", "-b", "B", "id"],
    "one dash": ["create", "-bundle", "B", "id"],
    "abbreviation": ["create", "--bund", "B", "id"],
    "option behind the id": ["create", "id", "--bundle", "B"],
    "two ids": ["create", "--bundle", "B", "id", "id"],
    "no id": ["create", "--bundle", "B"],
    "empty id": ["create", "--bundle", "B", ""],
    "id with a blank": ["create", "--bundle", "B", "id "],
    "id with a line break": ["create", "--bundle", "B", "id\n"],
    "id of another alphabet": ["create", "--bundle", "B", "ïd"],
    "id that is a dash": ["create", "--bundle", "B", "-"],
    "two dashes": ["create", "--bundle", "B", "--", "id"],
    "another configuration": ["create", "--bundle", "B", "--config", "x", "id"],
    "flag with a value": ["create", "--no-pivot=false", "--bundle", "B", "id"],
    "help": ["create", "--bundle", "B", "--help", "id"],
    "unknown option": ["create", "--new", "--bundle", "B", "id"],
    "unknown global option": ["--new", "create", "--bundle", "B", "id"],
    "two dashes in front": ["--", "create", "--bundle", "B", "id"],
}


def in_bundle(words: list[str], bundle: Bundle) -> list[str]:
    """*words* with the path of the bundle for B."""
    return [word.replace("B", str(bundle.path)) for word in words]


class TestShortcut:
    """Which creates are skipped, with fresh data and a config.json without any of its texts."""

    @pytest.mark.parametrize("words", PLAIN_CREATES.values(), ids=PLAIN_CREATES)
    def test_plain_create_is_skipped(self, installed: Installed, bundle: Bundle, words: list[str]) -> None:
        """A plain create becomes the runtime when no rule can match."""
        words = in_bundle(words, bundle)
        assert became_runtime(installed.call(*words), words)

    @pytest.mark.parametrize("words", OTHER_CREATES.values(), ids=OTHER_CREATES)
    def test_other_create_is_not_skipped(self, installed: Installed, bundle: Bundle, words: list[str]) -> None:
        """Other operations, and a create that is written in an unusual way, start the wrapper."""
        words = in_bundle(words, bundle)
        assert started_wrapper(installed.call(*words, cwd=bundle.path), installed, words)

    @pytest.mark.parametrize("way", TROUBLE.values(), ids=TROUBLE)
    def test_doubt_starts_the_wrapper(
        self,
        installed: Installed,
        bundle: Bundle,
        way: Callable[[Trouble, Bundle], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Untrusted or damaged data, a source that changed, an unusual config.json: the wrapper decides."""
        assert became_runtime(installed.call(*bundle.create), list(bundle.create)), "without trouble it is skipped"
        monkeypatch.chdir(bundle.path)
        way(Trouble(), bundle)
        assert started_wrapper(installed.call(*bundle.create), installed, list(bundle.create))

    @pytest.mark.parametrize("operation", ["create", "run", "restore"])
    def test_the_wrapper_is_told_of_unchanged_sources(
        self, installed: Installed, bundle: Bundle, operation: str
    ) -> None:
        """Where no create can be skipped, the wrapper gets the checksum of the data, as long as no source changed."""
        bundle.texts = ()
        bundle.store()
        words = [operation, *bundle.create[1:]]
        assert told_checksum(installed.call(*words)) == checksum_of(bundle.data.read_bytes())
        (bundle.rules / "10.json").write_text("[]")
        assert told_checksum(installed.call(*words)) == 0

    @pytest.mark.parametrize("way", DISTRUST.values(), ids=DISTRUST)
    def test_the_wrapper_is_not_told_without_sound_data(
        self, installed: Installed, bundle: Bundle, way: Callable[[Trouble, Bundle], None]
    ) -> None:
        """Whatever is wrong with the data or differs in a source: the wrapper looks at all of them itself."""
        way(Trouble(), bundle)
        assert told_checksum(installed.call(*bundle.create)) == 0

    def test_every_damaged_bit_is_noticed(self, builds: Builds, bundle: Bundle) -> None:
        """With any one bit of the data flipped, no create is skipped."""
        whole = bundle.encoded()
        flipped = [bytearray(whole) for _ in range(8 * len(whole))]
        for number, content in enumerate(flipped):
            content[number // 8] ^= 1 << number % 8
        cases = [Case(bundle.create, {bundle.data: bytes(content)}) for content in (whole, *flipped)]
        assert answers(builds.driver, cases, data=bundle.data) == "r" + "p" * len(flipped)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_data_of_somebody_else_is_not_used(self, installed: Installed, bundle: Bundle) -> None:
        """Data that belongs to another user starts the wrapper."""
        os.chown(bundle.data, 65534, -1)
        assert started_wrapper(installed.call(*bundle.create), installed, list(bundle.create))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize(("owner", "group"), [(65534, -1), (-1, 65534)], ids=["owner", "group"])
    def test_owner_of_a_directory_above_counts(
        self, installed: Installed, bundle: Bundle, owner: int, group: int
    ) -> None:
        """A directory above a source that now belongs to somebody else starts the wrapper."""
        os.chown(bundle.rules.parent, owner, group)
        assert started_wrapper(installed.call(*bundle.create), installed, list(bundle.create))

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
    def test_a_source_that_can_not_be_reached_is_not_missing(
        self, builds: Builds, private_directory: Path, tmp_path: Path
    ) -> None:
        """A place that was empty, and to which the way is barred now, starts the wrapper."""
        private_directory.chmod(0o777)
        installed = Installed(builds.launcher, builds.surroundings, private_directory / "installed")
        bundle = Bundle(private_directory, installed.data)
        barred = private_directory / "barred"
        barred.mkdir()
        bundle.sources = (str(barred / "missing"),)
        for path in (installed.directory, bundle.path):
            path.chmod(0o777)
        outcomes = []
        for mode in (0o755, 0o700):
            barred.chmod(mode)
            bundle.store()  # root sees in both cases that nothing is there
            os.chown(bundle.data, 65534, 65534)
            outcomes.append(installed.call(*bundle.create, user=65534).program)
        assert outcomes == ["runtime", "python"]

    def test_settings_of_a_user_start_the_wrapper(self, installed: Installed, bundle: Bundle) -> None:
        """Where XDG_CONFIG_HOME is set, a rootless user may have other rules than those of the data."""
        assert installed.call(*bundle.create, env={"XDG_CONFIG_HOME": ""}).program == "python"

    def test_a_fifo_is_not_read(self, installed: Installed, bundle: Bundle) -> None:
        """What waits in a FIFO in the place of config.json is still there afterwards."""
        content = bundle.config.read_bytes()
        bundle.config.unlink()
        os.mkfifo(bundle.config)
        fifo = os.open(bundle.config, os.O_RDWR)
        try:
            os.write(fifo, content)
            assert installed.call(*bundle.create).program == "python"
            os.set_blocking(fifo, False)
            assert os.read(fifo, len(content) + 1) == content
        finally:
            os.close(fifo)

    def test_without_a_place_for_data_nothing_is_skipped(
        self, installed: Installed, bundle: Bundle, builds: Builds
    ) -> None:
        """An installation without the shortcut starts the wrapper for every create."""
        installed.install(builds.launcher, data="")
        assert installed.call(*bundle.create).program == "python"

    def test_blanks_around_args_do_no_harm(self, installed: Installed, bundle: Bundle) -> None:
        """A config.json with line breaks and indentation is skipped, too."""
        bundle.config.write_bytes(json.dumps(json.loads(bundle.config.read_bytes()), indent="\t").encode())
        assert installed.call(*bundle.create).program == "runtime"

    def test_escapes_that_hide_nothing_do_no_harm(self, installed: Installed, bundle: Bundle) -> None:
        """Quotes, backslashes and line breaks in strings, non-ASCII letters and brackets are no reason for doubt."""
        texts = ['"args": []', "\\", '\\"', "\n\t\r\b\f", "é€", "{[", "]}", "process", "args"]
        bundle.config.write_bytes(make_config(annotations={"x": "".join(texts)}, process={"args": texts, "env": texts}))
        assert installed.call(*bundle.create).program == "runtime"

    def test_a_config_of_the_largest_size_is_skipped(self, installed: Installed, bundle: Bundle) -> None:
        """A config.json of exactly 1 MiB is looked at, to its last byte."""
        filler = (1 << 20) - len(make_config(annotations={"x": "gpu"}))
        for end, program in (("gpu", "runtime"), ("com.example.gpu", "python")):
            bundle.config.write_bytes(make_config(annotations={"x": "y" * (filler + 3 - len(end)) + end}))
            assert bundle.config.stat().st_size == 1 << 20
            assert installed.call(*bundle.create).program == program

    def test_short_texts_are_found(self, installed: Installed, bundle: Bundle) -> None:
        """Texts of one to four letters count as much as long ones."""
        for text in ("q", "qu", "qux", "quxi"):
            bundle.texts = (text,)
            bundle.store()
            bundle.config.write_bytes(make_config(annotations={"x": "nothing"}))
            assert installed.call(*bundle.create).program == "runtime"
            bundle.config.write_bytes(make_config(annotations={"x": text}))
            assert installed.call(*bundle.create).program == "python"


MISSING_PYTHON = {
    "missing": "it does not exist, or its loader doesn't",
    "not executable": "access is not allowed",
    "directory": "access is not allowed",
    "no program": "Exec format error",
    "loop": "it is this program itself, or behind too many links",
}

HINT = "install ocihooks for an interpreter that is there, then run ocihooks install again"


def break_python(installed: Installed, kind: str) -> str:
    """Put something in the interpreter's place that can't be started; returns the sentence about it."""
    path = installed.python
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind != "missing":
        path.write_bytes(b"\0" * 100)
        path.chmod(0o644 if kind == "not executable" else 0o755)
    return f"ocihooks-runtime: {path} can't be started: {MISSING_PYTHON[kind]}; container not created"


class TestWithoutInterpreter:
    """The interpreter was removed or upgraded: containers are refused with a remedy, all else goes on."""

    @pytest.mark.parametrize("kind", MISSING_PYTHON)
    def test_create_is_refused_with_the_cause(self, installed: Installed, kind: str) -> None:
        """A create says on standard error which interpreter can't be started and why, and exits with 1."""
        sentence = break_python(installed, kind)
        ran = installed.call("create", "--bundle", "/b", "id")
        assert (ran.program, ran.status, ran.stderr) == (None, 1, f"{sentence}\nhint: {HINT}\n")

    @pytest.mark.parametrize(
        "words",
        [["run", "x"], ["restore", "x"], ["--root", "/r", "create"], ["--new", "create", "x"], ["--new", "v", "run"]],
        ids=" ".join,
    )
    def test_whatever_may_be_a_new_container_is_refused(self, installed: Installed, words: list[str]) -> None:
        """Also an operation behind options that are not known."""
        break_python(installed, "missing")
        ran = installed.call(*words)
        assert (ran.program, ran.status) == (None, 1)
        assert "container not created" in ran.stderr

    @pytest.mark.parametrize(
        "words", [*NOT_SURE.values(), ["--new", "kill", "run"], ["--new", "--root", "run", "kill"]], ids=" ".join
    )
    def test_all_else_becomes_the_runtime(self, installed: Installed, words: list[str]) -> None:
        """Unknown options and operations reach the runtime, since a node must be able to stop its containers."""
        break_python(installed, "missing")
        assert became_runtime(installed.call(*words), words)

    def test_a_sure_shortcut_still_works(self, installed: Installed, bundle: Bundle) -> None:
        """A container that surely matches nothing needs no interpreter."""
        break_python(installed, "missing")
        assert installed.call(*bundle.create).program == "runtime"

    def test_the_json_log_gets_one_object(self, installed: Installed, tmp_path: Path) -> None:
        """With --log-format json the sentence is appended as one object of level error, as containerd reads it."""
        sentence = break_python(installed, "missing")
        log = tmp_path / "log.json"
        log.write_text('{"level":"info","msg":"before"}\n')
        installed.call("--log", str(log), "--log-format", "json", "create", "x")
        first, second = log.read_text().splitlines()
        assert json.loads(first)["msg"] == "before"
        assert json.loads(second) == {"level": "error", "msg": f"{sentence}; hint: {HINT}"}

    @pytest.mark.parametrize("options", [[], ["--log-format", "text"]], ids=["default", "text"])
    def test_the_text_log_gets_a_line(self, installed: Installed, tmp_path: Path, options: list[str]) -> None:
        """In other formats it is a line of level error; the log is made where there is none."""
        sentence = break_python(installed, "missing")
        log = tmp_path / "log"
        installed.call(f"--log={log}", *options, "create", "x")
        assert log.read_text() == f'level=error msg="{sentence}; hint: {HINT}"\n'
        assert stat.S_IMODE(log.stat().st_mode) == 0o644

    @pytest.mark.parametrize("kind", ["fifo", "link", "dangling link", "directory", "no directory", "relative"])
    def test_an_odd_log_is_left_alone(self, installed: Installed, tmp_path: Path, kind: str) -> None:
        """A log that is no ordinary file is not written, nothing waits for it, and standard error has the sentence."""
        break_python(installed, "missing")
        log, target = tmp_path / "log", tmp_path / "target"
        if kind == "fifo":
            os.mkfifo(log)
        elif kind == "directory":
            log.mkdir()
        elif "link" in kind:
            log.symlink_to(target)
        if kind == "link":
            target.write_text("as it was")
        given = {"no directory": tmp_path / "no" / "log", "relative": "log"}.get(kind, log)
        before = sorted(tmp_path.rglob("*"))
        ran = installed.call("--log", str(given), "create", "x", cwd=tmp_path)
        assert (ran.status, ran.stderr.count("\n")) == (1, 2)
        assert sorted(tmp_path.rglob("*")) == before
        assert kind != "link" or target.read_text() == "as it was"

    @pytest.mark.parametrize("closing", ["2>&-", "0<&- 1>&- 2>&-"], ids=["standard error", "all"])
    def test_closed_standard_error_does_not_spoil_the_log(
        self, installed: Installed, tmp_path: Path, closing: str
    ) -> None:
        """Without descriptor 2 the log still holds one object and nothing else."""
        break_python(installed, "missing")
        log = tmp_path / "log"
        command = f'exec "$0" --log {log} --log-format json create x {closing}'
        done = subprocess.run(["sh", "-c", command, str(installed.launcher)], check=False, timeout=60)
        assert done.returncode == 1
        assert json.loads(log.read_text())["level"] == "error"

    @pytest.mark.parametrize("kind", ["nobody reads", "full"])
    def test_a_pipe_as_standard_error_does_not_hold_us(self, installed: Installed, kind: str) -> None:
        """A full pipe, or one that nobody reads, changes neither the status nor the time much."""
        break_python(installed, "missing")
        reading, writing = os.pipe()
        try:
            if kind == "full":
                os.set_blocking(writing, False)
                fill(writing)
                os.set_blocking(writing, True)
            else:
                os.close(reading)
            done = subprocess.run(
                [str(installed.launcher), "create", "x"], stderr=writing, check=False, timeout=30, restore_signals=True
            )
            assert done.returncode == 1
        finally:
            os.close(writing)
            if kind == "full":
                os.close(reading)

    def test_the_reason_avoids_words_that_engines_misread(self, installed: Installed) -> None:
        """Docker and Podman change the exit status for two phrases of the C library, so neither is used."""
        for kind in ("missing", "not executable"):
            break_python(installed, kind)
            said = installed.call("create", "x").stderr.lower()
            assert "no such file" not in said
            assert "permission denied" not in said
            installed.python.write_text("")


def fill(pipe: int) -> None:
    """Write to *pipe*, which must not block, until nothing more goes in."""
    try:
        while True:
            os.write(pipe, bytes(65536))
    except BlockingIOError:
        return


class TestWithoutRuntime:
    """The runtime itself can't be started."""

    def test_the_wrapper_explains(self, installed: Installed) -> None:
        """A runtime that is gone is left to the wrapper, which has more to say."""
        installed.runtime.unlink()
        assert started_wrapper(installed.call("kill", "x", "9"), installed, ["kill", "x", "9"])

    def test_without_the_wrapper_a_sentence_remains(self, installed: Installed) -> None:
        """When nothing can be started, one sentence names the runtime."""
        installed.runtime.unlink()
        break_python(installed, "missing")
        ran = installed.call("kill", "x", "9")
        cause = "it does not exist, or its loader doesn't"
        hint = "run ocihooks install --runtime PATH"
        assert ran.status == 1
        assert ran.stderr == f"ocihooks-runtime: {installed.runtime} can't be started: {cause}\nhint: {hint}\n"

    @pytest.mark.parametrize("link", ["symlink", "hard link"])
    def test_it_never_starts_itself(self, installed: Installed, link: str) -> None:
        """A runtime that leads back to the launcher does not run in circles: the wrapper says what is wrong."""
        installed.runtime.unlink()
        if link == "symlink":
            installed.runtime.symlink_to(installed.launcher)
        else:
            installed.runtime.hardlink_to(installed.launcher)
        assert installed.call("start", "x").program == "python"
        break_python(installed, "missing")
        ran = installed.call("start", "x")
        assert ran.status == 1
        assert "it is this program itself" in ran.stderr

    def test_without_settings_it_does_nothing(self, builds: Builds) -> None:
        """The program of the package, which nobody installed, exits with 127."""
        assert subprocess.run([str(builds.launcher), "start", "x"], check=False, timeout=60).returncode == 127

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
    def test_it_needs_no_proc(self, installed: Installed, bundle: Bundle) -> None:
        """Where /proc is not mounted, all is as elsewhere."""
        before = ["unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]
        for words in (("start", "x"), bundle.create):
            assert installed.call(*words, before=before).program == "runtime"
        assert installed.call("run", "x", before=before).program == "python"


class TestSettings:
    """Writing the settings of an installation into the program."""

    def paths(self, **changed: str) -> dict[str, str]:
        paths = {"runtime": "/r", "python": "/p", "script": "/s", "data": "/d", "name": "n"}
        return paths | changed

    def test_only_the_settings_differ(self, builds: Builds) -> None:
        """The copy has the size of the program, and differs only behind the mark."""
        before, after = builds.launcher.read_bytes(), patched(builds.launcher, **self.paths(runtime="/é"))
        at = before.index(launcher.MARK)
        end = at + launcher.SETTINGS_BYTES
        assert (len(before), before[:at], before[end:]) == (len(after), after[:at], after[end:])
        assert after[at + len(launcher.MARK) :].startswith("/é\0/p\0/s\0/d\0n\0\0".encode())

    @pytest.mark.parametrize("name", ["runtime", "python", "script", "data"])
    def test_relative_paths_are_refused(self, builds: Builds, name: str) -> None:
        """A path that depends on the working directory is no setting."""
        with pytest.raises(UsageError, match='"runc": expected an absolute path'):
            patched(builds.launcher, **self.paths(**{name: "runc"}))

    @pytest.mark.parametrize("path", ['/a"b', "/a\\b", "/a\nb", "/a\udcff", "/a\0b"], ids=ascii)
    def test_paths_that_messages_can_not_show_are_refused(self, builds: Builds, path: str) -> None:
        """Quotes, backslashes, control characters and bytes that are no UTF-8 would spoil a JSON log."""
        with pytest.raises(UsageError, match="quotes, backslashes or control characters"):
            patched(builds.launcher, **self.paths(script=path))

    def test_all_paths_together_have_a_limit(self, builds: Builds) -> None:
        """The longest paths that fit work; one letter more is refused."""
        room = launcher.SETTINGS_BYTES - len(launcher.MARK) - len("/r\0/s\0/d\0n\0\0")
        assert patched(builds.launcher, **self.paths(python="/" + "x" * (room - 1)))
        with pytest.raises(UsageError, match="8193 bytes together, more than 8192"):
            patched(builds.launcher, **self.paths(python="/" + "x" * room))

    def test_a_package_without_launcher_says_so(self, tmp_path: Path) -> None:
        """Where no compiler was there, the remedy is named."""
        with pytest.raises(UnavailableError, match="built without the launcher") as caught:
            patched(tmp_path / "missing", **self.paths())
        assert "--no-launcher" in (caught.value.hint or "")

    @pytest.mark.parametrize("content", [b"", launcher.MARK * 2], ids=["no place", "two places"])
    def test_a_program_without_one_place_is_refused(self, tmp_path: Path, content: bytes) -> None:
        """Another program is not taken for the launcher."""
        program = tmp_path / "program"
        program.write_bytes(content)
        with pytest.raises(UnavailableError, match="has no place for settings"):
            patched(program, **self.paths())

    def test_the_source_stays_short(self) -> None:
        """The launcher can be read in one sitting: at most 300 lines of at most 120 letters."""
        lines = (launcher_programs.ROOT / "launcher" / "launcher.c").read_text().splitlines()
        assert len(lines) <= 300
        assert max(map(len, lines)) <= 120
