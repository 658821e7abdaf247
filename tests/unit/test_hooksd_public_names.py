"""The package's public names: imported when first used, and importing the package costs nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ocihooks
from ocihooks.homes import HOMES

HEAVY = ("re", "json", "typing", "dataclasses", "enum", "pathlib", "logging", "argparse", "subprocess", "re2", "click")


def fresh(code: str) -> object:
    """What *code* prints as JSON in a fresh interpreter that has nothing but this package."""
    source = Path(ocihooks.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(source)!r}); {code}"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_all_names_are_there() -> None:
    """``__all__``, ``dir()`` and the names that can be had are the same, sorted as linters want them."""
    homes = [name for names in HOMES.values() for name in names]
    assert sorted(homes) == sorted(ocihooks.__all__) == dir(ocihooks)
    assert len(set(homes)) == len(homes)


@pytest.mark.parametrize("name", ocihooks.__all__)
def test_name(name: str) -> None:
    """Each public name is its module's own object, and stays once it was used."""
    (home,) = [home for home, names in HOMES.items() if name in names]
    assert getattr(ocihooks, name) is getattr(sys.modules[home], name)
    assert vars(ocihooks)[name] is getattr(ocihooks, name)


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers name exactly the public names, from the same modules."""
    tree = ast.parse(Path(ocihooks.__file__).read_text(encoding="utf-8"))
    imports = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in ("ocihooks", "ocihooks.homes")
    ]
    assert {str(node.module): tuple(alias.name for alias in node.names) for node in imports} == HOMES


def test_unknown_name() -> None:
    """Any other name is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="module 'ocihooks' has no attribute 'nope'"):
        ocihooks.nope  # noqa: B018


def test_import_costs_nothing() -> None:
    """Importing the package imports no other module at all."""
    code = "before = set(sys.modules); import ocihooks; new = set(sys.modules) - before; import json; "
    assert fresh(f"{code} print(json.dumps(sorted(new)))") == ["ocihooks"]


@pytest.mark.parametrize("module", ["ocihooks.errors", "ocihooks.hooksd.matching"])
def test_warm_path_modules(module: str) -> None:
    """The modules that the wrapper's warm path shares with the library bring nothing heavy."""
    code = f"import {module}; new = [name for name in {HEAVY} if name in sys.modules]; import json; "
    assert fresh(f"{code} print(json.dumps(new))") == []
