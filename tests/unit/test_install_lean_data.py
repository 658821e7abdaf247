"""Dataclasses as the images have them: each does what the real one does, and what can't be so makes no image."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import marshal
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocihooks.errors import UnavailableError
from ocihooks.install.code import compiled
from ocihooks.install.image import ENDINGS, EXTENSIONS, _module
from ocihooks.install.lean import lean
from ocihooks.install.lean_data import NotCoveredError, is_dataclass

MODULES = [name for modules in ENDINGS.values() for name in modules if name not in EXTENSIONS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """
    A dataclass with its form in an image.

    Attributes:
        real: The class of the package.
        plain: The one of the image.
        replace: What the image has in place of `dataclasses.replace`.
    """

    real: Any
    plain: Any
    replace: Any


def source(module: str) -> ast.Module:
    """The syntax tree of *module*."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def run(text: str) -> dict[str, Any]:
    """The names of a module of this *text* in an image, with what is rare in it."""
    tree, apart = lean(ast.parse(text))
    tree.body[:0] = [node for alone in apart.values() for node in alone.body]
    names: dict[str, Any] = {"__name__": "lean"}
    exec(compile(ast.fix_missing_locations(tree), "lean", "exec", dont_inherit=True, optimize=2), names)
    return names


def pairs() -> Iterator[Any]:
    """Every dataclass of the images."""
    for module in MODULES:
        tree = source(module)
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and is_dataclass(node)]
        if classes:
            names = run(f"from dataclasses import replace\n{ast.unparse(tree)}")
            for name in classes:
                real = getattr(importlib.import_module(module), name)
                yield pytest.param(Pair(real=real, plain=names[name], replace=names["replace"]), id=name)


PAIRS = list(pairs())
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.text(), st.integers())


def needed_by(real: Any) -> tuple[str, ...]:
    """The arguments without default of a class."""
    return tuple(f.name for f in fields(real) if f.default is MISSING and f.default_factory is MISSING)


def values_of(real: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments for a class, those without default always among them."""
    needed = needed_by(real)
    others = {field.name: VALUES for field in fields(real) if field.name not in needed}
    return st.fixed_dictionaries(dict.fromkeys(needed, VALUES), optional=others)


def members(value: Any, real: Any) -> dict[str, Any]:
    """What *value* has of the attributes of the class *real*."""
    return {field.name: getattr(value, field.name) for field in fields(real)}


def hashed(value: Any) -> object:
    """The hash of *value*, or that it has none."""
    try:
        return hash(value)
    except TypeError:
        return "none"


def test_they_are_there() -> None:
    """The images have dataclasses, of rules and of settings among them."""
    assert {"Settings", "Key", "When", "HookConfig", "Rule", "Loaded", "Hook"} <= {str(pair.id) for pair in PAIRS}


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=25, deadline=None, database=None)
@given(data=st.data())
def test_does_the_same(pair: Pair, data: st.DataObject) -> None:
    """It takes the same arguments, and has the same attributes, defaults, equality, hash, text and copies."""
    first, second = (data.draw(values_of(pair.real)) for _ in range(2))
    real, plain = pair.real(**first), pair.plain(**first)
    assert members(plain, pair.real) == members(real, pair.real)
    assert hashed(plain) == hashed(real)
    assert repr(plain) == repr(real)
    assert (plain == pair.plain(**first), plain == real) == (True, False)
    assert (plain == pair.plain(**second)) == (real == pair.real(**second))
    assert members(pair.replace(plain, **second), pair.real) == members(replace(real, **second), pair.real)
    assert members(plain, pair.real) == members(real, pair.real), "the copy changed it"


@pytest.mark.parametrize("pair", PAIRS)
def test_refuses_the_same(pair: Pair) -> None:
    """Arguments that are missing or not known are an error, and so are other attributes."""
    needed = {
        field.name: 1 for field in fields(pair.real) if field.default is MISSING and not callable(field.default_factory)
    }
    for name in needed:
        with pytest.raises(TypeError, match=name):
            pair.plain(**{other: 1 for other in needed if other != name})
    with pytest.raises(TypeError, match="other"):
        pair.plain(**needed, other=1)
    with pytest.raises(TypeError, match="positional"):
        pair.plain(1, **needed)
    with pytest.raises(AttributeError):
        pair.plain(**needed).other = 1


@pytest.mark.parametrize("pair", PAIRS)
def test_every_default_is_its_own(pair: Pair) -> None:
    """What a factory makes is made for each object anew."""
    needed = {
        field.name: 1 for field in fields(pair.real) if field.default is MISSING and not callable(field.default_factory)
    }
    for field in fields(pair.real):
        if callable(field.default_factory):
            assert getattr(pair.plain(**needed), field.name) is not getattr(pair.plain(**needed), field.name)


USUAL = "from dataclasses import dataclass, field\n\n@dataclass(frozen=True, slots=True, kw_only=True)\n"

NOT_COVERED = [
    pytest.param("from dataclasses import dataclass\n@dataclass\nclass A: pass", id="no-options"),
    pytest.param(
        "from dataclasses import dataclass\n@dataclass(frozen=True, slots=True)\nclass A: pass", id="positional"
    ),
    pytest.param(f"{USUAL}class A(B):\n    x: int", id="base"),
    pytest.param(f"@other\n{USUAL.partition(chr(10))[2].strip()}\nclass A:\n    x: int", id="other-decorator"),
    pytest.param(f"{USUAL}class A:\n    x: ClassVar[int] = 1", id="class-variable"),
    pytest.param(f"{USUAL}class A:\n    x: InitVar[int]", id="argument-only"),
    pytest.param(f"{USUAL}class A:\n    x: int = field(default=1, compare=False)", id="not-compared"),
    pytest.param(f"{USUAL}class A:\n    x: list = field(default_factory=list, repr=False)", id="not-shown"),
    pytest.param(f"{USUAL}class A:\n    x = 1", id="attribute-of-the-class"),
    pytest.param(f"{USUAL}class A:\n    x: int\n    def __post_init__(self): pass", id="after-making"),
    pytest.param("import dataclasses", id="whole-module"),
    pytest.param("from dataclasses import asdict", id="other-function"),
    pytest.param("from dataclasses import dataclass as d", id="other-name"),
]


@pytest.mark.parametrize("text", NOT_COVERED)
def test_not_covered(text: str) -> None:
    """What would mean something else is refused, with its line."""
    with pytest.raises(NotCoveredError, match=r"^line \d+: .*expected"):
        lean(ast.parse(text))


def test_no_image_is_made() -> None:
    """An installation with such a class ends with that sentence."""
    call = "lean(image.ast.parse('import dataclasses'))"
    with pytest.raises(UnavailableError, match="NotCoveredError: line 1: expected names"):
        compiled(sys.executable, call)


def test_asleep() -> None:
    """A module that is unpacked when it is imported has all of it in one piece."""
    name, _, code, functions = _module("ocihooks.settings", frozenset(), ("_guess",), asleep=True)
    names: dict[str, Any] = {"__name__": name}
    exec(marshal.loads(code), names)
    assert functions == ()
    assert names["Settings"]() == names["replace"](names["Settings"](sandbox=True), sandbox=False)
    assert names["_guess"]("sandbo", names["KEYS"]) == 'did you mean "sandbox"?'
