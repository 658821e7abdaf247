"""
The installed supervisor: a script that loads one image, like the wrapper's, and nothing else of the package.

It stays of the version that wrote the hooks of running containers until the next installation.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocihooks.injection import SUPERVISOR

SCRIPT, IMAGE = SUPERVISOR, ".supervisor"
"""Endings of its two files."""

MODULES = (
    "ocihooks",
    "ocihooks.injection",
    "ocihooks.execution",
    "ocihooks.execution.exec",
    "ocihooks.execution.descendants",
    "ocihooks.execution.keeper",
    "ocihooks.execution.output",
    "ocihooks.execution.process",
    "ocihooks.execution.run",
    "ocihooks.execution.words",
    "ocihooks.records",
    "ocihooks.records.append",
    "ocihooks.supervisor",
    "ocihooks.supervisor.state",
    "ocihooks.supervisor.task",
    "ocihooks.supervisor.templates",
    "ocihooks.supervisor.main",
)
"""What a hook that succeeds needs, each module behind those that it imports."""

TEMPLATE = """\
#!{python} -IS
{mark}
import gc
import posix
import sys

gc.disable()  # There is little to collect in a few milliseconds.
sys.path += {paths}
try:
    from marshal import loads

    fd = posix.open({image}, posix.O_RDONLY | posix.O_CLOEXEC)
    data = posix.read(fd, 1 << 24)
    posix.close(fd)
    if data[:4] != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        raise ImportError
    for name, package, code in loads(memoryview(data)[4:]):
        module = sys.modules[name] = type(sys)(name)
        module.__file__ = code.co_filename
        if package:
            module.__path__ = [package]
        exec(code, module.__dict__)
except Exception:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ocihooks"]:
        del sys.modules[name]
try:
    from ocihooks.supervisor.main import main
except Exception as error:
    text = "ocihooks: hook not run: the supervisor can't be imported by {shown}: "
    posix.write(2, (text + str(error) + "\\nhint: run ocihooks install again\\n").encode())
    posix._exit(1)
main()
"""


def supervisor_script(python: str, paths: Sequence[str], image: str, mark: str) -> str:
    """
    The text of the script.

    Args:
        python: Absolute path of the interpreter.
        paths: Directories of the package and of what it depends on.
        image: Path of its image.
        mark: The line by which we know our own files.
    """
    return TEMPLATE.format(
        python=python, mark=mark, paths=ascii(list(paths)), image=ascii(image), shown=ascii(python)[1:-1]
    )
