"""
Builds the launcher into the package where there is a C compiler; without one the package is pure Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROGRAMS = {
    "src/ocihooks/ocihooks-launcher": "launcher/launcher.c",
    "src/ocihooks/ocihooks-launcher-dropins": "launcher/dropins.c",
}
"""Each program with its source."""

FLAGS = (
    *("-std=c11", "-O2", "-s", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"),
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"),
)

LINKING = (("-static",), ())
"""A static program starts faster; where there is no static C library, a dynamic one is tried."""


class LauncherBuildHook(BuildHookInterface[Any]):
    """Compiles the launchers; the wheel's tag names the platform if that succeeds."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (the interface has it)
        """Compile, and add the program to the wheel; an editable installation finds it beside the sources."""
        if self.target_name != "wheel":
            return
        for name, source in PROGRAMS.items():
            program = os.path.join(self.root, name)
            if not self._compile(program, os.path.join(self.root, source)):
                if os.path.exists(program):  # of another build, perhaps from other sources
                    os.unlink(program)
                return
            build_data["artifacts"].append(name)
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _compile(self, program: str, source: str) -> bool:
        """Make *program* from *source*, and say why if that can't be done."""
        compiler = _compiler()
        if not compiler:
            self.app.display_info("ocihooks: no C compiler, so the package gets no launcher; all works without")
            return False
        temporary = f"{program}.{os.getpid()}"
        said = ""
        for linking in LINKING:
            command = [*compiler, *FLAGS, *linking, "-o", temporary, source]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError as error:
                said = str(error)
                break
            if done.returncode == 0:
                os.replace(temporary, program)
                return True
            said = done.stderr
        self.app.display_warning(f"ocihooks: the launcher was not built; all works without:\n{said}")
        return False


def _compiler() -> list[str]:
    """The command of the C compiler; empty where there is none."""
    if sys.platform != "linux":
        return []
    named = os.environ.get("CC", "").split()
    found = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    return named or ([found] if found else [])
