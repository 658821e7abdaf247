"""
What a running wrapper needs of a module: no annotations, no documentation, few classes, and no rare functions.

Unpacking a function costs the interpreter some 8,000 instructions and making a class 60,000, while the whole of the
wrapper's own work is a few million. The source stays as people read it; the images are made of what is left here.
"""

from __future__ import annotations

import ast

RECORDS = frozenset(
    {
        *("Installation", "Trust", "Cache", "Document", "Config", "Additions", "Plan"),
        *("Known", "Request"),
        *("Container", "Condition", "Decision", "Addition"),
        *("CompiledWhen", "CompiledHook", "CompiledRuleView"),
    }
)
"""Classes that only hold attributes. Here each is a function that fills a namespace, which has the same attributes."""

RARE = {
    "ocihooks": ("__dir__",),
    "ocihooks.wrapper.become": ("_refused",),
    "ocihooks.wrapper.main": ("fail", "restart_if_outdated"),
    "ocihooks.trust": ("explained", "trust_here", "_overflow_uid", "check_trusted"),
    "ocihooks.replace": ("_refused", "_sync_directory", "_unlink"),
    "ocihooks.places": ("records_file", "state_directory"),
    "ocihooks.injection": (
        *("supervision", "_supervised_entry", "supervised_hook"),
        *("rule_of", "_is_ours", "_contains_run", "equals"),
    ),
    "ocihooks.document": (
        *("parse_document", "check_hooks", "_check_hook"),
        *("_check_mount", "_refuse_repeated", "_wrong_type", "_unreadable"),
    ),
    "ocihooks.compiled.sources": ("look", "sources_unchanged", "pack", "packed_unchanged", "_looks_packed"),
    "ocihooks.compiled.load": ("_staleness",),
    "ocihooks.wrapper.usable": ("_script_problem", "_about"),
    "ocihooks.wrapper.plan": ("make_plan", "supervisor_of_the_package", "_encodable"),
    "ocihooks.wrapper.static": ("parse_static_hooks", "read_static_hooks", "_unknown_stage"),
    "ocihooks.execution.config_types": ("_shown", "_named"),
    "ocihooks.dropins.program": ("_with_hint",),
    "ocihooks.dropins.once": ("each_once", "_folded_config", "_folded", "_fold"),
    "ocihooks.dropins.inject": ("double_hooks",),
    "ocihooks.dropins.toolkit_runtime": ("_no_runtime", "_print_version", "_complain"),
    "ocihooks.wrapper.create": ("inject", "filtered", "_record", "_log_plan", "_injector_files", "_log"),
}
"""Functions that few calls need: each is unpacked when it is called for the first time."""


def lean(tree: ast.Module, rare: tuple[str, ...] = ()) -> tuple[ast.Module, dict[str, ast.Module]]:
    """What is run when a module is loaded, and by their names its functions *rare*, each as a module of its own."""
    body = _Cleaner().visit(tree).body
    apart = {node.name: node for node in body if isinstance(node, ast.FunctionDef) and node.name in rare}
    kept = [node for node in body if node not in apart.values()]
    return ast.Module(kept, []), {name: ast.Module([node], []) for name, node in apart.items()}


class _Cleaner(ast.NodeTransformer):
    """Leaves out what only people and type checkers read, and makes functions of the classes in `RECORDS`."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Where there are records, the name by which their functions find the namespace."""
        has_records = any(_is_record(child) for child in node.body)
        self.generic_visit(node)
        if has_records:
            node.body[:0] = ast.parse('_namespace_ = type(__import__("sys").implementation)').body
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

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """``Plan(...)`` becomes a call of what was its ``__init__``, with a namespace as ``self``."""
        self.generic_visit(node)
        if not _is_record(node):
            return node
        if node.bases:  # it only adds attributes to another record
            alias = ast.Assign([ast.Name(node.name, ast.Store())], node.bases[0])
            return ast.fix_missing_locations(ast.copy_location(alias, node))
        function = next(child for child in node.body if isinstance(child, ast.FunctionDef))
        self_name = function.args.args.pop(0).arg
        function.name = node.name
        before = ast.parse(f"{self_name} = _namespace_()").body
        after = ast.parse(f"return {self_name}").body
        function.body = [*before, *function.body, *after]
        return ast.fix_missing_locations(ast.copy_location(function, node))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """``name: int = 1`` becomes ``name = 1``, and ``name: int`` nothing."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """Without ``from __future__``, which is about annotations, and would read a module of that name."""
        return ast.copy_location(ast.Pass(), node) if node.module == "__future__" else node

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


def _is_record(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and node.name in RECORDS
