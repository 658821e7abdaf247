"""
The text of an installed wrapper: a small script with a fixed interpreter and all it was told at installation.

It is small since the interpreter compiles it at every start; the package that it imports is compiled once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocihooks.errors import UsageError, quoted
from ocihooks.version import __version__
from ocihooks.wrapper.installation import Installation

MARK = '# Written by "ocihooks install"; "ocihooks uninstall" takes it away.'
"""The second line of every installed script, by which we know our own."""

SHEBANG_LIMIT = 250
"""Bytes of a first line that all supported kernels read."""

TEMPLATE = """\
#!{python} -IS
{mark}
# ocihooks {version}
import sys

sys.path += {paths}
RUNTIME = {runtime}
try:
    from ocihooks.wrapper.installation import Installation
    from ocihooks.wrapper.main import main
except Exception as error:
    import os

    words = sys.argv[1:]
    valued = ("--root", "--log", "--log-format", "--criu", "--rootless", "--cgroup-manager")
    known = "create run restore start state kill delete exec list ps pause resume update checkpoint events features"
    operation = next((w for v, w in zip(["", *words], words) if w in known.split() and v not in valued), "")
    if operation in ("create", "run", "restore"):
        text = {name} + ": the package ocihooks can't be imported by {python}; container not created"
        log = next((w for v, w in zip(words, words[1:]) if v == "--log"), "")
        as_json = "json" in words or "--log-format=json" in words
        line = '{{"level":"error","msg":"%s"}}\\n' if as_json else 'level=error msg="%s"\\n'
        hint = "\\nhint: install ocihooks again, then run ocihooks install\\n"
        for place, message in ((log, line % text), (None, text + hint)):
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
                os.write(2 if place is None else os.open(place, flags, 0o644), message.encode())
            except OSError:
                pass
        os._exit(1)
    os.execv(RUNTIME, [RUNTIME, *words])
main(
    Installation(
        name={name},
        script={script},
        runtime=RUNTIME,
        flavour={flavour},
        settings={settings},
        hooks_dirs={hooks_dirs},
    )
)
"""


def script_text(installation: Installation, python: str, paths: Sequence[str]) -> str:
    """
    The script of *installation*.

    Args:
        python: Absolute path of the interpreter.
        paths: Directories of the package and of what it depends on.

    Raises:
        UsageError: The interpreter's path doesn't fit into a first line.
    """
    if len(python.encode()) > SHEBANG_LIMIT or any(c.isspace() for c in python):
        raise UsageError(
            f"interpreter {quoted(python, 300)}: expected a path without blanks of at most {SHEBANG_LIMIT} bytes",
            hint="make the virtual environment in a shorter place, such as /opt/ocihooks",
        )
    return TEMPLATE.format(
        python=python,
        mark=MARK,
        version=__version__,
        paths=list(paths),
        runtime=repr(installation.runtime),
        name=repr(installation.name),
        script=repr(installation.script),
        flavour=repr(installation.flavour),
        settings=repr(installation.settings),
        hooks_dirs=repr(installation.hooks_dirs),
    )
