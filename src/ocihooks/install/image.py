"""
The modules of the wrapper's warm path as compiled code in two files, so that a start reads one file or two, not twenty.

The images are made at installation, for one interpreter. Whatever is wrong with one, the package itself is imported.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
from typing import Any

import ocihooks

EVERY_CALL = (
    "ocihooks",
    "ocihooks.errors",
    "ocihooks.wrapper",
    "ocihooks.wrapper.installation",
    "ocihooks.wrapper.arguments",
    "ocihooks.wrapper.become",
    "ocihooks.wrapper.main",
)
"""What every call needs, each module behind those that it imports."""

EVERY_CREATE = (
    "ocihooks.version",
    "ocihooks.trust",
    "ocihooks.replace",
    "ocihooks.places",
    "ocihooks.injection",
    "ocihooks.document",
    "ocihooks.hooksd",
    "ocihooks.hooksd.matching",
    "ocihooks.engines",
    "ocihooks.engines.mounts",
    "ocihooks.engines.sandbox",
    "ocihooks.compiled",
    "ocihooks.compiled.plain",
    "ocihooks.compiled.ruleset",
    "ocihooks.compiled.sources",
    "ocihooks.compiled.store",
    "ocihooks.wrapper.usable",
    "ocihooks.wrapper.cache",
    "ocihooks.wrapper.plan",
    "ocihooks.wrapper.create",
)
"""What a create needs besides, while the compiled rules are fresh."""


ENDINGS = {".call": EVERY_CALL, ".create": EVERY_CREATE}
"""The images of an installation, by the ending of their file's name."""


def build_image(modules: tuple[str, ...]) -> bytes:
    """
    The bytes of an image: the interpreter's magic number, then a marshalled tuple of the modules.

    Each module is (name, directory of its package or None, code). The script of the installation loads them.
    """
    parts: Any = tuple(_module(name) for name in modules)
    return importlib.util.MAGIC_NUMBER + marshal.dumps(parts)


def build_start(body: str, file: str, key: bytes) -> bytes:
    """The compiled *body* of the script *file*: the interpreter's magic number, the script's key, and the code."""
    code = compile(body, file, "exec", dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + key + marshal.dumps(code)


def _module(name: str) -> tuple[str, str | None, object]:
    file, package = _source(name)
    with open(file, "rb") as stream:
        code = compile(stream.read(), file, "exec", dont_inherit=True, optimize=2)  # docstrings only cost time here
    return name, package, code


def _source(name: str) -> tuple[str, str | None]:
    """The file of a module of this package, and its directory where it is a package."""
    root = os.path.dirname(os.path.abspath(ocihooks.__file__))
    place = os.path.join(root, *name.split(".")[1:])
    return (os.path.join(place, "__init__.py"), place) if os.path.isdir(place) else (f"{place}.py", None)
