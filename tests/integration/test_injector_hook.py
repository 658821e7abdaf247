"""The program oci-injector-hook: alone, and as a hook of real containers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import ocihooks
from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import make_rootfs
from ocihooks.testing.runtimes import PrivateRuntime

NAME = "oci-injector-hook"


@pytest.fixture(scope="module")
def program(public_directory: Path) -> Path:
    """The installed program."""
    return Path(install(Request(prefix=str(public_directory / "injector"), program=NAME, name=NAME)).script)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that asks, and an injector file for it."""
    (tmp_path / "b/rootfs").mkdir(parents=True)
    config: dict[str, Any] = {"process": {"env": ["WITH=1"]}, "root": {"path": "rootfs"}}
    (tmp_path / "b/config.json").write_text(json.dumps(config))
    (tmp_path / "conf").mkdir()
    (tmp_path / "tool").write_text("tool")
    write(tmp_path, directories=[str(tmp_path)], binaries=[str(tmp_path / "tool")])
    return tmp_path / "b"


def write(place: Path, **members: Any) -> None:
    """Write the injector file."""
    (place / "conf/a.json").write_text(json.dumps({"activation_flag": "WITH", **members}))


def run(program: Path, bundle: Path, *before: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a runtime does."""
    state = stdin or json.dumps({"ociVersion": "1.0.2", "id": "c1", "status": "creating", "bundle": str(bundle)})
    env = {"OCI_INJECTOR_CONFIG_DIR": str(bundle.parent / "conf"), **env}
    return subprocess.run([*before, program], input=state, env=env, capture_output=True, text=True, check=False)


def test_asked(program: Path, bundle: Path) -> None:
    """A container that asks gets its files, without a word."""
    done = run(program, bundle)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (bundle / "rootfs" / str(bundle.parent)[1:] / "tool").read_text() == "tool"


def test_debug(program: Path, bundle: Path) -> None:
    """DEBUG has every copy told, but no value of the environment."""
    done = run(program, bundle, DEBUG="true")
    tool = bundle.parent / "tool"
    assert f"{NAME}: debug: {tool} -> {tool}\n" in done.stderr
    assert "WITH=1" not in done.stderr


def test_not_asked(program: Path, bundle: Path) -> None:
    """A container that does not ask is told about, and gets nothing."""
    (bundle / "config.json").write_text('{"process": {"env": ["A=1"]}, "root": {"path": "rootfs"}}')
    done = run(program, bundle)
    file = bundle.parent / "conf/a.json"
    assert done.stderr == f'{NAME}: {file}: not wanted, since the container has no variable "WITH"\n'
    assert (done.returncode, os.listdir(bundle / "rootfs")) == (0, [])


CONFIGS = {
    "process": ('{"root": {"path": "r"}}', 'missing required member "process"'),
    "root": ('{"process": {}, "root": null}', 'missing required member "root"'),
    "path": ('{"process": {"env": ["WITH=1"]}, "root": {}}', '/root: missing required member "path"'),
    "env": ('{"process": {"env": [1]}}', '/process/env/0: expected a string, found "1"'),
    "array": ("[]", "expected an object, found an array"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_faulty_bundle(name: str, program: Path, bundle: Path) -> None:
    """A config.json without what is needed fails with the place."""
    text, message = CONFIGS[name]
    (bundle / "config.json").write_text(text)
    done = run(program, bundle)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{NAME}: {bundle}/config.json: {message}\nhint: ")


STATES = {
    "none": (" ", "the file is empty"),
    "no-bundle": ("{}", 'missing required member "bundle"'),
    "pid": ('{"bundle": "/b", "pid": "1"}', "/pid: expected a whole number"),
    "annotation": ('{"bundle": "/b", "annotations": {"a": 1}}', "/annotations: expected a string"),
    "not-utf8": ("\udcff", "not UTF-8"),
    "list": ("[]", "expected an object, found an array"),
}


@pytest.mark.parametrize("name", STATES)
def test_faulty_state(name: str, program: Path, bundle: Path) -> None:
    """What is no state is refused with a hint, and not with a traceback."""
    text, message = STATES[name]
    env = {"OCI_INJECTOR_CONFIG_DIR": str(bundle.parent / "conf")}
    done = subprocess.run(
        [program], input=text.encode("utf-8", "surrogateescape"), env=env, capture_output=True, check=False
    )
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith(f"{NAME}: the state on standard input: ")
    assert message in said
    assert "\nhint: a runtime starts this program" in said


def test_closed_input(program: Path, bundle: Path) -> None:
    """Without standard input it fails with a sentence."""
    done = run(program, bundle, "/bin/sh", "-c", 'exec "$0" <&-')
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "the state on standard input: can't be read" in done.stderr


def test_own_faults_are_told(bundle: Path) -> None:
    """Whatever else goes wrong ends in one sentence, and fails the container."""
    code = (
        "import sys; sys.path.append(sys.argv.pop(1)); import ocihooks.dropins.injector_hook as hook\n"
        "def broken(*words): raise ValueError('odd')\n"
        "hook.read_container = broken; hook.main()"
    )
    done = run(Path(ocihooks.__file__).parents[1], bundle, os.path.realpath("/proc/self/exe"), "-ISc", code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{NAME}: failed, which is a fault in this program: ValueError: odd\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="puts a directory over /dev")
@pytest.mark.parametrize("reads", [True, False], ids=["listens", "is-full"])
def test_log_daemon(program: Path, bundle: Path, tmp_path: Path, reads: bool) -> None:
    """A log daemon gets what is told; one that does not take it makes nobody wait."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/null").touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "dev/log"))
        daemon.settimeout(10)
        if not reads:
            fill(tmp_path / "dev/log")
        mount = f'mount --bind {tmp_path}/dev /dev && exec "$0"'
        done = run(program, bundle, "unshare", "-m", "--propagation", "private", "/bin/sh", "-c", mount, DEBUG="1")
        assert done.returncode == 0, done.stderr
        assert NAME in done.stderr
        received = daemon.recv(1000).decode()
        assert (received.startswith("<7>") and f"{NAME}[" in received) == reads


def fill(log: Path) -> None:
    """Send to *log* until it takes no more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sender.sendto(b"x", str(log))


def test_output_that_can_not_be_written(program: Path, bundle: Path) -> None:
    """A full standard error fails nothing."""
    done = run(program, bundle, "/bin/sh", "-c", 'exec "$0" 2>/dev/full', DEBUG="1")
    assert done.returncode == 0


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_words(program: Path, word: str) -> None:
    """It tells its version and what it is for."""
    done = subprocess.run([program, word], capture_output=True, text=True, check=True)
    assert NAME in done.stdout


def test_without_the_package(program: Path, tmp_path: Path) -> None:
    """When the package can't be imported the container fails with a message."""
    broken = tmp_path / NAME
    broken.write_text(program.read_text().replace("sys.path += [", "sys.path += []; [").replace("/ocihooks/", "/gone/"))
    broken.chmod(0o755)
    done = subprocess.run([broken], input="{}", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{NAME}: the package ocihooks can't be imported; nothing was put")


@pytest.mark.runtime
@pytest.mark.parametrize("stage", ["createRuntime", "prestart"])
@pytest.mark.parametrize("asks", [True, False], ids=["asks", "does-not-ask"])
def test_real_containers(
    runtime: PrivateRuntime, program: Path, private_directory: Path, stage: str, asks: bool
) -> None:
    """A file of the host can be read in the container that asks for it, and is not there in another."""
    (private_directory / "conf").mkdir()
    file = Path(json.__file__)  # outside of /tmp, which these containers have a file system of their own for
    write(private_directory, directories=[str(file.parent)], miscellaneous=[str(file)])
    env = [f"OCI_INJECTOR_CONFIG_DIR={private_directory}/conf"]
    bundle = runtime.make_bundle(
        rootfs=make_rootfs(private_directory / "rootfs"),
        args=["sh", "-c", f"cat {file} 2>/dev/null || true"],
        env=["PATH=/bin", *(["WITH=1"] if asks else [])],
        hooks={stage: [{"path": str(program), "env": env}]},
    )
    done = runtime.run_container(bundle)
    assert done.status == 0, done
    assert done.stdout == (file.read_text() if asks else "")


@pytest.mark.runtime
def test_container_is_not_created(runtime: PrivateRuntime, program: Path, private_directory: Path) -> None:
    """A container whose files can't be put in is not created, and its root is as it was."""
    (private_directory / "conf").mkdir()
    write(private_directory, directories=["/made"], binaries=["/none/such"])
    rootfs = make_rootfs(private_directory / "rootfs")
    env = [f"OCI_INJECTOR_CONFIG_DIR={private_directory}/conf"]
    hooks = {"createRuntime": [{"path": str(program), "env": env}]}
    done = runtime.run_container(runtime.make_bundle(rootfs=rootfs, env=["PATH=/bin", "WITH=1"], hooks=hooks))
    assert done.status != 0
    assert not (rootfs / "made").exists()
    assert runtime.containers() == ()
