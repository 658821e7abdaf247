"""`ocihooks configure`, `verify` and `unconfigure` on the real engines, each on a private host with its usual files."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.place import PROGRAM

from ocihooks.testing.engines.containerd import Ctr
from ocihooks.testing.engines.docker import Docker
from ocihooks.testing.engines.engine import IMAGE
from ocihooks.testing.engines.host import Daemon, Finished, PrivateHost

ENGINES = {
    "docker": "docker_engine",
    "containerd": "ctr_engine",
    "podman": "podman_engine",
    "buildah": "buildah_engine",
}


class Host:
    """A host with one engine, and our program on it."""

    def __init__(self, name: str, engine: Any, prefix: Path) -> None:
        self.name = name
        self.engine = engine
        self.host: PrivateHost = engine.containerd.host if isinstance(engine, Ctr) else engine.host
        self.prefix = prefix

    def ocihooks(self, command: str, *words: str) -> Finished:
        """Run our program there."""
        return self.host.run(str(PROGRAM), command, self.name, "--prefix", str(self.prefix), *words)

    def start(self, command: str, *words: str) -> Daemon:
        """Begin to run our program there."""
        return self.host.start(str(PROGRAM), command, self.name, "--prefix", str(self.prefix), *words)

    def files(self) -> dict[str, bytes]:
        """The engine's configuration."""
        directory = self.host.etc / ("containers" if self.name in ("podman", "buildah") else self.name)
        files = (path for path in directory.rglob("*") if path.suffix in (".conf", ".json", ".toml"))
        return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.fixture(params=ENGINES)
def configured(request: pytest.FixtureRequest, private_directory: Path, ran_on: Any) -> Host:
    """Each engine in turn, not configured."""
    engine = request.getfixturevalue(ENGINES[request.param])
    ran_on(engine.product, engine.version)
    return Host(request.param, engine, private_directory / "prefix")


def ok(finished: Finished) -> str:
    """What a command printed that succeeded."""
    assert finished.status == 0, finished
    return finished.stdout


def restart(host: Host) -> None:
    """Have a daemon read its configuration anew, as after a reboot."""
    engine = host.engine
    if isinstance(engine, Docker):
        engine.stop()
        engine.start()
    elif isinstance(engine, Ctr):
        engine.containerd.stop()
        engine.containerd.start()


@pytest.mark.early
def test_there_and_back(configured: Host) -> None:
    """Configured, proved, the engine started anew and proved again; undone, the files are as before, byte for byte."""
    before = configured.files()
    reload = ["--reload"] if configured.name == "docker" else []
    ok(configured.ocihooks("configure", "--base", "runc", *reload))
    try:
        assert ok(configured.ocihooks("verify")).startswith(f"proved: a container of {configured.name} got its hook\n")
        assert "nothing to be done" in ok(configured.ocihooks("configure", "--base", "runc"))
        restart(configured)
        document = json.loads(ok(configured.ocihooks("verify", "--json")))
        assert (document["proved"], len(document["states"])) == (True, 1)
    finally:
        ok(configured.ocihooks("unconfigure"))
    assert configured.files() == before
    restart(configured)
    refused = configured.ocihooks("verify")
    assert (refused.status, 'there is no handler "ocihooks"' in refused.stderr) == (1, True)


def start_again_after_a_crash(host: Host) -> None:
    """Kill the daemon, if there is one, and start it again with the files that are there."""
    if host.name in ("docker", "containerd"):
        host.engine.crash()


def runs(host: Host) -> bool:
    """Whether the engine runs a container without our handler."""
    engine = host.engine
    if isinstance(engine, Ctr):
        engine.use("/usr/sbin/runc")
        return engine.run("true").status == 0
    return bool(engine.call("run", "--rm", "--network=none", "--runtime=runc", IMAGE, "true").status == 0)


MOMENTS_S = (0.1, 0.25, 0.4)
"""After how long commands are killed; the shortest before they begin, the longest when they are done."""


@pytest.mark.slow
@pytest.mark.parametrize("configured", ["docker", "containerd", "podman"], indirect=True)
def test_every_state(configured: Host, record_property: Callable[[str, object], None]) -> None:
    """The engine starts and runs containers whatever state it is killed in, and in the end its files are as before."""
    before, states = configured.files(), 0

    def check(*, proved: bool | None = None) -> None:
        nonlocal states
        states += 1
        start_again_after_a_crash(configured)
        assert runs(configured), states
        if proved is not None:
            assert (configured.ocihooks("verify").status == 0) is proved, states

    base = ("--base", "runc")
    try:
        check(proved=False)
        ok(configured.ocihooks("configure", *base))
        check(proved=True)
        (script,) = configured.prefix.rglob("bin/ocihooks-runtime")
        script.rename(f"{script}.gone")
        check(proved=False)
        Path(f"{script}.gone").rename(script)
        check(proved=True)
        ok(configured.ocihooks("unconfigure", "--force"))
        check(proved=False)
        for command, words in (("configure", base), ("unconfigure", ("--force",))):
            for moment_s in MOMENTS_S:
                killed = configured.start(command, *words)
                time.sleep(moment_s)
                killed.end(signal.SIGKILL)
                check()
            ok(configured.ocihooks(command, *words))
            check(proved=command == "configure")
    finally:
        configured.ocihooks("unconfigure", "--force")
    assert configured.files() == before
    check(proved=False)
    record_property("amount", f"{states} states of {configured.name}")


@pytest.mark.slow
@pytest.mark.parametrize("configured", ["docker"], indirect=True)
def test_rolled_back(configured: Host) -> None:
    """When the running engine does not take the change, its file is as before, and so is what it does."""
    engine: Docker = configured.engine
    file = configured.host.etc / "docker/daemon.json"
    good = file.read_text()
    broken = good.replace("{", '{"no-such-option": true,', 1)
    file.write_text(broken)
    try:
        refused = configured.ocihooks("configure", "--base", "runc", "--reload")
        assert refused.status != 0, refused
        assert file.read_text() == broken
        assert "ocihooks" not in engine.call("info", "--format", "{{json .Runtimes}}").stdout
        assert runs(configured)
    finally:
        file.write_text(good)
    start_again_after_a_crash(configured)
    assert runs(configured)


@pytest.mark.parametrize("configured", ["docker"], indirect=True)
def test_default_runtime_of_docker(configured: Host) -> None:
    """As the default, containers get hooks without being asked; while they run, unconfigure refuses and names them."""
    engine: Docker = configured.engine
    before = configured.files()
    ok(configured.ocihooks("configure", "--default", "--reload"))
    try:
        assert engine.call("info", "--format", "{{.DefaultRuntime}}").stdout == "ocihooks\n"
        name = engine.new_name()
        ok(engine.call("run", "--detach", "--network=none", f"--name={name}", IMAGE, "sleep", "1000"))
        refused = configured.ocihooks("unconfigure")
        assert (refused.status, "a running container was started through it" in refused.stderr) == (1, True)
        ok(engine.call("rm", "--force", name))
    finally:
        ok(configured.ocihooks("unconfigure", "--force"))
        restart(configured)
    assert configured.files() == before
    assert engine.call("info", "--format", "{{.DefaultRuntime}}").stdout == "runc\n"


@pytest.mark.parametrize("configured", ["docker"], indirect=True)
def test_flags_of_dockerd(configured: Host) -> None:
    """dockerd with --default-runtime would not start with one in its file, too, so that is refused."""
    engine: Docker = configured.engine
    engine.stop()
    daemon = configured.host.start("dockerd", "--default-runtime", "runc")
    try:
        daemon.wait_until(lambda: engine.call("version").status == 0)
        refused = configured.ocihooks("configure", "--default")
        assert refused.status == 1
        assert "was started with --default-runtime, and refuses to start with both" in refused.stderr
    finally:
        daemon.end(15)
        engine.start()


@pytest.mark.parametrize("configured", ["containerd"], indirect=True)
def test_handlers_of_containerd(configured: Host) -> None:
    """containerd knows the new handler besides the one that was built in."""
    ok(configured.ocihooks("configure", "--annotations", "com.example.*"))
    try:
        dump = configured.host.check("containerd", "config", "dump").stdout
        assert ".containerd.runtimes.ocihooks]" in dump
        assert ".containerd.runtimes.runc]" in dump
        restart(configured)
        plugins = configured.engine.containerd.call("plugins", "ls").stdout
        assert [line.split()[-1] for line in plugins.splitlines() if ".cri.v1" in line or " cri " in line] == ["ok"]
    finally:
        ok(configured.ocihooks("unconfigure"))
        restart(configured)
