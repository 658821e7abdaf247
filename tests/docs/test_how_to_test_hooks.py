"""docs/how-to/test-your-hook.md: every command is executed as it stands, in order, and prints what is shown."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

from tests.docs.markdown import PROJECT
from tests.docs.walk_through import matches, steps

PAGE = PROJECT / "docs/how-to/test-your-hook.md"

ASKS_FOR_STATUS = "echo $?"


def test_every_command_does_what_is_shown(tmp_path: Path) -> None:
    """All commands succeed, unless the page asks for the status, print what is shown, and leave nothing."""
    environment = {
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }
    walk = steps(PAGE, "run")
    status = 0
    for step, following in zip(walk, [*walk[1:], None], strict=True):
        command = step.command.replace("$?", str(status))
        done = subprocess.run(
            ["bash", "-c", f"{command} 2>&1"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        status = done.returncode
        told = f"{step.block}: {step.command}\nstatus {status}, printed:\n{done.stdout}"
        assert status == 0 or (following and following.command == ASKS_FOR_STATUS), told
        assert step.output is None or matches(step.output, done.stdout), told
    assert list(tmp_path.iterdir()) == []
