"""
The text of an installed wrapper: a small script with a fixed interpreter and all it was told at installation.

The interpreter compiles a script at every start, which would cost more than the wrapper's own work. So the script is a
few lines that run a body that was compiled at installation, and a short one as a text, for the day on which the other
does not fit the interpreter any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent

from ocihooks.dropins.toolkit_cache import DEFAULT_FILE as TOOLKIT_SETTINGS
from ocihooks.errors import UsageError, quoted
from ocihooks.install.programs import DEFAULT, PROGRAMS, Program, escape
from ocihooks.version import __version__
from ocihooks.wrapper.installation import Installation

MARK = '# Written by "ocihooks install"; "ocihooks uninstall" takes it away.'
"""The second line of every installed script, by which we know our own."""

START = ".start"
"""Ending of the file with the compiled body, which the interpreter could run as it stands."""

TEXT = ".py"
"""Ending of the script's own file where the launcher stands in its usual place."""

SHEBANG_LIMIT = 250
"""Bytes of a first line that all supported kernels read."""

TEMPLATE = """\
#!{python} -IS
{mark}
# ocihooks {version}
BODY = PLAIN = r'''
{plain}'''
try:
    from _frozen_importlib_external import MAGIC_NUMBER
    from marshal import loads

    BODY = loads(open({start}, "rb").read().split(MAGIC_NUMBER + {key}, 1)[1])
except Exception:
    pass
exec(BODY)
"""

# With the images; without them as `PLAIN`.
BODY = """\
import gc
import posix
import sys

gc.disable()  # There is little to collect in a few milliseconds.
sys.path += {paths}
asleep = {{}}


def find(name, path=None, target=None):
    form, spec = asleep.get(name), sys.modules["_frozen_importlib"].ModuleSpec
    if type(form) is str:
        return spec(name, sys.modules["_frozen_importlib_external"].ExtensionFileLoader(name, form), origin=form)
    return spec(name, finder) if form else None


def wake(module):
    from marshal import loads

    exec(loads(asleep.pop(module.__name__)), module.__dict__)


def rarely(name, names, packed):
    def unpack(*args, **kwargs):
        from marshal import loads

        if names[name] is unpack:
            exec(loads(packed), names)
        return names[name](*args, **kwargs)

    return unpack


finder = type(sys.implementation)(find_spec=find, create_module=lambda spec: None, exec_module=wake)
sys.meta_path.insert(0, finder)


def load(part):
    from marshal import loads

    fd = posix.open({image} + part, posix.O_RDONLY | posix.O_CLOEXEC)
    data = posix.read(fd, posix.fstat(fd).st_size)
    posix.close(fd)
    if data[:4] != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        raise ImportError(part)
    for name, package, code, rare in loads(memoryview(data)[4:]):
        if type(code) in (bytes, str):
            asleep[name] = code
            continue
        module = sys.modules[name] = type(sys)(name)
        module.__file__ = code.co_filename
        if package:
            module.__path__ = [package]
        for function, packed in rare:
            module.__dict__[function] = rarely(function, module.__dict__, packed)
        module._modules_ = sys.modules
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
        asleep.clear()
        load = None
    from ocihooks.wrapper.installation import Installation
    from {module} import main
except Exception:
    if "PLAIN" not in globals():  # The launcher started the compiled form; the text knows what to do.
        posix.execv({python_text}, [{python_text}, "-IS", {text}, *sys.argv[1:]])
    exec(PLAIN)
"""

# Without images and without the package, the runtime itself, for all but create, run and restore.
PLAIN = """\
import sys

load = None
sys.path += {paths}
try:
    from ocihooks.wrapper.installation import Installation
    from {module} import main
except Exception:
    import os

    words = sys.argv[1:]
    while words and (words[0] == "--without-image" or words[0][:18] == "--ignored-signals="):
        del words[0]
{escape}    valued = ("root", "log", "log-format", "log-level", "criu", "rootless", "cgroup-manager")
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
    os.execv(runtime, [runtime, *words])
"""

CALL = """\
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
        start={compiled},
        supervisor={supervisor},
    ),
    load,
)
"""
"""The last lines of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """
    An installed script.

    Attributes:
        text: The whole text.
        body: The part that is compiled at installation.
        key: 12 bytes by which the script knows the compiled form of its own body.
    """

    text: str
    body: str
    key: bytes


def make_script(
    installation: Installation, python: str, paths: Sequence[str], image: str, program: Program = PROGRAMS[DEFAULT]
) -> Script:
    """
    The script of *installation*.

    Args:
        python: Absolute path of the interpreter.
        paths: Directories of the package and of what it depends on.
        image: Path of the images without their endings.
        program: What it is to be.

    Raises:
        UsageError: The interpreter's path doesn't fit into a first line, or a path can't stand in a script.
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
        "supervisor": installation.supervisor,
        "image": image,
        "text": f"{image}{TEXT}",
        "compiled": f"{image}{START}" if installation.launched else "",
        "paths": list(paths),
        "python_text": python,
    }
    shown = {name: ascii(value) for name, value in facts.items()}
    lines = escape(program, runtime=installation.runtime, settings=installation.settings or TOOLKIT_SETTINGS)
    body = (BODY + CALL).format(**shown, module=program.module)
    plain = (PLAIN + CALL).format(**shown, module=program.module, escape=indent(lines, " " * 4))
    if "'''" in plain:
        raise UsageError("a path holds three quotes in a row, which can't stand in the script")
    key = hashlib.sha256(body.encode()).digest()[:12]
    text = TEMPLATE.format(
        python=python,
        mark=MARK,
        version=__version__,
        plain=plain,
        start=ascii(f"{image}{START}"),
        key=repr(key),
    )
    return Script(text=text, body=body, key=key)
