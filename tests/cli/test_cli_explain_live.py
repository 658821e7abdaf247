"""`ocihooks explain` on containers of engines, whose clients are scripts here; tests/engines asks real ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.cli.place import Place, Run

from ocihooks.install.install import Request, install
from ocihooks.records.append import append
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.fake import write_fake_runtime

ID = "3f2a" * 16
NOW = 1767323045  # 2026-01-02T03:04:05Z

_CLIENT = """\
#!/bin/sh
[ "$1" = container ] && [ -e "{DIR}/{name}-$3" ] && exec cat "{DIR}/{name}-$3"
[ -e "{DIR}/{name}-fails" ] && cat "{DIR}/{name}-fails" >&2 && exit 1
echo "Error: No such container: $3" >&2
exit 1
"""

_CTR = """\
#!/bin/sh
case "$*" in
  "namespaces list --quiet") echo moby; echo default;;
  "--namespace default containers list --quiet"*) cat "{DIR}/ctr-ids";;
  "--namespace default containers info"*) cat "{DIR}/ctr-info";;
  "--namespace default tasks list") printf 'TASK PID STATUS\\nweb 1 STOPPED\\n';;
  *) echo "asked for $*" >&2; exit 1;;
esac
"""


@pytest.fixture
def machine(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A machine whose clients of Docker, Podman and containerd know what is in files of the place."""
    for name in ("docker", "podman"):
        place.write(f"bin/{name}", _CLIENT.replace("{name}", name)).chmod(0o755)
    place.write("bin/ctr", _CTR).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place.root}/bin:/usr/bin:/bin")
    for name in ("DOCKER_HOST", "CONTAINER_HOST", "CONTAINERD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONTAINERD_ADDRESS", str(place.root / "no.sock"))
    return place


@pytest.fixture
def wrapper(machine: Place) -> str:
    """An installed wrapper with the settings of the place, which name a file for records."""
    machine.configure('records = "{DIR}/records.jsonl"')
    runtime = write_fake_runtime(machine.root / "runc").path
    prefix = str(machine.root / "prefix")
    request = Request(prefix=prefix, runtime=str(runtime), settings=str(machine.settings), launcher=False)
    return install(request).script


def docker_knows(machine: Place, name: str, **members: Any) -> None:
    """Have Docker know a container that does not run by *name*."""
    found = {
        "Id": ID,
        "Name": "/web",
        "Path": "/bin/sh",
        "Args": ["-c", "x"],
        "State": {"Status": "exited", "Running": False, "Pid": 0},
        "HostConfig": {"Runtime": "runc"},
        "Mounts": [],
        **members,
    }
    machine.write(f"docker-{name}", json.dumps([found]))


@pytest.fixture
def shim(machine: Place, wrapper: str) -> Iterator[MadeBundle]:
    """A container ``web`` of Docker that the wrapper has started, with its shim, which works in its bundle."""
    bundle = machine.bundle(f"tasks/{ID}", args=["/bin/sh"])
    machine.write(f"tasks/{ID}/options.json", json.dumps({"binary_name": wrapper}))
    command = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    with subprocess.Popen(command, cwd=bundle.directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        docker_knows(machine, "web", State={"Status": "running", "Running": True, "Pid": pid})
        yield bundle
        os.kill(pid, signal.SIGKILL)


def test_one_screen(machine: Place, wrapper: str, shim: MadeBundle, ocihooks: Run) -> None:
    """A running container on one screen: where it is, what it has, when it got that, and what it would get now."""
    machine.rule("a/1.json", when={"commands": ["sh$"]})
    assert ocihooks("inject", "SETTINGS", "--bundle", str(shim.directory)).status == 0
    hooks = [{"rule": f"{machine.root}/a/1.json", "stage": "createRuntime"}]
    append(f"{machine.root}/records.jsonl", "injection", {"container": ID, "operation": "create", "hooks": hooks})
    append(f"{machine.root}/records.jsonl", "injection", {"container": "other", "operation": "create", "hooks": []})
    record = json.loads((machine.root / "records.jsonl").read_text().splitlines()[0])
    os.utime(shim.config_path, (NOW, NOW))
    machine.rule("b/2.json", args=["t", "-v"], stages=["poststop"])
    finished = ocihooks("explain", "web")
    assert finished.stdout == dedent(f"""\
        container    web, 3f2a3f2a3f2a of docker, running
        config.json  {{DIR}}/tasks/{ID}/config.json, written 2026-01-02T03:04:05Z
        runtime      {{DIR}}/prefix/bin/ocihooks-runtime, the wrapper in front of {{DIR}}/runc
        engine       docker reads no hooks directories itself, and hands on annotations from Docker 24.0 on (docker run --annotation)
        command      "/bin/sh"
        annotations  none
        bind mounts  none but the engine's own
        rules        {{DIR}}/a, {{DIR}}/b

        match      1.json -> createRuntime
                   met  commands "sh$"  saw "/bin/sh"
        match      2.json -> poststop
                   met  always true

        what its config.json has (=):
          =  createRuntime  {{DIR}}/a/1.json  /bin/true

        when it got what:
          {record["time"]}  create  createRuntime 1.json

        made now, its config.json would gain (+), lose (-), and be rewritten by (|):
          +  poststop  /bin/true "-v"  {{DIR}}/b/2.json
        """)  # noqa: E501 - the engine's line is long
    assert (finished.status, finished.stderr) == (0, "")


def test_not_running(machine: Place, ocihooks: Run) -> None:
    """Without a config.json Docker's own words stand in: command, annotations, and mounts that users asked for."""
    machine.rule("a/1.json", when={"commands": ["^/sbin/docker-init$"], "hasBindMounts": True})
    host = {"Runtime": "runc", "Init": True, "Annotations": {"a": "b"}}
    mounts = [
        {"Type": "volume", "Source": "/var/lib/docker/volumes/x", "Destination": "/x"},
        {"Type": "tmpfs", "Source": "", "Destination": "/y"},
    ]
    docker_knows(machine, "web", HostConfig=host, Mounts=mounts)
    document = ocihooks("explain", "SETTINGS", "web", "--json").json()
    assert document["container"] == {
        "bundle": None,
        "command": "/sbin/docker-init",
        "annotations": {"a": "b"},
        "has_bind_mounts": True,
        "sandbox": False,
    }
    assert (document["live"]["config"], document["live"]["written"]) == (None, None)
    assert (document["verdict"], document["live"]["wrapper"]) == ("no wrapper", False)
    text = ocihooks("explain", "SETTINGS", "web").stdout
    assert "config.json  none while it does not run; what docker tells about the next one stands in for it\n" in text
    assert text.endswith(
        "rules do not reach the container: its engine starts it without the wrapper, and reads none itself\n"
        "hint: ocihooks configure docker makes the wrapper one of its runtimes\n"
    )


def test_podman_reads_rules_itself(machine: Place, ocihooks: Run) -> None:
    """Podman's containers are in the rules' reach without the wrapper; volumes count as bind mounts."""
    conf = machine.write("containers.conf", '[engine]\nhooks_dir = ["{DIR}/own"]\n')
    machine.rule("own/1.json", when={"hasBindMounts": True})
    found = {
        "Id": ID,
        "Name": "web",
        "Path": "/bin/sh",
        "Args": None,
        "State": {"Status": "created"},
        "OCIRuntime": str(write_fake_runtime(machine.root / "crun").path),
        "OCIConfigPath": "",
        "Config": {"Annotations": None},
        "Mounts": [{"Type": "bind", "Source": "/srv", "Destination": "/srv"}],
    }
    machine.write("podman-web", json.dumps([found]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(conf))
        finished = ocihooks("explain", "web")
    assert finished.status == 0
    assert "engine       podman reads {DIR}/own itself, and hands on all annotations\n" in finished.stdout
    assert "runtime      {DIR}/crun, not the wrapper\n" in finished.stdout
    assert "\nmatch      1.json -> createRuntime\n" in finished.stdout


def test_containerd(machine: Place, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a container without a task containerd keeps what config.json is made from; an exact id wins."""
    spec = {"ociVersion": "1.0.2", "process": {"args": ["/bin/x"]}}
    machine.write("ctr-ids", "web\nweb2\n")
    machine.write("ctr-info", json.dumps({"ID": "web", "Labels": {"nerdctl/name": "front"}, "Spec": spec}))
    machine.rule("a/1.json", when={"commands": ["^/bin/x$"]})
    address = f"{machine.root}/c.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        finished = ocihooks("explain", "SETTINGS", "--engine", "containerd", "--address", address, "web", "--json")
        several = ocihooks("explain", "--engine", "containerd", "--address", address, "we")
        odd = ocihooks("explain", "--engine", "containerd", "--address", address, "we;b")
    live = finished.json()["live"]
    assert (finished.status, live["name"], live["status"], live["runtime"]) == (0, "front", "stopped", None)
    assert several.stderr.startswith('ocihooks: container "we" may be web of containerd, web2 of containerd\nhint: ')
    assert (odd.status, odd.stderr.splitlines()[0]) == (2, 'ocihooks: containerd has no container "we;b"')


def test_two_engines(machine: Place, ocihooks: Run) -> None:
    """A name that two engines know has to be told apart."""
    docker_knows(machine, "web")
    found = {"Id": "1" * 64, "Name": "web", "State": {"Status": "created"}, "Config": {}, "Path": "/x"}
    machine.write("podman-web", json.dumps([found]))
    finished = ocihooks("explain", "web")
    assert (finished.status, finished.stderr) == (
        2,
        (
            'ocihooks: container "web" may be 3f2a3f2a3f2a of docker, 111111111111 of podman\n'
            "hint: write more of the id, or choose with --engine\n"
        ),
    )
    assert ocihooks("explain", "--engine", "docker", "web").status == 1


def test_removed(machine: Place, ocihooks: Run) -> None:
    """A container that no engine has any more, but the records have, is told as removed."""
    machine.configure('records = "{DIR}/records.jsonl"')
    append(f"{machine.root}/records.jsonl", "injection", {"container": ID, "operation": "create", "hooks": []})
    finished = ocihooks("explain", "SETTINGS", ID[:9])
    assert (finished.status, finished.stdout) == (2, "")
    assert finished.stderr == (
        'ocihooks: container "3f2a3f2a3f2a" has been removed\n'
        'hint: run "ocihooks logs --container 3f2a3f2a3f2a" for what it got\n'
    )


def test_a_directory_is_a_bundle(machine: Place, ocihooks: Run) -> None:
    """A directory is a bundle unless an engine is named."""
    machine.rule("a/1.json")
    machine.bundle("web")
    docker_knows(machine, "web")
    assert ocihooks("explain", "SETTINGS", "web", "--json").json()["container"]["bundle"] == "web"
    assert ocihooks("explain", "SETTINGS", "--engine", "docker", "web", "--json").json()["live"]["id"] == ID


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(
            ["web"],
            2,
            'docker and podman have no container "web"; containerd can\'t be asked: "there is no socket {DIR}/no.sock"',
            id="no-such-container",
        ),
        pytest.param(["--engine", "docker", "dead"], 3, "docker can't be asked: \"Cannot connect", id="engine-down"),
        pytest.param(["--engine", "podman", "odd"], 1, "podman does not describe the container as", id="no-json"),
        pytest.param(["--engine", "podman", "none"], 1, "podman does not describe the container as", id="nothing"),
        pytest.param(["--engine", "docker", "less"], 1, "docker does not describe the container as", id="less"),
        pytest.param(["--engine", "docker", "3"], 2, '"3" is the beginning of several ids of docker', id="ambiguous"),
        pytest.param(["--engine", "docker", "far"], 3, "ocihooks: the config.json of docker container", id="elsewhere"),
        pytest.param(["--engine", "docker"], 2, "--engine: no container is named", id="engine-alone"),
        pytest.param(
            ["--address", "/x", "web"], 2, "--address: expected the path of a socket, and --engine", id="address"
        ),
        pytest.param(["--engine", "docker", "web", "--bind-mount"], 2, "is explained as it is", id="with-made-up"),
    ],
)
def test_bad_input(arguments: list[str], status: int, message: str, machine: Place, ocihooks: Run) -> None:
    """Whatever is wrong is one sentence and a hint."""
    down = "Cannot connect to the Docker daemon. Is the docker daemon running?"
    several = "Error response from daemon: Multiple IDs found with provided prefix: 3"
    for name, said in {"dead": down, "3": several}.items():
        if name in arguments:
            machine.write("docker-fails", said)
    machine.write("podman-odd", "what?")
    machine.write("podman-none", "[]")
    machine.write("docker-less", '[{"Id": "1"}]')
    docker_knows(machine, "far", State={"Status": "running", "Running": True, "Pid": os.getpid()})
    finished = ocihooks("explain", "SETTINGS", *arguments)
    assert (finished.status, finished.stdout) == (status, "")
    first, hint = finished.stderr.splitlines()
    assert message in first
    assert hint.startswith("hint: ")


def test_daemon_elsewhere(machine: Place, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers of another machine are not explained by files of this one."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    finished = ocihooks("explain", "--engine", "docker", "web")
    assert finished.status == 2
    assert finished.stderr.startswith(
        'ocihooks: DOCKER_HOST is "tcp://192.0.2.1:2375", so its containers are on another'
    )


def test_clients_get_few_variables(machine: Place, ocihooks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gets a fixed PATH and the variables by which it finds its daemon, and none else."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "/x")
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    monkeypatch.setenv("HOME", "/root")
    machine.write("bin/docker", '#!/bin/sh\nenv > "{DIR}/seen"; echo "No such container" >&2; exit 1\n')
    address = ["--address", "/run/x.sock"]
    assert ocihooks("explain", "--engine", "docker", *address, "web").status == 2
    seen = dict(line.split("=", 1) for line in Path(machine.root / "seen").read_text().splitlines())
    names = ("PWD", "OLDPWD", "SHLVL", "_", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    assert {name: value for name, value in seen.items() if name not in names} == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "HOME": "/root",
        "DOCKER_CONTEXT": "default",
        "DOCKER_HOST": "unix:///run/x.sock",
    }
