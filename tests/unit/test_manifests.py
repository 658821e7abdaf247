"""Manifests of root file systems: what they hold, who signed them, and every way in which a tree can differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocihooks.engines.images import Image
from ocihooks.errors import DocumentError, OCIHooksError, RefusedError
from ocihooks.manifests.manifest import read_manifest, write_manifest
from ocihooks.manifests.signature import is_signed, new_key, public_key, sign
from ocihooks.manifests.tree import walk
from ocihooks.manifests.verify import Verifier, first_difference
from ocihooks.modifiers.creation import Creation

ID = f"sha256:{'0123456789abcdef' * 4}"


class Signed:
    """A tree, and a directory with its signed manifest `web`."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        self.directory = place / "manifests"
        (self.root / "bin").mkdir(parents=True)
        (self.root / "etc").mkdir()
        (self.root / "bin/tool").write_text("tool\n")
        (self.root / "bin/tool").chmod(0o4755)
        (self.root / "etc/odd\udcff name\n").write_text("")
        (self.root / "etc/out").symlink_to("/etc/shadow")
        os.mkfifo(self.root / "etc/fifo")
        os.mknod(self.root / "etc/null", 0o20666, os.makedev(1, 3))
        (self.directory / "keys").mkdir(parents=True)
        self.key = new_key()
        (self.directory / "keys/a.pem").write_bytes(public_key(self.key, "k"))
        self.sign()

    def sign(self, name: str = "web", key: bytes | None = None) -> Path:
        """Write the manifest of the tree as it is now, signed."""
        file = self.directory / f"{name}.json"
        file.write_text("\n".join(write_manifest(walk(str(self.root)))))
        Path(f"{file}.sig").write_bytes(sign(file.read_bytes(), key or self.key, "k"))
        return file

    def creation(self, name: str | None = "web", image: Image | None = None) -> Creation:
        """A container with this root, and with the annotation."""
        annotations = {"org.ocihooks.manifest": name} if name is not None else {}
        return Creation({"root": {"path": str(self.root)}, "annotations": annotations}, image=image)

    def refusal(self, name: str | None = "web", image: Image | None = None) -> OCIHooksError:
        """Why such a container is refused."""
        with pytest.raises(OCIHooksError) as caught:
            Verifier(str(self.directory))(self.creation(name, image))
        return caught.value


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    """A tree with one thing of each kind, and its manifest."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a device node")
    return Signed(tmp_path)


def test_sound(signed: Signed) -> None:
    """A tree that is as it was signed is let through, by annotation, by the image's id or by its name."""
    verify = Verifier(str(signed.directory))
    verify(signed.creation())
    signed.sign("localhost+web:1")
    verify(signed.creation(None, Image(name="localhost/web:1", id=ID)))
    (signed.directory / "localhost+web:1.json").unlink()
    signed.sign(ID)
    verify(signed.creation(None, Image(name="localhost/web:1", id=ID)))


def test_manifest_is_complete(signed: Signed) -> None:
    """A manifest that is read again has every path with what stands there, also names that are no text."""
    entries = read_manifest((signed.directory / "web.json").read_bytes(), "web.json")
    assert entries == dict(walk(str(signed.root)))
    assert entries["/bin/tool"].mode == "4755"
    assert entries["/etc/null"].device == "1:3"
    assert entries["/etc/out"].target == "/etc/shadow"
    assert "/etc/odd\udcff name\n" in entries


def replaced(path: Path, make: Callable[[], object]) -> None:
    path.unlink()
    make()


def moved_behind_link(root: Path) -> None:
    (root / "bin").rename(root.parent / "bin")
    (root / "bin").symlink_to(root.parent / "bin")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "byte": (lambda root: (root / "bin/tool").write_text("toOl\n"), '"/bin/tool": its content differs'),
    "size": (lambda root: (root / "bin/tool").write_text("tool"), '"/bin/tool": its size is 4, expected 5'),
    "mode": (lambda root: (root / "bin").chmod(0o777), '"/bin": its mode is "0777", expected "0755"'),
    "setuid": (lambda root: (root / "bin/tool").chmod(0o755), '"/bin/tool": its mode is "0755", expected "4755"'),
    "owner": (lambda root: os.chown(root / "etc", 7, 0), '"/etc": its owner is 7, expected 0'),
    "group": (lambda root: os.chown(root, 0, 7), '"/": its group is 7, expected 0'),
    "missing": (lambda root: (root / "etc/fifo").unlink(), '"/etc/fifo": it is missing'),
    "extra file": (lambda root: (root / "bin/more").touch(), '"/bin/more": it is not in the manifest'),
    "extra directory": (lambda root: (root / "tmp").mkdir(), '"/tmp": it is not in the manifest'),
    "extra FIFO": (lambda root: os.mkfifo(root / "a"), '"/a": it is not in the manifest'),
    "odd name": (lambda root: (root / "a\n\x1b").touch(), '"/a\\n\\u001b": it is not in the manifest'),
    "link": (
        lambda root: replaced(root / "etc/out", lambda: (root / "etc/out").symlink_to("/")),
        '"/etc/out": where it leads to is "/", expected "/etc/shadow"',
    ),
    "FIFO for a file": (
        lambda root: replaced(root / "bin/tool", lambda: os.mkfifo(root / "bin/tool")),
        '"/bin/tool": its kind is "fifo", expected "file"',
    ),
    "link for a file": (
        lambda root: replaced(root / "bin/tool", lambda: (root / "bin/tool").symlink_to("/bin/true")),
        '"/bin/tool": its kind is "link", expected "file"',
    ),
    "link for a directory": (
        moved_behind_link,
        '"/bin": its kind is "link", expected "directory"',
    ),
    "device": (
        lambda root: replaced(root / "etc/null", lambda: os.mknod(root / "etc/null", 0o20666, os.makedev(1, 5))),
        '"/etc/null": its device is "1:5", expected "1:3"',
    ),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_difference(change: Callable[[Path], object], said: str, signed: Signed) -> None:
    """Whatever differs, the container is refused, and its path is named."""
    change(signed.root)
    error = signed.refusal()
    assert isinstance(error, RefusedError)
    assert str(error) == f"its root file system is not that of the manifest: {said}"


def test_capabilities(signed: Signed) -> None:
    """A program that gained capabilities differs, though no byte of it does."""
    value = bytes.fromhex("0100000200040000000000000000000000000000")
    try:
        os.setxattr(signed.root / "bin/tool", "security.capability", value)
    except OSError as error:
        pytest.skip(f"no capabilities of files here: {error}")
    assert '"/bin/tool": its capabilities is' in str(signed.refusal())


def test_places_of_engines(signed: Signed) -> None:
    """What engines put there for their mounts may be there besides, but nothing may be in it."""
    for path in ("dev", "dev/pts", "proc"):
        (signed.root / path).mkdir(mode=0o755)
    for path in (".dockerenv", "dev/console", "etc/hosts"):
        (signed.root / path).touch()
        (signed.root / path).chmod(0o755)
    (signed.root / "etc/mtab").symlink_to("/proc/mounts")
    Verifier(str(signed.directory))(signed.creation())
    (signed.root / "etc/hosts").write_text("x")
    assert '"/etc/hosts": it is not in the manifest' in str(signed.refusal())


def test_first_of_many(signed: Signed) -> None:
    """The first path is named, in the order of names."""
    for name in ("bin/z", "bin/a", "etc/a"):
        (signed.root / name).touch()
    assert '"/bin/a"' in str(signed.refusal())


def test_other_file_system(signed: Signed, tmp_path: Path) -> None:
    """A tree that goes on on another file system is not followed there."""
    (signed.root / "bin/tool").unlink()
    script = f'mount -t tmpfs x {signed.root}/bin && exec "$@"'
    code = (
        "import sys; from ocihooks.manifests.verify import first_difference as f; from ocihooks.manifests.tree import "
    )
    code += "walk; f(sys.argv[1], dict(walk(sys.argv[1])))"
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", code, str(signed.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cross-device" in done.stderr


def refused_because(signed: Signed, said: str, **where: Any) -> None:
    error = signed.refusal(**where)
    assert said in str(error), error


class TestRefusals:
    """Manifests and signatures that don't count."""

    def test_nothing_tells(self, signed: Signed) -> None:
        """A container without annotation and image is refused."""
        refused_because(signed, "neither the annotation org.ocihooks.manifest nor its image", name=None)

    def test_no_manifest(self, signed: Signed) -> None:
        """A container whose image has no manifest is refused; both names are told."""
        error = signed.refusal(None, Image(name="a/b:1", id=ID))
        place = signed.directory
        assert str(error) == f"there is no manifest for it: {place}/{ID}.json and {place}/a+b:1.json do not exist"

    @pytest.mark.parametrize("name", ["../web", "", "a b", ".", "x" * 300, "web\0", "/etc/passwd"])
    def test_odd_names(self, name: str, signed: Signed) -> None:
        """What a container calls its manifest is no path."""
        assert isinstance(signed.refusal(name), RefusedError)

    def test_another_key(self, signed: Signed) -> None:
        """A manifest that was signed with a key that is not there does not count, whatever the tree is."""
        signed.sign(key=new_key())
        refused_because(signed, "web.json: the manifest is not signed by one of the keys")

    @pytest.mark.parametrize("content", ["", "x", "é", "AAAA\n"])
    def test_broken_signature(self, content: str, signed: Signed) -> None:
        """A signature that is none does not count."""
        (signed.directory / "web.json.sig").write_text(content)
        refused_because(signed, "is not signed")

    def test_changed_manifest(self, signed: Signed) -> None:
        """A manifest of which a byte changed does not count."""
        file = signed.directory / "web.json"
        file.write_text(file.read_text().replace("4755", "0755"))
        refused_because(signed, "is not signed")

    @pytest.mark.parametrize("missing", ["web.json.sig", "keys/a.pem", "keys"])
    def test_missing_files(self, missing: str, signed: Signed) -> None:
        """Without signature or keys no container is let through."""
        (signed.directory / missing).rename(signed.directory / "away")
        assert isinstance(signed.refusal(), RefusedError)

    @pytest.mark.parametrize("name", ["web.json", "web.json.sig", "keys/a.pem"])
    def test_untrusted_files(self, name: str, signed: Signed) -> None:
        """A file that somebody else could have written is not used."""
        (signed.directory / name).chmod(0o666)
        assert signed.refusal().code == "untrusted"

    def test_no_key(self, signed: Signed) -> None:
        """A file that is no key is named."""
        (signed.directory / "keys/b.pem").write_text("x")
        refused_because(signed, "b.pem: expected a public Ed25519 key")

    def test_no_root(self) -> None:
        """A container without a root file system is refused."""
        with pytest.raises(RefusedError, match="names no root file system"):
            Verifier()(Creation({}))

    def test_root_behind_a_link(self, signed: Signed) -> None:
        """A path that runtimes may read in two ways is refused: the other tree would not be looked at."""
        (signed.root.parent / "link").symlink_to("/usr/lib")
        creation = Creation({"root": {"path": f"{signed.root.parent}/link/../{signed.root.name}"}})
        with pytest.raises(RefusedError, match=r"expected a path without \.\."):
            Verifier(str(signed.directory))(creation)

    def test_missing_root(self, signed: Signed) -> None:
        """A root that is not there is refused."""
        signed.root.rename(signed.root.parent / "away")
        refused_because(signed, 'can\'t be looked at: "/": it does not exist')


GOOD = {"kind": "directory", "mode": "0755", "uid": 0, "gid": 0}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"\xff", id="bytes"),
        pytest.param([], id="array"),
        pytest.param({"version": 2, "entries": {"/": GOOD}}, id="version"),
        pytest.param({"version": 1, "entries": {}}, id="no-root"),
        pytest.param({"version": 1, "entries": {"/": GOOD, "a": GOOD}}, id="relative"),
        pytest.param({"version": 1, "entries": {"/": GOOD, "/a/../b": GOOD}}, id="dots"),
        pytest.param({"version": 1, "entries": {"/": {"kind": "file"}}}, id="member-missing"),
        pytest.param({"version": 1, "entries": {"/": GOOD | {"more": 1}}}, id="member-unknown"),
        pytest.param({"version": 1, "entries": {"/": GOOD | {"uid": "0"}}}, id="text"),
        pytest.param({"version": 1, "entries": {"/": GOOD | {"kind": "door"}}}, id="kind"),
    ],
)
def test_not_a_manifest(document: Any) -> None:
    """A document that is no manifest is refused with the place."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(DocumentError) as caught:
        read_manifest(data, "m.json")
    assert caught.value.file == "m.json"


def test_openssl_understands(signed: Signed, tmp_path: Path) -> None:
    """Keys and signatures are what other programs make and check."""
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("needs openssl with Ed25519")
    signature = sign(b"data", made.stdout, "k")
    assert is_signed(b"data", signature, [("p", public_key(made.stdout, "k"))])


def test_no_difference(signed: Signed) -> None:
    """A tree does not differ from its own manifest."""
    assert first_difference(str(signed.root), dict(walk(str(signed.root)))) is None
