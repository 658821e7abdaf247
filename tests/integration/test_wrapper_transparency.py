"""What the runtime gets through the wrapper: all that makes up a process, as if the engine had started it itself."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.starting import latin, start
from tests.integration.wrappers import Installations, Notes, Simulated, Wrapper, rules_of

from ocihooks.testing.bundles import MadeBundle, make_bundle
from ocihooks.testing.fake import Answer, RecordedCall, write_fake_runtime
from ocihooks.testing.runtimes import PrivateRuntime


@pytest.fixture
def mirrored(simulated: Simulated) -> Simulated:
    """The wrapper in front of a fake runtime, with a rule that matches."""
    simulated.wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    return simulated


def compare(simulated: Simulated, *words: str | bytes, **told: Any) -> RecordedCall:
    """Call the runtime itself, then through the wrapper; everything about the calls has to be equal."""
    begun = len(simulated.fake.calls())
    for program in (simulated.fake.path, simulated.wrapper.script):
        start(program, *words, **told)
        shutil.rmtree(simulated.fake.state_directory, ignore_errors=True)
    direct, wrapped = simulated.fake.calls()[begun:]
    # CPython ignores these two itself, so without the launcher nobody knows what they were.
    unknown = set() if simulated.wrapper.launched else {"SIGPIPE", "SIGXFSZ"}
    assert set(wrapped.ignored_signals) == set(direct.ignored_signals) - unknown
    free = ("pid", "parent_pid", "ignored_signals", "config", "config_sha256")
    for field in fields(RecordedCall):
        if field.name not in free:
            assert getattr(wrapped, field.name) == getattr(direct, field.name), field.name
    return wrapped


KINDS = {
    "create": ("create", "--bundle", "BUNDLE", "c1"),
    "state": ("state", "c1"),
    "unknown": ("nonsense", "--x"),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def words(request: pytest.FixtureRequest, mirrored: Simulated) -> tuple[str, ...]:
    """The words of each kind of call in turn: one that changes config.json, one that doesn't, one that nobody knows."""
    return tuple(str(mirrored.bundle.directory) if word == "BUNDLE" else word for word in request.param)


def test_arguments(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """All words reach the runtime as they are, whatever bytes they hold."""
    odd = ("--root", b"state/\xff\xfe \n\t'\"$x", "--log", "", "--criu=\\\u00e4")
    call = compare(mirrored, *odd, *words, cwd=str(mirrored.directory))
    assert call.argv[1:] == ("--root", "state/\udcff\udcfe \n\t'\"$x", "--log", "", "--criu=\\\u00e4", *words)


ENVIRONMENTS: dict[str, tuple[str | bytes, ...]] = {
    "none": (),
    "not-utf-8": ("PATH=/bin", b"BYTES=\xff\xfe\n", b"\xe9=1"),
    "odd": ("A=1", "A=2", "A", "=x", "", "B=", "C=a=b", "PATH=/bin"),
    "names-that-no-shell-holds": ("A\nB=1", "\n=", "==x", b"\xff\x01=\n", "a.b-c d=1", "BASH_FUNC_f%%=() { :; }"),
    "of-python": (
        "PYTHONPATH=/nowhere",
        "PYTHONHOME=/nowhere",
        "PYTHONSTARTUP=/x",
        "PYTHONVERBOSE=1",
        "PYTHONINSPECT=1",
    ),
    "c-locale": ("LC_ALL=C", "LANG=C"),
    "posix-locale": ("LC_ALL=POSIX",),
    "locale-of-its-own": ("LC_CTYPE=C", "LANG=de_DE.UTF-8"),
    "utf-8-locale": ("LC_CTYPE=C.UTF-8",),
    "no-coercion": ("PYTHONCOERCECLOCALE=0", "PYTHONUTF8=1"),
    "podman": ("XDG_RUNTIME_DIR=", "_OCI_SYNCPIPE=3", "_OCI_STARTPIPE=4", "HOME=/root"),
    "large": tuple(f"N{number}={'x' * 1000}" for number in range(100)),
}


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_environment(mirrored: Simulated, environment: tuple[str | bytes, ...]) -> None:
    """Every entry of the environment reaches the runtime, in its order and to the byte, and none is added."""
    words = ("create", "--bundle", str(mirrored.bundle.directory), "c1")
    call = compare(mirrored, *words, environment=latin(*environment))
    assert call.environment == tuple(os.fsdecode(entry) for entry in environment)


def test_working_directory(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """The working directory is kept, also one with an odd name, and one that others may write."""
    directory = mirrored.directory / "a b\nc"
    directory.mkdir()
    directory.chmod(0o777)
    for name in ("json.py", "os.py", "ocihooks.py", "sitecustomize.py", "re2.py", "pyvenv.cfg"):
        (directory / name).write_text("raise SystemExit('imported from the working directory')\n")
    call = compare(mirrored, *words, cwd=str(directory))
    assert call.cwd == str(directory)


def test_removed_working_directory(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """A working directory that is gone does not matter where the bundle is named in full."""
    made = start(mirrored.wrapper.script, *words, cwd=str(mirrored.directory), cwd_removed=True)
    assert b"ocihooks-runtime:" not in made.stderr, made


def test_descriptors(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """Inherited descriptors reach the runtime under their numbers, and none of ours is among them."""
    file = mirrored.directory / "inherited"
    file.write_text("")
    call = compare(mirrored, *words, descriptors={"3": str(file), "7": str(file), "63": "/dev/zero"})
    assert call.descriptors == {3: str(file), 7: str(file), 63: "/dev/zero"}


@pytest.mark.parametrize("closed", [[0], [2], [0, 1, 2]], ids=str)
def test_closed_standard_descriptors(
    installations: Installations, mirrored: Simulated, words: tuple[str, ...], closed: list[int]
) -> None:
    """A closed standard descriptor is closed for the runtime, too: nothing of ours takes its place."""
    list_descriptors = installations.directory / "list-runc"
    seen = mirrored.directory / "seen"
    list_descriptors.write_text(
        f"#!/bin/sh\nfor n in 0 1 2 3 4 5; do [ ! -e /proc/$$/fd/$n ] || echo $n; done >{seen}\n"
    )
    list_descriptors.chmod(0o755)
    wrapper = installations.wrapper(list_descriptors)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    shown = []
    for program in (list_descriptors, wrapper.script):
        start(program, *words, closed=closed)
        shown.append(seen.read_text())
        seen.unlink()
    assert shown[0] == shown[1]


IGNORED = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGTTOU]


@pytest.mark.parametrize(
    "numbers", [[], [signal.SIGPIPE], [signal.SIGXFSZ], IGNORED], ids=["none", "pipe", "xfsz", "many"]
)
def test_ignored_signals(mirrored: Simulated, words: tuple[str, ...], numbers: Sequence[int]) -> None:
    """Ignored signals stay ignored, and no other is; of SIGPIPE and SIGXFSZ only the launcher can know."""
    call = compare(mirrored, *words, ignored=list(map(int, numbers)))
    expected = {signal.Signals(number).name for number in numbers}
    unknown = set() if mirrored.wrapper.launched else {"SIGPIPE", "SIGXFSZ"}
    assert set(call.ignored_signals) == expected - unknown


def test_blocked_signals(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """Blocked signals stay blocked."""
    numbers = [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE]
    call = compare(mirrored, *words, blocked=list(map(int, numbers)))
    assert set(call.blocked_signals) == {number.name for number in numbers}


def test_umask(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """The umask is kept, and does not change the mode that config.json has."""
    mirrored.bundle.config_path.chmod(0o664)
    call = compare(mirrored, *words, umask=0o077)
    assert call.umask == "0077"
    assert mirrored.bundle.config_path.stat().st_mode & 0o7777 == 0o664


_ATTRIBUTES = """#!/bin/sh
exec >{seen} 2>/dev/null
grep -E '^(Uid|Gid|Groups|Umask|NoNewPrivs|Seccomp|Cap|Cpus_allowed_list|Sig(Blk|Cgt)|PPid)' /proc/$$/status |
  grep -v '^PPid'
awk '{{print $7, $18, $19}}' /proc/$$/stat
awk '{{print ($5 == $1), ($6 == $1)}}' /proc/$$/stat
cd /proc/$$; cat limits oom_score_adj personality timerslack_ns coredump_filter loginuid cgroup
for kind in ns/*; do readlink $kind; done | grep -o '[a-z]*:.*'
ulimit -a
"""


def test_other_attributes(installations: Installations, mirrored: Simulated, words: tuple[str, ...]) -> None:
    """Limits, priority, session, capabilities, namespaces, cgroup and the like stay as they were."""
    seen = mirrored.directory / "seen"
    looker = installations.directory / "looking-runc"
    looker.write_text(_ATTRIBUTES.format(seen=seen))
    looker.chmod(0o755)
    wrapper = installations.wrapper(looker)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    limits = {"RLIMIT_NOFILE": [100, 200], "RLIMIT_CORE": [0, 4096], "RLIMIT_STACK": [1 << 22, resource.RLIM_INFINITY]}
    shown = []
    for program in (looker, wrapper.script):
        start(program, *words, limits=limits, nice=3, session=True)
        shown.append(seen.read_text())
        seen.unlink()
    assert re.search(r"Max open files\s+100\s+200\s", shown[0])
    assert shown[0] == shown[1]


def test_same_process(mirrored: Simulated, words: tuple[str, ...]) -> None:
    """The runtime is the process that the engine started: same process id, same parent."""
    with subprocess.Popen(
        [mirrored.wrapper.script, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as made:
        made.wait(60)
    (call,) = mirrored.fake.calls()
    assert (call.pid, call.parent_pid) == (made.pid, os.getpid())


def test_standard_input(installations: Installations, simulated: Simulated) -> None:
    """Not a byte of standard input is read: it belongs to the container, or to the runtime."""
    record = simulated.directory / "reading"
    reading = write_fake_runtime(installations.directory / "reading-runc", record=record, read_stdin=True)
    wrapper = installations.wrapper(reading.path)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    wrapper.write_rule("b.json", hook={"path": "/bin/cat"}, stages=["precreate"])
    text = b"first line\nsecond line\n" * 1000
    start(wrapper.script, "create", "--bundle", str(simulated.bundle.directory), "c1", stdin=text)
    start(wrapper.script, "update", "--resources", "-", "c1", stdin=text)
    assert [call.stdin for call in reading.calls()] == [text.decode()] * 2


ANSWERS = {
    "success": Answer(stdout="out\n", stderr="err\n"),
    "status-1": Answer(exit_status=1, stderr="failed"),
    "status-137": Answer(exit_status=137),
    "killed": Answer(signal=signal.SIGKILL, stdout="partial"),
    "segfault": Answer(signal=signal.SIGSEGV),
    "terminated": Answer(signal=signal.SIGTERM, stderr="x"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(installations: Installations, private_directory: Path, rootfs: Path, name: str) -> None:
    """Output, exit status and death by signal are the runtime's own, and nothing of ours is printed."""
    answer = ANSWERS[name]
    runtime = write_fake_runtime(installations.directory / "answering-runc", answers={"*": answer})
    wrapper = installations.wrapper(runtime.path)
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    bundle = make_bundle(private_directory / "b", rootfs=rootfs)
    status = answer.exit_status if answer.signal is None else -answer.signal
    for operation in ("create", "restore", "state", "nonsense"):
        changing = operation in ("create", "run", "restore")
        made = start(wrapper.script, operation, *(["--bundle", str(bundle.directory)] if changing else []), "c1")
        said = (made.returncode, made.stdout.decode(), made.stderr.decode())
        assert said == (status, answer.stdout, answer.stderr), operation


SPELLINGS: dict[str, Callable[[str], tuple[list[str], bool]]] = {
    "two-words": lambda bundle: (["--bundle", bundle], False),
    "equals-sign": lambda bundle: ([f"--bundle={bundle}"], False),
    "short": lambda bundle: (["-b", bundle], False),
    "relative": lambda bundle: (["--bundle", f"../{os.path.basename(bundle)}/"], True),
    "working-directory": lambda _: ([], True),
    "twice": lambda bundle: (["--bundle", "/nowhere", "--bundle", bundle], False),
}


@pytest.mark.runtime
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_where_the_bundle_is(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes, spelling: str) -> None:
    """The bundle that the runtime takes is the one that gets the hooks, in every spelling."""
    wrapper.write_rule("a.json", hook=notes.hook("a"))
    bundle = runtime.make_bundle(args=["echo", "hello"])
    words, inside = SPELLINGS[spelling](str(bundle.directory))
    cwd = bundle.directory if inside else None
    call = runtime.call("run", *words, runtime.new_id(), program=wrapper.script, cwd=cwd)
    assert (call.status, call.stdout, call.stderr) == (0, "hello\n", ""), call
    assert notes.order() == ["a"]
    assert rules_of(bundle) == ["a.json"]


@pytest.mark.runtime
def test_another_configuration_file(runtime: PrivateRuntime, wrapper: Wrapper, notes: Notes) -> None:
    """crun's --config: that file gets the hooks, and config.json is not touched; runc refuses the option."""
    wrapper.write_rule("a.json", hook=notes.hook("a"))
    bundle = runtime.make_bundle(args=["echo", "hello"])
    other = runtime.directory / "other.json"
    other.write_bytes(bundle.config_path.read_bytes())
    before = bundle.config_path.read_bytes()
    words = ("run", "--config", str(other), "--bundle", str(bundle.directory), runtime.new_id())
    call = runtime.call(*words, program=wrapper.script)
    assert bundle.config_path.read_bytes() == before
    if runtime.name == "runc":
        assert call.status != 0
        assert notes.order() == []
    else:
        assert (call.status, call.stdout) == (0, "hello\n"), call
        assert len(json.loads(other.read_text())["hooks"]["createRuntime"]) == 1
        assert notes.order() == ["a"]


@pytest.mark.runtime
def test_output_and_input_of_the_container(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """The container has the caller's standard input, output and error, and its status is the status of run."""
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    bundle = runtime.make_bundle(args=["sh", "-c", "cat; echo err >&2; exit 42"])
    call = runtime.run_container(bundle, program=wrapper.script, stdin=b"from the caller\n")
    assert (call.status, call.stdout, call.stderr) == (42, "from the caller\n", "err\n")


@pytest.mark.runtime
def test_descriptors_for_the_container(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """Descriptors that are handed on with --preserve-fds reach the container's program."""
    wrapper.write_rule("a.json", hook={"path": "/bin/cat"})
    bundle = runtime.make_bundle(args=["sh", "-c", "cat <&3"])
    (runtime.directory / "gift").write_text("through descriptor 3\n")
    words = [
        "--root",
        str(runtime.root),
        "run",
        "--preserve-fds",
        "1",
        "--bundle",
        str(bundle.directory),
        runtime.new_id(),
    ]
    script = f'exec "$@" 3<{runtime.directory}/gift'
    call = runtime.execute(["/bin/sh", "-c", script, "sh", str(wrapper.script), *words])
    assert (call.status, call.stdout) == (0, "through descriptor 3\n"), call


@pytest.mark.runtime
def test_signals_of_hooks(runtime: PrivateRuntime, wrapper: Wrapper) -> None:
    """Hooks of a container run with the signals that they have without the wrapper: Python's own don't show."""
    log = runtime.directory / "signals"
    hook = {
        "path": "/bin/sh",
        "args": ["sh", "-c", f"cat >/dev/null; grep SigIgn /proc/$$/status >> {log}"],
        "env": ["PATH=/usr/bin:/bin"],
    }
    wrapper.write_rule("a.json", hook=hook)
    make: Callable[[], MadeBundle] = partial(runtime.make_bundle, args=["true"])
    assert runtime.run_container(make(), program=wrapper.script).status == 0
    bundle = runtime.make_bundle(hooks={"createRuntime": [hook]})
    assert runtime.run_container(bundle).status == 0
    wrapped, direct = log.read_text().splitlines()
    assert wrapped == direct
