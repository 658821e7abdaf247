"""Paths inside a container's root file system: where they lead, and that they never lead out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocihooks.injector import rootfs
from ocihooks.injector.kernel import openat2
from ocihooks.injector.rootfs import Root

WAYS = ("openat2", "walk")
"""The kernel resolves inside a root, or we go step by step."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How paths are followed; without openat2 as on a kernel that does not have it."""
    if request.param == "walk":

        def missing(directory: int, path: bytes, flags: int, resolve: int) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(rootfs, "openat2", missing)
    return str(request.param)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with directories, links and a file, and a canary beside it."""
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "opt").mkdir()
    (root / "file").write_text("x")
    (root / "inside").symlink_to("a/b")
    (root / "absolute").symlink_to("/opt")
    (root / "up").symlink_to("../../../../../opt")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "a/new").symlink_to("../fresh")
    (root / "a/dots").symlink_to("..")
    (root / "host").symlink_to(str(tmp_path / "canary"))
    (tmp_path / "canary").mkdir()
    return root


@pytest.fixture
def root(tree: Path, way: str) -> Iterator[Root]:
    """The opened root."""
    with Root(str(tree)) as opened:
        yield opened


def leads_to(root: Root, path: str) -> str:
    """Where the directory *path* really is."""
    return os.readlink(f"/proc/self/fd/{root.directory(path)}").removeprefix(root.path)


@pytest.mark.parametrize("path", ["/a/b", "a/b", "//a/./b", "/a//b/"])
def test_directories(root: Root, path: str) -> None:
    """A path without links leads to its directory."""
    assert leads_to(root, path) == "/a/b"


@pytest.mark.parametrize("path", ["", "/", "."])
def test_the_root_itself(root: Root, path: str) -> None:
    """The empty path is the root."""
    assert leads_to(root, path) == ""


LINKS = {"/inside": "/a/b", "/absolute": "/opt", "/up": "/opt"}


@pytest.mark.parametrize("path", LINKS)
def test_links(root: Root, way: str, path: str) -> None:
    """A link leads inside the root, whatever it says; step by step no link is followed."""
    if way == "walk":
        with pytest.raises(NotADirectoryError):
            root.directory(path)
    else:
        assert leads_to(root, path) == LINKS[path]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/none", errno.ENOENT, id="missing"),
        pytest.param("/file", errno.ENOTDIR, id="a-file"),
        pytest.param("/file/x", errno.ENOTDIR, id="below-a-file"),
    ],
)
def test_no_directory(root: Root, path: str, code: int) -> None:
    """What is not a directory is refused with the reason."""
    with pytest.raises(OSError, match=r".") as caught:
        root.directory(path)
    assert caught.value.errno == code


def test_links_to_the_host(root: Root, way: str) -> None:
    """A link with the path of a directory of the host does not lead there."""
    with pytest.raises(OSError, match=r".") as caught:
        root.directory("/host")
    assert caught.value.errno == (errno.ENOTDIR if way == "walk" else errno.ENOENT)


def test_above_the_root(root: Root, way: str) -> None:
    """Two dots at the root lead to the root, or nowhere, but not above it."""
    if way == "walk":
        with pytest.raises(OSError, match=r".") as caught:
            root.directory("/../..")
        assert caught.value.errno == errno.EXDEV
    else:
        assert leads_to(root, "/../..") == ""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        pytest.param("/a/x", "/a/x", id="nothing-there"),
        pytest.param("/file", "/file", id="a-file"),
        pytest.param("/dangling", "/nowhere", id="link-to-nowhere"),
        pytest.param("/opt/", "/opt", id="trailing-slash"),
    ],
)
def test_places(root: Root, path: str, place: str) -> None:
    """A place is a name in a directory, and a link to nowhere is the place where it leads."""
    found = root.place(path)
    assert f"{os.readlink(f'/proc/self/fd/{found.parent}')}/{found.name}" == f"{root.path}{place}"


def test_place_behind_dots(root: Root, way: str) -> None:
    """A link with dots counts from the directory that it really is in."""
    if way == "walk":
        with pytest.raises(OSError, match=r".") as caught:
            root.place("/a/new")
        assert caught.value.errno == errno.EXDEV
    else:
        assert root.place("/a/new").name == "fresh"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/", errno.EISDIR, id="root"),
        pytest.param("/a/..", errno.EISDIR, id="dots"),
        pytest.param("/a/dots", errno.EISDIR, id="link-to-dots"),
        pytest.param("/loop", errno.ELOOP, id="loop"),
        pytest.param("/none/x", errno.ENOENT, id="no-directory"),
        pytest.param("/" + "n" * 300, errno.ENAMETOOLONG, id="long-name"),
    ],
)
def test_no_place(root: Root, path: str, code: int) -> None:
    """What can be no file's place is refused with the reason."""
    with pytest.raises(OSError, match=r".") as caught:
        root.place(path)
    assert caught.value.errno == code


def test_make_directory(root: Root, tree: Path) -> None:
    """Missing directories are made, and those that were made are told."""
    made = root.make_directory("/a/c/d")
    assert [place.name for place in made] == ["c", "d"]
    assert (tree / "a/c/d").is_dir()
    assert root.make_directory("/a/c/d") == ()


def test_make_directory_takes_its_steps_back(root: Root, tree: Path) -> None:
    """When a step fails, the directories made before it go again."""
    with pytest.raises(OSError, match="File name too long"):
        root.make_directory(f"/a/c/{'n' * 300}")
    assert not (tree / "a/c").exists()


def test_make_directory_in_the_place_of_a_link(root: Root, tree: Path, way: str) -> None:
    """A link to nowhere is not replaced by a directory."""
    with pytest.raises(NotADirectoryError if way == "walk" else FileExistsError):
        root.make_directory("/dangling/x")
    assert not (tree / "nowhere").exists()


def test_other_file_systems(root: Root) -> None:
    """A path into another file system is refused."""
    with Root("/") as host, pytest.raises(OSError, match=r".") as caught:
        host.directory("/proc")
    assert caught.value.errno == errno.EXDEV


@pytest.mark.parametrize(("tries_s", "tries"), [(1.0, 128), (-1.0, 1)], ids=["tries", "time"])
def test_directories_that_move_all_the_time(
    tree: Path, monkeypatch: pytest.MonkeyPatch, tries_s: float, tries: int
) -> None:
    """When the kernel says again and again that it is not sure, we give up after so many tries or so much time."""
    calls = []

    def unsure(directory: int, path: bytes, flags: int, resolve: int) -> int:
        calls.append(path)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(rootfs, "openat2", unsure)
    monkeypatch.setattr(rootfs, "TRIES_S", tries_s)
    with Root(str(tree)) as opened, pytest.raises(BlockingIOError):
        opened.directory("/a")
    assert len(calls) == tries


def test_names_themselves(root: Root) -> None:
    """The place of a link itself is asked for by another method, which follows the directories only."""
    assert root.name("/inside").is_link
    assert root.name("/a").is_directory
    assert not root.name("/a/none").is_link
    assert not root.name("/a/none").is_directory


def test_where(root: Root) -> None:
    """A directory tells its path in the root, without links."""
    assert [root.where(root.directory(path)) for path in ("", "/a//b", "/opt/.")] == ["", "/a/b", "/opt"]


def test_where_in_the_root_of_all() -> None:
    """The same in a root that is that of the host."""
    with Root("/") as host:
        assert host.where(host.directory("/usr/lib")) == "/usr/lib"
        assert host.where(host.fd) == ""


def test_read(root: Root, tree: Path) -> None:
    """A regular file is read up to a limit."""
    (tree / "long").write_text("0123456789")
    assert (root.read("/file", 100), root.read("/long", 4)) == (b"x", b"0123")


def test_read_what_is_no_file(root: Root, tree: Path) -> None:
    """Nothing but regular files is opened for reading: a FIFO makes nobody wait, a device is not touched."""
    os.mkfifo(tree / "fifo")
    for path in ("/fifo", "/a"):
        with pytest.raises(OSError, match="not a regular file"):
            root.read(path, 100)
    with pytest.raises(FileNotFoundError):
        root.read("/none", 100)


def test_names(root: Root) -> None:
    """The names in a directory are told, at most so many."""
    assert root.names("/a", 100) != []
    assert len(root.names("", 3)) == 3
    with pytest.raises(FileNotFoundError):
        root.names("/none", 3)


@pytest.mark.parametrize("path", ["/a\0/x", "/a/x\0y", "/\ud800/x", "/a/x\ud800y"])
def test_no_path(root: Root, path: str) -> None:
    """A path that the kernel would take for a shorter one, or can't have at all, is refused."""
    for ask in (root.directory, root.place, root.name, root.make_directory):
        with pytest.raises(OSError, match="Invalid argument"):
            ask(path)


def test_remove_directories(root: Root, tree: Path) -> None:
    """Directories that were made are removed as far as they are empty."""
    made = root.make_directory("/m/n")
    (tree / "m/file").write_text("x")
    rootfs.remove_directories(made)
    assert os.listdir(tree / "m") == ["file"]


def test_error_of_another_kind(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says about a single step is handed on."""

    def broken(directory: int, path: bytes, flags: int, resolve: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(rootfs, "openat2", broken)
    with Root(str(tree)) as opened, pytest.raises(OSError, match="Input/output"):
        opened.directory("/a")


@pytest.mark.parametrize(("path", "below"), [("/", "/proc"), ("/dev", "/shm")])
def test_steps_into_other_file_systems(path: str, below: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step a path into another file system is refused as well."""

    def missing(directory: int, path: bytes, flags: int, resolve: int) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(rootfs, "openat2", missing)
    with Root(path) as host, pytest.raises(OSError, match=r".") as caught:
        host.directory(below)
    assert caught.value.errno == errno.EXDEV


def test_odd_names_on_the_way(root: Root, tree: Path) -> None:
    """Any name but two dots is a step, whatever character it begins with."""
    for name in ("-a", "...", " "):
        (tree / name / "x").mkdir(parents=True)
        assert leads_to(root, f"/{name}/x") == f"/{name}/x"


def test_links_in_a_directory(root: Root, tree: Path) -> None:
    """A link to a file leads on from its own directory, or from the root."""
    (tree / "a/near").symlink_to("there")
    (tree / "a/far").symlink_to("/there")
    near, far = root.place("/a/near"), root.place("/a/far")
    assert (root.where(near.parent), near.name) == ("/a", "there")
    assert (root.where(far.parent), far.name) == ("", "there")


def test_many_links_one_behind_the_other(root: Root, tree: Path) -> None:
    """So many links as the kernel follows, less one, are followed to a file."""
    for number in range(rootfs.MOST_LINKS):
        (tree / f"link{number}").symlink_to(f"link{number - 1}" if number else "file")
    assert root.place("/link38").name == "file"
    with pytest.raises(OSError, match="symbolic links") as caught:
        root.place("/link39")
    assert caught.value.errno == errno.ELOOP


def test_file_that_becomes_a_link_is_not_read(root: Root, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that somebody puts into the place of a file at the last moment leads nowhere."""
    found = root.place("/file")
    (tree / "file").unlink()
    (tree / "file").symlink_to(tree.parent / "secret")
    (tree.parent / "secret").write_text("secret")
    monkeypatch.setattr(Root, "place", lambda self, path: found)
    with pytest.raises(OSError, match="not a regular file"):
        root.read("/file", 100)


def test_kernel_that_is_unsure_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that moved a moment ago is found at the second try."""
    answers = [BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))]
    real = openat2

    def unsure(directory: int, path: bytes, flags: int, resolve: int) -> int:
        if answers:
            raise answers.pop()
        return real(directory, path, flags, resolve)

    monkeypatch.setattr(rootfs, "openat2", unsure)
    with Root(str(tree)) as opened:
        assert leads_to(opened, "/a") == "/a"


def test_mode_of_new_directories(root: Root, tree: Path) -> None:
    """All may enter a new directory, whatever the mask allows, and only its owner may write."""
    before = os.umask(0)
    try:
        root.make_directory("/m/n")
        root.make_directory("/o/p", ".beside")
    finally:
        os.umask(before)
    modes = [(tree / path).stat().st_mode & 0o7777 for path in ("m", "m/n", ".beside", ".beside/p")]
    assert modes == [0o755] * 4
