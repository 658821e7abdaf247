"""
Dataclasses as plain classes: what a running wrapper needs of them, without `dataclasses`.

That module brings `inspect`, `ast`, `dis`, `re` and more, and makes each class by compiling text: four times what an
interpreter needs to start. Here their ``__init__`` is written out when an image is made. Attributes can be assigned
in the image, since nobody does so in the source, where the type checker sees it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

_ASKED = {"frozen": True, "slots": True, "kw_only": True}
_OFFERED = ("dataclass", "field", "replace")

METHODS = {
    "__eq__": """
def _equal_(self, other):
    if type(other) is not type(self):
        return NotImplemented
    return [getattr(self, name) for name in self.__slots__] == [getattr(other, name) for name in self.__slots__]
""",
    "__hash__": """
def _hash_(self):
    return hash(tuple([getattr(self, name) for name in self.__slots__]))
""",
    "__repr__": """
def _repr_(self):
    members = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.__slots__])
    return f"{type(self).__qualname__}({members})"
""",
}
"""What all of these classes share, each by the name of a method."""

REPLACE = """
def replace(whole, /, **changes):
    return type(whole)(**{name: getattr(whole, name) for name in whole.__slots__} | changes)
"""


class NotCoveredError(ValueError):
    """A class or an import that can't be written plainly; no image is made of its module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """
    One attribute.

    Attributes:
        name: Its name.
        default: What it is where nobody says; None: it has to be said.
        factory: What makes its default; None: it has another one, or none.
    """

    name: str
    default: ast.expr | None = None
    factory: ast.expr | None = None


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether anything about *node* asks for a dataclass."""
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def functions_for(tree: ast.Module) -> list[ast.FunctionDef]:
    """The functions that `plain_class` and the imports of *tree* depend on."""
    texts = [*METHODS.values()] if any(isinstance(n, ast.ClassDef) and is_dataclass(n) for n in tree.body) else []
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"]
    if any(alias.name == "replace" for node in imports for alias in node.names):
        texts.append(REPLACE)
    return [function for text in texts for function in _functions(text)]


def _functions(text: str) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def check_import(node: ast.ImportFrom) -> None:
    """
    Check that what is imported from `dataclasses` is written plainly here.

    Raises:
        NotCoveredError: It is not.
    """
    for alias in node.names:
        if alias.name not in _OFFERED or alias.asname:
            raise NotCoveredError(f"line {node.lineno}: {ast.unparse(node)}: expected only {', '.join(_OFFERED)}")


def plain_class(node: ast.ClassDef) -> ast.ClassDef:
    """
    *node*, a dataclass, changed into a class that needs nothing but the interpreter.

    Raises:
        NotCoveredError: Something in it would mean something else.
    """
    if len(node.decorator_list) != 1 or _options(node.decorator_list[0]) != _ASKED or node.bases or node.keywords:
        raise _not_covered(node, node, "expected no base, and dataclass(frozen=True, slots=True, kw_only=True)")
    members = tuple([_member(node, child) for child in node.body if isinstance(child, ast.AnnAssign)])
    kept = [_kept(node, child) for child in node.body if not isinstance(child, ast.AnnAssign)]
    head = f"__slots__ = {tuple(member.name for member in members)!r}\n"
    head += "\n".join(f"{name} = {function.name}" for name, text in METHODS.items() for function in _functions(text))
    node.decorator_list = []
    node.body = [*ast.parse(head).body, _init(members), *kept]
    return ast.fix_missing_locations(node)


def _options(decorator: ast.expr) -> dict[str | None, object]:
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "dataclass" or decorator.args:
        return {}
    return {word.arg: word.value.value for word in decorator.keywords if isinstance(word.value, ast.Constant)}


def _member(node: ast.ClassDef, child: ast.AnnAssign) -> _Member:
    annotation = ast.unparse(child.annotation)
    if not isinstance(child.target, ast.Name) or any(word in annotation for word in ("ClassVar", "InitVar", "KW_ONLY")):
        raise _not_covered(node, child, "expected a plain attribute")
    value = child.value
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "field":
        return _Member(name=child.target.id, default=value)
    if value.args or [word.arg for word in value.keywords] != ["default_factory"]:
        raise _not_covered(node, child, "expected field(default_factory=...)")
    return _Member(name=child.target.id, factory=value.keywords[0].value)


def _kept(node: ast.ClassDef, child: ast.stmt) -> ast.stmt:
    if isinstance(child, ast.FunctionDef) and not child.name.startswith("__"):
        return child
    if isinstance(child, ast.Pass) or (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
        return ast.Pass()
    raise _not_covered(node, child, "expected attributes, and methods without underscores")


def _init(members: tuple[_Member, ...]) -> ast.FunctionDef:
    """``__init__``; an ellipsis is the default of a member that a factory makes."""
    lines = [
        f"self.{one.name} = {one.name}"
        if one.factory is None
        else f"self.{one.name} = {ast.unparse(one.factory)}() if {one.name} is ... else {one.name}"
        for one in members
    ]
    (made,) = _functions("def __init__(self): pass")
    made.args.kwonlyargs = [ast.arg(one.name) for one in members]
    made.args.kw_defaults = [one.default if one.factory is None else ast.Constant(...) for one in members]
    made.body = ast.parse("\n".join(lines) or "pass").body
    return made


def _not_covered(node: ast.ClassDef, place: ast.stmt, expected: str) -> NotCoveredError:
    return NotCoveredError(f"line {place.lineno}: class {node.name} can't be written plainly: {expected}")
