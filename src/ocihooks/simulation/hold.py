"""
Stands for a container: makes its namespaces and the mounts of its root, and lives in them until standard input ends.

Started as ``python -I -S hold.py FILE``. The JSON document in the file says what to make:

- ``flags``: namespaces for unshare(2); 0: none;
- ``root``: the root file system, or null where there is none;
- ``readonly``, ``mounts``, ``hostname``: as in config.json;
- ``bundle``: from where relative sources of mounts are looked up.

Prints one JSON document: ``pid`` of the container's process on the host and ``left_out``, or ``error``.

The process itself is cat, a program of the host: it is there before any path of the container's root can mean
something, and ends when the caller does, however that ends. As the first process of a pid namespace it takes with it
all that hooks left there.
"""

from __future__ import annotations

import json
import os
import sys

if __name__ == "__main__":
    sys.path.append(__file__.rpartition("/ocihooks/")[0])

import ctypes

from ocihooks.simulation.mounts import REC, SLAVE, Tree, mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_CAT = ("/bin/cat", "/usr/bin/cat")


def main(document: dict[str, Any]) -> int:
    """Do what *document* says; returns when the container's process has ended."""
    flags = document["flags"]
    if flags and _libc.unshare(flags):
        say({"error": os.strerror(ctypes.get_errno()).lower()})
        return 1
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        become_the_container(document, writing)
    os.close(writing)
    os.close(0)
    with open(reading, "rb") as answer:
        said = answer.read()
    say({"pid": pid, **json.loads(said or b'{"error": "it ended early"}')})
    os.close(1)
    os.waitpid(pid, 0)
    return 0


def say(answer: dict[str, Any]) -> None:
    """Tell the caller."""
    os.write(1, json.dumps(answer).encode())


def become_the_container(document: dict[str, Any], writing: int) -> NoReturn:
    """Make the mounts, tell on *writing* what was left out, and become cat."""
    try:
        left_out = prepared(document) if document["flags"] else []
        answer: dict[str, Any] = {"left_out": left_out}
    except OSError as error:
        answer = {"error": os.strerror(error.errno or 0).lower()}
    os.write(writing, json.dumps(answer).encode())
    os.close(writing)
    if "error" not in answer:
        null = os.open("/dev/null", os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execve(next(filter(os.path.exists, _CAT)), ["container"], {})  # noqa: S606  (there is no shell to be wanted)
    os._exit(1)


def prepared(document: dict[str, Any]) -> list[str]:
    """Make the mounts and set the host name; returns what was left out."""
    mount("", "/", flags=REC | SLAVE)
    if document["hostname"]:
        name = os.fsencode(str(document["hostname"]))
        _libc.sethostname(name, len(name))
    if document["root"] is None:
        return []
    tree = Tree(str(document["root"]))
    tree.mount_all(document["mounts"], str(document["bundle"]))
    tree.close(readonly=bool(document["readonly"]))
    return tree.left_out


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        wanted = json.load(file)
    sys.exit(main(wanted))
