"""What holds for every module of the package, found by looking at its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/ocihooks"
MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 450
MOST_LINES_OF_A_FUNCTION = 60

TABLES = {"diagnostics.py"}
"""Modules that are one table, and may be as long as it is."""

MAY_WRITE_FILES = {
    "testing": "makes files in temporary directories of tests",
    "replace.py": "is the one place that replaces files",
}
"""Where files may be opened for writing, with the reason."""


def name(module: Path) -> str:
    """The module's path below the package."""
    return str(module.relative_to(PACKAGE))


@cache
def parsed(module: Path) -> ast.Module:
    """The syntax tree of *module*."""
    return ast.parse(module.read_text(encoding="utf-8"))


def calls(module: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in *module* with the text of what is called."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_size(module: Path) -> None:
    """No module and no function is so long that a stranger gets lost in it."""
    text = module.read_text(encoding="utf-8")
    if name(module) not in TABLES:
        assert text.count("\n") <= MOST_LINES
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.FunctionDef):
            docstring = (ast.get_docstring(node) or "").count("\n")
            assert (node.end_lineno or 0) - node.lineno - docstring < MOST_LINES_OF_A_FUNCTION, node.name


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_docstrings(module: Path) -> None:
    """Every module, and every public class and function in it, says what it is for."""
    tree = parsed(module)
    if module.stat().st_size:
        assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_nothing_forbidden(module: Path) -> None:
    """No shell, no pickle, no eval, no assertion as a check, and files are replaced, never truncated."""
    tree = parsed(module)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "shelve", "dbm"}
    if not name(module).startswith("testing"):
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    for called, node in calls(module):
        assert called not in {"eval", "os.system", "os.popen", "tempfile.mktemp", "posix.system"}, node.lineno
        shell = [keyword for keyword in node.keywords if keyword.arg == "shell"]
        assert not shell, f"line {node.lineno}: a shell"
        if (
            called == "open"
            and len(node.args) > 1
            and not any(name(module).startswith(place) for place in MAY_WRITE_FILES)
        ):
            mode = ast.literal_eval(node.args[1])
            assert not set(mode) & set("wax+"), f"line {node.lineno}: opened for writing"


CONTAINER_PATHS = re.compile(r"\brootfs\b")


def test_no_path_in_a_rootfs() -> None:
    """Nothing outside of the test kit touches paths inside a container's root file system."""
    found = [
        f"{name(module)}: {called}"
        for module in MODULES
        if not name(module).startswith("testing")
        for called, node in calls(module)
        if called.startswith(("os.", "posix.")) and CONTAINER_PATHS.search(ast.unparse(node))
    ]
    assert found == []
