"""
The modifier that lets a container be created only if its root file system is what a signed manifest says.

Which manifest that is, an annotation or the image's name may say. Nobody gains by naming another one: what is created
is in any case a tree that somebody with a key has signed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ocihooks.errors import OCIHooksError, RefusedError, os_reason, quoted
from ocihooks.manifests.manifest import LIMIT_BYTES, MEMBERS, Entry, read_manifest
from ocihooks.manifests.signature import ENDING, is_signed
from ocihooks.manifests.tree import Tree
from ocihooks.modifiers.creation import Creation
from ocihooks.trust import read_trusted, trust_here

DIRECTORY = "/etc/ocihooks/manifests"
"""Where manifests are, with their signatures; the public keys are in ``keys`` there."""

ANNOTATION = "org.ocihooks.manifest"
"""The annotation by which a container names its manifest, without the ending."""

_SMALL_BYTES = 64 << 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}")

_FILE = Entry(kind="file", mode="0755", uid=0, gid=0, size=0, sha256="")
_FOLDER = Entry(kind="directory", mode="0755", uid=0, gid=0)
_LINK = Entry(kind="link", mode="0777", uid=0, gid=0, target="/proc/mounts")

OF_ENGINES = {
    **dict.fromkeys(("/.dockerenv", "/dev/console", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"), _FILE),
    **dict.fromkeys(("/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/run", "/run/secrets", "/sys"), _FOLDER),  # noqa: S108
    "/run/.containerenv": _FILE,
    "/etc/mtab": _LINK,
}
"""What engines and runtimes put into a tree as places for mounts; only these may be there beyond the manifest."""


class Verifier:
    """
    A modifier for the manifests of a directory.

    Args:
        directory: Holds manifests ``NAME.json``, their signatures ``NAME.json.sig``, and the public keys of those who
            may sign as ``keys/*.pem``. Nobody but root may be able to write any of them.
    """

    def __init__(self, directory: str = DIRECTORY) -> None:
        self.directory = directory

    def __call__(self, creation: Creation) -> None:
        """Return if the root file system is as its manifest says, else raise `ocihooks.RefusedError`."""
        if creation.rootfs is None:
            raise RefusedError("its config.json names no root file system")
        if ".." in creation.rootfs.split("/"):  # runtimes disagree about where that leads behind a link
            raise RefusedError(f"its root file system is {quoted(creation.rootfs, 400)}, expected a path without ..")
        entries = self.manifest(self.find(creation))
        difference = first_difference(creation.rootfs, entries)
        if difference is not None:
            raise RefusedError(f"its root file system is not that of the manifest: {difference}")

    def find(self, creation: Creation) -> str:
        """The manifest's file for a container: by its annotation, the id of its image, or that one's name."""
        named = creation.annotations.get(ANNOTATION)
        image = creation.image
        wanted = [named] if named is not None else [image.id, image.name] if image else []
        files = [self._file(name) for name in wanted if name]
        for file in files:
            if os.path.isfile(file):
                return file
        if not files:
            message = f"neither the annotation {ANNOTATION} nor its image tells which manifest is for it"
            raise RefusedError(message, hint=f"name a manifest of {self.directory} by the annotation")
        raise RefusedError(f"there is no manifest for it: {' and '.join(files)} do{'es' * (len(files) == 1)} not exist")

    def _file(self, name: str) -> str:
        """The file of the manifest for an image, or with a name, of which slashes are written as plus signs."""
        plain = name.replace("/", "+")
        if not _NAME.fullmatch(plain):
            raise RefusedError(f"{quoted(name, 200)} can't be the name of a manifest")
        return os.path.join(self.directory, f"{plain}.json")

    def manifest(self, file: str) -> dict[str, Entry]:
        """
        The entries of a manifest that is signed.

        Raises:
            RefusedError: It is not signed, or not by one of the keys.
            OCIHooksError: A file can't be used.
        """
        data = _read(file)
        signature = _read(f"{file}{ENDING}", _SMALL_BYTES)
        if not is_signed(data, signature, self._keys()):
            raise RefusedError(
                "the manifest is not signed by one of the keys",
                file=file,
                hint=f"keys are in {os.path.join(self.directory, 'keys')}",
            )
        return read_manifest(data, file)

    def _keys(self) -> Iterator[tuple[str, bytes]]:
        directory = os.path.join(self.directory, "keys")
        try:
            names = sorted(name for name in os.listdir(directory) if name.endswith(".pem"))
        except OSError as error:
            raise RefusedError(f"the keys can't be read: {os_reason(error)}", file=directory) from None
        for name in names:
            yield name, _read(os.path.join(directory, name), _SMALL_BYTES)


def _read(file: str, limit_bytes: int = LIMIT_BYTES) -> bytes:
    try:
        return read_trusted(file, trust_here(), limit_bytes)
    except OSError as error:
        raise RefusedError(f"can't be read: {os_reason(error)}", file=file) from None


def first_difference(path: str, entries: dict[str, Entry]) -> str | None:
    """
    The first path below *path*, in the order of names, that is not as in *entries*, and how; None where there is none.

    Raises:
        OCIHooksError: The tree can't be looked at.
    """
    inside: dict[str, set[str]] = {}
    for one in entries.keys() - {"/"}:
        above, _, name = one.rpartition("/")
        inside.setdefault(above, set()).add(name)
    place = "/"
    try:
        tree = Tree(path)
        if different := _difference(tree.top(), entries["/"]):
            return f"{quoted('/')}: {different}"
        waiting = [""]
        while waiting:
            above = waiting.pop()
            place = above or "/"
            inner = []
            expected = inside.get(above, set())
            for name in sorted({*expected, *tree.names(above, len(expected) + len(OF_ENGINES) + 1)}):
                place = f"{above}/{name}"
                different, is_directory = _compared(tree, above, name, entries.get(place))
                if different:
                    return f"{quoted(place, 400)}: {different}"
                if is_directory:
                    inner.append(place)
            waiting += reversed(inner)
    except OSError as error:
        message = f"its root file system can't be looked at: {quoted(place, 400)}: {os_reason(error)}"
        raise OCIHooksError(message) from None
    return None


def _compared(tree: Tree, above: str, name: str, wanted: Entry | None) -> tuple[str | None, bool]:
    """What is different about a name in a directory, and whether it is a directory."""
    found = tree.entry(above, name)
    if found is None:
        return "it is missing", False
    if wanted is None:
        is_engines = OF_ENGINES.get(f"{above}/{name}") == found
        return None if is_engines else "it is not in the manifest", found.kind == "directory"
    if found.kind == wanted.kind == "file" and found.size == wanted.size:
        found = tree.whole(f"{above}/{name}", wanted.size)
    return _difference(found, wanted), found.kind == "directory"


def _difference(found: Entry, wanted: Entry) -> str | None:
    for member, words in MEMBERS.items():
        here, there = getattr(found, member), getattr(wanted, member)
        if here != there:
            if member == "sha256":
                return f"{words} differs"
            return f"{words} is {quoted(here, 200)}, expected {quoted(there, 200)}"
    return None


verify_rootfs = Verifier()
"""The modifier for the manifests in `DIRECTORY`: ``modifiers = ["ocihooks.manifests.verify:verify_rootfs"]``."""
