"""Putting into a container what injector files say: what is checked, what is told, and who may do what."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.injecting import Told, everything, injector_file, leftovers, no_such_call, put

from ocihooks.errors import DocumentError
from ocihooks.injector import copying, kernel, worker
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import EVERYWHERE, InjectorFile, inside, parse_injector_file, read_injector_files
from ocihooks.injector.inject import HINTS
from ocihooks.injector.items import Item, items_for, open_source
from ocihooks.injector.rootfs import Root
from ocihooks.injector.target import Target, devices_of, is_undone, mounts_of, owner_of
from ocihooks.injector.worker import GoneError, Line, Worker


class Printed(Told):
    """What is told by the child, too, on standard error."""

    def tell(self, level: str, text: str) -> None:
        """Write a sentence."""
        os.write(2, f"{level}: {text}\n".encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A file of the host."""
    (tmp_path / "tool").write_text("tool")
    return tmp_path / "tool"


def has_landlock(version: int) -> bool:
    """Whether the kernel's Landlock is of that version at least."""
    code = "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return int(found) >= version


def test_files(root: Path, tool: Path) -> None:
    """Directories, programs, pairs and modes arrive, and nothing is told but each copy."""
    file = injector_file(
        directories=["/opt", {"destination": "/opt/secret", "mode": "0700"}],
        binaries=[f"{tool}:/opt/other"],
        miscellaneous=[{"source": str(tool), "destination": "/opt/secret/t", "mode": "0600"}],
    )
    assert {level for level, _ in put(root, file)} <= {"debug"}
    modes = {path: stat.S_IMODE((root / path).stat().st_mode) for path in ("opt/secret", "opt/other", "opt/secret/t")}
    assert modes == {"opt/secret": 0o700, "opt/other": 0o644, "opt/secret/t": 0o600}
    assert ((root / "opt/other").read_text(), leftovers(root)) == ("tool", [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    ("owner", "members", "mode"),
    [
        pytest.param((0, 0), {}, 0o6755, id="root"),
        pytest.param((33, 0), {}, 0o2755, id="other-user"),
        pytest.param((0, 33), {}, 0o4755, id="other-group"),
        pytest.param((33, 33), {"mode": "6755"}, 0o6755, id="asked-for"),
    ],
)
def test_rights_of_others(owner: tuple[int, int], members: dict[str, str], mode: int, root: Path, tool: Path) -> None:
    """A program that runs with the rights of its owner or group is not made one that runs with those of root."""
    os.chown(tool, *owner)
    tool.chmod(0o6755)
    put(root, injector_file(binaries=[{"source": str(tool), "destination": "/tool", **members}]))
    assert stat.S_IMODE((root / "tool").stat().st_mode) == mode


def attempt_everything(line: Line, is_confined: bool, outside: Path) -> None:
    """Try what a worker must not be able to, and tell what could be done."""
    attempts: dict[str, Callable[[], object]] = {
        "write": lambda: (outside / "file").write_text("y"),
        "make": (outside / "new").touch,
        "truncate": lambda: os.truncate(outside / "file", 0),
        "rename": lambda: (outside / "file").rename(outside / "moved") if outside.name != "root" else None,
        "link": lambda: (outside / "link").symlink_to("x"),
        "directory": (outside / "d").mkdir,
        "node": lambda: os.mknod(outside / "n", 0o010600),
        "remove": (outside / "file").unlink,
    }
    done = [] if is_confined else ["not confined"]
    for name, attempt in attempts.items():
        try:
            attempt()
            done.append(name)
        except PermissionError:
            continue
    line.tell(("done", tuple(done)))


def test_landlock(root: Path, tmp_path: Path) -> None:
    """The child can change files beneath the root and nowhere else, whatever it tries; its parent can."""
    if not has_landlock(3):
        pytest.skip("the kernel has no Landlock that keeps from truncating")
    (tmp_path / "file").write_text("x")
    found = {}
    for place in (tmp_path, root):
        (place / "file").write_text("x")
        with Root(str(root)) as opened:
            child = Worker((opened.fd,), lambda line, is_confined: attempt_everything(line, is_confined, place))  # noqa: B023
            found[place] = child.hear()
            child.hear()
            child.close()
    assert found[tmp_path] == ()
    assert set(found[root]) >= {"write", "make", "truncate", "link", "directory", "node", "remove"}
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP], ids=["no-call", "switched-off"])
def test_without_landlock(root: Path, capfd: pytest.CaptureFixture[str], code: int) -> None:
    """Where the kernel has no Landlock it is told once, and the files are put in."""
    with pytest.MonkeyPatch.context() as patch:

        def missing(number: int, *arguments: object) -> int:
            raise OSError(code, os.strerror(code))

        patch.setattr(kernel, "system_call", missing)
        patch.setattr("ocihooks.injector.rootfs.openat2", no_such_call)
        put(root, injector_file(directories=["/a", "/b"]), told=Printed())
    levels = [line.partition(":")[0] for line in capfd.readouterr().err.splitlines()]
    assert levels == ["warning", "debug", "debug"]
    assert (root / "a").is_dir()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "above": ({"directories": ["/a", "/../../up"]}, "/directories/1: .* leads above the root"),
    "missing": ({"binaries": ["/none/x"]}, "/binaries/0: .* can't be copied: it does not exist"),
    "directory": ({"miscellaneous": ["/etc"]}, "/miscellaneous/0: .* it is not a regular file"),
    "device-node": ({"libraries": ["/dev/null"]}, "/libraries/0: .* it is not a regular file"),
    "copied-directory": ({"directories": ["/etc:/opt/etc"]}, "/directories/0: a hook can't copy the directory"),
    "mount-only": ({"way": "mount", "binaries": ["/etc/passwd"]}, '/binaries/0: .* is to be given by "way": "mount"'),
    "device-elsewhere": ({"devices": ["/dev/null:/opt/null"]}, "/devices/0: .* devices go below /dev only"),
    "device-missing": ({"devices": ["/dev/none/*"]}, "/devices/0: .* no device of the host matches it"),
    "variable": ({"env": ["A=1"]}, '/env/0: a hook can\'t give the variable "A"'),
    "device": (
        {"devices": ["/dev/null:/dev/nil"]},
        "/devices/0: a hook can't give the device .* no process of the container",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, root: Path) -> None:
    """What can't be done is refused, with the place in the file, before anything is written."""
    members, message = REFUSED[name]
    with pytest.raises(NotInjectedError) as caught:
        put(root, injector_file(directories=["/first"]), injector_file(**members))
    assert re.search(message, str(caught.value))
    assert caught.value.hint
    assert os.listdir(root) == []


@pytest.mark.parametrize("name", REFUSED)
def test_optional(name: str, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is optional and can't be given is left out, and told; the rest arrives."""
    members, _ = REFUSED[name]
    put(root, injector_file(directories=["/first"]), injector_file(optional=True, **members), told=Printed())
    assert "info: left out, since it is optional: f.json: " in capfd.readouterr().err
    assert (root / "first").is_dir()


def test_optional_devices_and_others(root: Path, tool: Path) -> None:
    """Where a hook can't give devices, optional ones are left out, each is told, and the first other one is refused."""
    devices: list[Any] = [{"source": "/dev/null", "destination": f"/dev/{n}", "optional": n < 2} for n in range(3)]
    told = put(root, injector_file(directories=["/opt"], binaries=[f"{tool}:/opt/t"], devices=devices[:2]))
    first, second = told.of("info")
    assert first.startswith("left out, since it is optional: f.json: /devices/0: a hook can't give the device")
    assert second == 'left out for the same reason: "/dev/null"'
    assert (root / "opt/t").exists()
    with pytest.raises(NotInjectedError, match=r"f\.json: /devices/2: a hook can't give the device"):
        put(root, injector_file(devices=devices))


def test_mount_that_is_no_path(root: Path) -> None:
    """A mount of the container whose place can't be a path hides nothing."""
    put(root, injector_file(directories=["/first"]), mounts={"/\ud800": ("/srv", "bind"), "/a\0b": ("/srv", "bind")})
    assert os.listdir(root) == ["first"]


def test_devices_that_every_container_has(root: Path) -> None:
    """A device that every container has is not given again, so nothing is wrong where a hook can give none."""
    told = put(root, injector_file(devices=list(EVERYWHERE), directories=["/first"]))
    assert (told.of("info"), told.of("warning"), os.listdir(root)) == ([], [], ["first"])


def test_optional_in_the_root(root: Path, tool: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An optional file for which there is no directory is left out, and the others arrive."""
    entry = {"source": str(tool), "destination": "/none/t", "optional": True}
    put(root, injector_file(binaries=[entry, f"{tool}:/t"]), told=Printed())
    assert "info: left out, since it is optional: f.json: /binaries/0: " in capfd.readouterr().err
    assert os.listdir(root) == ["t"]


def test_no_root(tmp_path: Path) -> None:
    """A root that is not there is told by its path."""
    with pytest.raises(NotInjectedError, match="can't be opened: it does not exist"):
        put(tmp_path / "none", injector_file(directories=["/a"]))


def test_nothing_to_do() -> None:
    """Without anything to put in, the root is not even opened."""
    put(Path("/none"), injector_file())


VOLUMES = {
    "in-it": ("/data", "/data/sub/t"),
    "itself": ("/data/t", "/data/t"),
    "by-a-link-of-the-image": ("/data", "/link/t"),
    "mounted-on-a-link": ("/link", "/data/t"),
    "dots": ("/data/../data", "/x/../data/t"),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name: str, root: Path, tool: Path) -> None:
    """A file that a mount of the container would hide is refused, by whatever path it goes there."""
    mount, place = VOLUMES[name]
    (root / "data/sub").mkdir(parents=True)
    (root / "link").symlink_to("data")
    before = everything(root)
    mounts = mounts_of({"mounts": [{"destination": mount, "source": "/srv", "type": "bind"}]})
    with pytest.raises(NotInjectedError, match="hides it") as caught:
        put(root, injector_file(directories=["/first"], binaries=[f"{tool}:{place}"]), mounts=mounts)
    assert "choose another path" in (caught.value.hint or "")
    assert everything(root) == before


def test_directory_in_a_volume(root: Path) -> None:
    """The same holds for directories that a link leads there, which are removed again, and for optional files."""
    (root / "data").mkdir()
    (root / "link").symlink_to("data")
    mounts = mounts_of({"mounts": [{"destination": "/data"}, {"destination": "/none"}, {"destination": 5}, "odd"]})
    with pytest.raises(NotInjectedError, match='its mount at "/data" hides it'):
        put(root, injector_file(directories=["/link/new"]), mounts=mounts)
    assert os.listdir(root / "data") == []


def test_optional_file_in_a_volume(root: Path, tool: Path) -> None:
    """An optional file that a volume would hide is left out."""
    (root / "data").mkdir()
    (root / "link").symlink_to("data")
    file = injector_file(directories=["/opt", "/link/new"], binaries=[f"{tool}:/link/t"], optional=True)
    put(root, file, mounts={"/data": ("/srv", "bind")}, told=Printed())
    assert (os.listdir(root / "data"), (root / "opt").is_dir()) == ([], True)


def test_present(root: Path, tool: Path) -> None:
    """What the configuration gives already is not done again by the hook."""
    config = {
        "mounts": [{"destination": "/opt/tool", "source": str(tool)}, {"destination": "/dev", "type": "tmpfs"}],
        "linux": {"devices": [{"path": "/dev/null2"}, {"path": 5}, "odd"]},
    }
    file = injector_file(
        way="mount", env=["A=1"], directories=["/opt"], binaries=[f"{tool}:/opt/tool"], devices=["/dev/null:/dev/null2"]
    )
    put(root, file, mounts=mounts_of(config), devices=devices_of(config), environment=frozenset(["A=1"]))
    assert os.listdir(root) == []


CONFIGS: dict[str, tuple[Any, Any]] = {
    "none": ({}, None),
    "odd": ({"linux": {"uidMappings": [{"containerID": "x"}, 5]}}, None),
    "elsewhere": ({"linux": {"uidMappings": [{"containerID": 5, "hostID": 7, "size": 9}]}}, None),
    "mapped": (
        {
            "linux": {
                "uidMappings": [{"containerID": 1, "hostID": 2, "size": 9}, {"hostID": 100000, "size": 65536}],
                "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 1}],
            }
        },
        (100000, 200000),
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_owner(name: str) -> None:
    """Files belong to the user on the host that is root in the container."""
    config, owner = CONFIGS[name]
    assert owner_of(config) == owner


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_owner_in_the_root(root: Path, tool: Path) -> None:
    """What is put into a container with a user namespace belongs to its root user."""
    put(root, injector_file(directories=["/opt"], binaries=[f"{tool}:/opt/t"]), owner=(100000, 200000))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in root.rglob("*")} == {(100000, 200000)}


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        pytest.param({"path": "/usr/bin/env"}, True, id="path"),
        pytest.param({"path": "/x/supervise", "args": ["s", "--", "/usr/bin/env"]}, True, id="supervised"),
        pytest.param({"path": "/proc/self/root/usr/bin/env"}, True, id="other-name"),
        pytest.param({"path": "/usr/bin/id", "args": "odd"}, False, id="another"),
        pytest.param({"path": 5}, False, id="odd"),
        pytest.param({"path": "/\0"}, False, id="nul"),
    ],
)
def test_is_undone(entry: dict[str, Any], found: bool) -> None:
    """A hook knows itself among the poststop hooks of the container."""
    assert is_undone({"hooks": {"poststop": ["odd", entry]}}, "/usr/bin/env") is found
    assert not is_undone({"hooks": {"poststart": [entry]}}, "/usr/bin/env")


def test_large_source(root: Path, tmp_path: Path) -> None:
    """A file beyond the limit is refused by its size."""
    with (tmp_path / "large").open("wb") as stream:
        os.ftruncate(stream.fileno(), copying.MOST_BYTES + 1)
    with pytest.raises(NotInjectedError, match="larger than 2 GiB"):
        put(root, injector_file(binaries=[f"{tmp_path}/large:/l"]))


@pytest.mark.parametrize("kind", ["fifo", "gone"])
def test_source_that_is_exchanged(kind: str, tool: Path) -> None:
    """A source in whose place something else is when it is opened makes nobody wait, and is refused."""
    (item,) = items_for([injector_file(binaries=[f"{tool}:/t"])], Target("/"), Told().tell)
    assert isinstance(item, Item)
    tool.unlink()
    if kind == "fifo":
        os.mkfifo(tool)
    with pytest.raises(NotInjectedError, match="not a regular file" if kind == "fifo" else "does not exist"):
        open_source(item)
    with pytest.raises(NotInjectedError, match="not a regular file" if kind == "fifo" else "does not exist"):
        open_source(str(tool))


def test_hints() -> None:
    """Every reason that a user can do something about has its own hint."""
    assert len(set(HINTS.values())) == len(HINTS) > 8


def wait_for(line: Line, is_confined: bool) -> None:
    """A worker that waits for its parent's word."""
    line.tell(("ready", None))
    line.hear()


def test_worker_that_dies() -> None:
    """A child that ends without a word is a fault that is told, and is waited for."""
    child = Worker((), lambda line, is_confined: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RuntimeError, match="without a word"):
        child.hear()
    child.tell("too late")
    child.close()


def test_worker_with_a_fault() -> None:
    """Whatever else a child raises is told by its parent."""

    def faulty(line: Line, is_confined: bool) -> None:
        raise ValueError("odd")

    child = Worker((), faulty)
    with pytest.raises(RuntimeError, match="ValueError: odd"):
        child.hear()
    child.close()


def test_line_without_another_end() -> None:
    """Telling somebody who is gone, or hearing from them, is noticed."""
    readable, writable = os.pipe()
    os.close(readable)
    other, end = os.pipe()
    os.close(end)
    line = Line(other, writable)
    with pytest.raises(GoneError):
        line.tell("x")
    with pytest.raises(GoneError):
        line.hear()
    line.close()


PUT_AND_STOP = """
import os, signal, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from tests.unit.injecting import Told, injector_file, put
from ocihooks.injector import inject as module
from ocihooks.injector.worker import Worker
tell = Worker.tell
def stop(self, value):
    if value == module.KEEP:
        os.kill(os.getpid(), signal.SIGKILL)
    tell(self, value)
Worker.tell = stop
from pathlib import Path
put(Path(sys.argv[3]), injector_file(directories=["/opt"], binaries=[sys.argv[4] + ":/opt/t"]))
"""


def test_parent_that_is_killed(root: Path, tool: Path) -> None:
    """When the hook is killed before the last word, its child takes back what it did."""
    project = Path(__file__).parents[2]
    words = [sys.executable, "-c", PUT_AND_STOP, str(project / "src"), str(project), str(root), str(tool)]
    assert subprocess.run(words, check=False, capture_output=True).returncode == -signal.SIGKILL
    end = time.monotonic() + 30
    while os.listdir(root) and time.monotonic() < end:
        time.sleep(0.01)
    assert os.listdir(root) == []


class Overtaking(Told):
    """Has somebody make a directory, with something in it, in the moment in which a tool is put there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def tell(self, level: str, text: str) -> None:
        """Take a sentence, in the child."""
        if text.endswith("/t") and not self.directory.exists():
            self.directory.mkdir()
            (self.directory / "theirs").write_text("x")


@pytest.mark.parametrize("optional", [False, True], ids=["needed", "optional"])
def test_somebody_makes_the_same_directory(root: Path, tool: Path, optional: bool) -> None:
    """Two containers that share a root may have the same new directory: both get their files."""
    binaries = [{"source": str(tool), "destination": "/new/deep/t", "optional": optional}]
    put(root, injector_file(directories=["/new/deep"], binaries=binaries), told=Overtaking(root / "new"))
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        *("new", "new/deep", "new/deep/t", "new/theirs")
    ]


def test_word_that_is_not_the_last(root: Path, tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last word makes changes stay."""
    real = Worker.tell
    monkeypatch.setattr(Worker, "tell", lambda self, value: real(self, "else" if value == "keep" else value))
    with pytest.raises(RuntimeError, match="unknown word"):
        put(root, injector_file(binaries=[f"{tool}:/t"]))
    assert os.listdir(root) == []
    assert worker.FAILED


@pytest.mark.parametrize(
    ("path", "place"),
    [("/a/b", "/a/b"), ("a//./b/../c", "/a/c"), ("/", "/"), ("/..", None), ("../a", None), ("/a/../../b", None)],
)
def test_inside(path: str, place: str | None) -> None:
    """Dots are taken out as text, and none lead above the root."""
    assert inside(path) == place


FAULTY = {
    "no-flag": ("{}", 'missing required member "activation_flag"'),
    "empty-flag": ('{"activation_flag": ""}', "/activation_flag: expected the name of a variable"),
    "value-only": ('{"activation_flag": "=x"}', "/activation_flag: expected the name of a variable"),
    "number": ('{"activation_flag": "X", "binaries": 5}', '/binaries: expected a path, found "5"'),
    "null-path": ('{"activation_flag": "X", "binaries": ["/a", null]}', "/binaries/1: expected a path, found null"),
    "empty-path": ('{"activation_flag": "X", "binaries": ""}', '/binaries: expected a path, found ""'),
    "nul": ('{"activation_flag": "X", "binaries": "/a\\u0000"}', "/binaries: expected a path"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_files(name: str) -> None:
    """A fault in an injector file is told with its place."""
    text, message = FAULTY[name]
    with pytest.raises(DocumentError) as caught:
        parse_injector_file(text.encode(), "f.json")
    assert message in str(caught.value)
    assert caught.value.hint


def test_unreadable_directory(tmp_path: Path) -> None:
    """Injector files that can't be listed stop the container; a directory that is not there means none."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DocumentError, match="can't be read"):
        read_injector_files(str(tmp_path / "loop"))
    assert read_injector_files(str(tmp_path / "none")) == ()
    assert InjectorFile("f", "X", ()).is_wanted(["X="])
