"""
The code that root is going to run: that nobody else can write it, and what a given interpreter makes of it.
"""

from __future__ import annotations

import compileall
import marshal
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence

import ocihooks
from ocihooks.errors import UnavailableError, UntrustedError, quoted
from ocihooks.package import package_paths
from ocihooks.trust import Trust, check_trusted, explained, trust_here


def check_code(python: str, runtime: str, paths: Sequence[str]) -> None:
    """
    Refuse what others could write of all that root is going to run: interpreter, runtime ("": none) and package.

    Raises:
        UntrustedError: The path that it names can be written by others, or is missing.
    """
    trust = trust_here()
    for path in (python, *([runtime] if runtime else []), *_library(python)):
        check_place(path, trust)
    for path in _code(paths):
        if os.path.lexists(path):  # pip may just be taking something away
            check_place(path, trust)


def _library(python: str) -> Iterator[str]:
    """Where *python* has its standard library, as far as that can be known without starting it."""
    if os.path.realpath(sys.executable) == python:
        yield from (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))


def _code(paths: Sequence[str]) -> Iterator[str]:
    """All that root is going to import: the whole package, and what lies on the first level beside it."""
    for place in paths:
        yield place
        yield from (os.path.join(place, name) for name in os.listdir(place))
    for directory, _, files in os.walk(os.path.dirname(os.path.abspath(ocihooks.__file__))):
        yield directory
        yield from (os.path.join(directory, name) for name in files)


def check_place(path: str, trust: Trust) -> None:
    """
    Refuse *path* if it is missing or somebody else could write it.

    Raises:
        UntrustedError: It is so.
    """
    try:
        check_trusted(path, trust)
    except UntrustedError as error:
        raise error
    except OSError as error:
        raise explained(path, error) from None


def compiled(python: str, *calls: str) -> tuple[bytes, ...]:
    """
    What *calls* of functions of the module image give in *python*.

    Raises:
        UnavailableError: The interpreter does not run, or not our code.
    """
    code = f"import sys, marshal; sys.path += {list(package_paths())}; from ocihooks.install import image; "
    code += f"sys.stdout.buffer.write(marshal.dumps([{', '.join(f'image.{call}' for call in calls)}], 2))"
    # Without tables of columns, which only tracebacks need, code is a third smaller.
    return tuple(marshal.loads(_output([python, "-IS", "-X", "no_debug_ranges", "-c", code], python)))  # noqa: S302


def _output(command: Sequence[str], python: str) -> bytes:
    try:
        done = subprocess.run(command, check=False, timeout=120, stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"interpreter {quoted(python, 200)} does not run: {error}") from None
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        hint = "name an interpreter of Python 3.11 or later with --python"
        raise UnavailableError(f"interpreter {quoted(python, 200)} can't run ocihooks: {last}", hint=hint)
    return done.stdout


def compile_package(python: str) -> None:
    """Compile the package for *python*, so that the wrapper need not; it works uncompiled, too, only slower."""
    package = os.path.dirname(os.path.abspath(ocihooks.__file__))
    if os.path.realpath(sys.executable) == python:
        compileall.compile_dir(package, quiet=2)
        return
    _output([python, "-IS", "-m", "compileall", "-qq", package], python)
