"""What injector files say, given to real containers by the wrapper before they are created: nothing is copied."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.architecture.test_warm_path import LIST_MODULES
from tests.integration.wrappers import Installations, Simulated, Wrapper, assert_refused, litter

from ocihooks.install.install import Request, install
from ocihooks.testing.bundles import MadeBundle, make_bundle, make_rootfs
from ocihooks.testing.runtimes import Call, PrivateRuntime

HOOK = "oci-injector-hook"


class Injector:
    """A wrapper whose settings name a directory of injector files."""

    def __init__(self, wrapper: Wrapper) -> None:
        self.wrapper = wrapper
        self.directory = wrapper.directory / "etc/injector.d"
        self.directory.mkdir(mode=0o755)
        wrapper.write_settings(injector_dir=str(self.directory))

    def write(self, name: str = "a.json", flag: str = "WITH", **members: Any) -> Path:
        """Write an injector file."""
        file = self.directory / name
        file.write_text(json.dumps({"activation_flag": flag, **members}))
        file.chmod(0o644)
        return file


@pytest.fixture
def injector(wrapper: Wrapper) -> Injector:
    """Injector files for containers of the real runtime."""
    return Injector(wrapper)


@pytest.fixture
def things(private_directory: Path) -> Path:
    """Files and a directory of the host, with a file that is not to be seen."""
    place = private_directory / "things"
    (place / "data/sub").mkdir(parents=True)
    (place / "tool").write_text("#!/bin/sh\necho tool runs\n")
    (place / "tool").chmod(0o4755)
    (place / "data/sub/file").write_text("from the host\n")
    return place


def run(runtime: PrivateRuntime, injector: Injector, script: str, *, asks: bool = True, **bundle: Any) -> Call:
    """Run a shell script in a container that asks, or does not."""
    env = ["PATH=/usr/local/bin:/bin", *(["WITH=1"] if asks else [])]
    made = runtime.make_bundle(args=["sh", "-c", script], env=env, **bundle)
    return runtime.run_container(made, program=injector.wrapper.script)


def tree(top: Path) -> dict[str, tuple[int, str]]:
    """Every path below *top* with its mode, and the hash of its content."""
    found = {}
    for path in sorted(top.rglob("*")):
        mode = path.lstat().st_mode
        data = path.read_bytes() if stat.S_ISREG(mode) else os.readlink(path).encode() if path.is_symlink() else b""
        found[str(path.relative_to(top))] = mode, hashlib.sha256(data).hexdigest()
    return found


def nodes(place: Path) -> None:
    """Make a second node of /dev/null, and one of a loop device, in *place*."""
    for name, kind, numbers in (("nil", stat.S_IFCHR, (1, 3)), ("loop", stat.S_IFBLK, (7, 0))):
        os.mknod(place / name, kind, os.makedev(*numbers))
        (place / name).chmod(0o666)
        os.chown(place / name, 3, 4)


NOTHING = hashlib.sha256(b"").hexdigest()

SEES_FILES = """
tool; cat $DATA/sub/file
touch $DATA/new 2>/dev/null || echo closed
grep " /opt/data " /proc/mounts | cut -d " " -f 4
"""


@pytest.mark.runtime
@pytest.mark.parametrize("readonly", [True, False], ids=["read-only", "writable"])
def test_files_and_directories(runtime: PrivateRuntime, injector: Injector, things: Path, readonly: bool) -> None:
    """They are there and can't be written; the root only gains empty places for them, and another container nothing."""
    injector.write(
        directories=["/usr/local/bin", f"{things}/data:/opt/data"],
        binaries=[f"{things}/tool:/usr/local/bin/tool"],
        env=["DATA=/opt/data"],
    )
    rootfs = make_rootfs(runtime.directory / "root")
    before = tree(rootfs)
    other = run(runtime, injector, "test ! -e /opt/data", asks=False, rootfs=rootfs, readonly=readonly)
    assert (other.status, other.stdout) == (0, ""), other
    assert tree(rootfs) == before
    done = run(runtime, injector, SEES_FILES, rootfs=rootfs, readonly=readonly)
    *lines, options = done.stdout.splitlines()
    assert lines == ["tool runs", "from the host", "closed"], done
    assert {"ro", "nosuid", "nodev"} < set(options.split(","))
    after = tree(rootfs)
    assert {path: after[path] for path in before} == before
    gained = {path: digest for path, (_, digest) in after.items() if path not in before}
    assert gained == dict.fromkeys(
        ("opt", "opt/data", "usr", "usr/local", "usr/local/bin", "usr/local/bin/tool"), NOTHING
    )


USES_DEVICES = """
stat -c "%a %u %g %t,%T" /dev/tools/nil /dev/loop-a
echo x > /dev/tools/nil && head -c 0 /dev/loop-a && echo used
ls /dev/loop-b 2>/dev/null || echo missing
mknod /dev/own b 7 1 && head -c 0 /dev/own 2>/dev/null || echo forbidden
"""


@pytest.mark.runtime
def test_devices(runtime: PrivateRuntime, injector: Injector, things: Path) -> None:
    """A device has numbers, mode and owner of the host's and can be used; one that is not configured can't."""
    nodes(things)
    loop = {"source": f"{things}/loop", "destination": "/dev/loop-a", "mode": "0600"}
    injector.write(devices=[f"{things}/nil:/dev/tools/nil", loop])
    done = run(runtime, injector, USES_DEVICES)
    assert done.stdout == "666 3 4 1,3\n600 3 4 7,0\nused\nmissing\nforbidden\n", done
    other = run(runtime, injector, "mknod /dev/own b 7 0; head -c 0 /dev/own 2>/dev/null || echo forbidden", asks=False)
    assert other.stdout == "forbidden\n", other


@pytest.mark.runtime
def test_user_namespace(runtime: PrivateRuntime, injector: Injector, things: Path) -> None:
    """In a user namespace files are there, and a device that the host lets everybody use can be used."""
    nodes(things)
    injector.write(
        directories=["/usr/local/bin", f"{things}/data:/opt/data"],
        binaries=[f"{things}/tool:/usr/local/bin/tool"],
        devices=[f"{things}/nil:/dev/nil", f"{things}/loop:/dev/loop-a"],
        env=["DATA=/opt/data"],
    )
    script = f"{SEES_FILES} echo x > /dev/nil && head -c 0 /dev/loop-a && echo used"
    done = runtime.run_container(in_user_namespace(runtime, script), program=injector.wrapper.script)
    assert done.status == 0, done
    assert done.stdout.splitlines()[:3] == ["tool runs", "from the host", "closed"]
    assert done.stdout.splitlines()[-1] == "used"


def in_user_namespace(runtime: PrivateRuntime, script: str) -> MadeBundle:
    """A bundle that asks, whose users are others on the host, as the owner of its root is."""
    owner = (100000, 100000)
    bundle = make_bundle(
        runtime.directory / "mapped",
        rootfs=make_rootfs(runtime.directory / "root"),
        args=["sh", "-c", script],
        env=["PATH=/usr/local/bin:/bin", "WITH=1"],
        rootless=True,
        owner=owner,
    )
    config = bundle.config()
    for name in ("uidMappings", "gidMappings"):
        config["linux"][name][0]["size"] = 65536
    bundle.write_config(config)
    for path in (bundle.rootfs, *bundle.rootfs.rglob("*")):
        os.chown(path, *owner, follow_symlinks=False)
    return bundle


@pytest.mark.runtime
def test_hostile_root(runtime: PrivateRuntime, injector: Injector, things: Path) -> None:
    """Where links in the root seem to lead to the host, a runtime follows them in the root, or refuses them."""
    canary = runtime.directory / "canary"
    canary.mkdir()
    injector.write(binaries=[f"{things}/tool:/opt/bin/tool"])
    rootfs = make_rootfs(runtime.directory / "root")
    (rootfs / "opt").symlink_to(canary)
    done = run(runtime, injector, "/opt/bin/tool", rootfs=rootfs, readonly=False)
    assert (done.status, done.stdout) == (0, "tool runs\n") or (done.status, runtime.name) == (1, "crun"), done
    assert os.listdir(canary) == []


@pytest.mark.runtime
def test_copied_by_the_hook(runtime: PrivateRuntime, injector: Injector, installations: Installations) -> None:
    """What can only be copied is left to the hook, where a rule runs it; what was mounted is not copied as well."""
    program = Path(install(Request(prefix=str(installations.directory / "hook"), program=HOOK, name=HOOK)).script)
    source = runtime.directory / "source"
    source.write_text("from the host\n")
    injector.write("a.json", directories=["/var/tools"])
    injector.write("b.json", miscellaneous=[f"{source}:/opt/mounted"])
    hook = {"path": str(program), "env": [f"OCI_INJECTOR_CONFIG_DIR={injector.directory}"]}
    rootfs = make_rootfs(runtime.directory / "root")
    refused = run(runtime, injector, "true", rootfs=rootfs, readonly=False)
    assert_refused(refused, f"{injector.directory}/a.json", "it has to be copied", HOOK, "a directory without a source")
    injector.wrapper.write_rule("copy.json", hook=hook)
    done = run(runtime, injector, "ls -d /var/tools; cat /opt/mounted", rootfs=rootfs, readonly=False)
    assert done.stdout == "/var/tools\nfrom the host\n", done
    assert (rootfs / "opt/mounted").read_text() == ""


def ask(simulated: Simulated) -> None:
    """Let the bundle's container ask."""
    config = simulated.bundle.config()
    config["process"]["env"] = ["WITH=1"]
    simulated.bundle.write_config(config)


def create(simulated: Simulated) -> subprocess.CompletedProcess[str]:
    """Create a container of a new name."""
    return simulated.call("create", "--bundle", str(simulated.bundle.directory), uuid.uuid4().hex)


def added(simulated: Simulated) -> list[str]:
    """Where the bundle's container has what an injector file gave to it."""
    return [mount["destination"] for mount in simulated.bundle.config()["mounts"] if mount["source"] == "/bin/true"]


def test_all_bytes_and_once(simulated: Simulated) -> None:
    """A mount is added to the text and nothing else; a second create changes nothing, and leaves nothing behind."""
    Injector(simulated.wrapper).write(binaries=["/bin/true:/opt/true"])
    ask(simulated)
    path = simulated.bundle.config_path
    before = path.read_text()
    assert create(simulated).returncode == 0
    after = path.read_text()
    mount = '{"destination":"/opt/true","type":"bind","source":"/bin/true",'
    start = after.index(f",{mount}")
    end = after.index("]}", start) + 2
    assert before == after[:start] + after[end:]
    status = path.stat()
    assert create(simulated).returncode == 0
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    assert litter(simulated.bundle) == []


def test_refused(simulated: Simulated) -> None:
    """When something can't be given, config.json stays, and no runtime starts; an optional file stops nobody."""
    injector = Injector(simulated.wrapper)
    file = injector.write(binaries=["/bin/true:/opt/true", "/none/tool"])
    ask(simulated)
    before = simulated.bundle.config_path.read_bytes()
    assert_refused(create(simulated), f'{file}: /binaries/1: "/none/tool" can\'t be given', "it does not exist")
    assert simulated.bundle.config_path.read_bytes() == before
    assert simulated.fake.calls() == ()
    injector.write(binaries=["/none/tool"], optional=True)
    assert create(simulated).returncode == 0
    injector.write("b.json", "OTHER", binaries=["/none/tool"])
    assert create(simulated).returncode == 0


FAULTY: dict[str, Callable[[Path], object]] = {
    "broken": lambda file: file.write_text("{"),
    "not-trusted": lambda file: os.chown(file, 1, 1),
    "writable": lambda file: file.chmod(0o666),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_files(name: str, simulated: Simulated) -> None:
    """A file that can't be used or trusted stops containers that don't ask for it, too, unless the policy says else."""
    injector = Injector(simulated.wrapper)
    file = injector.write("b.json", "OTHER", binaries=["/bin/true"])
    injector.write(binaries=["/bin/true:/opt/true"])
    FAULTY[name](file)
    assert_refused(create(simulated), str(file))
    injector.wrapper.write_settings(injector_dir=str(injector.directory), on_invalid="warn")
    ask(simulated)
    assert create(simulated).returncode == 0
    assert added(simulated) == ["/opt/true"]


def test_log(simulated: Simulated) -> None:
    """The log tells which injector files a container was given, without those that it asks for and can't be given."""
    injector = Injector(simulated.wrapper)
    log = simulated.directory / "log"
    injector.wrapper.write_settings(injector_dir=str(injector.directory), log=str(log))
    file = injector.write(binaries=["/bin/true:/opt/true"])
    injector.write("b.json", "OTHER", binaries=["/bin/true:/opt/more"])
    injector.write("c.json", binaries=["/none/x"], optional=True, way="mount")
    assert create(simulated).returncode == 0
    ask(simulated)
    assert create(simulated).returncode == 0
    told = [json.loads(line).get("injector_files") for line in log.read_text().splitlines()]
    assert told == [None, [str(file)]]


def test_precreate_filters_see_it(simulated: Simulated) -> None:
    """Filters get what injector files gave, and have the last word."""
    injector = Injector(simulated.wrapper)
    injector.write(binaries=["/bin/true:/opt/true"])
    hook = {"path": "/bin/sed", "args": ["sed", "s#/opt/true#/opt/other#"]}
    injector.wrapper.write_rule("a.json", hook=hook, stages=["precreate"])
    ask(simulated)
    assert create(simulated).returncode == 0
    assert added(simulated) == ["/opt/other"]


def modules_of_a_create(simulated: Simulated) -> list[str]:
    """The modules that the wrapper in Python imports until it becomes the runtime."""
    words = ["create", "--bundle", str(simulated.bundle.directory), "c1"]
    command = [os.path.realpath(sys.executable), "-IS", "-c", LIST_MODULES, str(simulated.wrapper.python_script)]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=True).stdout.split()


def test_kept_rules(simulated: Simulated) -> None:
    """While nothing changes, kept rules serve containers that ask and those that don't; a new file counts at once."""
    injector = Injector(simulated.wrapper)
    injector.write(binaries=["/bin/true:/opt/true"])
    time.sleep(2.1)  # rules are kept once nobody has touched them for two seconds
    plain = simulated.bundle.config_path.read_bytes()
    for _ in range(2):
        assert create(simulated).returncode == 0
        assert simulated.bundle.config_path.read_bytes() == plain
    assert list((injector.wrapper.directory / "cache").glob("*.rules"))
    modules = modules_of_a_create(simulated)
    assert "ocihooks.wrapper.create" in modules
    assert [name for name in modules if name.startswith("ocihooks.injector")] == []
    ask(simulated)
    assert create(simulated).returncode == 0
    assert added(simulated) == ["/opt/true"]
    injector.write("b.json", "WITH=1", binaries=["/bin/true:/opt/more"])
    assert create(simulated).returncode == 0
    assert added(simulated) == ["/opt/true", "/opt/more"]
