"""Becoming the runtime: what a process inherits is as without us, and what can't be executed is explained."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ocihooks
from ocihooks.errors import UnavailableError
from ocihooks.wrapper.become import become, check_runtime

SOURCE = Path(ocihooks.__file__).parents[1]

LAUNCH = """
import ctypes, json, os, signal, sys

order = json.load(open(sys.argv[1]))
libc = ctypes.CDLL(None, use_errno=True)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
for number in order["ignored"]:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, order["blocked"])
os.umask(order["umask"])
for descriptor in order["closed"]:
    os.close(descriptor)

def array(texts):
    words = [bytes.fromhex(text) for text in texts]
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)

argv = array(order["argv"])
libc.execve(argv[0], argv, array(order["env"]))
os._exit(99)
"""
"""Executes a program with any bytes as its arguments and environment, which no dict can hold."""

WRAPPER = """
import sys

sys.path.insert(0, {source!r})
from ocihooks.wrapper.become import become

runtime, *words = sys.argv[1:]
become(runtime, words, own={own!r})
"""

NAIVE = """
import posix, sys

posix.execv(sys.argv[1], sys.argv[1:])
"""

EXPLAINING = """
import json, os, signal, sys

sys.path.insert(0, {source!r})
from ocihooks.errors import OCIHooksError
from ocihooks.wrapper.become import become

uid = {uid}
if uid is not None:
    os.seteuid(uid)
try:
    become(sys.argv[1], sys.argv[2:], own={own!r})
except OCIHooksError as error:
    ignored = [signal.getsignal(number) == signal.SIG_IGN for number in (signal.SIGPIPE, signal.SIGXFSZ)]
    shown = {{"kind": type(error).__name__, "text": error.render("ocihooks-runtime"), "file": error.file}}
    print(json.dumps(shown | {{"hint": error.hint, "ignored": ignored}}))
"""


def _program(name: str) -> str:
    path = shutil.which(name)
    assert path is not None
    return path


class Launcher:
    """Runs programs with chosen surroundings: directly, through ``become``, or through a careless wrapper."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.launch = self._script("launch.py", LAUNCH)
        self.wrapper = self._script("wrapper.py", WRAPPER.format(source=str(SOURCE), own=str(directory / "wrapper.py")))
        self.naive = self._script("naive.py", NAIVE)

    def directly(self, argv: Sequence[str | bytes], **surroundings: Any) -> bytes:
        return self._run(argv, **surroundings)

    def wrapped(self, argv: Sequence[str | bytes], **surroundings: Any) -> bytes:
        return self._run([sys.executable, "-I", "-S", str(self.wrapper), *argv], **surroundings)

    def carelessly(self, argv: Sequence[str | bytes], **surroundings: Any) -> bytes:
        return self._run([sys.executable, "-I", "-S", str(self.naive), *argv], **surroundings)

    def command(
        self,
        argv: Sequence[str | bytes],
        env: Sequence[bytes] = (b"LANG=C.UTF-8",),
        ignored: Sequence[int] = (),
        blocked: Sequence[int] = (),
        umask: int = 0o22,
        closed: Sequence[int] = (),
    ) -> list[str]:
        order = {
            "argv": [os.fsencode(word).hex() for word in argv],
            "env": [entry.hex() for entry in env],
            "ignored": list(map(int, ignored)),
            "blocked": list(map(int, blocked)),
            "umask": umask,
            "closed": list(closed),
        }
        path = self.directory / "order.json"
        path.write_text(json.dumps(order))
        return [sys.executable, "-I", str(self.launch), str(path)]

    def _run(self, argv: Sequence[str | bytes], *, pass_fds: Sequence[int] = (), **surroundings: Any) -> bytes:
        cwd = surroundings.pop("cwd", self.directory)
        command = self.command(argv, **surroundings)
        done = subprocess.run(
            command, check=False, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=pass_fds, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def _script(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


ENVIRONMENTS = {
    "empty": [],
    "C by nothing": [b"PATH=/bin", b"HOME=/"],
    "LANG=C": [b"LANG=C", b"A=1"],
    "LC_ALL=C": [b"LC_ALL=C", b"A=1"],
    "LC_ALL=POSIX": [b"LC_ALL=POSIX"],
    "LANG=C.UTF-8": [b"LANG=C.UTF-8"],
    "LANG that is not installed": [b"LANG=xx_XX.UTF-8"],
    "LC_CTYPE=C": [b"A=1", b"LC_CTYPE=C", b"B=2"],
    "LC_CTYPE=POSIX": [b"LC_CTYPE=POSIX", b"B=2"],
    "LC_CTYPE empty": [b"LC_CTYPE=", b"B=2"],
    "LC_CTYPE=C.UTF-8": [b"LC_CTYPE=C.UTF-8", b"B=2"],
    "LC_CTYPE=C.utf8": [b"LC_CTYPE=C.utf8"],
    "LC_CTYPE without a value": [b"LC_CTYPE", b"B=2"],
    "LC_CTYPE twice": [b"LC_CTYPE=C", b"A=1", b"LC_CTYPE=C.UTF-8"],
    "LC_CTYPE twice, the first coerced": [b"LC_CTYPE=C.UTF-8", b"LC_CTYPE=C"],
    "LC_CTYPE of another locale": [b"LC_CTYPE=xx_XX"],
    "names like it": [b"LC_CTYPE2=x", b"XLC_CTYPE=C", b"LC_CTYP=y"],
    "duplicates": [b"A=1", b"PATH=/x", b"A=2", b"PATH=/y"],
    "no equals sign": [b"JUSTANAME", b"A=1", b"=value", b"==", b""],
    "no UTF-8": [b"\xff\xfe=\x80", b"A=\xed\xb2\x80", b"\xc3=\xc3\x28"],
    "line breaks": [b"A=1\n2", b"\n=\r"],
    "Python's own": [b"PYTHONPATH=/nowhere", b"PYTHONHOME=/nowhere", b"PYTHONCOERCECLOCALE=0", b"PYTHONUTF8=0"],
    "large": [b"A" * 4000 + b"%d=" % number + b"x" * 4000 for number in range(20)],
}


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_the_environment_arrives_byte_for_byte(launcher: Launcher, env: list[bytes]) -> None:
    """The runtime gets the same environment block, in the same order, as if it had been called directly."""
    argv = [_program("cat"), "/proc/self/environ"]
    direct = launcher.directly(argv, env=env)
    assert direct == b"".join(entry + b"\0" for entry in env)
    assert launcher.wrapped(argv, env=env) == direct


def test_a_careless_wrapper_would_be_noticed(launcher: Launcher) -> None:
    """A plain exec by CPython leaves an LC_CTYPE and ignored signals behind, which these tests can see."""
    argv = [_program("cat"), "/proc/self/environ"]
    assert launcher.carelessly(argv, env=[b"A=1"]) != launcher.directly(argv, env=[b"A=1"])
    assert _status(launcher.carelessly([_program("cat"), "/proc/self/status"])) != _status(
        launcher.directly([_program("cat"), "/proc/self/status"])
    )


def _status(text: bytes) -> list[bytes]:
    """The lines of /proc/self/status that a process inherits."""
    names = (b"Sig", b"Umask", b"Cap", b"NoNewPrivs", b"Seccomp", b"Uid", b"Gid", b"Groups", b"NSpid", b"FDSize")
    varying = (b"SigQ", b"NSpid")
    return [line for line in text.splitlines() if line.startswith(names) and not line.startswith(varying)]


SURROUNDINGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "SIGUSR1 blocked, as under podman delete": {"blocked": [10]},
    "several ignored and blocked": {"ignored": [1, 2, 10, 17, 20], "blocked": [12, 13, 15, 25, 34]},
    "umask 077": {"umask": 0o77},
    "umask 0": {"umask": 0},
    "C locale": {"env": []},
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_signals_umask_and_rights_are_the_same(launcher: Launcher, surroundings: dict[str, Any]) -> None:
    """Dispositions, mask, umask, capabilities and ids of the runtime's process don't differ from a direct call."""
    argv = [_program("cat"), "/proc/self/status"]
    direct = _status(launcher.directly(argv, **surroundings))
    assert len(direct) > 10
    assert _status(launcher.wrapped(argv, **surroundings)) == direct


PIPE, FILE_SIZE = 1 << signal.SIGPIPE - 1, 1 << signal.SIGXFSZ - 1


@pytest.mark.parametrize(
    ("told", "ignored"),
    [
        pytest.param(0, 0, id="none"),
        pytest.param(PIPE, PIPE, id="SIGPIPE"),
        pytest.param(FILE_SIZE, FILE_SIZE, id="SIGXFSZ"),
        pytest.param(PIPE | FILE_SIZE, PIPE | FILE_SIZE, id="both"),
        pytest.param((1 << 64) - 1 & ~PIPE & ~FILE_SIZE, 0, id="others"),
    ],
)
def test_what_the_launcher_told_is_ignored(told: int, ignored: int) -> None:
    """Of the two signals that CPython ignores, the runtime ignores those that were ignored before, and no others."""
    script = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
        "from ocihooks.wrapper.become import become\n"
        f"become({_program('grep')!r}, ['SigIgn', '/proc/self/status'], own='/nowhere', ignored={told})\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout.split()[1], 16) & (PIPE | FILE_SIZE) == ignored


@pytest.mark.parametrize(
    "words",
    [
        ["--bundle=/x", "", " ", "-", "--", "a b", "a\nb"],
        [b"--bundle=\xff\xfe/\x80", b"\xc3\x28", b"\xed\xb2\x80", "ä€😀".encode()],
        [bytes(range(1, 256))],
    ],
    ids=["odd words", "no UTF-8", "every byte"],
)
@pytest.mark.parametrize("env", [[], [b"LC_ALL=C"], [b"LANG=C.UTF-8"]], ids=["C coerced", "C forced", "UTF-8"])
def test_the_arguments_arrive_byte_for_byte(
    launcher: Launcher, words: list[str] | list[bytes], env: list[bytes]
) -> None:
    """The runtime gets the very words that we got, in every locale."""
    script = launcher.directory / "runtime"
    script.write_text(f'#!/bin/sh\n{_program("cat")} "/proc/$$/cmdline"; exit\n')
    script.chmod(0o755)
    direct = launcher.directly([str(script), *words], env=env)
    assert direct == b"".join(os.fsencode(word) + b"\0" for word in ("/bin/sh", str(script), *words))
    assert launcher.wrapped([str(script), *words], env=env) == direct


def test_the_runtime_is_called_by_its_path(launcher: Launcher) -> None:
    """argv[0] is the runtime's absolute path."""
    cat = _program("cat")
    assert launcher.wrapped([cat, "/proc/self/cmdline"]) == f"{cat}\0/proc/self/cmdline\0".encode()


def test_cwd_descriptors_and_limits_are_the_same(launcher: Launcher) -> None:
    """Working directory, open descriptors with what they refer to, and limits are those of a direct call."""
    here = launcher.directory / "here \n\N{SNOWMAN}"
    here.mkdir()
    reading, writing = os.pipe()
    try:
        surroundings: dict[str, Any] = {"cwd": here, "pass_fds": (reading, writing)}
        for argv in (
            [_program("readlink"), "/proc/self/cwd"],
            [_program("ls"), "/proc/self/fd"],
            [_program("readlink"), f"/proc/self/fd/{reading}", f"/proc/self/fd/{writing}", "/proc/self/fd/0"],
            [_program("cat"), f"/proc/self/fdinfo/{writing}"],
            [_program("cat"), "/proc/self/limits"],
            [_program("cat"), "/proc/self/oom_score_adj"],
        ):
            direct = launcher.directly(argv, **surroundings)
            assert direct
            assert launcher.wrapped(argv, **surroundings) == direct
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("closed", [(0,), (0, 2)], ids=str)
def test_closed_standard_descriptors_stay_closed(launcher: Launcher, closed: tuple[int, ...]) -> None:
    """The runtime finds the standard descriptors closed that were closed for us, also when we read a file before."""
    argv = [_program("ls"), "/proc/self/fd"]
    direct = launcher.directly(argv, closed=closed, env=[])
    assert launcher.wrapped(argv, closed=closed, env=[]) == direct


def test_the_runtime_has_our_process_id(launcher: Launcher) -> None:
    """The process that the engine started and waits for becomes the runtime; there is no child."""
    argv = [sys.executable, "-I", "-S", str(launcher.wrapper), _program("cat"), "/proc/self/status"]
    with subprocess.Popen(launcher.command(argv), stdout=subprocess.PIPE) as process:
        text, _ = process.communicate(timeout=60)
    assert f"\nPid:\t{process.pid}\n".encode() in text


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_is_the_runtimes(launcher: Launcher, status: int) -> None:
    """The engine sees the runtime's exit status."""
    argv = [sys.executable, "-I", "-S", str(launcher.wrapper), "/bin/sh", "-c", f"exit {status}"]
    assert subprocess.run(launcher.command(argv), check=False, timeout=60).returncode == status


class Places:
    """Things that are no runtime, each made where the test asks for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.own = directory / "ocihooks-runtime"
        self._write(self.own, "#!/bin/sh\nexit 0\n")

    def make(self, kind: str) -> str:
        path = self.directory / "runtime"
        getattr(self, f"_{kind}")(path)
        return str(path)

    def _write(self, path: Path, text: str, mode: int = 0o755) -> None:
        path.write_text(text)
        path.chmod(mode)

    def _missing(self, path: Path) -> None: ...

    def _dangling(self, path: Path) -> None:
        path.symlink_to("nowhere")

    def _loop(self, path: Path) -> None:
        path.symlink_to(path)

    def _directory(self, path: Path) -> None:
        path.mkdir()

    def _fifo(self, path: Path) -> None:
        os.mkfifo(path, 0o755)

    def _plain(self, path: Path) -> None:
        self._write(path, "#!/bin/sh\n", 0o644)

    def _garbage(self, path: Path) -> None:
        self._write(path, "\0\1\2\3 no program")

    def _interpreter(self, path: Path) -> None:
        self._write(path, "#!/nowhere/sh\n")

    def _link_to_us(self, path: Path) -> None:
        path.symlink_to(self.own)

    def _hard_link_to_us(self, path: Path) -> None:
        path.hardlink_to(self.own)

    def _private(self, path: Path) -> None:
        self._write(path, "#!/bin/sh\n", 0o700)


def _explained(
    places: Places, runtime: str, words: Sequence[str] = ("state", "x"), uid: int | None = None
) -> dict[str, Any]:
    """What ``become`` raises for *runtime*, in a process of its own."""
    script = places.directory / "explaining.py"
    script.write_text(EXPLAINING.format(source=str(SOURCE), own=str(places.own), uid=uid))
    command = [sys.executable, "-I", "-S", str(script), runtime, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


CAUSES = {
    "missing": "the OCI runtime does not exist",
    "dangling": "the OCI runtime does not exist",
    "loop": "the OCI runtime can't be executed: too many levels of symbolic links",
    "directory": "expected an OCI runtime, found a directory",
    "fifo": "expected an OCI runtime, found something that is no regular file",
    "plain": "the OCI runtime is not executable",
    "garbage": "expected an OCI runtime, found a file that this machine can't execute",
    "interpreter": "the OCI runtime needs an interpreter or dynamic loader that does not exist",
    "link_to_us": "expected an OCI runtime, found the wrapper that stands in front of it",
    "hard_link_to_us": "expected an OCI runtime, found the wrapper that stands in front of it",
}


@pytest.mark.parametrize(("kind", "cause"), CAUSES.items(), ids=CAUSES.keys())
def test_what_can_not_be_executed_is_explained(tmp_path: Path, kind: str, cause: str) -> None:
    """The error names the path, the cause and the remedy, in words that engines take for no other fault."""
    places = Places(tmp_path)
    runtime = places.make(kind)
    shown = _explained(places, runtime)
    assert shown["kind"] == "UnavailableError"
    assert shown["text"].splitlines()[0] == f"ocihooks-runtime: {runtime}: {cause}"
    assert shown["hint"] == "name an installed OCI runtime: ocihooks install --runtime PATH"
    assert "no such file or directory" not in shown["text"].lower()
    assert "permission denied" not in shown["text"].lower()


def test_signals_are_ignored_again_after_a_failure(tmp_path: Path) -> None:
    """After a failed exec a report into a closed pipe must not end us, so SIGPIPE and SIGXFSZ are ignored as before."""
    places = Places(tmp_path)
    assert _explained(places, places.make("missing"))["ignored"] == [True, True]


@pytest.mark.parametrize("runtime", ["runc", "./runc", "", "bin/runc"])
def test_a_relative_runtime_is_refused(tmp_path: Path, runtime: str) -> None:
    """A path that depends on the working directory, which is the container's business, is never executed."""
    shown = _explained(Places(tmp_path), runtime)
    assert "expected the absolute path of an OCI runtime" in shown["text"]


def test_too_many_arguments_are_explained(tmp_path: Path) -> None:
    """When the kernel refuses for another reason, its words are in the message."""
    script = tmp_path / "long.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
        "from ocihooks.wrapper.become import become\n"
        "try:\n    become(sys.argv[1], ['x' * 200000], own='/nowhere')\n"
        "except Exception as error: print(error)\n"
    )
    command = [sys.executable, "-I", "-S", str(script), _program("true")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{_program('true')}: the OCI runtime can't be executed: argument list too long\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize(
    ("directory_mode", "cause"),
    [
        (0o755, "uid 65534 may not execute the OCI runtime (its mode, a mount with noexec, or a security module)"),
        (0o700, "uid 65534 has no access to a directory above the OCI runtime"),
    ],
    ids=["the file", "a directory above"],
)
def test_missing_rights_are_explained(public_directory: Path, directory_mode: int, cause: str) -> None:
    """Somebody who may not execute the runtime, or not reach it, is told so, with their uid."""
    directory = public_directory / f"become-{directory_mode:o}"
    directory.mkdir()
    try:
        places = Places(directory)
        runtime = places.make("private")
        directory.chmod(directory_mode)
        assert _explained(places, runtime, uid=65534)["text"].splitlines()[0].endswith(f": {cause}")
    finally:
        shutil.rmtree(directory)


def test_words_that_no_program_can_get(tmp_path: Path) -> None:
    """A word with a NUL, which can come from nobody but ourselves, is explained as well."""
    with pytest.raises(UnavailableError, match="the OCI runtime can't be executed: embedded null byte"):
        become(_program("true"), ["a\0b"], own=str(tmp_path / "ocihooks-runtime"))


class TestChecking:
    """What is looked at before a container is prepared."""

    def test_another_file(self, tmp_path: Path) -> None:
        """Any program but the wrapper itself may be the runtime, whichever of both is the older file."""
        programs = [tmp_path / "one", tmp_path / "other"]
        for program in programs:
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
        for runtime, own in (programs, reversed(programs)):
            check_runtime(str(runtime), str(own))

    def test_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Unless a program says otherwise, the path has to be absolute."""
        monkeypatch.chdir(tmp_path)
        shutil.copy(_program("true"), "runc")
        with pytest.raises(UnavailableError, match="expected the absolute path of an OCI runtime"):
            check_runtime("./runc", "/nowhere")

    def test_socket(self, tmp_path: Path) -> None:
        """A socket is no runtime, though it has the mode of a program."""
        path = tmp_path / "runc"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        path.chmod(0o755)
        with pytest.raises(UnavailableError, match="found something that is no regular file"):
            check_runtime(str(path), "/nowhere")
