"""
The modules of the wrapper's warm path as compiled code in two files, so that a start reads one file or two, not twenty.

The images are made at installation, for one interpreter. Whatever is wrong with one, the package itself is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
from typing import Any

import ocihooks

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
    *("ocihooks.injector.errors", "ocihooks.injector.kernel", "ocihooks.injector.rootfs", "ocihooks.injector.changes"),
    *("ocihooks.injector.items", "ocihooks.injector.worker", "ocihooks.injector.inject", "ocihooks.injector.target"),
)
"""What is rarely needed: unpacked when it is imported."""

EXTENSIONS = {"_json": "_json", "_re2": "re2._re2"}
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
    *EXTENSIONS,
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

CREATE = ".create"

ENDINGS = {".call": EVERY_CALL, CREATE: EVERY_CREATE}
"""The images of an installation, by the ending of their file's name."""


def build_image(modules: tuple[str, ...]) -> bytes:
    """
    The bytes of an image: the interpreter's magic number, then a marshalled tuple of the modules.

    Each module is (name, directory of its package or None, code), where the code of those in `ASLEEP` is still
    marshalled, and a module in C has its file instead. The script of the installation loads them.
    """
    parts = [_extension(name) if name in EXTENSIONS else _module(name) for name in modules]
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
    for name, package, code in map(_module, (*asleep, *awake)):
        parts.append((name, package, _marshalled(code) if name in asleep else code))
    code = compile(body, "supervisor", "exec", dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + marshal.dumps((code, tuple(part for part in parts if part[2])))


def _marshalled(code: Any) -> bytes:
    return code if isinstance(code, bytes) else marshal.dumps(code)


def build_start(body: str, file: str, key: bytes) -> bytes:
    """The compiled *body* of the script *file*: the interpreter's magic number, the script's key, and the code."""
    code = compile(body, file, "exec", dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + key + marshal.dumps(code)


def _extension(name: str) -> tuple[str, None, str]:
    """A module in C with its file; "" where it is built in."""
    return name, None, getattr(importlib.import_module(EXTENSIONS[name]), "__file__", "")


def _module(name: str) -> tuple[str, str | None, Any]:
    file, package = _source(name)
    with open(file, "rb") as stream:
        tree = _ForRunning().visit(ast.parse(stream.read(), file))
    code = compile(tree, file, "exec", dont_inherit=True, optimize=2)
    return name, package, marshal.dumps(code) if name in ASLEEP else code


class _ForRunning(ast.NodeTransformer):
    """Leaves out what only people and type checkers read: annotations, and what is imported and defined for them."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """No annotations; the names of the arguments stay."""
        node.returns = None
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            argument.annotation = None
        for many in (arguments.vararg, arguments.kwarg):
            if many is not None:
                many.annotation = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """``name: int = 1`` becomes ``name = 1``, and ``name: int`` nothing."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Of ``if TYPE_CHECKING`` only what stands behind ``else``."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or ast.copy_location(ast.Pass(), node)
        return node


def _source(name: str) -> tuple[str, str | None]:
    """The file of a module of this package, and its directory where it is a package."""
    root = os.path.dirname(os.path.abspath(ocihooks.__file__))
    place = os.path.join(root, *name.split(".")[1:])
    return (os.path.join(place, "__init__.py"), place) if os.path.isdir(place) else (f"{place}.py", None)
