"""Putting files into the root of a container: all or nothing, and nothing anywhere else."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocihooks.errors import DocumentError
from ocihooks.injector import changes, kernel
from ocihooks.injector.changes import PREFIX, Changes, copy
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.files import InjectorFile, inside, parse_injector_file, read_injector_files
from ocihooks.injector.inject import _HINTS, Item, check_source, inject, items_of
from ocihooks.injector.rootfs import Root

LISTS = ("devices", "directories", "binaries", "libraries", "miscellaneous")


def injector_file(**paths: list[str]) -> InjectorFile:
    """An injector file with *paths*."""
    return InjectorFile("f.json", "X", {name: tuple(paths.get(name, ())) for name in LISTS})


def in_child(work: Callable[[], None]) -> str:
    """What *work* raises in a process of its own, since Landlock is for good; "" if nothing."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        text = "died"
        try:
            work()
            text = ""
        except BaseException as error:  # noqa: BLE001
            text = f"{error}|{getattr(error, 'hint', '')}"
        finally:
            os.write(writable, text.encode())
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as stream:
        text = stream.read().decode()
    os.waitpid(child, 0)
    return text


def ignore(level: str, text: str) -> None:
    """Take what is told."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def everything(top: Path) -> dict[str, tuple[int, int, str]]:
    """Every path below *top* with inode, mode and content."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(top))] = (status.st_ino, status.st_mode, text)
    return found


def test_all_or_nothing(root: Path, tmp_path: Path) -> None:
    """When the last file can't be put in, nothing of the others is there, and what was replaced is back."""
    source = tmp_path / "tool"
    source.write_text("new")
    old = root / str(source)[1:]
    old.parent.mkdir(parents=True)
    old.write_text("old")
    before = everything(root)

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, source.open("rb") as stream:
            made.make_directory("/new/deep")
            made.add_file(str(source), stream.fileno(), 0o755)
            made.add_file("/new/deep/tool", stream.fileno(), 0o755)
            made.put_in_place()
            made.add_file("/later", stream.fileno(), 0o755)
            assert old.read_text() == "new"
            made.add_file("/none/tool", stream.fileno(), 0o755)

    with pytest.raises(FileNotFoundError):
        attempt()
    assert everything(root) == before


def test_failure_while_renaming(root: Path, tmp_path: Path) -> None:
    """When a place can't be taken after all, the file that keeps its former content stays whole."""
    (root / "a").write_text("old")

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
            made.add_file("/a", stream.fileno(), 0o644)
            made.add_file("/b", stream.fileno(), 0o644)
            (root / "b").mkdir()
            made.put_in_place()

    with pytest.raises(PermissionError):
        attempt()
    assert (root / "a").read_text() == "old"
    assert sorted(os.listdir(root)) == ["a", "b"]


def test_former_file_that_can_not_be_replaced(root: Path) -> None:
    """A second name of a file that was not replaced goes again."""
    (root / "a").write_text("old")

    def attempt() -> None:
        with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
            made.add_file("/a", stream.fileno(), 0o644)
            for name in os.listdir(root):
                if name.startswith(PREFIX):
                    (root / name).unlink()
            made.put_in_place()

    with pytest.raises(FileNotFoundError):
        attempt()
    assert os.listdir(root) == ["a"]


def test_nothing_is_left_over(root: Path, tmp_path: Path) -> None:
    """When all is well, no other name is there; other names of a replaced file keep their content."""
    (root / "a").write_text("old")
    os.link(root / "a", root / "other")
    with Root(str(root)) as opened, Changes(opened) as made, Path(__file__).open("rb") as stream:
        made.add_file("/a", stream.fileno(), 0o4711)
        made.put_in_place()
    assert sorted(os.listdir(root)) == ["a", "other"]
    assert ((root / "a").stat().st_mode & 0o7777, (root / "other").read_text()) == (0o4711, "old")


def test_a_directory_is_in_the_place(root: Path) -> None:
    """A file does not take the place of a directory."""
    (root / "a").mkdir()
    with Root(str(root)) as opened, pytest.raises(IsADirectoryError), Changes(opened) as made:
        made.add_file("/a", 0, 0o755)


def test_copy_without_sharing(tmp_path: Path) -> None:
    """Files of the kernel's own, which can't be shared, are copied as well."""
    with Path("/proc/self/status").open("rb") as source, (tmp_path / "t").open("wb") as target:
        copy(source.fileno(), target.fileno())
    assert "Name:" in (tmp_path / "t").read_text()


def test_copy_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that grows beyond the limit while it is copied is refused."""
    monkeypatch.setattr(changes, "MOST_BYTES", 10)
    (tmp_path / "s").write_bytes(b"x" * 11)
    source, target = (tmp_path / "s").open("rb"), (tmp_path / "t").open("wb")
    with source, target, pytest.raises(OSError, match="too large"):
        copy(source.fileno(), target.fileno())


def test_copy_to_a_full_place() -> None:
    """A full file system is told."""
    with Path(__file__).open("rb") as source, Path("/dev/full").open("wb", buffering=0) as target:  # noqa: SIM117
        with pytest.raises(OSError, match="No space"):
            copy(source.fileno(), target.fileno())


def test_landlock(root: Path, tmp_path: Path) -> None:
    """After an injection this process can change nothing outside of the root, whatever it tries."""
    source = tmp_path / "tool"
    source.write_text("x")

    def work() -> None:
        inject(str(root), [injector_file(directories=[str(tmp_path)], binaries=[str(source)])], ignore)
        (root / "own").write_text("x")
        for attempt in (source.write_text, (tmp_path / "new").write_text):
            with pytest.raises(PermissionError):
                attempt("y")
        with pytest.raises(PermissionError):
            source.unlink()

    version = subprocess.run(
        [sys.executable, "-c", "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))"],
        capture_output=True,
        text=True,
        check=True,
    )
    if int(version.stdout) < 3:
        pytest.skip("the kernel has no Landlock that keeps from truncating")
    assert in_child(work) == ""
    assert (root / str(source)[1:]).read_text() == "x"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP], ids=["no-call", "switched-off"])
def test_without_landlock(root: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Where the kernel has no Landlock it is told once, and the files are put in."""

    def missing(number: int, *arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    told: list[str] = []
    monkeypatch.setattr(kernel, "_call", missing)
    monkeypatch.setattr("ocihooks.injector.rootfs.openat2", missing_openat2)

    def work() -> None:
        inject(str(root), [injector_file(directories=["/a"])], lambda level, text: told.append(level))
        assert told == ["warning", "debug"]

    assert in_child(work) == ""
    assert (root / "a").is_dir()


def missing_openat2(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """What an old kernel answers."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def hostile(root: Path, kind: str) -> None:
    """Put something of *kind* where /opt/t is to be, or on the way there."""
    opt, place, canary = root / "opt", root / "opt/t", str(root.parent / "canary")
    if not kind.startswith("opt-"):
        opt.mkdir()
    if kind in LINKS:
        (opt if kind.startswith("opt-") else place).symlink_to(LINKS[kind].replace("CANARY", canary))
    if kind == "link-chain":
        (opt / "u").symlink_to("../../../canary/secret")
    others: dict[str, Callable[[], object]] = {
        "opt-fifo": lambda: os.mkfifo(opt),
        "opt-file": lambda: opt.write_text("x"),
        "fifo": lambda: os.mkfifo(place),
        "device": lambda: os.mknod(place, 0o020666, os.makedev(1, 3)),
        "hard-link-to-host": lambda: os.link(f"{canary}/secret", place),
        "directory": place.mkdir,
    }
    others.get(kind, lambda: None)()


LINKS = {
    "opt-link-to-host": "CANARY",
    "opt-link-up": "../canary",
    "opt-loop": "opt",
    "opt-magic-link": "/proc/self/root",
    "link-to-host-file": "CANARY/secret",
    "link-up": "../../canary/secret",
    "link-to-host-directory": "CANARY",
    "link-chain": "u",
    "proc-link": "/proc/self/fd/0",
    "dots-link": "..",
}
HOSTILE = (*LINKS, "opt-fifo", "opt-file", "fifo", "device", "hard-link-to-host", "directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")
@pytest.mark.parametrize("landlock", [True, False], ids=["landlock", "alone"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_trees(kind: str, landlock: bool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tree holds, nothing beside the root changes, and nobody waits; with and without Landlock."""
    canary = root.parent / "canary"
    canary.mkdir()
    (canary / "secret").write_text("secret")
    hostile(root, kind)
    before, started = everything(canary), time.monotonic()
    source = root.parent / "t"
    source.write_text("new")
    if not landlock:
        monkeypatch.setattr("ocihooks.injector.inject.allow_writes_beneath", lambda fd: True)

    def work() -> None:
        monkeypatch.setattr("ocihooks.injector.inject.inside", lambda path: "/opt/t" if path == str(source) else path)
        inject(str(root), [injector_file(directories=["/opt/new"], binaries=[str(source)])], ignore)

    said = in_child(work)
    assert said == "" or "can't be put into the container" in said
    assert everything(canary) == before
    assert time.monotonic() - started < 5
    assert [name for name in map(str, root.rglob("*")) if PREFIX in name] == []


EXCHANGE = """
import ctypes, os, sys
libc, root, count = ctypes.CDLL(None), sys.argv[1].encode(), 0
while os.getppid() == int(sys.argv[2]):
    for _ in range(100):
        libc.renameat2(-100, root + b"/opt", -100, root + b"/evil", 2)
        count += 1
    os.pwrite(1, b"%d\\n" % count, 0)
"""


def naive(root: Path, source: Path) -> None:
    """What the careful would not do: check the path, then use it."""
    target = root / "opt/t"
    if os.path.realpath(target.parent).startswith(str(root)):
        target.write_bytes(source.read_bytes())


def careful(root: Path, source: Path) -> None:
    """What the product does, but for Landlock, which would hide its mistakes."""
    with Root(str(root)) as opened, Changes(opened) as made, source.open("rb") as stream:
        made.make_directory("/opt/d")
        made.add_file("/opt/t", stream.fileno(), 0o755)
        made.put_in_place()


def escapes(root: Path, act: Callable[[Path, Path], None], limit_s: float, enough: int) -> tuple[int, int, int]:
    """How often *act* wrote into the canary while somebody exchanged directory and link; its runs, and exchanges."""
    canary = root.parent / "canary"
    canary.mkdir(exist_ok=True)
    (root / "opt").mkdir()
    (root / "evil").symlink_to(canary)
    source = root.parent / "t"
    source.write_text("new")
    found = runs = 0
    with (root.parent / "count").open("w+") as count:
        words = [sys.executable, "-c", EXCHANGE, str(root), str(os.getpid())]
        attacker = subprocess.Popen(words, stdout=count)
        try:
            end = time.monotonic() + limit_s
            while time.monotonic() < end and found < enough:
                runs += 1
                try:
                    act(root, source)
                except OSError:
                    pass
                for path in canary.iterdir():
                    found += 1
                    path.rmdir() if path.is_dir() else path.unlink()
        finally:
            attacker.kill()
            attacker.wait()
        count.seek(0)
        return found, runs, int((count.read().split() or ["0"])[0])


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)], ids=["short", "full"])
def test_races(root: Path, seconds: int) -> None:
    """While directory and link are exchanged all the time, nothing is written where the link leads."""
    found, runs, exchanges = escapes(root, careful, seconds, 1)
    assert (found, runs > 100, exchanges > 1000) == (0, True, True), (found, runs, exchanges)


def test_races_without_openat2(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the kernel can't resolve inside a root."""
    monkeypatch.setattr("ocihooks.injector.rootfs.openat2", missing_openat2)
    found, runs, exchanges = escapes(root, careful, 2, 1)
    assert (found, runs > 50, exchanges > 1000) == (0, True, True), (found, runs, exchanges)


def test_races_notice_the_naive(root: Path) -> None:
    """The same attack gets a check by name to write outside."""
    found, _, _ = escapes(root, naive, 20, 1)
    assert found


REFUSED = {
    "device": (injector_file(devices=["/dev/fuse"]), "/devices/0: a hook can't give devices"),
    "above": (injector_file(directories=["/a", "/../../up"]), "/directories/1: .* leads above the root"),
    "missing": (injector_file(binaries=["/none/x"]), "/binaries/0: .* can't be copied: it does not exist"),
    "directory": (injector_file(miscellaneous=["/etc"]), "/miscellaneous/0: .* it is not a regular file"),
    "device-node": (injector_file(libraries=["/dev/null"]), "/libraries/0: .* it is not a regular file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, root: Path) -> None:
    """What can't be done is refused, with the place in the file, before anything is written."""
    file, message = REFUSED[name]
    with pytest.raises(NotInjectedError) as caught:
        inject(str(root), [injector_file(directories=["/first"]), file], ignore)
    assert re.search(message, str(caught.value))
    assert caught.value.hint
    assert os.listdir(root) == []


def test_no_root(tmp_path: Path) -> None:
    """A root that is not there is told by its path."""
    with pytest.raises(NotInjectedError, match="can't be opened: it does not exist"):
        inject(f"{tmp_path}/none", [injector_file(directories=["/a"])], ignore)


def test_nothing_to_do() -> None:
    """Without anything to put in, the root is not even opened."""
    inject("/none", [injector_file()], ignore)


def test_large_source(tmp_path: Path) -> None:
    """A file beyond the limit is refused by its size."""
    with (tmp_path / "large").open("wb") as stream:
        os.ftruncate(stream.fileno(), changes.MOST_BYTES + 1)
    (item,) = items_of(injector_file(binaries=[str(tmp_path / "large")]))
    assert isinstance(item, Item)
    with pytest.raises(NotInjectedError, match="larger than 2 GiB"):
        check_source(item)


def test_hints() -> None:
    """Every reason that a user can do something about has its own hint."""
    assert len(set(_HINTS.values())) == len(_HINTS) > 8


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
