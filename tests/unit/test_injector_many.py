"""Many files for new directories, which two processes make: the same result, all of them or none, no process left."""

from __future__ import annotations

import os
import posix
import shutil
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.unit.injecting import Told, everything, injector_file, leftovers, put

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.injector import copying, inject
from ocihooks.injector.copying import MANY, make_files
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.items import open_source
from ocihooks.injector.rootfs import Root
from ocihooks.injector.worker import Line, Worker

COUNT = 40
PROJECT = Path(__file__).parents[2]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, or mounts")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten files are many, on any machine."""
    monkeypatch.setattr(copying, "MANY", 10)
    monkeypatch.setattr(posix, "sched_getaffinity", lambda pid: {0, 1})


def children() -> list[str]:
    """The numbers of this process's children; other tests may have left some, such as a tracker of resources."""
    return [task.read_text() for task in sorted(Path("/proc/self/task").glob("*/children"))]


@pytest.fixture(autouse=True)
def _no_litter() -> Iterator[None]:
    """No child is left, not even one to wait for, and no descriptor open."""
    before = os.listdir("/proc/self/fd"), children()
    yield
    assert (os.listdir("/proc/self/fd"), children()) == before


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Files of several sizes and modes."""
    (tmp_path / "sources").mkdir()
    paths = [tmp_path / f"sources/{number}" for number in range(COUNT)]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom((0, 1, 3000, 200_000)[number % 4]))
        path.chmod((0o644, 0o755, 0o600, 0o4711, 0o2750)[number % 5])
    return paths


def named(sources: list[Path], directory: str = "/new/deep", **members: Any) -> list[dict[str, Any]]:
    """An entry for each of *sources*."""
    return [{"source": str(path), "destination": f"{directory}/{path.name}", **members} for path in sources]


def shown(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Modes and contents of the files in *directory*."""
    return {path.name: (stat.S_IMODE(path.lstat().st_mode), path.read_bytes()) for path in directory.iterdir()}


def test_many_are_many() -> None:
    """A container that gets a few files only gets them by one process."""
    assert 100 <= MANY <= 500


def test_copies(root: Path, sources: list[Path]) -> None:
    """Content and mode of each are its source's, in old directories and new ones, and nothing else is there."""
    (root / "old").mkdir()
    file = injector_file(
        directories=["/new/deep", "/other"],
        binaries=named(sources, "/old"),
        libraries=named(sources, "/other"),
        miscellaneous=named(sources),
    )
    put(root, file)
    expected = shown(sources[0].parent)
    assert [shown(root / place) == expected for place in ("old", "other", "new/deep")] == [True] * 3
    assert (sorted(os.listdir(root)), leftovers(root)) == (["new", "old", "other"], [])


@needs_root
def test_owner(root: Path, sources: list[Path]) -> None:
    """What is put into a container with a user namespace belongs to its root user, with all its permission bits."""
    put(root, injector_file(directories=["/new/deep"], miscellaneous=named(sources)), owner=(100000, 200000))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in root.rglob("*")} == {(100000, 200000)}
    assert shown(root / "new/deep") == shown(sources[0].parent)


@pytest.fixture
def plain(sources: list[Path]) -> list[str]:
    """Their paths."""
    return [str(path) for path in sources]


def test_plain_lists(root: Path, sources: list[Path], plain: list[str], tmp_path: Path) -> None:
    """Files that go to the same paths are there, in new directories and old ones, several times named or not."""
    (root / str(tmp_path)[1:] / "other").mkdir(parents=True)
    others = tmp_path / "other"
    shutil.copytree(sources[0].parent, others)
    names = [*plain, *map(str, sorted(others.iterdir())), plain[3]]
    told = put(root, injector_file(directories=[str(sources[0].parent)], binaries=plain[:5], miscellaneous=names))
    expected = shown(sources[0].parent)
    assert [shown(root / str(place)[1:]) == expected for place in (sources[0].parent, others)] == [True, True]
    assert ([level for level, _ in told if level != "debug"], leftovers(root)) == ([], [])


def test_plain_list_in_two_processes(
    root: Path, sources: list[Path], plain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each half of a list is copied by another process."""
    makers = root / "makers"

    def told(source: Any) -> tuple[int, int, int]:
        with makers.open("a") as stream:
            stream.write(f"{os.getpid()} {source}\n")
        return open_source(source)

    monkeypatch.setattr(inject, "open_source", told)
    put(root, injector_file(directories=[str(sources[0].parent)], miscellaneous=plain))
    made = {path: pid for pid, path in map(str.split, makers.read_text().splitlines())}
    first, other = ({made[path] for path in half} for half in (plain[: COUNT // 2], plain[COUNT // 2 :]))
    assert (len(first), len(other), first == other) == (1, 1, False)
    assert shown(root / str(sources[0].parent)[1:]) == shown(sources[0].parent)


@pytest.mark.parametrize("number", [0, 7, 33])
def test_plain_file_that_is_missing(number: int, root: Path, sources: list[Path], plain: list[str]) -> None:
    """When one file of a list is missing it is named by its place, and nothing is there."""
    sources[number].unlink()
    file = injector_file(directories=[str(sources[0].parent)], binaries=plain[:1] * (number > 0), miscellaneous=plain)
    with pytest.raises(NotInjectedError, match=f"/miscellaneous/{number}: .* can't be copied: it does not exist"):
        put(root, file)
    assert os.listdir(root) == []


def test_plain_file_that_only_one_list_can_do_without(root: Path, sources: list[Path], plain: list[str]) -> None:
    """A missing file that one injector file can do without, and another one not, is refused for the other one."""
    sources[2].unlink()
    files = [injector_file(binaries=plain, directories=[str(sources[0].parent)], optional=True)]
    put(root, *files)
    assert "2" not in os.listdir(root / str(sources[0].parent)[1:])
    shutil.rmtree(root)
    root.mkdir()
    with pytest.raises(NotInjectedError, match="/miscellaneous/2: "):
        put(root, *files, injector_file(miscellaneous=plain))
    assert os.listdir(root) == []


MOUNTS = {
    "above": ("{above}", "/srv", "its mount at .* hides it"),
    "the-same": ("{above}/7", "{above}/7", ""),
    "another": ("{above}/7", "/srv", "its mount at .* hides it"),
    "beside": ("{above}/7x", "/srv", ""),
}


@pytest.mark.parametrize("name", MOUNTS)
def test_plain_list_and_mounts(name: str, root: Path, sources: list[Path], plain: list[str]) -> None:
    """A list is looked at file by file where the container has a mount of one, or one that hides it."""
    above = str(sources[0].parent)
    place, source, problem = (text.format(above=above) for text in MOUNTS[name])
    file = injector_file(miscellaneous=plain)
    (root / above[1:]).mkdir(parents=True)
    if problem:
        with pytest.raises(NotInjectedError, match=problem):
            put(root, file, mounts={place: (source, "bind")})
        return
    put(root, file, mounts={place: (source, "bind")})
    missing = {path.name for path in sources} - set(os.listdir(root / above[1:]))
    assert missing == ({"7"} if name == "the-same" else set())


def test_plain_list_that_a_link_leads_into_a_mount(root: Path, sources: list[Path], plain: list[str]) -> None:
    """A list that a mount of the container would hide behind a link is refused."""
    above = str(sources[0].parent)
    (root / "data").mkdir()
    (root / above[1:]).parent.mkdir(parents=True)
    (root / above[1:]).symlink_to("/data")
    with pytest.raises(NotInjectedError, match=r"/miscellaneous/0: .* its mount at ./data. hides it"):
        put(root, injector_file(miscellaneous=plain), mounts={"/data": ("/srv", "bind")})
    assert os.listdir(root / "data") == []


@pytest.mark.parametrize("mask", [0o077, 0o777], ids=oct)
def test_permission_bits_by_any_umask(mask: int, root: Path, sources: list[Path], plain: list[str]) -> None:
    """Files have the permission bits of their sources whatever the umask of the caller is, which stays as it was."""
    before = os.umask(mask)
    try:
        with Root(str(root)) as opened:
            files = [(opened.directory("/"), path.name, str(path)) for path in sources]
            assert make_files(files, open_source, None) == frozenset()
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert shown(root) == shown(sources[0].parent)


ACCESS_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *row) for row in ((1, 4, 0xFFFFFFFF), (4, 0, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
)
"""Gives new files at most the right to be read by their owners."""


def test_permission_bits_by_a_list_of_the_directory(root: Path, sources: list[Path], plain: list[str]) -> None:
    """Files have the permission bits of their sources, too, where the directory has other ones for new files."""
    try:
        os.setxattr(root, "system.posix_acl_default", ACCESS_LIST)
    except OSError:
        pytest.skip("the file system has no lists of rights")
    (root / "control").touch(mode=0o644)
    assert stat.S_IMODE((root / "control").stat().st_mode) == 0o400
    put(root, injector_file(directories=[str(sources[0].parent)], miscellaneous=plain))
    assert shown(root / str(sources[0].parent)[1:]) == shown(sources[0].parent)


def test_one_place_several_times(root: Path, sources: list[Path]) -> None:
    """The last of several files for one place counts, whichever process would make it."""
    entries = [*named(sources), {"source": str(sources[2]), "destination": "/new/deep/1"}, *named(sources[::-1])]
    entries.append({"source": str(sources[3]), "destination": "/new/deep/39"})
    put(root, injector_file(directories=["/new/deep"], binaries=entries[:3], miscellaneous=entries))
    expected = shown(sources[0].parent)
    assert shown(root / "new/deep") == {**expected, "39": expected["3"]}


def test_undo_record(root: Path, sources: list[Path], tmp_path: Path) -> None:
    """All of them are in the undo record."""
    record = tmp_path / "undo/record.json"
    file = injector_file(directories=["/new/deep"], miscellaneous=named(sources))
    put(root, file, record=str(record), name=("c", "/b"))
    assert all(f'"{path.name}"' in record.read_text() for path in sources)


def test_two_processes(root: Path, sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the files are made by another process where there is another processor, and else all by this one."""

    def made_by() -> list[int]:
        makers = tmp_path / "makers"
        makers.unlink(missing_ok=True)

        def opened(path: Path) -> tuple[int, int, int]:
            with makers.open("a") as stream:
                stream.write(f"{os.getpid()}\n")
            return os.open(path, os.O_RDONLY), 0o644, path.stat().st_size

        with Root(str(root)) as opened_root:
            place = opened_root.directory("/")
            files = [(place, path.name, path) for path in sources]
            assert make_files(files, opened, None) == frozenset()
        assert shown(root).keys() == shown(sources[0].parent).keys()
        shutil.rmtree(root)
        root.mkdir()
        return [int(line) for line in makers.read_text().splitlines()]

    both = made_by()
    assert (len(set(both)), both.count(os.getpid())) == (2, COUNT // 2)
    monkeypatch.setattr(posix, "sched_getaffinity", lambda pid: {3})
    assert made_by() == [os.getpid()] * COUNT
    monkeypatch.setattr(posix, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(posix, "fork", lambda: os.kill(0, 10**6))
    assert made_by() == [os.getpid()] * COUNT


FAILING = {"in-the-first-half": (7, []), "in-the-second-half": (33, []), "in-both": (3, [38])}


@pytest.mark.parametrize("name", FAILING)
def test_source_that_is_missing(name: str, root: Path, sources: list[Path]) -> None:
    """When one file is missing nothing is there, and the first that is missing is named."""
    first, others = FAILING[name]
    for number in (first, *others):
        sources[number].unlink()
    with pytest.raises(NotInjectedError, match=f"/miscellaneous/{first}: .* can't be copied: it does not exist"):
        put(root, injector_file(directories=["/new/deep"], miscellaneous=named(sources)))
    assert os.listdir(root) == []


@pytest.mark.parametrize("name", FAILING)
def test_optional_file_that_is_missing(
    name: str, root: Path, sources: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Optional files that are missing are left out and told, and all others are there."""
    first, others = FAILING[name]
    for number in (first, *others):
        sources[number].unlink()

    class Printed(Told):
        def tell(self, level: str, text: str) -> None:
            os.write(2, f"{level}: {text}\n".encode())

    put(root, injector_file(directories=["/new/deep"], miscellaneous=named(sources, optional=True)), told=Printed())
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("info: left out")]
    assert [f"/miscellaneous/{number}: " in line for number, line in zip((first, *others), told, strict=True)]
    assert shown(root / "new/deep") == shown(sources[0].parent)


class Foreigner(Told):
    """Puts a file of its own into the new directory, under the name of one that is still to come."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self.root = root
        self.names = names

    def tell(self, level: str, text: str) -> None:
        """Take a sentence, in the child."""
        hidden = [path for path in self.root.rglob("deep") if not list(path.iterdir())]
        for name in self.names if text.endswith("/deep/0") else ():
            (hidden[0] / name).write_text("theirs")


@pytest.mark.parametrize("fails", [False, True], ids=["well", "undone"])
def test_somebody_is_in_the_new_directory(root: Path, sources: list[Path], fails: bool) -> None:
    """A file that somebody puts into the new directory is replaced as everywhere, and comes back when all is undone."""
    entries = named(sources)
    if fails:
        entries.append({"source": str(root / "none"), "destination": "/new/deep/none"})
    file = injector_file(directories=["/new/deep"], miscellaneous=entries)
    if not fails:
        put(root, file, told=Foreigner(root, ("5", "30")))
        assert shown(root / "new/deep") == shown(sources[0].parent)
        return
    with pytest.raises(NotInjectedError, match="/miscellaneous/40: "):
        put(root, file, told=Foreigner(root, ("5", "30")))
    left = [path for path in root.rglob("*") if path.is_file()]
    assert sorted((path.name, path.read_text()) for path in left) == [("30", "theirs"), ("5", "theirs")]


def test_hidden_by_a_mount(root: Path, sources: list[Path]) -> None:
    """A file that a mount of the container would hide is refused among many, too."""
    (root / "data").mkdir()
    (root / "link").symlink_to("data")
    entries = [*named(sources), {"source": str(sources[0]), "destination": "/link/t"}]
    with pytest.raises(NotInjectedError, match=r"/miscellaneous/40: .* its mount at ./data. hides it"):
        put(root, injector_file(directories=["/new/deep"], miscellaneous=entries), mounts={"/data": ("/srv", "bind")})
    assert sorted(os.listdir(root)) == ["data", "link"]


def test_nul_in_a_name(root: Path, sources: list[Path]) -> None:
    """A name with a NUL character is refused among many, too."""
    entries = [*named(sources), {"source": str(sources[0]), "destination": "/new/deep/a"}]
    file = injector_file(directories=["/new/deep"], miscellaneous=entries)
    file.entries[-1].destination += "\0b"
    with pytest.raises(NotInjectedError, match=r"/miscellaneous/40: .* invalid argument"):
        put(root, file)
    assert os.listdir(root) == []


def test_both_are_confined(root: Path, tmp_path: Path) -> None:
    """Neither of the two processes can write outside of the root; without Landlock both could."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def attempt(number: int) -> tuple[int, int, int]:
        try:
            (outside / str(number)).touch()
        except PermissionError:
            pass
        return os.open("/dev/null", os.O_RDONLY), 0o644, 0

    def work(line: Line, is_confined: bool) -> None:
        line.tell(("confined", is_confined))
        with Root(str(root)) as opened:
            files = [(opened.directory("/"), str(number), number) for number in range(COUNT)]
            line.tell(("left", tuple(make_files(files, attempt, None))))

    for directories in ((os.open(root, os.O_PATH),), None):
        child = Worker(directories, work)
        is_confined, left = child.hear(), child.hear()
        child.hear()
        child.close()
        if directories:
            os.close(directories[0])
            if not is_confined:
                pytest.skip("the kernel has no Landlock")
        assert (left, len(os.listdir(outside))) == ((), 0 if directories else COUNT)
        shutil.rmtree(root)
        root.mkdir()


@pytest.mark.parametrize("who", ["first", "other"])
def test_process_that_is_killed(who: str, root: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """When one process is killed it is told, the other ends, and nothing has its name in the root."""

    def deadly(item: Any) -> tuple[int, int, int]:
        if item.source == str(sources[12 if who == "first" else 32]):
            os.kill(os.getpid(), signal.SIGKILL)
        return open_source(item)

    monkeypatch.setattr(inject, "open_source", deadly)
    with pytest.raises(RuntimeError, match="without a word"):
        put(root, injector_file(directories=["/new/deep"], miscellaneous=named(sources)))
    left = list(root.iterdir())
    assert [path.name[:10] for path in left] == ([".ocihooks-"] if who == "first" else [])
    before = everything(root)
    assert everything(root) == before


def test_fault_in_the_other_process(root: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else happens in one of them, it is told and nothing is left."""

    def faulty(item: Any) -> tuple[int, int, int]:
        if item.source == str(sources[32]):
            raise ValueError("odd")
        return open_source(item)

    monkeypatch.setattr(inject, "open_source", faulty)
    with pytest.raises(RuntimeError, match="ValueError: odd"):
        put(root, injector_file(directories=["/new/deep"], miscellaneous=named(sources)))
    assert os.listdir(root) == []


PUT = """
import posix, sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from tests.unit.injecting import injector_file, put
from ocihooks.injector import copying, inject
from ocihooks.injector.errors import NotInjectedError
from ocihooks.injector.items import open_source
posix.sched_getaffinity = lambda pid: {0, 1}
copying.MANY = 10
root, source, count = sys.argv[3:]
pairs = [f"{source}:/new/deep/{number}" for number in range(int(count))]
try:
    inject_file = injector_file(directories=["/new/deep"], miscellaneous=pairs)
    put(Path(root), inject_file)
except (NotInjectedError, RuntimeError) as error:
    sys.exit(str(error))
"""


def putting(root: Path, source: Path, count: int = 20) -> list[str]:
    """The words of a process that puts *count* copies of *source* into *root*."""
    return [sys.executable, "-c", PUT, str(PROJECT / "src"), str(PROJECT), str(root), str(source), str(count)]


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o4711], ids=oct)
@pytest.mark.parametrize("count", [9, 20])
def test_full_file_system(count: int, mode: int, root: Path, sources: list[Path]) -> None:
    """Where another file system is full for one of them, nothing is left, and the reason is told."""
    sources[3].chmod(mode)
    script = f'mount -t tmpfs -o size=1m t {root} && "$@"; echo "status $?"; ls -A {root}'
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *putting(root, sources[3], count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "status 1\n", done
    assert "no space left on device" in done.stderr


@pytest.mark.parametrize("call", ["mkdirat:1", "copy_file_range:1", "copy_file_range:5", "renameat:1", "fork"])
def test_kill_in_both(
    call: str, root: Path, sources: list[Path], unavailable: Callable[[OCIHooksError], NoReturn]
) -> None:
    """Killed at any call that changes the root, nothing is seen in it under its name."""
    if shutil.which("strace") is None:
        unavailable(UnavailableError("strace: not found on PATH", hint="apt-get install strace"))
    name, _, number = call.partition(":")
    what = f"{name}:signal=KILL:when={number}" if number else "clone,clone3,fork:error=EAGAIN:when=2+"
    words = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={what}", *putting(root, sources[3])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    seen = [path.name for path in root.iterdir() if not path.name.startswith(".ocihooks-")]
    told = "ended without a word" in done.stderr
    assert (told, seen) == ((True, []) if number else (False, ["new"])), done.stderr
