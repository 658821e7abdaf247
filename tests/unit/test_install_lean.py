"""What the images keep of a module's source: it does the same with less."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ocihooks
from ocihooks.install.image import EVERY_CALL, EVERY_CREATE
from ocihooks.install.lean import RARE, RECORDS, UNASKED, lean
from ocihooks.install.programs import PROGRAMS

IMPORTING = """
import sys, marshal
import posix
from a.b import c
from d import e, f as g


def h():
    import os.path
    from d import e

    return e, os
"""

PACKAGE = Path(ocihooks.__file__).parent
MODULES = sorted(
    {module for program in PROGRAMS.values() for modules in program.images.values() for module in modules}
    | {*EVERY_CALL, *EVERY_CREATE}
)

SOURCE = '''
"""Documentation."""
from __future__ import annotations
TYPE_CHECKING = False
if TYPE_CHECKING:
    import nowhere
else:
    there = 1
__all__ = ["Plan", "often"]
limit: int = 3
later: int


class Plan:
    """A record."""

    __slots__ = ("hooks", "size")
    size: int

    def __init__(self, hooks: "list[int]", *, size: int = limit) -> None:
        self.hooks, self.size = tuple(hooks), size

    def larger(self, other: "Plan", *, by: int = 0) -> bool:
        """Compare."""
        return self.size > other.size + by


class Config(Plan):
    __slots__ = ("more",)


class Kept:
    def double(self, value: int) -> int:
        return value * 2


def often(value: int, *others: int, **more: int) -> "nowhere.Type":
    return rarely(value) + sum(others)


def rarely(value: int) -> int:
    return Kept().double(value)
'''


def tree_of(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def run(tree: ast.Module, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(tree, "lean", "exec", dont_inherit=True), names)
    return names


class TestLean:
    """A module of all that is left out."""

    def test_records(self) -> None:
        """A record has the attributes of the class, and takes the same arguments; what adds to one is the same."""
        names = run(lean(ast.parse(SOURCE))[0], {})
        plan = names["Plan"]([1, 2])
        assert (plan.hooks, plan.size) == ((1, 2), 3)
        config = names["Config"]([], size=7)
        config.more = 1
        assert (config.hooks, config.size, config.more) == ((), 7, 1)
        assert config.larger(plan)
        assert not config.larger(plan, by=4)
        assert not isinstance(names["Plan"], type)
        assert isinstance(names["Kept"], type)
        with pytest.raises(TypeError, match="sise"):
            names["Plan"]([], sise=1)

    def test_what_people_read(self) -> None:
        """Annotations, public names and what type checkers import are gone, their other half is there."""
        names = run(lean(ast.parse(SOURCE))[0], {})
        assert (names["there"], names["limit"]) == (1, 3)
        assert {"__all__", "later", "nowhere", "annotations", "__annotations__"}.isdisjoint(names)
        assert names["often"].__annotations__ == {}

    def test_rare_functions(self) -> None:
        """They are modules of their own, which fit into the names of the first one."""
        tree, apart = lean(ast.parse(SOURCE), ("rarely", "none"))
        names = run(tree, {})
        assert list(apart) == ["rarely"]
        with pytest.raises(NameError):
            names["often"](2, 3)
        assert run(apart["rarely"], names)["often"](2, 3) == 7

    def test_ready_modules(self) -> None:
        """Modules that are there already are not imported: only the others are, in functions, too."""
        tree, _ = lean(ast.parse(IMPORTING), ready=frozenset({"sys", "marshal", "d", "os.path"}))
        imported = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert imported == ["import posix", "from a.b import c", "import os.path"]
        there = {"sys": "the system", "marshal": "", "d": SimpleNamespace(e=1, f=2)}
        names = run(
            ast.Module([line for line in tree.body if ast.unparse(line) not in imported], []), {"_modules_": there}
        )
        assert (names["sys"], names["e"], names["g"], names["h"]()[0]) == ("the system", 1, 2, 1)


class TestTables:
    """They fit the sources."""

    @pytest.mark.parametrize("module", RARE)
    def test_rare(self, module: str) -> None:
        """Each is a function on the top level that stands in no expression outside of functions."""
        tree = tree_of(module)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert set(RARE[module]) <= {function.name for function in functions}
        outside = [node for statement in tree.body if statement not in functions for node in ast.walk(statement)]
        inside = [node for function in functions for node in ast.walk(function)]
        classes = [node for cls in tree.body if isinstance(cls, ast.ClassDef) for node in ast.walk(cls)]
        used = {node.id for node in outside if isinstance(node, ast.Name) and node not in (*inside, *classes)}
        assert used.isdisjoint(RARE[module])
        assert module in MODULES

    def test_records_are_simple(self) -> None:
        """They have attributes and plain methods, no decorators or other bases; what is left out of them is there."""
        found = {
            node.name: node
            for module in MODULES
            if module.startswith("ocihooks")
            for node in tree_of(module).body
            if isinstance(node, ast.ClassDef) and node.name in RECORDS
        }
        assert set(found) == RECORDS
        for node in found.values():
            assert not node.decorator_list + node.keywords
            assert {ast.unparse(base) for base in node.bases} <= RECORDS
            methods = {child.name: child for child in node.body if isinstance(child, ast.FunctionDef)}
            left_out = UNASKED.get(node.name, ())
            assert set(left_out) <= set(methods)
            kept = {name: method for name, method in methods.items() if name not in left_out}
            assert [name for name in kept if name.startswith("__")] == ["__init__"] * (not node.bases)
            assert not any(method.decorator_list for method in kept.values())
            assert not node.bases or not kept

    def test_nobody_asks_for_their_class(self) -> None:
        """Nothing in the package depends on a record's class: neither isinstance nor a runtime annotation."""
        for file in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
                    asked = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                    assert asked.isdisjoint(RECORDS), f"{file}:{node.lineno}"
