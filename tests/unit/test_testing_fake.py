"""The fake runtime: its command line, the life of its containers, its records and its answers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import UnavailableError
from ocihooks.testing import fake_runtime
from ocihooks.testing.bundles import MadeBundle, make_bundle, make_rootfs
from ocihooks.testing.fake import Answer, FakeRuntime, write_fake_runtime
from ocihooks.testing.recorder import read_recorded, recording_hook
from ocihooks.testing.runtimes import InstalledRuntime, OrdinaryUser, PrivateRuntime

Finished = subprocess.CompletedProcess[str]
Run = Callable[..., Finished]


@pytest.fixture
def run(fake_runtime: FakeRuntime) -> Run:
    """Call the fake runtime."""

    def call(*arguments: str, **options: Any) -> Finished:
        settings = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        finished: Finished = subprocess.run([fake_runtime.path, *arguments], check=False, **(settings | options))
        return finished

    return call


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where recording hooks of the test write to."""
    return tmp_path / "hooks.log"


@pytest.fixture
def bundle(tmp_path: Path, log: Path) -> Callable[..., MadeBundle]:
    """Make a bundle whose root file system does not exist: the hooks of all stages run on the host."""

    def make(**hooks: list[dict[str, Any]]) -> MadeBundle:
        return make_bundle(tmp_path / "bundle", rootfs=tmp_path / "none", args=["echo", "a b"], hooks=hooks)

    return make


def labels(log: Path) -> list[str]:
    """Which recording hooks ran, in order."""
    return [record.label for record in read_recorded(log)]


def script_hook(script: str, **members: Any) -> dict[str, Any]:
    """A hook that runs a line of shell."""
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **members}


class TestCommandLine:
    """Every spelling that runc takes."""

    @pytest.mark.parametrize(
        "spelling",
        [
            pytest.param(["create", "--bundle", "B", "c1"], id="two-words"),
            pytest.param(["create", "--bundle=B", "c1"], id="equals"),
            pytest.param(["create", "-bundle", "B", "c1"], id="one-dash"),
            pytest.param(["create", "-bundle=B", "c1"], id="one-dash-equals"),
            pytest.param(["create", "-b", "B", "c1"], id="short"),
            pytest.param(["create", "-b=B", "c1"], id="short-equals"),
            pytest.param(["create", "c1", "--bundle", "B"], id="behind-the-id"),
            pytest.param(["create", "-b", "/nonexistent", "-b", "B", "c1"], id="last-one-counts"),
            pytest.param(["create", "-b", "B", "--", "c1"], id="double-dash"),
            pytest.param(
                ["--debug", "--log=/dev/null", "-log-format", "json", "create", "-b", "B", "c1"], id="globals"
            ),
            pytest.param(
                ["--criu", "F", "--rootless", "auto", "--debug=false", "create", "-b=B", "c1"], id="more-globals"
            ),
            pytest.param(
                ["create", "--pid-file", "P", "--no-pivot", "-b", "B", "--preserve-fds=1", "c1"], id="options"
            ),
        ],
    )
    def test_bundle(self, spelling: list[str], run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """The bundle is found however it is given."""
        words = {"B": str(bundle().directory), "P": str(tmp_path / "pid")}
        words |= {f"{name}=B": f"{name}={words['B']}" for name in ("--bundle", "-bundle", "-b")}
        created = run(*(words.get(word, word) for word in spelling))
        assert (created.returncode, created.stderr) == (0, "")
        assert json.loads(run("state", "c1").stdout)["bundle"] == words["B"]

    def test_bundle_in_cwd(self, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """Without --bundle the working directory is the bundle, and its path in the state is absolute."""
        directory = bundle().directory
        assert run("create", "c1", cwd=directory).returncode == 0
        assert json.loads(run("state", "c1").stdout)["bundle"] == str(directory)

    def test_root(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """Containers of another --root are other containers."""
        directory = str(bundle().directory)
        for root in ("r1", "r2"):
            assert run("--root", str(tmp_path / root), "create", "-b", directory, "c1").returncode == 0
        assert run("state", "c1").returncode == 1
        assert run(f"--root={tmp_path}/r2", "state", "c1").returncode == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            pytest.param(["--nope", "create", "c1"], "flag provided but not defined: -nope", id="unknown-global"),
            pytest.param(["create", "--root", "/r", "c1"], "flag provided but not defined: -root", id="global-behind"),
            pytest.param(["state", "--root"], "flag provided but not defined: -root", id="unknown"),
            pytest.param(["create", "--bundle"], "flag needs an argument: -bundle", id="no-value"),
            pytest.param(["start"], "start: expected one container ID, found 0 words", id="no-id"),
            pytest.param(["start", "a", "b"], "start: expected one container ID, found 2 words", id="two-ids"),
            pytest.param(["sing"], 'No help topic for \\"sing\\"', id="unknown-operation"),
            pytest.param(["kill", "c1", "TERM", "x"], "kill: expected one container ID, found 3 words", id="kill"),
        ],
    )
    def test_not_understood(self, arguments: list[str], message: str, run: Run, fake_runtime: FakeRuntime) -> None:
        """A call that makes no sense fails with one line that says why, and is recorded all the same."""
        finished = run(*arguments)
        assert finished.returncode == 1
        assert finished.stderr.count("\n") == 1
        assert message in finished.stderr
        assert [call.argv[1:] for call in fake_runtime.calls()] == [tuple(arguments)]

    def test_version_and_features(self, run: Run) -> None:
        """The version and the features are told without a container."""
        assert run("--version").stdout.startswith("fake-runtime version ")
        assert json.loads(run("features").stdout)["hooks"][0] == "prestart"


class TestLife:
    """Operations on simulated containers."""

    def test_run(self, run: Run, bundle: Callable[..., MadeBundle], log: Path) -> None:
        """Run prints what it would run, and has been through all stages when it ends."""
        stages = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
        made = bundle(**{stage: [recording_hook(stage, log)] for stage in stages})
        finished = run("run", "-b", str(made.directory), "c1")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert finished.stdout == "simulated container c1 would run: echo 'a b'\n"
        assert labels(log) == list(stages)
        assert run("state", "c1").returncode == 1

    @pytest.mark.parametrize(
        ("option", "status"),
        [pytest.param("--detach", "running", id="detach"), pytest.param("--keep", "stopped", id="keep")],
    )
    def test_run_and_stay(self, option: str, status: str, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """A detached container goes on running, a kept one is stopped but known."""
        assert run("run", "-b", str(bundle().directory), option, "c1").returncode == 0
        assert json.loads(run("state", "c1").stdout)["status"] == status

    def test_statuses(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """Each operation leads from one status to the next, and is refused in any other."""
        pid_file = tmp_path / "pid"
        assert run("create", "-b", str(bundle().directory), "--pid-file", str(pid_file), "c1").returncode == 0
        assert json.loads(run("state", "c1").stdout)["pid"] == int(pid_file.read_text())
        steps = [
            ("resume", 1, "created"),
            ("delete", 1, "created"),
            ("start", 0, "running"),
            ("start", 1, "running"),
            ("delete", 1, "running"),
            ("pause", 0, "paused"),
            ("start", 1, "paused"),
            ("resume", 0, "running"),
            ("ps", 0, "running"),
            ("update", 0, "running"),
            ("kill", 0, "stopped"),
            ("kill", 1, "stopped"),
            ("exec", 1, "stopped"),
        ]
        for operation, exit_status, status in steps:
            finished = run(operation, "c1")
            state = json.loads(run("state", "c1").stdout)
            assert (operation, finished.returncode, state["status"]) == (operation, exit_status, status)
            assert bool(finished.stderr) == bool(exit_status)
            assert ("pid" in state) == (status != "stopped")
        assert run("delete", "c1").returncode == 0
        assert "container does not exist: c1" in run("state", "c1").stderr

    def test_kill(self, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """Signals are given by number or name; signal 0 only asks, and an unknown one is refused."""
        run("run", "-d", "-b", str(bundle().directory), "c1")
        assert run("kill", "c1", "0").returncode == 0
        assert run("kill", "c1", "SIGNOPE").returncode == 1
        assert json.loads(run("state", "c1").stdout)["status"] == "running"
        assert run("kill", "--all", "c1", "KILL").returncode == 0
        assert json.loads(run("state", "c1").stdout)["status"] == "stopped"

    def test_delete_by_force(self, run: Run, bundle: Callable[..., MadeBundle], log: Path) -> None:
        """Delete --force removes a running container, runs its poststop hooks, and does not mind an unknown one."""
        run("run", "--detach", "-b", str(bundle(poststop=[recording_hook("poststop", log)]).directory), "c1")
        assert [run("delete", "--force", "c1").returncode for _ in range(2)] == [0, 0]
        assert labels(log) == ["poststop"]

    def test_exec(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """Exec prints the command, from the command line with its own options or from a process file."""
        run("run", "--detach", "-b", str(bundle().directory), "c1")
        process = tmp_path / "process.json"
        process.write_text('{"args": ["id", "-u"]}')
        assert run("exec", "-e", "A=1", "c1", "ls", "--color").stdout.endswith("would run: ls --color\n")
        assert run("exec", "--process", str(process), "--detach", "c1").stdout.endswith("would run: id -u\n")
        process.write_text("[]")
        assert "expected a process object" in run("exec", "--process", str(process), "c1").stderr

    def test_taken_id(self, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """An id can be used once at a time, and must be a plain name."""
        directory = str(bundle().directory)
        assert run("create", "-b", directory, "c1").returncode == 0
        assert "container with given ID already exists: c1" in run("create", "-b", directory, "c1").stderr
        assert "invalid container ID" in run("create", "-b", directory, "../c1").stderr

    def test_config_is_read_once(self, run: Run, bundle: Callable[..., MadeBundle], log: Path) -> None:
        """Hooks that are put into config.json after create do not run, and those that were there do."""
        made = bundle(poststart=[recording_hook("old", log)])
        run("create", "-b", str(made.directory), "c1")
        made.write_config(made.config() | {"hooks": {"poststart": [recording_hook("new", log)]}})
        run("start", "c1")
        assert labels(log) == ["old"]

    @pytest.mark.parametrize(
        ("config", "place"),
        [
            pytest.param(b"{", "/config.json: Expecting", id="syntax"),
            pytest.param(b"\xff", "/config.json: ", id="not-utf-8"),
            pytest.param(b"[]", "config.json: /: expected an object, found []", id="array"),
            pytest.param(b"{}", "/ociVersion: expected a string, found null", id="no-version"),
            pytest.param({"hooks": [1]}, "/hooks: expected an object, found [1]", id="hooks"),
            pytest.param({"hooks": {"prestart": {"a": 1}}}, "/hooks/prestart: expected an array", id="stage"),
            pytest.param({"hooks": {"poststop": [{}]}}, "/hooks/poststop/0/path: expected a string", id="no-path"),
            pytest.param({"hooks": {"poststop": [{"path": "sh"}]}}, "expected an absolute path", id="relative-path"),
            pytest.param({"hooks": {"poststop": [{"path": "/a", "env": ["A"]}]}}, "of the form NAME=value", id="env"),
            pytest.param(
                {"hooks": {"poststop": [{"path": "/a", "timeout": 0}]}}, "seconds above 0, found 0", id="timeout"
            ),
            pytest.param({"process": {"args": "sh"}}, "/process/args: expected an array", id="args"),
        ],
    )
    def test_bad_config(self, config: Any, place: str, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """A config.json that can't be simulated fails create with one line that names file and place."""
        made = bundle()
        made.write_config(config if isinstance(config, bytes) else {"ociVersion": "1.0.2", **config})
        finished = run("create", "-b", str(made.directory), "c1")
        assert (finished.returncode, finished.stderr.count("\n")) == (1, 1)
        assert str(made.config_path) in finished.stderr
        assert place in finished.stderr
        assert run("state", "c1").returncode == 1


class TestHooks:
    """Hooks run for real."""

    @pytest.mark.parametrize("stage", ["prestart", "createRuntime", "createContainer"])
    def test_failure_in_create(self, stage: str, run: Run, bundle: Callable[..., MadeBundle], log: Path) -> None:
        """A hook that fails during create stops it: the rest does not run, poststop hooks do, the container is gone."""
        made = bundle(
            **{stage: [script_hook("echo out; echo err >&2; exit 7"), recording_hook("behind", log)]},
            startContainer=[recording_hook("startContainer", log)],
            poststop=[recording_hook("poststop", log)],
        )
        finished = run("create", "-b", str(made.directory), "c1")
        assert finished.returncode == 1
        assert f"error running {stage} hook #0: exit status 7, stdout: out\\n, stderr: err\\n" in finished.stderr
        assert labels(log) == ["poststop"]
        assert run("state", "c1").returncode == 1

    def test_failure_in_start(self, run: Run, bundle: Callable[..., MadeBundle], log: Path) -> None:
        """A startContainer hook that fails makes start fail and takes the container with it."""
        made = bundle(startContainer=[script_hook("kill -9 $$")], poststop=[recording_hook("poststop", log)])
        run("create", "-b", str(made.directory), "c1")
        finished = run("start", "c1")
        assert finished.returncode == 1
        assert "error running startContainer hook #0: signal SIGKILL" in finished.stderr
        assert labels(log) == ["poststop"]
        assert run("state", "c1").returncode == 1

    def test_failure_that_only_warns(self, run: Run, bundle: Callable[..., MadeBundle], log: Path) -> None:
        """poststart and poststop hooks that fail are warned about, and the ones behind them run."""
        made = bundle(
            poststart=[script_hook("exit 1"), recording_hook("poststart", log)],
            poststop=[script_hook("exit 2"), recording_hook("poststop", log)],
        )
        finished = run("run", "-b", str(made.directory), "c1")
        assert finished.returncode == 0
        assert finished.stderr.count("level=warning") == 2
        assert "poststart hook #0: exit status 1" in finished.stderr
        assert "poststop hook #0: exit status 2" in finished.stderr
        assert labels(log) == ["poststart", "poststop"]

    def test_timeout(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """A hook that outlives its timeout is killed with its children, and create fails then."""
        script = f"sleep 100 & echo $! > {tmp_path}/pid; wait"
        before = time.monotonic()
        finished = run("create", "-b", str(bundle(prestart=[script_hook(script, timeout=1)]).directory), "c1")
        assert time.monotonic() - before < 30
        assert finished.returncode == 1
        assert "hook ran past specified timeout of 1 s" in finished.stderr
        child = Path("/proc", (tmp_path / "pid").read_text().strip(), "status")
        assert not child.exists() or "State:\tZ" in child.read_text()

    def test_missing_program(self, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """A hook whose program is missing fails and is named."""
        finished = run("create", "-b", str(bundle(prestart=[{"path": "/no/such"}]).directory), "c1")
        assert finished.returncode == 1
        assert "prestart hook #0: /no/such: No such file or directory" in finished.stderr

    def test_what_a_hook_gets(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """A hook gets its args and env and nothing added, the bundle as cwd, and the state on standard input."""
        script = f'{{ echo "$0 $1"; pwd; /usr/bin/env; cat; }} > {tmp_path}/out'
        hook = {"path": "/bin/sh", "args": ["x", "-c", script, "zero", "one"], "env": ["A=1=2", "B="]}
        made = bundle(createRuntime=[hook])
        assert run("create", "-b", str(made.directory), "c1", env={"SECRET": "1"}).returncode == 0
        *lines, state = (tmp_path / "out").read_text().split("\n")
        assert lines[:2] == ["zero one", str(made.directory)]
        assert {line for line in lines[2:] if not line.startswith(("PWD=", "OLDPWD=", "SHLVL=", "_="))} == {
            "A=1=2",
            "B=",
        }
        assert json.loads(state).keys() == {"ociVersion", "id", "status", "pid", "bundle"}

    def test_default_args(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """A hook without args is started with its path as the only one, and without env with an empty environment."""
        program = tmp_path / "hook"
        program.write_text(f'#!/bin/sh\necho "$# $0" > {tmp_path}/out\n/usr/bin/env > {tmp_path}/env\n')
        program.chmod(0o755)
        assert run("create", "-b", str(bundle(prestart=[{"path": str(program)}]).directory), "c1").returncode == 0
        assert (tmp_path / "out").read_text() == f"0 {program}\n"
        assert "HOME=" not in (tmp_path / "env").read_text()

    def test_flood(self, run: Run, bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
        """A hook that reads nothing, and one that prints a lot and leaves a child with its output, hold nobody up."""
        flood = script_hook(f"head -c 1000000 /dev/zero; sleep 100 & echo $! > {tmp_path}/pid; exit 1")
        made = bundle(prestart=[{"path": "/bin/true"}], poststart=[flood])
        made.write_config(made.config() | {"annotations": {"big": "x" * 300_000}})
        before = time.monotonic()
        finished = run("run", "-b", str(made.directory), "c1")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert time.monotonic() - before < 30
        assert finished.returncode == 0
        assert len(finished.stderr) < 100_000

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can chroot")
    def test_start_container_in_chroot(self, run: Run, tmp_path: Path) -> None:
        """For root, startContainer hooks run inside the root file system, where their path is looked up."""
        rootfs = make_rootfs(tmp_path / "rootfs")
        hooks = {"startContainer": [script_hook("pwd > /tmp/out; cat /etc/group >> /tmp/out")]}
        made = make_bundle(tmp_path / "b", rootfs=rootfs, hooks=hooks)
        finished = run("run", "-b", str(made.directory), "c1")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert (rootfs / "tmp/out").read_text() == "/\nroot:x:0:\nnogroup:x:65534:\n"
        (rootfs / "bin/sh").unlink()
        assert "/bin/sh: No such file or directory" in run("run", "-b", str(made.directory), "c1").stderr

    def test_start_container_without_root(
        self, private_directory: Path, ordinary_user: OrdinaryUser, ordinary_python: str
    ) -> None:
        """For others, the program of a startContainer hook comes from the root file system, but sees the host."""
        rootfs = make_rootfs(private_directory / "rootfs")
        (rootfs / "bin/leads-out").symlink_to("/bin/sh")
        fake = write_fake_runtime(private_directory / "fake", python=ordinary_python)
        installed = InstalledRuntime(name="fake", path=fake.path, version="1")
        seen = ordinary_user.home / "seen"
        with PrivateRuntime(installed, ordinary_user.home / "rt", rootfs=rootfs, user=ordinary_user) as runtime:
            for program, status, message in (
                ("/bin/busybox", 0, "only root can chroot, so the startContainer hook /bin/busybox sees the host"),
                ("/bin/leads-out", 1, "/bin/leads-out leads out of the root file system"),
            ):
                hook = {"path": program, "args": ["sh", "-c", f"readlink /proc/$$/exe > {seen}"]}
                call = runtime.run_container(runtime.make_bundle(hooks={"startContainer": [hook]}))
                assert (call.status, message in call.stderr) == (status, True), call
        assert seen.read_text() == f"{rootfs}/bin/busybox\n"


class TestRecord:
    """What a call was given, as it was before bash and Python."""

    def test_arguments_and_environment(self, run: Run, fake_runtime: FakeRuntime) -> None:
        """Arguments and environment are recorded byte for byte, in order, also what no shell would hand on."""
        environment = {
            b"A": b"1",
            b"odd.name": b"x",
            b"bytes\xff": b"\xfe\n=",
            b"BASH_FUNC_x%%": b"() { :; }",
            b"": b"e",
        }
        run("state", "\udcff", "", "a\nb", env=environment)
        (call,) = fake_runtime.calls()
        assert call.argv == (str(fake_runtime.path), "state", "\udcff", "", "a\nb")
        assert call.environment == ("A=1", "odd.name=x", "bytes\udcff=\udcfe\n=", "BASH_FUNC_x%%=() { :; }", "=e")

    def test_empty_environment(self, run: Run, fake_runtime: FakeRuntime) -> None:
        """An empty environment is recorded as empty."""
        run("--version", env={})
        assert fake_runtime.calls()[0].environment == ()

    def test_startup_files_are_not_read(self, run: Run, fake_runtime: FakeRuntime, tmp_path: Path) -> None:
        """Variables that make bash or Python run other code have no effect and are recorded."""
        evil = tmp_path / "json.py"
        evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        environment = {"BASH_ENV": str(evil), "ENV": str(evil), "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(evil)}
        finished = run("--version", env=environment, cwd=tmp_path)
        assert finished.returncode == 0
        assert not (tmp_path / "ran").exists()
        assert fake_runtime.calls()[0].environment == tuple(f"{name}={value}" for name, value in environment.items())

    def test_process_attributes(self, fake_runtime: FakeRuntime, tmp_path: Path) -> None:
        """Working directory, umask, parent, descriptors above 2, ignored and blocked signals are recorded."""
        left, right = socket.socketpair()
        inherited = left.fileno()
        code = (
            "import os, signal, sys\n"
            "os.umask(0o027)\n"
            "for number in range(1, 65):\n"
            "    if number not in (9, 19, 32, 33): signal.signal(number, signal.SIG_DFL)\n"
            "for name in sys.argv[2].split(): signal.signal(signal.Signals[name], signal.SIG_IGN)\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n"
            "os.execv(sys.argv[1], [sys.argv[1], '--version'])\n"
        )
        with left, right:
            for ignored in ("SIGHUP SIGPIPE", "SIGXFSZ SIGQUIT", ""):
                subprocess.run(
                    [sys.executable, "-c", code, fake_runtime.path, ignored],
                    cwd=tmp_path,
                    pass_fds=[inherited],
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
        for call, ignored in zip(fake_runtime.calls(), ("SIGHUP SIGPIPE", "SIGQUIT SIGXFSZ", ""), strict=True):
            assert call.ignored_signals == tuple(ignored.split())
            assert call.blocked_signals == ("SIGUSR2",)
            assert (call.cwd, call.umask, call.parent_pid) == (str(tmp_path), "0027", os.getpid())
            assert list(call.descriptors) == [inherited]
            assert call.descriptors[inherited].startswith("socket:[")

    def test_config(self, run: Run, fake_runtime: FakeRuntime, bundle: Callable[..., MadeBundle]) -> None:
        """On create and run the record holds config.json as it was at that moment, elsewhere none."""
        made = bundle()
        content = made.config_path.read_bytes()
        run("create", "--bundle", str(made.directory), "c1")
        made.write_config(b"changed")
        run("start", "c1")
        run("run", "c2", cwd=made.directory)
        run("create", "-b", "/nonexistent", "c3")
        created, started, other, missing = fake_runtime.calls()
        assert (created.config, created.config_sha256) == (content.decode(), hashlib.sha256(content).hexdigest())
        assert (other.config, other.config_sha256) == ("changed", hashlib.sha256(b"changed").hexdigest())
        assert started.config_sha256 is missing.config_sha256 is None

    def test_stdin(self, tmp_path: Path) -> None:
        """Standard input is recorded when asked for, and otherwise left to others."""
        for asked, expected, left in ((True, "in\udcff", b""), (False, None, b"in\xff")):
            fake = write_fake_runtime(tmp_path / "f", record=tmp_path / str(asked), read_stdin=asked)
            with (tmp_path / "input").open("wb+") as file:
                file.write(b"in\xff")
                file.seek(0)
                subprocess.run([fake.path, "--version"], stdin=file, stdout=subprocess.DEVNULL, check=True)
                assert (fake.calls()[0].stdin, os.read(file.fileno(), 9)) == (expected, left)

    def test_nothing_recorded(self, tmp_path: Path) -> None:
        """Without a file for records there are none."""
        fake = write_fake_runtime(tmp_path / "fake")
        subprocess.run([fake.path, "--version"], stdout=subprocess.DEVNULL, check=True)
        assert fake.calls() == ()

    def test_parallel_calls(self, fake_runtime: FakeRuntime) -> None:
        """Records of calls at the same time do not mix."""
        padding = "x" * 20_000
        processes = [
            subprocess.Popen([fake_runtime.path, "state", f"{n}", padding], stderr=subprocess.PIPE) for n in range(10)
        ]
        for process in processes:
            process.communicate()
        assert sorted(call.argv[2] for call in fake_runtime.calls()) == sorted(str(n) for n in range(10))


class TestAnswers:
    """Calls that end as the test says."""

    def test_text_and_status(self, tmp_path: Path) -> None:
        """The named operation prints and exits as told, without simulating; others are simulated."""
        answers = {"create": Answer(exit_status=3, stdout="out\n", stderr="err \udcff\n")}
        fake = write_fake_runtime(tmp_path / "fake", answers=answers, record=tmp_path / "record")
        finished = subprocess.run([fake.path, "create", "c1"], capture_output=True, check=False)
        assert (finished.returncode, finished.stdout, finished.stderr) == (3, b"out\n", b"err \xff\n")
        assert subprocess.run([fake.path, "state", "c1"], capture_output=True, check=False).returncode == 1
        assert len(fake.calls()) == 2

    def test_all_others(self, tmp_path: Path) -> None:
        """A star answers for every operation that is not named, unknown ones included."""
        answers = {"*": Answer(stdout="any"), "kill": Answer(stdout="kill")}
        fake = write_fake_runtime(tmp_path / "fake", answers=answers)
        texts = [subprocess.check_output([fake.path, name, "c1"], text=True) for name in ("kill", "restore", "start")]
        assert texts == ["kill", "any", "any"]

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGPIPE], ids=lambda number: number.name)
    def test_signal(self, number: signal.Signals, tmp_path: Path) -> None:
        """A call can die by a signal after printing."""
        fake = write_fake_runtime(tmp_path / "fake", answers={"*": Answer(signal=number, stdout="last words")})
        finished = subprocess.run([fake.path, "create"], capture_output=True, check=False)
        assert (finished.returncode, finished.stdout) == (-number, b"last words")


class TestLog:
    """Errors reach the log that the caller asked for."""

    def test_json(self, run: Run, tmp_path: Path) -> None:
        """With --log and JSON a failed call appends one object, and still tells standard error."""
        finished = run("--log", str(tmp_path / "log"), "--log-format", "json", "start", "c1")
        entry = json.loads((tmp_path / "log").read_text())
        assert entry["level"] == "error"
        assert entry["msg"] == "fake runtime start failed: container does not exist: c1"
        assert entry["msg"] in finished.stderr

    def test_text(self, run: Run, tmp_path: Path) -> None:
        """In text format the entry is the line of standard error."""
        finished = run("--log", str(tmp_path / "log"), "start", "c1")
        assert (tmp_path / "log").read_text() == finished.stderr

    def test_unwritable(self, run: Run, bundle: Callable[..., MadeBundle]) -> None:
        """A log that can't be written fails nothing."""
        made = bundle(poststart=[script_hook("exit 1")])
        assert run("--log", "/nonexistent/log", "run", "-b", str(made.directory), "c1").returncode == 0


def test_script_with_odd_paths(tmp_path: Path) -> None:
    """Paths with blanks and quotes work for the script, its records and the interpreter."""
    directory = tmp_path / 'it\'s "odd" $HOME'
    directory.mkdir()
    python = directory / "py thon"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fake = write_fake_runtime(directory / "a fake", record=directory / "re cord", python=python)
    assert subprocess.run([fake.path, "--version"], capture_output=True, check=False).returncode == 0
    assert fake.calls()[0].argv == (str(fake.path), "--version")


def test_program_alone(bundle: Callable[..., MadeBundle], tmp_path: Path) -> None:
    """The program runs by its path in an isolated interpreter, whatever modules the working directory holds."""
    (tmp_path / "simulator").mkdir()
    (tmp_path / "simulator/__init__.py").write_text("raise SystemExit(99)")
    command = [sys.executable, "-I", "-S", fake_runtime.__file__, "--root", str(tmp_path / "root")]
    command += ["run", "--bundle", str(bundle().directory), "c1"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == "simulated container c1 would run: echo 'a b'\n"


def test_no_bash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bash the error names the package to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="bash: not found on PATH") as caught:
        write_fake_runtime(tmp_path / "fake")
    assert caught.value.hint == "apt-get install bash"
