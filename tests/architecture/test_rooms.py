"""Who knows whom: each room of the package, with the rooms that it may import from, and nobody else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).parents[2] / "src/ocihooks"

KNOWS: dict[str, set[str]] = {
    "homes": set(),
    "quoting": set(),
    "errors": {"quoting"},
    "version": set(),
    "diagnostics": set(),
    "spec": {"errors"},
    "reading": set(),
    "trust": {"errors", "reading"},
    "replace": {"errors"},
    "injection": set(),
    "engines": {"errors", "places", "replace", "spec", "trust"},
    "places": {"trust"},
    "package": set(),
    "modifiers": {"document", "engines", "errors", "injector", "package", "spec", "trust"},
    "notjson": {"errors", "spec"},
    "faults": {"errors"},
    "document": {"errors", "faults", "injection", "notjson", "reading", "replace"},
    "hooksd": {"errors", "injection", "spec"},
    "injector": {"document", "errors", "faults", "injection", "places", "reading", "replace", "trust"},
    "execution": {"document", "errors", "faults", "hooksd", "quoting", "spec"},
    "records": set(),
    "supervisor": {"errors", "execution", "injection", "records", "replace", "wrapper"},
    "unfinished": {"errors"},
    "settings": {"errors", "hooksd", "places", "spec", "trust", "unfinished"},
    "compiled": {"errors", "hooksd", "injection", "injector", "places", "replace", "trust", "version"},
    "wrapper": {
        *("", "compiled", "document", "engines", "errors", "execution", "faults", "hooksd", "injection", "injector"),
        *("modifiers", "places", "reading"),
        *("records", "replace", "settings", "spec", "trust", "unfinished", "version"),
    },
    "dropins": {
        *(
            "compiled",
            "document",
            "engines",
            "errors",
            "execution",
            "faults",
            "injection",
            "injector",
            "notjson",
            "places",
            "quoting",
            "replace",
        ),
        *("spec", "version", "wrapper"),
    },
    "install": {
        *(
            "",
            "dropins",
            "engines",
            "errors",
            "injection",
            "package",
            "places",
            "replace",
            "settings",
            "trust",
            "version",
            "wrapper",
        ),
    },
    "bundle": {"document", "injection", "replace"},
    "simulation": {"errors", "execution", "injection", "injector", "replace", "spec"},
    "nri": {
        *("compiled", "document", "engines", "errors", "faults", "hooksd", "injection", "injector", "records"),
        *("settings", "wrapper"),
    },
    "manifests": {"errors", "injector", "modifiers", "trust"},
    "hook_program": {"document", "errors", "hooksd", "injection", "spec"},
    "testing": {"bundle", "engines", "errors", "hooksd", "injection", "simulation", "spec"},
}
"""The rooms (modules and packages below the root) and those that they may import from; "" is the root itself."""

KNOWS_ALL = "cli"
"""The one room that may import from all others but the test kit."""

THIRD_PARTY = {"re2": {"hooksd"}, "_re2": {"hooksd"}, "click": {"cli"}, "rich": {"cli"}, "cryptography": {"manifests"}}
"""Packages of others, and the rooms that use them."""

DISTRIBUTIONS = {"re2": "google-re2", "_re2": "google-re2"}
"""What has to be installed for a package of another name."""


def room(module: str) -> str:
    """The room of a module, given by its dotted name; "" for the root."""
    return [*module.split("."), ""][1]


@pytest.fixture(scope="module")
def imports() -> list[tuple[str, str]]:
    """All imports inside the package, those inside functions too, as pairs of modules."""
    graph = grimp.build_graph("ocihooks", exclude_type_checking_imports=True, cache_dir=None)
    found = [(module, other) for module in graph.modules for other in graph.find_modules_directly_imported_by(module)]
    return [(module, "ocihooks.errors" if is_for_errors(module, other) else other) for module, other in found]


def is_for_errors(module: str, other: str) -> bool:
    """Whether *module* imports the root only to reach the errors, which then load when something is wrong."""
    if other != "ocihooks":
        return False
    place = PACKAGE.joinpath(*module.split(".")[1:])
    source = (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text(encoding="utf-8")
    used = re.findall(r"\bocihooks\.(\w+)", re.sub(r"^\s*(from|import) .*", "", source, flags=re.MULTILINE))
    return "errors" in used and "__path__" not in used and "__file__" not in used


def test_every_room_is_listed(imports: list[tuple[str, str]]) -> None:
    """A new room has to say here whom it knows."""
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == {*KNOWS, KNOWS_ALL}
    assert len(imports) > 200


@pytest.mark.parametrize("name", KNOWS)
def test_knows(name: str, imports: list[tuple[str, str]]) -> None:
    """A room imports from those that it may know, and does know them all."""
    known = {room(other) for module, other in imports if room(module) == name != room(other)}
    assert known - KNOWS[name] == set()
    assert KNOWS[name] - known == set(), "not needed any more"


def test_nobody_knows_the_commands(imports: list[tuple[str, str]]) -> None:
    """Only the commands themselves import from the commands."""
    assert {module for module, other in imports if room(other) == "cli"} <= {
        module for module, _ in imports if room(module) == "cli"
    }


def test_nobody_knows_the_test_kit(imports: list[tuple[str, str]]) -> None:
    """The test kit is for tests, and the product does without it."""
    assert {room(module) for module, other in imports if room(other) == "testing"} == {"testing"}


def test_no_circles() -> None:
    """Rooms don't know each other in a circle, not even through others."""
    graph = {name: set(known) - {""} for name, known in KNOWS.items()}
    while graph:
        leaves = {name for name, known in graph.items() if not known & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: known for name, known in graph.items() if name not in leaves}


def outside(module: Path) -> Iterator[str]:
    """The packages besides our own that *module* imports from."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_third_party() -> None:
    """Packages of others are used where they are meant to be, and nowhere else; exactly these are asked for."""
    used: dict[str, set[str]] = {}
    for module in PACKAGE.rglob("*.py"):
        # One is a program of its own, which may stand beside its modules; the other is loaded by pytest only.
        if module.name in ("fake_runtime.py", "plugin.py") and module.parent.name == "testing":
            continue
        own = module.relative_to(PACKAGE).parts[0]
        for package in set(outside(module)) - sys.stdlib_module_names - {"ocihooks"}:
            used.setdefault(package, set()).add(own)
    assert used == THIRD_PARTY
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["project"]
    dependencies = [*project["dependencies"], *project["optional-dependencies"]["verify"]]
    asked_for = {re.split(r"[<>=!~ ]", dependency)[0] for dependency in dependencies}
    assert asked_for == {DISTRIBUTIONS.get(package, package) for package in used}
