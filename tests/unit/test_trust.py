"""Files that decide what root runs are read only if nobody else could have written them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ocihooks
from ocihooks.errors import UntrustedError
from ocihooks.trust import MAX_LINKS, Trust, check_trusted, explained, in_user_namespace, read_trusted, trust_here

SOURCES = Path(ocihooks.__file__).parent.parent
OTHER, GROUP = 1234, 2345
ROOT = Trust({0})

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture(autouse=True)
def no_descriptors_left() -> Iterator[None]:
    """Every test leaves as many descriptors open as it found."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


class Tree:
    """``DIRECTORY/parent/hooks/rule`` with content "rule", all of it root's, and links to its parts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.parent = directory / "parent"
        self.hooks = self.parent / "hooks"
        self.rule = self.hooks / "rule"
        self.hooks.mkdir(parents=True)
        self.rule.write_bytes(b"rule")
        for path, mode in ((self.parent, 0o755), (self.hooks, 0o755), (self.rule, 0o644)):
            path.chmod(mode)
            os.chown(path, 0, 0)

    def part(self, name: str) -> Path:
        path: Path = getattr(self, name)
        return path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A tree that is trusted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to give files away")
    return Tree(tmp_path)


def refusal(path: Path | str, trust: Trust = ROOT, **options: int) -> UntrustedError:
    with pytest.raises(UntrustedError) as caught:
        read_trusted(str(path), trust, **options)
    assert caught.value.file == str(path)
    assert caught.value.hint
    return caught.value


PARTS = ("rule", "hooks", "parent")

GOOD = [
    pytest.param(0o644, 0, id="usual"),
    pytest.param(0o400, 0, id="private"),
    pytest.param(0o775, 0, id="group-of-root"),
    pytest.param(0o755, GROUP, id="group-may-read"),
    pytest.param(0o4755, 0, id="setuid"),
]


class TestTable:
    """Owners and modes, from the file up to the root directory."""

    @pytest.mark.parametrize(("mode", "group"), GOOD)
    @pytest.mark.parametrize("part", PARTS)
    def test_good(self, part: str, mode: int, group: int, tree: Tree) -> None:
        """What only root can write is read."""
        os.chown(tree.part(part), 0, group)
        tree.part(part).chmod(mode | (0o111 if part != "rule" else 0))
        assert read_trusted(str(tree.rule), ROOT) == b"rule"

    @pytest.mark.parametrize("part", PARTS)
    def test_owner(self, part: str, tree: Tree) -> None:
        """What belongs to somebody else is refused, whatever its mode; the hint gives it to root."""
        place = tree.part(part)
        os.chown(place, OTHER, 0)
        error = refusal(tree.rule)
        subject = "it" if part == "rule" else f"{place} on the way to it"
        assert error.message == f"not used, since {subject} belongs to user {OTHER}"
        assert (error.code, error.hint) == ("untrusted", f"chown root:root {place}")

    @pytest.mark.parametrize("mode", [0o757, 0o777, 0o752])
    @pytest.mark.parametrize("part", PARTS)
    def test_everybody(self, part: str, mode: int, tree: Tree) -> None:
        """What everybody may write is refused; the hint takes that away."""
        place = tree.part(part)
        place.chmod(mode)
        error = refusal(tree.rule)
        subject = "it" if part == "rule" else f"{place} on the way to it"
        assert (error.message, error.hint) == (f"not used, since everybody may write {subject}", f"chmod o-w {place}")

    @pytest.mark.parametrize("part", PARTS)
    def test_group(self, part: str, tree: Tree) -> None:
        """What another group may write is refused, unless the settings trust it."""
        place = tree.part(part)
        os.chown(place, 0, GROUP)
        place.chmod(0o775)
        error = refusal(tree.rule)
        subject = "it" if part == "rule" else f"{place} on the way to it"
        assert error.message == f"not used, since group {GROUP} may write {subject}"
        assert error.hint == f"chmod g-w {place}, or set trusted-groups = [{GROUP}]"
        assert read_trusted(str(tree.rule), Trust({0}, (GROUP,))) == b"rule"
        refusal(tree.rule, Trust({0}, (GROUP + 1,)))

    @pytest.mark.parametrize("part", ["hooks", "parent"])
    def test_sticky_directory(self, part: str, tree: Tree) -> None:
        """In a directory like /tmp the next part of the path has to be root's."""
        tree.part(part).chmod(0o1777)
        assert read_trusted(str(tree.rule), ROOT) == b"rule"
        following = {"hooks": tree.rule, "parent": tree.hooks}[part]
        os.chown(following, OTHER, OTHER)
        assert f"belongs to user {OTHER}" in refusal(tree.rule).message

    def test_sticky_directory_of_another(self, tree: Tree) -> None:
        """A directory like /tmp that belongs to somebody else is refused."""
        tree.hooks.chmod(0o1777)
        os.chown(tree.hooks, OTHER, 0)
        assert "belongs to user" in refusal(tree.rule).message

    def test_sticky_file(self, tree: Tree) -> None:
        """The sticky bit means nothing on a file."""
        tree.rule.chmod(0o1666)
        assert refusal(tree.rule).message == "not used, since everybody may write it"

    @pytest.mark.parametrize("part", ["rule", "hooks"])
    def test_other_trusted_user(self, part: str, tree: Tree) -> None:
        """Other owners can be trusted by name."""
        os.chown(tree.part(part), OTHER, 0)
        assert read_trusted(str(tree.rule), Trust({0, OTHER})) == b"rule"


class TestLinks:
    """Symbolic links on the way."""

    @pytest.mark.parametrize(
        ("link", "target"),
        [
            pytest.param("hooks/link", "rule", id="file-relative"),
            pytest.param("hooks/link", "../hooks/./rule", id="file-up-and-down"),
            pytest.param("hooks/link", "{parent}/hooks/rule", id="file-absolute"),
            pytest.param("other", "hooks/rule", id="file-below"),
        ],
    )
    def test_file(self, link: str, target: str, tree: Tree) -> None:
        """A link to a trusted file is followed."""
        (tree.parent / link).symlink_to(target.format(parent=tree.parent))
        assert read_trusted(str(tree.parent / link), ROOT) == b"rule"

    @pytest.mark.parametrize("target", ["hooks", "./hooks/", "../parent/hooks", "{parent}/hooks//"])
    def test_directory(self, target: str, tree: Tree) -> None:
        """A link to a directory is followed, wherever it stands in the path."""
        (tree.parent / "link").symlink_to(target.format(parent=tree.parent))
        assert read_trusted(f"{tree.parent}/link/../hooks/rule", ROOT) == b"rule"

    def test_link_of_another(self, tree: Tree) -> None:
        """A link that belongs to somebody else is refused, since they can let it lead elsewhere."""
        link = tree.hooks / "link"
        link.symlink_to("rule")
        os.chown(link, OTHER, OTHER, follow_symlinks=False)
        assert refusal(link).message == f"not used, since it belongs to user {OTHER}"

    def test_target_of_another(self, tree: Tree, tmp_path: Path) -> None:
        """What counts is where the link leads, and all directories on that way."""
        other = Tree(tmp_path / "elsewhere")
        link = tree.hooks / "link"
        link.symlink_to(other.rule)
        assert read_trusted(str(link), ROOT) == b"rule"
        other.parent.chmod(0o777)
        error = refusal(link)
        assert error.message == f"not used, since everybody may write {other.parent} on the way to it"

    def test_escape_by_dots(self, tree: Tree) -> None:
        """Dots lead to the real parent of a link's target, as the kernel goes, not to that of the name."""
        inner = tree.hooks / "inner"
        inner.mkdir()
        (tree.parent / "link").symlink_to("hooks/inner")
        assert read_trusted(f"{tree.parent}/link/../rule", ROOT) == b"rule"

    @pytest.mark.parametrize(("links", "good"), [(MAX_LINKS, True), (MAX_LINKS + 1, False)])
    def test_chain(self, links: int, good: bool, tree: Tree) -> None:
        """A chain of links has an end."""
        name = "rule"
        for number in range(links):
            (tree.hooks / f"link{number}").symlink_to(name)
            name = f"link{number}"
        if good:
            assert read_trusted(str(tree.hooks / name), ROOT) == b"rule"
        else:
            assert refusal(tree.hooks / name).message == "too many symbolic links"

    @pytest.mark.parametrize("target", ["link", "../hooks/link", "{parent}/hooks/link"])
    def test_loop(self, target: str, tree: Tree) -> None:
        """A link that leads to itself is refused."""
        (tree.hooks / "link").symlink_to(target.format(parent=tree.parent))
        assert refusal(tree.hooks / "link").message == "too many symbolic links"

    def test_missing_target(self, tree: Tree) -> None:
        """A link to nothing is a file that does not exist."""
        (tree.hooks / "link").symlink_to("none")
        with pytest.raises(FileNotFoundError):
            read_trusted(str(tree.hooks / "link"), ROOT)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)


class TestKinds:
    """What is no plain file."""

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(Path.mkdir, id="directory"),
            pytest.param(lambda path: os.mkfifo(path, 0o600), id="fifo"),
            pytest.param(make_socket, id="socket"),
        ],
    )
    def test_refused(self, make: Callable[[Path], None], tree: Tree) -> None:
        """Only regular files are read, and nothing else makes us wait."""
        make(tree.hooks / "x")
        (tree.hooks / "x").chmod(0o755)
        error = refusal(tree.hooks / "x")
        assert (error.message, error.code) == ("expected a regular file", "untrusted")

    def test_device(self, tree: Tree) -> None:
        """A device is refused before it is opened."""
        try:
            os.mknod(tree.hooks / "zero", 0o20600, os.makedev(1, 5))
        except OSError:
            pytest.skip("this root may not make device nodes")
        assert refusal(tree.hooks / "zero").message == "expected a regular file"

    def test_dev_null(self, tree: Tree) -> None:
        """/dev/null is an empty file, directly and through a link."""
        (tree.hooks / "mask").symlink_to("/dev/null")
        assert read_trusted("/dev/null", ROOT) == b""
        assert read_trusted(str(tree.hooks / "mask"), ROOT) == b""

    @pytest.mark.parametrize("path", ["rule", "./rule", "../x", ""])
    def test_relative(self, path: str) -> None:
        """A path that depends on the working directory is refused."""
        error = refusal(path)
        assert error.message == f'expected an absolute path, found "{path}"'
        assert error.hint == "write it from / down"

    @pytest.mark.parametrize(("size", "good"), [(0, True), (10, True), (11, False), (5_000_000, False)])
    def test_size(self, size: int, good: bool, tree: Tree) -> None:
        """A file may have just as many bytes as asked for."""
        tree.rule.write_bytes(b"x" * size)
        if good:
            assert read_trusted(str(tree.rule), ROOT, limit_bytes=10) == b"x" * size
        else:
            error = refusal(tree.rule, limit_bytes=10)
            assert (error.message, error.code) == ("larger than the 10 bytes that are read", "too_large")

    def test_missing(self, tree: Tree) -> None:
        """A file that is not there is the system's error, since callers differ in what it means."""
        for path in (tree.hooks / "none", tree.parent / "none" / "rule"):
            with pytest.raises(FileNotFoundError):
                read_trusted(str(path), ROOT)

    def test_below_a_file(self, tree: Tree) -> None:
        """A path below a file is the system's error, too."""
        with pytest.raises(NotADirectoryError):
            read_trusted(f"{tree.rule}/x", ROOT)

    @pytest.mark.parametrize("spelling", ["{hooks}//rule", "{hooks}/./rule", "{hooks}/../hooks/rule", "/{hooks}/rule"])
    def test_spelling(self, spelling: str, tree: Tree) -> None:
        """Paths need not be in their shortest form."""
        assert read_trusted(spelling.format(hooks=tree.hooks), ROOT) == b"rule"

    def test_root_directory(self) -> None:
        """The root directory itself can be checked."""
        check_trusted("/", trust_here())


class TestChecking:
    """Programs and directories, which are not read."""

    @pytest.mark.parametrize("part", PARTS)
    def test_good(self, part: str, tree: Tree) -> None:
        """What root alone can write passes, file or directory."""
        check_trusted(str(tree.part(part)), ROOT)

    @pytest.mark.parametrize("part", PARTS)
    def test_bad(self, part: str, tree: Tree) -> None:
        """What others could write does not."""
        tree.part(part).chmod(0o777)
        with pytest.raises(UntrustedError, match="not used, since everybody may write"):
            check_trusted(str(tree.rule), ROOT)

    def test_fifo(self, tree: Tree) -> None:
        """Nothing is opened, so nothing waits."""
        os.mkfifo(tree.hooks / "fifo", 0o600)
        check_trusted(str(tree.hooks / "fifo"), ROOT)

    def test_explained(self) -> None:
        """The system's errors become ours, in words that engines do not take for something else."""
        error = explained("/x", PermissionError(13, "Permission denied"))
        assert (str(error), error.code) == ("/x: can't be read: access is not allowed", "read_failed")


class TestRaces:
    """Somebody who exchanges a trusted file for theirs, over and over."""

    @staticmethod
    def attacked(tree: Tree, read: Callable[[str], bytes]) -> tuple[int, int]:
        """How often the attacker exchanged the file, and how often theirs was read, within a second."""
        good, evil, stop, swaps = tree.parent / "good", tree.parent / "evil", threading.Event(), 0
        for path, content in ((good, b"good"), (evil, b"evil")):
            path.write_bytes(content)
            path.chmod(0o644)
        os.chown(evil, OTHER, OTHER)

        def exchange() -> None:
            nonlocal swaps
            while not stop.is_set():
                for path in (good, evil):
                    os.link(path, tree.hooks / "next")
                    os.rename(tree.hooks / "next", tree.rule)
                    swaps += 1

        thread = threading.Thread(target=exchange)
        thread.start()
        until, caught = time.monotonic() + 1, 0
        while time.monotonic() < until:
            try:
                caught += read(str(tree.rule)) == b"evil"
            except (UntrustedError, FileNotFoundError):
                continue
        stop.set()
        thread.join()
        return swaps, caught

    def test_file(self, tree: Tree, record_property: Callable[[str, object], None]) -> None:
        """What was checked is what is read."""
        swaps, caught = self.attacked(tree, lambda path: read_trusted(path, ROOT))
        assert swaps > 500
        assert caught == 0
        record_property("amount", f"{swaps:,} exchanges of a trusted file")

    def test_control(self, tree: Tree, record_property: Callable[[str, object], None]) -> None:
        """The same attack succeeds where the name is looked up twice."""

        def naive(path: str) -> bytes:
            if os.stat(path).st_uid != 0:
                raise UntrustedError(path)
            return Path(path).read_bytes()

        caught = self.attacked(tree, naive)[1]
        assert caught > 0
        record_property("control", f"{caught:,} files of somebody else that are read where the name is looked up twice")


class TestWhoIsTrusted:
    """Root on the host, ordinary users, and root of a user namespace."""

    SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ocihooks.errors import OCIHooksError
from ocihooks.trust import in_user_namespace, read_trusted, trust_here
answers = {"namespace": in_user_namespace(), "owners": sorted(trust_here().owners)}
for path in sys.argv[2:]:
    try:
        answers[path] = read_trusted(path, trust_here()).decode()
    except (OCIHooksError, OSError) as error:
        answers[path] = f"{type(error).__name__}: {error}"
print(json.dumps(answers))
"""

    def ask(self, prefix: list[str], python: str, package: Path, *paths: Path) -> dict[str, object]:
        command = [*prefix, python, "-I", "-S", "-B", "-c", self.SCRIPT, str(package), *map(str, paths)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        answer: dict[str, object] = json.loads(run.stdout)
        return answer

    def test_here(self) -> None:
        """The groups of the settings are trusted besides root's."""
        trust = trust_here((GROUP,))
        assert 0 in trust.owners
        assert os.geteuid() in trust.owners
        assert trust.groups == {0, GROUP}

    @needs_root
    @pytest.mark.skipif(in_user_namespace(), reason="root of a user namespace is not root of the host")
    def test_root(self) -> None:
        """Root of the host trusts root alone."""
        assert trust_here().owners == {0}

    @needs_root
    def test_ordinary_user(self, private_directory: Path, ordinary_python: str, public_package: Path) -> None:
        """Somebody without privileges trusts root and themselves, and nobody else."""
        files = [private_directory / name for name in ("root", "own", "other")]
        for file, owner in zip(files, (0, OTHER, OTHER + 1), strict=True):
            file.write_text(file.name)
            os.chown(file, owner, owner)
        user = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups"]
        answer = self.ask(user, ordinary_python, public_package, *files)
        if not in_user_namespace():
            assert (answer["namespace"], answer["owners"]) == (False, [0, OTHER])
        assert answer[str(files[0])] == "root"
        assert answer[str(files[1])] == "own"
        assert str(answer[str(files[2])]).startswith("UntrustedError: ")

    @needs_root
    def test_user_namespace(self, tmp_path: Path) -> None:
        """In a user namespace the host's root, which nobody can be there, is trusted besides root of the namespace."""
        files = [tmp_path / name for name in ("root", "open")]
        for file in files:
            file.write_text(file.name)
        files[0].chmod(0o644)
        files[1].chmod(0o646)
        prefix = ["unshare", "--user", "--map-root-user"]
        if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
            pytest.skip("user namespaces are not allowed here")
        answer = self.ask(prefix, sys.executable, SOURCES, *files)
        assert (answer["namespace"], answer["owners"]) == (True, [0, 65534])
        assert answer[str(files[0])] == "root"
        assert "everybody may write it" in str(answer[str(files[1])])
        unmapped = self.ask(["unshare", "--user"], sys.executable, SOURCES, files[0])
        assert (unmapped["owners"], unmapped[str(files[0])]) == ([0, 65534], "root")
