"""
What a running wrapper needs of a module: no annotations, no documentation, few classes, and no rare functions.

Unpacking a function costs the interpreter some 8,000 instructions and making a class 60,000, while the whole of the
wrapper's own work is a few million. The source stays as people read it; the images are made of what is left here.
"""

from __future__ import annotations

import ast
from typing import TypeGuard

from ocihooks.install.lean_data import NotCoveredError, check_import, functions_for, is_dataclass, plain_class

RECORDS = frozenset(
    {
        *("Installation", "Trust", "Cache", "Document", "Config", "Additions", "Plan"),
        *("Known", "Request"),
        *("Container", "Condition", "Decision", "Addition"),
        *("CompiledWhen", "CompiledHook", "CompiledRuleView", "RuleSet", "Search"),
        *("Call", "Reader", "Injection", "Log", "_Wrapper"),
    }
)
"""
Classes that nobody asks for. Here each is a function that fills a namespace with the same attributes, and with methods.
"""

UNASKED = {
    "Call": ("__repr__",),
    "Injection": ("matched", "hooks", "extension_stage_hooks", "_by_stage"),
}
"""Members of these classes that no wrapper asks for."""

RARE = {
    "ocihooks": ("__dir__",),
    "ocihooks.wrapper.become": ("_refused",),
    "ocihooks.wrapper.main": ("fail", "load_refreshing", "restart_if_outdated"),
    "ocihooks.trust": ("explained", "trust_here", "in_user_namespace", "_overflow_uid", "check_trusted"),
    "ocihooks.replace": ("_refused", "_sync_directory", "_unlink"),
    "ocihooks.places": ("records_file", "state_directory", "settings_file", "is_rootless"),
    "ocihooks.injection": (
        *("supervision", "_supervised_entry", "supervised_hook"),
        *("rule_of", "_is_ours", "_contains_run", "equals"),
    ),
    "ocihooks.document": (
        *("parse_document", "check_hooks", "_check_hook"),
        *("_check_mount", "_refuse_repeated", "_wrong_type", "_unreadable"),
    ),
    "ocihooks.compiled.sources": ("look", "sources_unchanged", "pack", "packed_unchanged"),
    "ocihooks.engines.mounts": ("is_engines_own", "_found"),
    "ocihooks.compiled.load": ("_read_in_namespace", "_staleness", "load_value"),
    "ocihooks.compiled.search": ("_re2_pattern",),
    "ocihooks.compiled.ruleset": ("count_of", "_numbers_of_many"),
    "ocihooks.wrapper.usable": ("_script_problem", "_about"),
    "ocihooks.wrapper.plan": ("make_plan", "supervisor_of_the_package", "_encodable", "_refuse_nul"),
    "ocihooks.wrapper.static": ("parse_static_hooks", "read_static_hooks", "_unknown_stage"),
    "ocihooks.execution.config_types": ("_shown", "_named"),
    "ocihooks.dropins.program": ("_with_hint",),
    "ocihooks.dropins.once": ("each_once", "_folded_config", "_folded", "_fold"),
    "ocihooks.dropins.inject": ("double_hooks",),
    "ocihooks.dropins.toolkit_runtime": ("_no_runtime", "_print_version", "_complain"),
    "ocihooks.wrapper.create": ("inject", "filtered", "_record", "_log_plan", "_log"),
}
"""Functions that few calls need: each is unpacked when it is called for the first time."""


AT_START = frozenset({"_imp", "marshal", "posix", "sys"})
"""Modules that an interpreter has loaded when it runs the first line of ours."""

MODULES = "_modules_"
"""The name by which the loader of an image gives its modules the dictionary of all loaded modules."""


def lean(
    tree: ast.Module, rare: tuple[str, ...] = (), ready: frozenset[str] = frozenset()
) -> tuple[ast.Module, dict[str, ast.Module]]:
    """
    What is run when a module is loaded, and by their names its functions *rare*, each as a module of its own.

    What dataclasses share is rare, too.

    Args:
        ready: Modules that are loaded when this one imports them. An import statement costs the interpreter up to
            20,000 instructions even then, so they are taken from the dictionary `MODULES`.

    Raises:
        NotCoveredError: A dataclass can't be written plainly.
    """
    shared = functions_for(tree)
    tree.body += shared
    body = _Cleaner(ready).visit(tree).body
    rare = (*rare, *[function.name for function in shared])
    apart = {node.name: node for node in body if isinstance(node, ast.FunctionDef) and node.name in rare}
    kept = [node for node in body if node not in apart.values()]
    return ast.Module(kept, []), {name: ast.Module([node], []) for name, node in apart.items()}


class _Cleaner(ast.NodeTransformer):
    """Leaves out what only people and type checkers read, and makes functions of the classes in `RECORDS`."""

    def __init__(self, ready: frozenset[str]) -> None:
        self.ready = ready

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Where there are records, the names by which their functions find the types of namespaces and methods."""
        names = [name for child in node.body if _is_record(child) for name in _needs(child)]
        self.generic_visit(node)
        node.body[:0] = [line for name in dict.fromkeys(names) for line in ast.parse(f"{name} = {_TYPES[name]}").body]
        return node

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

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST | list[ast.stmt]:
        """``Plan(...)`` becomes a call of what was its ``__init__``, with a namespace as ``self``."""
        if is_dataclass(node):
            return self.generic_visit(plain_class(node))
        self.generic_visit(node)
        if not _is_record(node):
            return node
        if node.bases:  # it only adds attributes to another record
            alias = ast.Assign([ast.Name(node.name, ast.Store())], node.bases[0])
            return ast.fix_missing_locations(ast.copy_location(alias, node))
        function, *methods = _methods(node)
        self_name = function.args.args.pop(0).arg
        before = f"{self_name} = _namespace_()"
        for method in methods:
            name, method.name = method.name, f"_{node.name}_{method.name}_"
            before += f"\n{self_name}.{name} = _method_({method.name}, {self_name})"
        function.name = node.name
        function.body = [*ast.parse(before).body, *function.body, *ast.parse(f"return {self_name}").body]
        return [*methods, ast.fix_missing_locations(ast.copy_location(function, node))]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """``name: int = 1`` becomes ``name = 1``, and ``name: int`` nothing."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        """``import posix`` becomes ``posix = _modules_["posix"]`` if it is ready."""
        if any(alias.name == "dataclasses" for alias in node.names):
            raise NotCoveredError(f"line {node.lineno}: expected names that are imported from dataclasses")
        if all(alias.name in self.ready and not alias.asname and "." not in alias.name for alias in node.names):
            return _lines(node, [f"{alias.name} = {MODULES}[{alias.name!r}]" for alias in node.names])
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        """Likewise; and without ``from __future__``, which is about annotations, and would read a module."""
        if node.module == "dataclasses":
            check_import(node)
        if node.module in ("__future__", "dataclasses"):
            return ast.copy_location(ast.Pass(), node)
        if node.module in self.ready:
            names = [(alias.asname or alias.name, alias.name) for alias in node.names]
            module, first = f"{MODULES}[{node.module!r}]", names[0]
            if len(names) == 1:
                return _lines(node, [f"{first[0]} = {module}.{first[1]}"])
            return _lines(node, [f"_module_ = {module}", *(f"{name} = _module_.{there}" for name, there in names)])
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Without the list of public names."""
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        return ast.copy_location(ast.Pass(), node) if names == ["__all__"] else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Of ``if TYPE_CHECKING`` only what stands behind ``else``."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or ast.copy_location(ast.Pass(), node)
        return node


_TYPES = {
    "_namespace_": "type(__import__('sys').implementation)",
    "_method_": "type(__import__('_frozen_importlib').BuiltinImporter.find_spec)",
}


def _lines(place: ast.stmt, lines: list[str]) -> list[ast.stmt]:
    """The statements *lines* in the place of another."""
    made = [statement for line in lines for statement in ast.parse(line).body]
    return [ast.fix_missing_locations(ast.copy_location(statement, place)) for statement in made]


def _is_record(node: ast.stmt) -> TypeGuard[ast.ClassDef]:
    return isinstance(node, ast.ClassDef) and node.name in RECORDS


def _needs(record: ast.ClassDef) -> tuple[str, ...]:
    """The types that the function of *record* needs."""
    return () if record.bases else ("_namespace_",) if len(_methods(record)) == 1 else ("_namespace_", "_method_")


def _methods(record: ast.ClassDef) -> list[ast.FunctionDef]:
    """``__init__``, then the other methods that are asked for."""
    methods = [child for child in record.body if isinstance(child, ast.FunctionDef)]
    kept = [method for method in methods if method.name not in UNASKED.get(record.name, ())]
    return sorted(kept, key=lambda method: method.name != "__init__")
