"""
The text of an installed wrapper: a small script with a fixed interpreter and all it was told at installation.

It is small since the interpreter compiles it at every start; what it loads was compiled at installation.
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

# The images are tried first, then the package, and at last the runtime itself for all but create, run and restore.
TEMPLATE = """\
#!{python} -IS
{mark}
# ocihooks {version}
import sys

sys.path += {paths}


def load(part):
    from marshal import loads

    with open({image} + part, "rb") as stream:
        data = stream.read()
    if data[:4] != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        raise ImportError(part)
    for name, package, code in loads(memoryview(data)[4:]):
        module = sys.modules[name] = type(sys)(name)
        module.__file__ = code.co_filename
        if package:
            module.__path__ = [package]
        exec(code, module.__dict__)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


try:
    try:
        if sys.argv[1:2] == ["--without-image"]:
            raise ImportError
        load(".call")
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == "ocihooks"]:
            del sys.modules[name]
        load = None
    from ocihooks.wrapper.installation import Installation
    from ocihooks.wrapper.main import main
except Exception:
    import os

    words = sys.argv[1:]
    while words and (words[0] == "--without-image" or words[0][:18] == "--ignored-signals="):
        del words[0]
    valued = ("root", "log", "log-format", "log-level", "criu", "rootless", "cgroup-manager")
    pairs = list(zip(["", *words], words))
    known = "create run restore start state kill delete exec list ps pause resume update checkpoint events features"
    operation = next((w for v, w in pairs if w in known.split() and (v[:1] != "-" or v.strip("-") not in valued)), "")
    if operation in ("create", "run", "restore"):
        text = {name} + ": the package ocihooks can't be imported by " + {python_text} + "; container not created"
        log = next((w for v, w in pairs if v == "--log"), "") or next((w[6:] for w in words if w[:6] == "--log="), "")
        try:
            import json

            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
            os.write(fd, (json.dumps({{"level": "error", "msg": text}}) + "\\n").encode())
        except Exception:
            pass
        try:
            os.write(2, (text + "\\nhint: install ocihooks again, then run ocihooks install\\n").encode())
        finally:
            os._exit(1)
    os.execv({runtime}, [{runtime}, *words])
main(
    Installation(
        name={name},
        script={script},
        runtime={runtime},
        flavour={flavour},
        settings={settings},
        hooks_dirs={hooks_dirs},
        cache_dir={cache_dir},
        launched={launched},
    ),
    load,
)
"""


def script_text(installation: Installation, python: str, paths: Sequence[str], image: str) -> str:
    """
    The script of *installation*.

    Args:
        python: Absolute path of the interpreter.
        paths: Directories of the package and of what it depends on.
        image: Path of the images without their endings.

    Raises:
        UsageError: The interpreter's path doesn't fit into a first line.
    """
    if len(python.encode()) > SHEBANG_LIMIT or any(c.isspace() for c in python):
        raise UsageError(
            f"interpreter {quoted(python, 300)}: expected a path without blanks of at most {SHEBANG_LIMIT} bytes",
            hint="make the virtual environment in a shorter place, such as /opt/ocihooks",
        )
    facts = {
        "runtime": installation.runtime,
        "name": installation.name,
        "script": installation.script,
        "flavour": installation.flavour,
        "settings": installation.settings,
        "hooks_dirs": installation.hooks_dirs,
        "cache_dir": installation.cache_dir,
        "launched": installation.launched,
        "image": image,
        "paths": list(paths),
        "python_text": python,
    }
    shown = {name: repr(value) for name, value in facts.items()}
    return TEMPLATE.format(python=python, mark=MARK, version=__version__, **shown)
