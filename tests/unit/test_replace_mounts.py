"""Replacing files on mounts that forbid it: full, read-only, or with something mounted on the file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocihooks

SOURCES = Path(ocihooks.__file__).parent.parent
SCRIPT = Path(__file__).parent / "replace_once.py"

needs_namespace = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare for a private mount namespace"
)
pytestmark = needs_namespace


def replace(directory: Path, prepare: str, then: str, how: str = "durable") -> list[str]:
    """Replace ``d/config.json`` in a mount namespace that *prepare* made ready: what was printed, by *then* as well."""
    script = f"""
set -e
mkdir d
{prepare}
set +e
"$1" -I -S -B "$2" "$3" d/config.json {how}
echo "status $?"
{then}
"""
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", sys.executable, SCRIPT, SOURCES]
    run = subprocess.run([str(word) for word in command], cwd=directory, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run.stdout.splitlines()


LOOK = "cat d/config.json; ls -A d"


def test_control(tmp_path: Path) -> None:
    """Without a mount the same script succeeds."""
    assert replace(tmp_path, "printf 'old\\n' > d/config.json", "wc -c < d/config.json; ls -A d") == [
        "status 0",
        "8192",
        "config.json",
    ]


@pytest.mark.parametrize("how", ["durable", "quick"])
def test_full(how: str, tmp_path: Path) -> None:
    """On a full file system the old file stays, and nothing else remains."""
    prepare = """
mount -t tmpfs -o size=8k tmpfs d
printf 'old\\n' > d/config.json
"""
    assert replace(tmp_path, prepare, LOOK, how) == [
        "d/config.json: can't be replaced: no space left on device",
        "free some space",
        "status 1",
        "old",
        "config.json",
    ]


def test_no_inodes(tmp_path: Path) -> None:
    """Without room for another file the old one stays."""
    prepare = "mount -t tmpfs -o nr_inodes=2 tmpfs d; printf 'old\\n' > d/config.json"
    assert replace(tmp_path, prepare, LOOK) == [
        "d/config.json: can't be replaced: no space left on device",
        "free some space",
        "status 1",
        "old",
        "config.json",
    ]


def test_read_only(tmp_path: Path) -> None:
    """A read-only file system is named as the cause."""
    prepare = "mount -t tmpfs tmpfs d; printf 'old\\n' > d/config.json; mount -o remount,ro d"
    assert replace(tmp_path, prepare, LOOK) == [
        "d/config.json: can't be replaced: read-only file system",
        "mount the file system for writing",
        "status 1",
        "old",
        "config.json",
    ]


def test_mounted_file(tmp_path: Path) -> None:
    """A file that something is mounted on can't be renamed over; the mounted one keeps its content."""
    prepare = "printf 'old\\n' > d/config.json; printf 'below\\n' > other; mount --bind other d/config.json"
    then = LOOK + "; umount d/config.json; cat d/config.json"
    assert replace(tmp_path, prepare, then) == [
        "d/config.json: can't be replaced: device or resource busy",
        "something is mounted on the file; unmount it",
        "status 1",
        "below",
        "config.json",
        "old",
    ]


def test_without_proc(tmp_path: Path) -> None:
    """Where /proc is hidden a file is replaced and keeps its mode, and nobody is taken for dead."""
    prepare = "printf 'old\\n' > d/config.json; chmod 4751 d/config.json; touch d/.config.json.ocihooks-1-0"
    prepare += "; mount -t tmpfs tmpfs /proc"
    assert replace(tmp_path, prepare, "stat -c '%s %a' d/config.json; ls -A d") == [
        "status 0",
        "8192 4751",
        ".config.json.ocihooks-1-0",
        "config.json",
    ]
