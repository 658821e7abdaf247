"""
Builds the launcher into the package where there is a C compiler; without one the package is pure Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "launcher/launcher.c"
PROGRAM = "src/ocihooks/ocihooks-launcher"
FLAGS = ("-std=c11", "-O2", "-static", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


class LauncherBuildHook(BuildHookInterface[Any]):
    """Compiles launcher.c; the wheel's tag names the platform if that succeeds."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (the interface has it)
        """Compile, and add the program to the wheel."""
        program = os.path.join(self.root, PROGRAM)
        if self.target_name != "wheel" or not self._compile(program):
            return
        build_data["artifacts"].append(PROGRAM)
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _compile(self, program: str) -> bool:
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        source = os.path.join(self.root, SOURCE)
        if not compiler or not os.path.exists(source):
            self.app.display_info("ocihooks: no C compiler, so the package gets no launcher")
            if os.path.exists(program):
                os.unlink(program)
            return False
        done = subprocess.run([*compiler.split(), *FLAGS, "-o", program, source], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.app.display_warning(f"ocihooks: the launcher was not built:\n{done.stderr}")
        return done.returncode == 0
