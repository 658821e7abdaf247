"""Simulated stages: namespaces, privileges, what is kept from the host, failures, and that nothing is left."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import ocihooks
from ocihooks import StageRun, simulate
from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.simulation import enter
from ocihooks.testing.bundles import MadeBundle
from ocihooks.testing.configs import bind_mount
from ocihooks.testing.runtimes import OrdinaryUser

MakeBundle = Callable[..., MadeBundle]
RunStage = Callable[..., StageRun]

PACKAGE = Path(ocihooks.__file__).parent


@pytest.fixture
def as_root(unavailable: Callable[[OCIHooksError], NoReturn]) -> None:
    """The test needs root."""
    if os.geteuid() != 0:
        unavailable(UnavailableError("needs root"))


def hook(text: str, **members: Any) -> dict[str, Any]:
    """A hook that runs a line of shell, on the host and in a root file system of busybox."""
    return {"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/usr/bin:/bin"], **members}


def said(stage: StageRun) -> list[str]:
    """What the only hook of a stage printed, if it succeeded."""
    (run,) = stage.hooks
    assert run.outcome == "succeeded", f"{run.message}: {run.stderr!r}"
    return run.stdout.decode().splitlines()


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("as_root")
class TestContainer:
    """Hooks in the container's namespaces."""

    def test_root_and_mounts(self, oci_bundle: MakeBundle, run_stage: RunStage, tmp_path: Path) -> None:
        """startContainer hooks see the root file system with its mounts, devices and host name, and not the host."""
        (tmp_path / "shared").mkdir()
        bundle = oci_bundle(mounts=[bind_mount(str(tmp_path / "shared"), "/mnt", readonly=True)], hostname="made")
        tests = "hostname; ls -d /old_root /boot; touch /mnt/x /etc/x; echo > /dev/null && head -c1 /dev/zero | wc -c"
        stage = run_stage("startContainer", bundle, hooks=[hook(f"cat > /dev/null; {tests}; echo $$")])
        hostname, count, pid = said(stage)
        assert (hostname, count) == ("made", "1")
        assert int(pid) < 10
        assert stage.hooks[0].stderr.count(b"Read-only file system") == 2
        assert stage.namespaces == ("pid", "mount", "ipc", "uts")

    @pytest.mark.parametrize("uid", [0, 1234])
    def test_privileges(self, uid: int, oci_bundle: MakeBundle, run_stage: RunStage) -> None:
        """startContainer hooks have the user, groups and capabilities of the container's program, and no device."""
        bundle = oci_bundle()
        config = bundle.config()
        config["process"]["user"] = {"uid": uid, "gid": 77, "additionalGids": [88]}
        config["process"]["capabilities"]["bounding"] = ["CAP_CHOWN", "CAP_MKNOD"]
        bundle.write_config(config)
        text = "id -u; id -G; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; mknod /tmp/x b 1 1 || echo none"
        found = said(run_stage("startContainer", bundle, hooks=[hook(text)]))
        effective = "0000000000000001" if uid == 0 else "0000000000000000"
        assert found == [str(uid), "77 88", f"CapEff:\t{effective}", "NoNewPrivs:\t1", "none"]

    def test_stages_share_namespaces(self, oci_bundle: MakeBundle, tmp_path: Path) -> None:
        """What createContainer mounts is what startContainer sees, and what hooks of the host find by the pid."""
        (tmp_path / "extra").mkdir()
        (tmp_path / "extra/file").write_text("from the host\n")
        bundle = oci_bundle()
        hooks = {
            "createContainer": [hook(f"mount --bind {tmp_path}/extra {bundle.rootfs}/var")],
            "startContainer": [hook("cat /var/file")],
            "poststart": [hook("pid=$(tr , '\\n' | sed -n 's/.*\"pid\"://p'); nsenter -m -t $pid cat /var/file")],
        }
        simulation = simulate(bundle.config() | {"hooks": hooks}, bundle.directory)
        assert said(simulation.stage("startContainer")) == ["from the host"]
        assert said(simulation.stage("poststart")) == ["from the host"]
        assert os.listdir(bundle.rootfs / "var") == []
        assert str(bundle.rootfs) not in Path("/proc/self/mountinfo").read_text()

    def test_mounts_seen_from_the_host(self, oci_bundle: MakeBundle) -> None:
        """A poststart hook that looks into the container sees its root, also where no hook ran in there."""
        bundle = oci_bundle()
        look = hook("pid=$(tr , '\\n' | sed -n 's/.*\"pid\"://p'); nsenter -m -t $pid readlink /bin/sh")
        simulation = simulate(bundle.config() | {"hooks": {"poststart": [look]}}, bundle.directory, flavour="runc")
        assert said(simulation.stage("poststart")) == ["busybox"]

    def test_leftovers_end_with_it(self, oci_bundle: MakeBundle, tmp_path: Path) -> None:
        """What a hook leaves in the container's pid namespace lives until the container stops, and no longer."""
        bundle = oci_bundle(mounts=[bind_mount(str(tmp_path), "/mnt")])
        daemon = "(while :; do echo x >> /mnt/alive; sleep 0.05; done) > /dev/null 2>&1 &"
        config = bundle.config() | {"hooks": {"startContainer": [hook(daemon)], "poststop": [hook("exit 0")]}}
        assert simulate(config, bundle.directory).ok
        size = (tmp_path / "alive").stat().st_size
        time.sleep(0.3)
        assert (tmp_path / "alive").stat().st_size == size

    def test_hostile_tree(self, oci_bundle: MakeBundle, run_stage: RunStage, tmp_path: Path) -> None:
        """Links in the tree lead nowhere else: nothing is mounted, made or run outside of it, nor made in it."""
        rootfs, outside = tmp_path / "tree", tmp_path / "outside"
        shutil.copytree(oci_bundle().rootfs, rootfs, symlinks=True)
        outside.mkdir()
        for name in ("mnt", "var"):
            (rootfs / name).rmdir()
            (rootfs / name).symlink_to(outside if name == "mnt" else "../" * 20 + str(outside))
        (rootfs / "bin/evil").symlink_to("/proc/1/root/bin/sh")
        mounts = [bind_mount(str(tmp_path), place) for place in ("/mnt", "/var/x", "/missing/x")]
        bundle = oci_bundle(rootfs=rootfs, mounts=mounts)
        before = sorted(rootfs.rglob("*"))
        evil = {"path": "/bin/evil", "args": ["sh", "-c", f"ls {outside}"], "env": ["A=1"]}
        simulation = simulate(bundle.config() | {"hooks": {"startContainer": [evil, evil]}}, bundle.directory)
        left_out = [remark for remark in simulation.remarks if "does not exist" in remark or "no such file" in remark]
        assert [remark.split(": ")[1] for remark in left_out] == ["/mnt", "/var/x", "/missing/x"]
        assert simulation.stage("startContainer").hooks[0].outcome == "failed"
        assert os.listdir(outside) == []
        assert sorted(rootfs.rglob("*")) == before

    def test_interpreter_is_out_of_reach(self, oci_bundle: MakeBundle, run_stage: RunStage, tmp_path: Path) -> None:
        """What a program of the image finds as its process' former program is a copy in memory, no file of the host."""
        places = dict.fromkeys(["/usr", "/lib", "/lib64", sys.base_prefix])
        shutil.copytree(oci_bundle().rootfs, tmp_path / "root", symlinks=True)
        for place in places:
            Path(f"{tmp_path}/root{place}").mkdir(parents=True, exist_ok=True)
        mounts = [bind_mount(place, place, readonly=True) for place in places if Path(place).exists()]
        bundle = oci_bundle(rootfs=tmp_path / "root", mounts=mounts)
        code = "import os; print(os.readlink('/proc/self/exe'))"
        python = os.path.realpath(sys.executable)
        itself = {"path": "/proc/self/exe", "args": [python, "-I", "-S", "-c", code], "env": ["A=1"]}
        assert said(run_stage("startContainer", bundle, hooks=[itself])) == ["/memfd:python (deleted)"]

    def test_first_process_is_out_of_reach(self, oci_bundle: MakeBundle, run_stage: RunStage) -> None:
        """A container that may trace processes can't trace the one that stands for it, which has all privileges."""
        bundle = oci_bundle()
        config = bundle.config()
        for names in config["process"]["capabilities"].values():
            names += ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_MKNOD"]
        bundle.write_config(config)
        text = "readlink /proc/1/exe || echo out of reach; readlink /proc/$$/exe"
        assert said(run_stage("startContainer", bundle, hooks=[hook(text)])) == ["out of reach", "/bin/busybox"]

    def test_environment_of_the_image(self, oci_bundle: MakeBundle) -> None:
        """A createContainer hook without env gets nothing of the image's, whatever runc 1.1 does, and that is told."""
        bundle = oci_bundle(env=["LD_PRELOAD=./evil.so", "IMAGE=1"])
        bare = {"path": "/usr/bin/env"}
        config = bundle.config() | {
            "hooks": {"createContainer": [bare], "startContainer": [bare | {"path": "/bin/env"}]}
        }
        simulation = simulate(config, bundle.directory, flavour="runc")
        assert said(simulation.stage("createContainer")) == []
        assert "IMAGE=1" in said(simulation.stage("startContainer"))
        assert any("gives a createContainer hook without env the environment" in text for text in simulation.remarks)

    def test_user_namespace(self, oci_bundle: MakeBundle) -> None:
        """Where the configuration asks for a user namespace, startContainer hooks would be root: they are not run."""
        bundle = oci_bundle(rootless=True, hooks={"startContainer": [hook("true")]})
        simulation = simulate(bundle.config(), bundle.directory)
        assert [run.outcome for run in simulation.stage("startContainer").hooks] == ["not run"]
        assert "user namespaces are not simulated, so startContainer hooks are not run" in simulation.remarks

    def test_namespaces_of_others(self, oci_bundle: MakeBundle) -> None:
        """A namespace that a runtime would join is a new one."""
        bundle = oci_bundle(hooks={"createContainer": [hook("readlink /proc/self/ns/net")]})
        config = bundle.config()
        config["linux"]["namespaces"].append({"type": "network", "path": "/proc/self/ns/net"})
        simulation = simulate(config, bundle.directory)
        assert said(simulation.stage("createContainer")) != [os.readlink("/proc/self/ns/net")]
        assert "the network namespace is a new one in place of /proc/self/ns/net" in simulation.remarks

    @pytest.mark.parametrize("stage", ["createContainer", "startContainer"])
    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            pytest.param({"path": "/no/such"}, "not started: program not found", id="missing"),
            pytest.param({"path": "/etc/passwd"}, "not started: not an executable file", id="no-program"),
            pytest.param(hook("exit 9"), "ended with status 9", id="status"),
            pytest.param(hook("kill -TERM $$"), "was ended by SIGTERM", id="signal"),
            pytest.param(hook("exit 127"), "ended with status 127", id="127"),
            pytest.param(hook("sleep 60", timeout=1), "did not end within 1 s and was killed", id="timeout"),
        ],
    )
    def test_failures(
        self, broken: dict[str, Any], message: str, stage: str, oci_bundle: MakeBundle, run_stage: RunStage
    ) -> None:
        """A hook that fails in the container's namespaces is told as on the host."""
        (run,) = run_stage(stage, oci_bundle(), hooks=[broken]).hooks
        assert run.outcome == "failed"
        assert run.message.startswith(message)
        assert (run.status is None) == message.startswith("not started")

    def test_container_that_was_killed(self, oci_bundle: MakeBundle) -> None:
        """When a hook has killed the process that stands for the container, no hook runs in the host's place of it."""
        kill = hook("kill -9 $(tr , '\\n' | sed -n 's/.*\"pid\"://p'); sleep 0.2")
        hooks = {
            "createRuntime": [kill],
            "createContainer": [hook("touch /ran")],
            "startContainer": [hook("touch /ran")],
        }
        simulation = simulate(oci_bundle().config() | {"hooks": hooks}, oci_bundle().directory)
        (run,) = simulation.stage("createContainer").hooks
        assert (run.outcome, run.status) == ("failed", None)
        assert run.message.startswith("not started: the container can't be entered: ")
        assert not Path("/ran").exists()

    def test_words_that_no_program_can_be_given(self, oci_bundle: MakeBundle, run_stage: RunStage) -> None:
        """Arguments with a NUL byte are not cut short, the hook fails."""
        (run,) = run_stage(
            "startContainer", oci_bundle(), hooks=[{"path": "/bin/sh", "args": ["sh", "-c", "exit 0\0"]}]
        ).hooks
        assert (run.outcome, run.message) == ("failed", "args[2] holds a NUL byte")

    def test_killed(self, oci_bundle: MakeBundle, tmp_path: Path) -> None:
        """When the simulation itself is killed, the process that stands for the container ends, and the hook too."""
        bundle = oci_bundle(hooks={"createContainer": [hook(f"echo $$ > {tmp_path}/inside; sleep 60")]})
        code = (
            "import json; from ocihooks import simulate; "
            f"simulate(json.load(open({str(bundle.config_path)!r})), {str(bundle.directory)!r})"
        )
        process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)})
        try:
            wait_until((tmp_path / "inside").exists)
            made = processes_below(process.pid)
            assert len(made) >= 3
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_until(lambda: not any(map(is_alive, made)))


def processes_below(pid: int) -> list[int]:
    """The descendants of a process."""
    found = []
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in map(int, children):
        found += [child, *processes_below(child)]
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists that has not ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_without_namespaces(oci_bundle: MakeBundle) -> None:
    """Without namespaces createContainer hooks see the host, and startContainer hooks are not run, for a reason."""
    bundle = oci_bundle(
        hooks={"createContainer": [hook("readlink /proc/self/ns/mnt")], "startContainer": [hook("true")]}
    )
    simulation = simulate(bundle.config(), bundle.directory, namespaces=False)
    assert said(simulation.stage("createContainer")) == [os.readlink("/proc/self/ns/mnt")]
    (run,) = simulation.stage("startContainer").hooks
    assert (run.outcome, run.message) == ("not run", "it needs a root file system with namespaces of its own")
    assert simulation.namespaces == ()
    assert simulation.ok


@pytest.mark.usefixtures("as_root")
def test_ordinary_user(private_directory: Path, ordinary_user: OrdinaryUser, ordinary_python: str) -> None:
    """Somebody without privileges gets a simulation without namespaces, and is told."""
    shutil.copytree(PACKAGE, private_directory / "site/ocihooks", ignore=shutil.ignore_patterns("__pycache__"))
    config = {"ociVersion": "1.0.2", "hooks": {"createContainer": [hook("readlink /proc/self/ns/pid")]}}
    code = (
        f"import sys; sys.path.insert(0, {str(private_directory / 'site')!r})\n"
        "from ocihooks.simulation.lifecycle import simulate\n"
        f"done = simulate({config!r}, {str(ordinary_user.home)!r})\n"
        "print(done.remarks[0]); print(done.stage('createContainer').hooks[0].stdout.decode())"
    )
    command = [ordinary_python, "-B", "-I", "-c", code]
    done = subprocess.run(
        command,
        user=ordinary_user.uid,
        group=ordinary_user.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.stderr == ""
    remark, namespace, *_ = done.stdout.splitlines()
    assert remark == "no namespaces, since only root can make namespaces: hooks of createContainer see the host's"
    assert namespace == os.readlink("/proc/self/ns/pid")


def descriptors_and_children() -> set[str]:
    """What this process has open, and its children."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {*os.listdir("/proc/self/fd"), *(f"child {pid}" for pid in children)}


def test_nothing_is_left(oci_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor, child or temporary file is left, also when a hook fails or the caller's function raises."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    bundle = oci_bundle(hooks={"createRuntime": [hook("exit 1")]})
    before = descriptors_and_children()

    def fail(stage: StageRun) -> None:
        raise KeyboardInterrupt(stage.stage)

    simulate(bundle.config(), bundle.directory)
    with pytest.raises(KeyboardInterrupt):
        simulate(bundle.config(), bundle.directory, told=fail)
    assert descriptors_and_children() <= before
    assert os.listdir(tmp_path / "scratch") == []


def test_output_is_kept_to_a_limit(oci_bundle: MakeBundle, run_stage: RunStage) -> None:
    """Of output without end the last 64 KiB are kept."""
    (run,) = run_stage("poststop", oci_bundle(), hooks=[hook("head -c 200000 /dev/zero; echo end")]).hooks
    assert len(run.stdout) == 64 * 1024
    assert run.stdout.endswith(b"\0end\n")


@pytest.mark.parametrize("function", ["become", "pivot"])
def test_nothing_of_the_container_is_loaded(function: str) -> None:
    """Behind the step into the container's mounts there are only system calls that were looked up before."""
    tree = ast.parse(Path(enter.__file__).read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    calls = [node for node in ast.walk(found) if isinstance(node, ast.Call)]
    (step,) = [(node.lineno, node.col_offset) for node in calls if ast.unparse(node) == "_setns(mounts, 0)"]
    behind = {ast.unparse(node.func) for node in calls if (node.lineno, node.col_offset) > step}
    system = {"_chdir", "_execve", "_pivot_root", "_umount2", "os.write", "os._exit", "ctypes.get_errno"}
    assert behind <= system | {"OSError"}, "OSError is raised where the step failed"
    assert len(behind) > 2


def test_order_of_the_flavours(oci_bundle: MakeBundle) -> None:
    """Stages come in the flavour's order, and stop where they are told to."""
    bundle = oci_bundle()
    orders = {
        flavour: [
            str(stage.stage)
            for stage in simulate(bundle.config(), bundle.directory, flavour=flavour, dry_run=True).stages
        ]
        for flavour in ("spec", "crun", "runc")
    }
    assert orders["spec"] == orders["crun"] == list(ocihooks.STAGES)
    assert orders["runc"][3:5] == ["poststart", "startContainer"]
    short = simulate(bundle.config(), bundle.directory, dry_run=True, stop_after="createRuntime")
    assert [stage.stage for stage in short.stages] == ["prestart", "createRuntime"]
    with pytest.raises(KeyError):
        short.stage("poststop")
