"""The programs that stand in for others: what they add, to which containers, and what they leave alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.dropins import (
    ADD_HOOKS,
    HOOK,
    MARKER,
    TOOLKIT,
    Place,
    Programs,
    install_programs,
    make_place,
)
from tests.integration.starting import latin, start
from tests.integration.wrappers import Notes, live

from ocihooks.spec.stage import STAGES
from ocihooks.testing.bundles import make_rootfs
from ocihooks.testing.cgroups import CgroupView
from ocihooks.testing.runtimes import PrivateRuntime
from ocihooks.version import __version__

NEW, OLD = {"path": "/opt/hooks/new", "env": ["A=b"]}, {"path": "/opt/hooks/old"}
MARK = {"path": f"/usr/bin/{MARKER}"}


@pytest.fixture(scope="module")
def programs(public_directory: Path) -> Programs:
    """The programs, installed for this module where every user can reach them."""
    return install_programs(public_directory / "dropins")


@pytest.fixture
def place(tmp_path: Path, programs: Programs) -> Place:
    """A place with one hook in the hook file."""
    return make_place(tmp_path, programs)


def in_the_environment(name: str) -> str:
    """The program as pip puts it into the environment's bin."""
    return str(Path(sys.executable).with_name(name))


def version(place: Place) -> tuple[int, int, int]:
    """What tells whether config.json was written or replaced."""
    status = place.bundle.config_path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


class TestWhatIsAdded:
    """Order, marker, repetition."""

    @pytest.mark.parametrize("stage", STAGES)
    def test_order(self, stage: str, place: Place) -> None:
        """oci-add-hooks puts its hooks in front of those that are there, container-hooks-runtime behind."""
        for nested in (True, False):
            place.bundle.write_config({"ociVersion": "1.0.2", "hooks": {stage: [OLD]}})
            place.write_hooks({stage: [NEW, HOOK]}, nested=nested)
            done = place.add_hooks(*place.create()) if nested else place.toolkit(*place.create())
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert place.stage(stage) == ([NEW, HOOK, OLD] if nested else [OLD, NEW, HOOK])

    def test_other_bytes_stay(self, place: Place) -> None:
        """Nothing but the bytes of hooks changes, and the file keeps its mode."""
        text = '{ "x": [1e400, 0.10, "\\u00e4\\/"],\n  "ociVersion" : "1.0.2" }'
        for nested in (True, False):
            place.bundle.write_config(text.encode())
            place.bundle.config_path.chmod(0o640)
            place.write_hooks({"poststop": [NEW]}, nested=nested)
            done = place.add_hooks(*place.create()) if nested else place.toolkit(*place.create())
            assert done.returncode == 0
            added = ',"hooks":{"poststop":[{"path":"/opt/hooks/new","env":["A=b"]}]}'
            assert place.bundle.config_path.read_text() == text.replace('"1.0.2" }', f'"1.0.2"{added} }}')
            assert place.bundle.config_path.stat().st_mode & 0o7777 == 0o640

    def test_twice_is_once(self, place: Place) -> None:
        """A bundle that is used again is not given the same hooks again."""
        for nested in (True, False):
            place.bundle.write_config({"ociVersion": "1.0.2", "hooks": {"poststop": [OLD]}})
            place.write_hooks({"poststop": [NEW, HOOK]}, nested=nested)
            texts = set()
            for _ in range(2):
                assert (place.add_hooks if nested else place.toolkit)(*place.create()).returncode == 0
                texts.add(place.bundle.config_path.read_text())
            assert len(texts) == 1

    @pytest.mark.parametrize("stage", ["prestart", "createRuntime", "poststop"])
    def test_marker(self, stage: str, place: Place) -> None:
        """A container with the marker, in whatever stage, gets no hooks of container-hooks-runtime."""
        place.bundle.write_config({"ociVersion": "1.0.2", "hooks": {stage: [OLD, MARK]}})
        place.write_hooks({"poststop": [NEW]}, nested=False)
        before = place.bundle.config_path.read_text()
        assert place.toolkit(*place.create()).returncode == 0
        assert place.bundle.config_path.read_text() == before

    def test_repeated_members(self, place: Place) -> None:
        """Of members that are there more than once, in whatever letter case, the last counts and the others go."""
        config = (
            b'{"ociVersion": "1.0.2", "n": 1e400, "process": {"args": ["a"], "ARGS": ["b"]},'
            b' "hooks": {"prestart": [{"path": "/1"}]}, "HOOKS": {"poststop": [{"path": "/2", "path": "/3"}]}}'
        )
        place.bundle.write_config(config)
        assert place.add_hooks(*place.create()).returncode == 0
        assert place.bundle.config_path.read_text() == (
            '{"ociVersion":"1.0.2","n":1e400,"process":{"args":["b"]},"hooks":{"poststop":[{"path":"/3"}],'
            '"createRuntime":[{"path":"/opt/hooks/new","args":["new","1"]}]}}'
        )

    @pytest.mark.parametrize(
        "text", ["null", '{"hooks": null}', '{"hooks": {}}', '{"hooks": {"prestart": []}, "x": 1}']
    )
    def test_nothing_to_add(self, text: str, place: Place) -> None:
        """A hook file without hooks leaves config.json as it was."""
        before = version(place)
        place.hooks.write_text(text)
        if text != "null":
            assert place.add_hooks(*place.create()).returncode == 0
        place.hooks.write_text("null" if text == "null" else json.dumps(json.loads(text)["hooks"]))
        assert place.toolkit(*place.create()).returncode == 0
        assert version(place) == before

    def test_comments_in_the_bare_form(self, place: Place) -> None:
        """Members of the bare form that could be no stage are not looked at."""
        place.hooks.write_text('{"comment": "ours", "poststop": [{"path": "/x"}]}')
        assert place.toolkit(*place.create()).returncode == 0
        assert place.stage("poststop") == [{"path": "/x"}]

    def test_own_config_as_hook_file(self, place: Place) -> None:
        """A config.json that is its own hook file gets its hooks a second time, as it always did."""
        place.bundle.write_config({"ociVersion": "1.0.2", "hooks": {"poststop": [OLD, NEW]}})
        own = ("--hook-config-path", str(place.bundle.config_path), "--runtime-path", str(place.fake.path))
        assert place.call(place.programs.add_hooks, *own, *place.create()).returncode == 0
        assert place.stage("poststop") == [OLD, NEW, OLD, NEW]


BUNDLES = {
    "separate": ["create", "--bundle", "{b}", "c1"],
    "equals": ["create", "--bundle={b}", "c1"],
    "short": ["create", "-b", "{b}", "c1"],
    "short-equals": ["create", "-b={b}", "c1"],
    "one-dash": ["create", "-bundle", "{b}", "c1"],
    "three-dashes": ["create", "---bundle", "{b}", "c1"],
    "behind-the-id": ["create", "c1", "--bundle", "{b}"],
    "before-the-operation": ["--bundle", "{b}", "create", "c1"],
    "the-last-of-two": ["create", "--bundle", "/nowhere", "--bundle", "{b}", "c1"],
    "relative": ["create", "--bundle", "b", "c1"],
    "run": ["--root", "/r", "run", "-d", "--bundle", "{b}", "c1"],
    "restore": ["restore", "--bundle", "{b}", "c1"],
    "unknown-option-behind": ["create", "--bundle", "{b}", "c1", "--new-option"],
}

OTHERS = {
    "start": ["--log", "{b}/log.json", "start", "c1"],
    "delete": ["delete", "--bundle", "{b}", "c1"],
    "exec": ["exec", "c1", "create", "--bundle", "{b}"],
    "a-value": ["--root", "create", "state", "--bundle", "{b}"],
    "nothing": ["list"],
}


class TestCalls:
    """Which calls change a container, and what reaches the runtime."""

    @pytest.mark.parametrize("words", BUNDLES.values(), ids=BUNDLES)
    def test_bundle(self, words: list[str], place: Place) -> None:
        """A create, run or restore gets the hooks, however it spells its bundle, and the runtime gets all its words."""
        words = [word.replace("{b}", str(place.bundle.directory)) for word in words]
        place.add_hooks(*words)  # the runtime may refuse what these programs understand
        assert place.stage("createRuntime") == [HOOK]
        place.write_hooks({"poststop": [NEW]}, nested=False)
        place.toolkit(*words)
        assert place.stage("poststop") == [NEW]
        assert [call.argv[1:] for call in place.fake.calls()] == [tuple(words)] * 2

    def test_working_directory_as_bundle(self, place: Place) -> None:
        """Without the option the bundle is the working directory."""
        assert place.add_hooks("create", "c1", cwd=place.bundle.directory).returncode == 0
        place.write_hooks({"poststop": [NEW]}, nested=False)
        assert place.toolkit("create", "c1", cwd=place.bundle.directory).returncode == 0
        assert (place.stage("createRuntime"), place.stage("poststop")) == ([HOOK], [NEW])

    def test_no_bundle_anywhere(self, place: Place) -> None:
        """Without the option, and without a config.json in the working directory, the runtime may say what is wrong."""
        assert place.add_hooks("create", "c1").returncode == 0
        place.write_hooks({}, nested=False)
        assert place.toolkit("run", "c1").returncode == 0
        assert len(place.fake.calls()) == 2

    @pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
    def test_other_operations(self, words: list[str], place: Place) -> None:
        """All other operations reach the runtime, and no file of ours but the settings is looked at."""
        words = [word.replace("{b}", str(place.bundle.directory)) for word in words]
        place.hooks.write_text("{")
        before = version(place)
        place.add_hooks(*words)
        place.toolkit(*words)
        assert [call.argv[1:] for call in place.fake.calls()] == [tuple(words)] * 2
        assert version(place) == before

    @pytest.mark.parametrize("options", [["-h"], ["--help"]])
    def test_help(self, options: list[str], place: Place) -> None:
        """oci-add-hooks explains its options."""
        done = place.call(place.programs.add_hooks, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert "oci-add-hooks --hook-config-path FILE --runtime-path RUNTIME ARGUMENT..." in done.stdout

    def test_versions(self, place: Place) -> None:
        """Both tell their version; the second also has its runtime tell its own."""
        assert place.call(place.programs.add_hooks, "--version").stdout == f"oci-add-hooks {__version__}\n"
        assert place.add_hooks("--version").stdout == ""
        assert place.toolkit("--version").stdout.startswith(f"container hooks runtime version {__version__}\nspec: ")
        assert [call.argv[1:] for call in place.fake.calls()] == [("--version",)] * 2
        assert place.call(place.programs.marker, "--version").stdout == f"container-hooks {__version__}\n"

    def test_marker_program(self, place: Place) -> None:
        """container-hooks reads all of its input and ends well, so that it never stops a container."""
        command = [place.programs.marker]
        done = subprocess.run(command, input=b"x" * 1_000_000, capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


class TestRuntimes:
    """How the runtime is found."""

    def test_bare_name(self, place: Place) -> None:
        """A bare name is looked up on PATH, and without a PATH in the usual directories; an empty entry is no place."""
        directory = place.directory / "bin"
        directory.mkdir()
        (directory / "my-runc").symlink_to(place.fake.path)
        for path in (f"/nowhere:{directory}", "bin"):
            own = ("--hook-config-path", str(place.hooks), "--runtime-path", "my-runc")
            assert place.call(place.programs.add_hooks, *own, "state", "x", env={"PATH": path}).returncode == 0
            place.write_settings(runtimes=["no-runc", "my-runc"])
            assert place.toolkit("state", "x", env={"PATH": path}).returncode == 0
            done = place.call(place.programs.add_hooks, *own, "state", "x", env={"PATH": ":"}, cwd=directory)
            assert "is not on PATH" in done.stderr
        own = ("--hook-config-path", str(place.hooks), "--runtime-path", "true")
        assert place.call(place.programs.add_hooks, *own, "state", "x", env={}).returncode == 0

    def test_relative_path(self, place: Place) -> None:
        """A relative path is one from the working directory, and the runtime is called by it."""
        shell = place.directory / "sh"
        shell.symlink_to("/bin/sh")
        own = ("--hook-config-path", str(place.hooks), "--runtime-path", "./sh", "-c", "echo $0")
        assert place.call(place.programs.add_hooks, *own).stdout == "./sh\n"
        place.write_settings(runtimes=["./sh"])
        assert place.toolkit("-c", "echo $0").stdout == "./sh\n"

    def test_first_candidate(self, place: Place) -> None:
        """Candidates that are no executable files are passed over; a wildcard is a letter like others."""
        place.write_settings(
            runtimes=["", "*", "/dev/null", str(place.directory), str(place.hooks), str(place.fake.path)]
        )
        assert place.toolkit("state", "x").returncode == 0
        assert len(place.fake.calls()) == 1

    def test_default_candidates(self, place: Place) -> None:
        """Where the settings name none, the candidates are runc and docker-runc."""
        directory = place.directory / "bin"
        directory.mkdir()
        (directory / "runc").symlink_to(place.fake.path)
        place.write_settings('[container-hooks-runtime]\ndebug = ""\n')
        assert place.toolkit("state", "x", env={"PATH": str(directory)}).returncode == 0
        assert len(place.fake.calls()) == 1

    @pytest.mark.parametrize("program", [ADD_HOOKS, TOOLKIT])
    @pytest.mark.parametrize("form", ["environment", "installed"])
    def test_surroundings(self, program: str, form: str, place: Place) -> None:
        """Words of any bytes, the environment, descriptors, umask and the caller's signals reach the runtime."""
        script = {ADD_HOOKS: place.programs.add_hooks, TOOLKIT: place.programs.toolkit}[program]
        if form == "environment":
            script = in_the_environment(program)
        if (form, program) == ("environment", TOOLKIT):
            pytest.skip("its settings have one place, which tests/conformance covers")
        own = (f"--hook-config-path={place.hooks}", f"--runtime-path={place.fake.path}") if program == ADD_HOOKS else ()
        words = [script, *own, "kill", os.fsdecode(b"c\xff\xfe"), "", "a b"]
        environment = latin("PATH=/usr/bin:/bin", "A=1", b"ODD=\xff")
        done = start(Path(words[0]), *words[1:], environment=environment, descriptors={3: "/dev/null"}, umask=0o027)
        assert done.returncode == 0, done
        (call,) = place.fake.calls()
        assert call.argv[1:] == tuple(words[-4:])
        assert sorted(call.environment) == ["A=1", "ODD=\udcff", "PATH=/usr/bin:/bin"]
        assert call.umask == "0027"
        assert call.ignored_signals == ()
        assert 3 in call.descriptors


LEVELS = {"debug": 2, "INFO": 1, "warn": 0, "error": 0, "": 1}


class TestLog:
    """The log of container-hooks-runtime."""

    @pytest.mark.parametrize(("level", "lines"), LEVELS.items(), ids=[level or "none" for level in LEVELS])
    def test_one_line_per_call(self, level: str, lines: int, place: Place) -> None:
        """Every call of every operation gets one line of level info, and one more of level debug."""
        place.write_hooks({}, nested=False)
        place.write_settings(**{"log-level": level})
        calls = [place.create(), ("state", "c1"), ("start", "c1"), ("delete", "c1"), ()]
        for words in calls:
            assert place.toolkit(*words).returncode == 0
        written = place.log.read_text().splitlines() if place.log.exists() else []
        assert len(written) == lines * len(calls)
        assert all(line.startswith('time="') for line in written)

    def test_json(self, place: Place) -> None:
        """The format is that of the runtime's own log."""
        place.toolkit("--log-format", "json", "state", 'odd "id"')
        entry = json.loads(place.log.read_text())
        assert entry.keys() == {"level", "msg", "time"}
        assert entry["level"] == "info"

    def test_failure(self, place: Place) -> None:
        """What stops a create stands in the log, too."""
        place.hooks.write_text("{")
        place.write_settings(**{"log-level": "error"})
        place.toolkit(*place.create())
        (line,) = place.log.read_text().splitlines()
        assert "level=error" in line
        assert str(place.hooks) in line

    def test_debug_option(self, place: Place) -> None:
        """The runtime's option --debug sets the level, if it stands where the runtime looks for it."""
        place.write_settings(**{"log-level": "error"})
        place.toolkit("exec", "c1", "prog", "--debug")
        assert not place.log.exists()
        place.toolkit("--debug", "state", "c1")
        assert len(place.log.read_text().splitlines()) == 2

    def test_directories(self, place: Place) -> None:
        """Directories above the log, and above the runtime's own, are made with the modes that the umask leaves."""
        place.write_settings(debug=str(place.directory / "x/y/z.log"))
        place.toolkit("--log", str(place.directory / "n/m/l.log"), "state", "c1", umask=0o077)
        for name in ("x", "x/y", "n", "n/m"):
            assert (place.directory / name).stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("what", ["fifo", "directory", "below-a-file", "none"])
    def test_log_that_can_not_be_written(self, what: str, place: Place) -> None:
        """A log that can't be written, or would make us wait, is no reason to fail, and nothing is said about it."""
        if what == "fifo":
            os.mkfifo(place.log)
        elif what == "directory":
            place.log.mkdir()
        else:
            place.write_settings(debug=str(place.hooks / "x.log") if what == "below-a-file" else "")
        done = place.toolkit("state", "c1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_unknown_level(self, place: Place) -> None:
        """An unknown level counts as info, and the log says so."""
        place.write_settings(**{"log-level": "bogus"})
        place.toolkit("state", "c1")
        first, second = place.log.read_text().splitlines()
        assert "level=warning" in first
        assert "level=info" in second

    def test_link_to_nowhere_as_hook_file(self, place: Place) -> None:
        """A hook file that is a link to nowhere means no hooks, and the log says so."""
        place.hooks.unlink()
        place.hooks.symlink_to("/nowhere/at/all")
        assert place.toolkit(*place.create()).returncode == 0
        assert "level=error" in place.log.read_text().splitlines()[0]

    def test_option_without_value(self, place: Place) -> None:
        """A --log without a file is told, and left to the runtime."""
        done = place.toolkit("start", "c1", "--log")
        assert len(place.fake.calls()) == 1
        assert "--log: expected a file" in done.stderr


class TestSettings:
    """How settings are kept and found."""

    def test_kept_parsed(self, place: Place, tmp_path: Path) -> None:
        """Settings are kept parsed once nobody has touched them for two seconds, and read again when they change."""
        time.sleep(2.1)
        assert place.toolkit("state", "1").returncode == 0
        kept = list(place.programs.settings.parents[1].glob("cache/*.rules"))
        assert len(kept) == 1
        other = place.directory / "other"
        other.symlink_to(place.fake.path)
        place.write_settings(debug=str(place.directory / "other.log"))
        assert place.toolkit("state", "2").returncode == 0
        assert (place.directory / "other.log").exists()
        place.programs.settings.write_text("broken")
        assert place.toolkit("state", "3", env={"PATH": "/nowhere"}).returncode == 0
        assert [call.argv[-1] for call in place.fake.calls()] == ["1", "2", "3"], "the last good runtime"

    def test_relative_hook_file(self, place: Place) -> None:
        """A relative hook file lies beside the settings, never in the caller's working directory."""
        (place.programs.settings.parent / "mine.json").write_text('{"poststop": [{"path": "/beside"}]}')
        (place.directory / "mine.json").write_text('{"poststop": [{"path": "/elsewhere"}]}')
        text = f'[container-hooks]\npath = "mine.json"\n[container-hooks-runtime]\nruntimes = ["{place.fake.path}"]\n'
        place.write_settings(text + 'debug = ""\n')
        assert place.toolkit(*place.create()).returncode == 0
        assert place.stage("poststop") == [{"path": "/beside"}]

    def test_keys_of_others(self, place: Place) -> None:
        """Tables and keys of other programs are left to them."""
        place.write_settings()
        with place.programs.settings.open("a") as stream:
            stream.write('other = 1\n[ocihooks]\nhooks-dirs = "x"\n')
        assert place.toolkit("state", "x").returncode == 0


def write_stage_hooks(place: Place, notes: Notes, *, nested: bool) -> None:
    """One hook for each stage, named after it; the bare form begins with the marker."""
    hooks = {stage: [notes.hook(stage, in_container=stage == "startContainer")] for stage in STAGES}
    if not nested:
        hooks["prestart"].insert(0, {"path": place.programs.marker})
    place.write_hooks(hooks, nested=nested)


@pytest.mark.runtime
@pytest.mark.parametrize("program", [ADD_HOOKS, TOOLKIT])
def test_all_stages(program: str, runtime: PrivateRuntime, notes: Notes, place: Place) -> None:
    """On real runtimes the hooks of all six stages run once, when every call for a container goes through."""
    write_stage_hooks(place, notes, nested=program == ADD_HOOKS)
    place.write_settings(runtimes=[str(runtime.path)])
    name = place.directory / "wrapper"
    own = f"--hook-config-path {place.hooks} --runtime-path {runtime.path}" if program == ADD_HOOKS else ""
    script = place.programs.add_hooks if program == ADD_HOOKS else place.programs.toolkit
    name.write_text(f'#!/bin/sh\nexec {script} {own} "$@"\n')
    name.chmod(0o755)
    live(runtime, runtime.make_bundle(mounts=[notes.mount]), name)
    assert sorted(notes.order()) == sorted(STAGES)
    if program == TOOLKIT:
        operations = place.log.read_text().splitlines()
        assert ["start" in operations[1], "delete" in operations[-1]] == [True, True]


@pytest.fixture(scope="module")
def podman(public_directory: Path, crun_view: CgroupView) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Podman with storage, settings and state of its own; call it with the settings of its runtimes and its words."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("podman: not found on PATH, or not root")
    directory = public_directory / "podman-dropins"
    directory.mkdir(mode=0o755)
    limits = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'

    def call(runtimes: str, *words: str) -> subprocess.CompletedProcess[str]:
        (directory / "containers.conf").write_text(f"{limits}[engine.runtimes]\n{runtimes}")
        places = {"root": "pr", "runroot": "prr", "tmpdir": "pt"}
        options = [word for option, name in places.items() for word in (f"--{option}", f"{directory}/{name}")]
        options += ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "CONTAINERS_CONF": str(directory / "containers.conf"),
        }
        command = crun_view.command(["podman", *options, *words], directory)
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL
        )

    yield call
    call("", "rm", "--force", "--all")


@pytest.mark.runtime
@pytest.mark.parametrize("by", ["path", "name"])
@pytest.mark.parametrize("program", [ADD_HOOKS, TOOLKIT])
def test_with_podman(
    program: str,
    by: str,
    runtime: PrivateRuntime,
    podman: Callable[..., subprocess.CompletedProcess[str]],
    notes: Notes,
    place: Place,
    public_directory: Path,
    ran_on: Callable[[str, str], None],
) -> None:
    """Podman runs a container through the programs, called by path and by name, and the hooks of all stages run."""
    rootfs = public_directory / "podman-dropins/rootfs"
    if not rootfs.exists():
        make_rootfs(rootfs)
    write_stage_hooks(place, notes, nested=program == ADD_HOOKS)
    place.write_settings(runtimes=[str(runtime.path)])
    wrapper = place.programs.toolkit
    if program == ADD_HOOKS:
        wrapper = str(place.directory / "oci-add-hooks.sh")
        own = f"--hook-config-path {place.hooks} --runtime-path {runtime.path}"
        Path(wrapper).write_text(f'#!/bin/sh\nexec {place.programs.add_hooks} {own} "$@"\n')
        Path(wrapper).chmod(0o755)
    words = ("run", "--rm", "--net=none", "--log-driver=none", f"-v={notes.directory}:/mnt", "--rootfs", str(rootfs))
    done = podman(f'hooked = ["{wrapper}"]\n', f"--runtime={wrapper if by == 'path' else 'hooked'}", *words, "true")
    assert done.returncode == 0, done
    assert sorted(notes.order()) == sorted(STAGES)
    version = subprocess.run(["podman", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    ran_on("podman", version)
