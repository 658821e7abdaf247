"""The command ``manifest``."""

from __future__ import annotations

import os

import click

from ocihooks.cli.command import Command, Example
from ocihooks.cli.output import write
from ocihooks.errors import OCIHooksError, UnavailableError, UsageError, os_reason
from ocihooks.manifests.manifest import write_manifest
from ocihooks.manifests.signature import new_key, public_key, sign
from ocihooks.manifests.tree import walk
from ocihooks.manifests.verify import DIRECTORY, Verifier, first_difference

ACTIONS = {"key": 0, "public": 1, "make": 1, "sign": 1, "check": 2}
"""How many paths each action takes."""

EXAMPLES = (
    Example(line="ocihooks manifest key > signing.pem", meaning="Make a key; keep it off the machine, and secret."),
    Example(line="ocihooks manifest make rootfs > web.json", meaning="Write down what a root holds."),
    Example(line="ocihooks manifest sign web.json --key signing.pem > web.json.sig", meaning="Sign it."),
    Example(
        line="ocihooks manifest check web.json rootfs",
        meaning="Would such a root be let through?",
    ),
)


@click.command(
    "manifest",
    cls=Command,
    examples=EXAMPLES,
    statuses={0: "done; with check: all is as it was signed", 1: "with check: it is not; or a file can't be used"},
)
@click.argument("action", type=click.Choice(list(ACTIONS)))
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
@click.option("--key", "key", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="The private key.")
@click.option(
    "--dir", "directory", metavar="DIR", type=click.Path(), help="Has the public keys, in keys.", show_default=DIRECTORY
)
def command(*, action: str, paths: tuple[str, ...], key: str | None, directory: str | None) -> None:
    """
    Make, sign and check manifests of root file systems, for containers that must be what was signed.

    A manifest says what stands at each path of a root file system: kind, mode, owner, and the sum of its content. With
    the modifier ocihooks.manifests.verify:verify_rootfs no container is created whose root differs from its manifest.

    "key" prints a new private key, and "public" the public one of a private key FILE. "make" prints the manifest of the
    directory ROOTFS. "sign" prints the signature of a manifest FILE by --key. "check" tells whether a manifest FILE is
    signed by one of the keys in --dir, and whether the directory ROOTFS is what it says. All but "check" print what
    belongs into a file.
    """
    if len(paths) != ACTIONS[action]:
        raise UsageError(f"{action} takes {('no path', 'one path', 'a manifest and a directory')[ACTIONS[action]]}")
    if (action == "sign") != (key is not None) or (directory is not None and action != "check"):
        raise UsageError("--key belongs to sign, and --dir to check", hint='see "ocihooks manifest --help"')
    if action == "key":
        write(new_key().decode().rstrip("\n"))
    elif action == "public":
        write(public_key(_read(paths[0]), paths[0]).decode().rstrip("\n"))
    elif action == "make":
        _make(paths[0])
    elif action == "sign":
        write(sign(_read(paths[0]), _read(str(key)), str(key)).decode().rstrip("\n"))
    else:
        _check(*paths, directory=directory or DIRECTORY)


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise UnavailableError(f"can't be read: {os_reason(error)}", file=file) from None


def _make(directory: str) -> None:
    try:
        for line in write_manifest(walk(directory)):
            write(line)
    except OSError as error:
        raise UnavailableError(f"can't be read as a whole: {os_reason(error)}", file=directory) from None


def _check(file: str, rootfs: str, *, directory: str) -> None:
    entries = Verifier(os.path.abspath(directory)).manifest(os.path.abspath(file))
    difference = first_difference(rootfs, entries)
    if difference is not None:
        raise OCIHooksError(difference, file=rootfs)
    write(f"{len(entries)} entries: no difference")
