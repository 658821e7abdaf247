"""README.md: its commands are executed as they stand, on a machine with what it asks for."""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby

import pytest
from tests.docs.markdown import PROJECT
from tests.docs.walk_through import Machine, Step, follow, steps

PAGE = PROJECT / "README.md"

BUNDLE = r"""
mkdir -p /run/my-bundle/rootfs/bin
cp "$(command -v busybox)" /run/my-bundle/rootfs/bin/busybox
runc spec --bundle /run/my-bundle
cd /run/my-bundle
sed -i 's/"terminal": true/"terminal": false/; s|"sh"|"/bin/busybox", "echo", "hello"|' config.json
sed -i 's/"ociVersion"/"annotations": {"com.example.hello": "yes"}, &/' config.json
"""


@pytest.mark.runtime
@pytest.mark.slow
def test_rule_by_hand(machine: Machine) -> None:
    """Once it is installed, the rule that is shown has no findings, is explained, and its hook runs."""
    by_hand, install = [list(group) for _, group in groupby(steps(PAGE, "run"), key=lambda step: step.block.line)]
    shown = by_hand[0]
    _, _, file = shown.command.partition(" ")
    rule = "\n".join(shown.output or ())
    write = f"mkdir -p /etc/containers/oci/hooks.d\ncat > {file} <<'EOF'\n{rule}\nEOF"
    before = [Step(block=shown.block, command=command, output=None) for command in (write, BUNDLE)]
    after = Step(block=shown.block, command="cat /run/hello.json", output=('{"ociVersion":"...","id":"c1",...}',))
    look = Step(block=shown.block, command="echo >> /run/hello.json", output=None)
    follow([*install, *before, *by_hand, look, after], machine)


@pytest.mark.runtime
@pytest.mark.slow
def test_demonstration() -> None:
    """What ``make demo`` starts, once it has made its environment, runs real containers and says what happened."""
    command = [sys.executable, str(PROJECT / "demo/demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hook" in done.stdout
