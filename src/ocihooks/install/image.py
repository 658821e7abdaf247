"""
The wrapper's modules as compiled code in three files, so that a start reads one to three files, not twenty to forty.

The images are made at installation, for one interpreter. Whatever is wrong with one, the package itself is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
from types import CodeType
from typing import Any

import ocihooks
from ocihooks.install.lean import AT_START, RARE, lean

ASLEEP = (
    "ocihooks.quoting",
    "ocihooks.errors",
    "ocihooks.faults",
    "ocihooks.wrapper.failures",
    "ocihooks.wrapper.readings",
    "ocihooks.wrapper.refused",
    "ocihooks.wrapper.logline",
    "ocihooks.wrapper.report",
    "ocihooks.hooksd.patterns",
    "ocihooks.spec.stage",
    *("ocihooks.injector.forms", "ocihooks.injector.elf", "ocihooks.injector.linker_cache"),
    *("ocihooks.injector.sandbox", "ocihooks.injector.refresh"),
)
"""What is rarely needed: unpacked when it is imported."""

EXTENSIONS = {
    "_json": "_json",
    "_re2": "re2._re2",
    "_ctypes": "_ctypes",
    "_struct": "_struct",
    "fcntl": "fcntl",
    "select": "select",
    "resource": "resource",
    "mmap": "mmap",
}
"""Modules in C by the name under which the image has them: no directory is searched, no package around them loaded."""

EVERY_CALL = (
    "ocihooks",
    "ocihooks.quoting",
    "ocihooks.errors",
    "ocihooks.faults",
    "ocihooks.wrapper.failures",
    "ocihooks.wrapper.readings",
    "ocihooks.wrapper.refused",
    "ocihooks.wrapper.logline",
    "ocihooks.wrapper.report",
    "ocihooks.wrapper",
    "ocihooks.wrapper.installation",
    "ocihooks.wrapper.arguments",
    "ocihooks.wrapper.become",
    "ocihooks.wrapper.main",
)
"""What every call needs, each module behind those that it imports."""

EVERY_CREATE = (
    *("_json", "_re2"),
    "ocihooks.version",
    "ocihooks.reading",
    "ocihooks.trust",
    "ocihooks.replace",
    "ocihooks.places",
    "ocihooks.injection",
    "ocihooks.document",
    "ocihooks.hooksd",
    "ocihooks.hooksd.matching",
    "ocihooks.hooksd.patterns",
    "ocihooks.engines",
    "ocihooks.engines.mounts",
    "ocihooks.engines.sandbox",
    "ocihooks.compiled",
    "ocihooks.compiled.search",
    "ocihooks.compiled.ruleset",
    "ocihooks.compiled.sources",
    "ocihooks.compiled.load",
    "ocihooks.wrapper.usable",
    "ocihooks.wrapper.cache",
    "ocihooks.wrapper.plan",
    "ocihooks.wrapper.create",
)
"""What a create needs besides, while the compiled rules are fresh."""

REFRESHING = (
    *("ocihooks.spec", "ocihooks.spec.members", "ocihooks.spec.stage", "ocihooks.spec.hook"),
    *("ocihooks.hooksd.jsontext", "ocihooks.hooksd.config", "ocihooks.hooksd.fields", "ocihooks.hooksd.lint"),
    *("ocihooks.hooksd.readers", "ocihooks.hooksd.directories", "ocihooks.unfinished", "ocihooks.settings"),
    *("ocihooks.compiled.plain", "ocihooks.compiled.needs", "ocihooks.compiled.compile"),
    *("ocihooks.compiled.snapshot", "ocihooks.compiled.skip", "ocihooks.compiled.store"),
    *("ocihooks.wrapper.static", "ocihooks.wrapper.rules", "ocihooks.wrapper.switch", "ocihooks.wrapper.refresh"),
)
"""What a create needs besides, when rules are read anew."""

CREATE, REFRESH = ".create", ".refresh"

ENDINGS = {".call": EVERY_CALL, CREATE: EVERY_CREATE, REFRESH: REFRESHING}
"""The images of an installation, by the ending of their file's name."""


def build_image(modules: tuple[str, ...], before: tuple[str, ...] = ()) -> bytes:
    """
    The bytes of an image: the interpreter's magic number, then a marshalled tuple of the modules.

    Each module is (name, directory of its package or None, code, rare functions), where the code of those in `ASLEEP`
    is still marshalled, as that of rare functions always is, and a module in C has its file instead. The script of the
    installation loads them.

    Args:
        modules: In the order in which they are loaded.
        before: Those of images that are loaded before this one.
    """
    ready = _ready((*before, *modules), (*ASLEEP, *EXTENSIONS))
    parts = [
        _extension(name) if name in EXTENSIONS else _module(name, ready, RARE.get(name, ()), asleep=name in ASLEEP)
        for name in modules
    ]
    built: Any = tuple(part for part in parts if part[2])
    return importlib.util.MAGIC_NUMBER + marshal.dumps(built)


def build_supervisor(body: str, awake: tuple[str, ...], asleep: tuple[str, ...], extensions: tuple[str, ...]) -> bytes:
    """
    The image of the supervisor: the interpreter's magic number, then the compiled *body* and the modules, marshalled.

    Args:
        body: Loads the modules.
        asleep: Modules whose code stays marshalled until it is needed, wherever else they are needed at once.
    """
    parts: list[tuple[str, str | None, Any]] = [
        (name, None, getattr(importlib.import_module(name), "__file__", "")) for name in extensions
    ]
    ready = _ready(awake, asleep)
    parts += [_module(name, ready, None, asleep=name in asleep)[:3] for name in (*asleep, *awake)]
    code = compile(body, "supervisor", "exec", dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + marshal.dumps((code, tuple(part for part in parts if part[2])))


def _ready(modules: tuple[str, ...], later: tuple[str, ...]) -> frozenset[str]:
    """The modules that importing needs not ask for when *modules* are loaded, which are awake but those *later*."""
    return AT_START | frozenset(modules).difference(later)


def build_start(body: str, file: str, key: bytes) -> bytes:
    """The compiled *body* of the script *file*: the interpreter's magic number, the script's key, and the code."""
    code = compile(body, file, "exec", dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + key + marshal.dumps(code)


def _extension(name: str) -> tuple[str, None, str, tuple[()]]:
    """A module in C with its file; "" where it is built in."""
    return name, None, getattr(importlib.import_module(EXTENSIONS[name]), "__file__", ""), ()


def _module(
    name: str, ready: frozenset[str], rare: tuple[str, ...] | None, *, asleep: bool
) -> tuple[str, str | None, Any, tuple[tuple[str, bytes], ...]]:
    """
    A module for an image.

    Args:
        rare: Functions that are packed apart; None: none is. Nor is there any in a module that is *asleep*, since who
            wakes one knows neither of these nor of `ocihooks.install.lean.MODULES`.
    """
    file, package = _source(name)
    with open(file, "rb") as stream:
        source = ast.parse(stream.read(), file)
    tree, apart = lean(source, () if asleep else rare or (), frozenset() if asleep else ready)
    if asleep or rare is None:
        tree.body[:0] = [node for alone in apart.values() for node in alone.body]
        apart = {}
    code = _code(tree, file)
    functions = [(function, marshal.dumps(_code(alone, file))) for function, alone in apart.items()]
    return name, package, marshal.dumps(code) if asleep else code, tuple(functions)


def _code(tree: ast.Module, file: str) -> CodeType:
    made: CodeType = compile(tree, file, "exec", dont_inherit=True, optimize=2)
    return made


def _source(name: str) -> tuple[str, str | None]:
    """The file of a module of this package, and its directory where it is a package."""
    root = os.path.dirname(os.path.abspath(ocihooks.__file__))
    place = os.path.join(root, *name.split(".")[1:])
    return (os.path.join(place, "__init__.py"), place) if os.path.isdir(place) else (f"{place}.py", None)
