"""Power loss on a file system that may write names long before data: the old file or the new one, never half of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "power_losses.py"
PROJECT = Path(__file__).parents[2]

Record = Callable[[str, object], None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount"),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="needs loop devices"),
    pytest.mark.skipif(shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is None, reason="needs mkfs.ext4"),
]


def lose_power(directory: Path, what: str, count: int) -> dict[str, int]:
    """What was there after so many losses: the old or the new file, a torn one, or one that was replaced before."""
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, str(SCRIPT)]
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [*words, str(directory), what, str(count), "1"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    counts: dict[str, int] = json.loads(done.stdout)
    assert sum(counts.values()) == count
    return counts


@pytest.mark.parametrize(("what", "count"), [("replace", 40), ("configure", 20)], ids=["replace", "configure"])
def test_whole(what: str, count: int, tmp_path: Path, record_property: Record) -> None:
    """The file is the old or the new one, what was reported as done is there, and the next run mends and cleans up."""
    counts = lose_power(tmp_path, what, count)
    assert counts.keys() <= {"old", "new"}, counts
    assert counts["old"] > 0
    record_property("amount", f"{count} losses")


def test_control(tmp_path: Path, record_property: Record) -> None:
    """A rename that does not wait for the disk leaves empty files, or loses what was reported as done."""
    counts = lose_power(tmp_path, "careless", 15)
    torn, lost = counts.get("torn", 0), counts.get("lost", 0)
    assert torn > 0
    record_property("control", f"{torn} torn and {lost} lost of 15")
