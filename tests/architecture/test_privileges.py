"""Who may write files, start programs, fork, or hide an error: written lists with a reason for each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src/ocihooks"

WRITES = {
    "replace.py": "replaces files whole, for all others",
    "compiled/store.py": "makes a file of its own name for the cache and renames it",
    "wrapper/log.py": "appends lines to the log",
    "wrapper/report.py": "appends a line to the runtime's log",
    "dropins/toolkit_log.py": "appends lines to the log",
    "injector/copying.py": "makes files of new names in the root of a container, never opens one that is there",
    "injector/container_devices.py": "allows a container's cgroup further devices",
    "injector/sandbox.py": "makes files in a file system in memory, and opens /dev/null",
    "install/script.py": "the script does so when the package can't be imported",
    "engines/lock.py": "makes the lock, and tells in it who holds it",
    "execution/run.py": "opens /dev/null",
    "modifiers/child.py": "opens /dev/null",
    "records/append.py": "appends records",
    "supervisor/failure.py": "opens /dev/null",
    "simulation/hold.py": "opens /dev/null",
    "simulation/enter.py": "leaves the number of an error in a file of the simulation",
    "simulation/mounts.py": "makes places for mounts in file systems of its own",
    "cli/__init__.py": "opens /dev/null",
    "cli/output.py": "opens /dev/null",
}
"""Modules that open files for writing."""

STARTS = {
    "wrapper/become.py": "becomes the runtime",
    "wrapper/main.py": "starts itself again without images",
    "install/script.py": "becomes the runtime when the package can't be imported",
    "install/runtime.py": "asks the runtime for its version",
    "install/code.py": "asks the interpreter for compiled code",
    "engines/programs.py": "asks engines' programs, and runs them as their users do",
    "modifiers/child.py": "makes the child that asks modifiers",
    "execution/process.py": "runs hooks",
    "execution/keeper.py": "runs hooks",
    "execution/spawned.py": "runs hooks",
    "injector/sandbox.py": "runs the host's ldconfig in namespaces of its own",
    "injector/worker.py": "makes the child that may change a container's root",
    "simulation/container.py": "starts the two programs below",
    "simulation/hold.py": "makes the process that stands for a container",
    "simulation/enter.py": "makes the process that becomes a hook in its namespaces",
}
"""Modules that start programs, or fork."""

CATCHES_ALL = {
    "wrapper/main.py": "whatever it is, no container is created",
    "dropins/program.py": "whatever it is, no container is created",
    "dropins/injector_hook.py": "whatever it is, no container is created",
    "compiled/load.py": "whatever is wrong with a cache, rules are read from their files",
    "hooksd/monitor.py": "it is raised again for those who wait",
    "injector/worker.py": "the parent tells it, and no container is created",
    "execution/hook_lists.py": "whatever a function hook raises is raised again as an error of ours",
    "supervisor/failure.py": "where the package is not whole, the sentence alone is told",
    "nri/rules.py": "whatever it is, no container is created until rules can be read again",
    "nri/plugin.py": "whatever it is, the container is refused and the plugin goes on",
    "cli/run.py": "people get a sentence, and a traceback if they ask for it",
    "cli/explain.py": "completion has nowhere to complain to",
    "modifiers/call.py": "whatever a modifier raises becomes a sentence, and no container is created",
    "hook_program.py": "whatever an author's function raises becomes a sentence",
}
"""Modules that catch every exception and go on."""

WRITING = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND)\b")
STARTING = re.compile(r"\b(subprocess\.(run|Popen)|(os|posix)\.(exec\w+|fork|forkpty|posix_spawn\w*|spawn\w+))\b")


def found(pattern: re.Pattern[str]) -> set[str]:
    """The modules of the product in whose code, comments and docstrings left out, *pattern* is found."""
    return {name for name, text in code() if pattern.search(text)}


@cache
def code() -> tuple[tuple[str, str], ...]:
    """Every module of the product with its code."""
    texts = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)
        if not name.startswith("testing/"):
            texts.append((name, ast.unparse(tree)))
    return tuple(texts)


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [pytest.param(WRITING, WRITES, id="write"), pytest.param(STARTING, STARTS, id="start")],
)
def test_lists(pattern: re.Pattern[str], allowed: dict[str, str]) -> None:
    """Nobody does it but those who are listed, and all who are listed do."""
    names = found(pattern)
    assert names - allowed.keys() == set()
    assert allowed.keys() - names == set(), "not needed any more"


def test_catching() -> None:
    """Nobody catches all exceptions and goes on but those who are listed."""
    names = {
        name
        for name, text in code()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler) and catches_all(node) and not raises_again(node)
    }
    assert names == CATCHES_ALL.keys()


def catches_all(handler: ast.ExceptHandler) -> bool:
    """Whether *handler* is for every exception."""
    return handler.type is None or bool(re.search(r"\b(Base)?Exception\b", ast.unparse(handler.type)))


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether *handler* only cleans up."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize("word", ["write_text", "write_bytes", "truncate", "ftruncate", "copyfile", "copy2", "rmtree"])
def test_other_ways(word: str) -> None:
    """Files are not written, copied or removed in other ways either."""
    calls = {name for name, text in code() if re.search(rf"\.{word}\(", text)}
    assert calls <= {"cli/command.py"}, "click's formatter has a method of the name write_text"


LISTENS = {
    "nri/link.py": "talks to an engine, on a Unix socket",
    "nri/scrape.py": "listens on a Unix socket or the loopback interface",
    "nri/service.py": "connects to an engine's Unix socket",
}
"""Modules that use sockets."""


@pytest.mark.parametrize("module", ["socket", "urllib", "http", "ssl", "ftplib", "smtplib", "xmlrpc", "asyncio"])
def test_no_network(module: str) -> None:
    """Nothing here talks to a network."""
    pattern = re.compile(rf"^\s*(import|from) {module}\b", re.MULTILINE)
    assert found(pattern) == (LISTENS.keys() if module == "socket" else set())


def test_public_methods_have_docstrings() -> None:
    """Every public method says what it does, or the method of a base class that it stands for does."""
    methods = [
        (f"{name}: {kind.name}.{node.name}", node)
        for name, tree in modules()
        for kind in tree.body
        if isinstance(kind, ast.ClassDef) and not kind.name.startswith("_")
        if "Protocol" not in map(ast.unparse, kind.bases)
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    documented = {node.name for _, node in methods if ast.get_docstring(node)}
    assert [place for place, node in methods if not ast.get_docstring(node) and node.name not in documented] == []
    assert len(documented) > 50


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package, parsed."""
    for module in sorted(PACKAGE.rglob("*.py")):
        yield str(module.relative_to(PACKAGE)), ast.parse(module.read_text(encoding="utf-8"))
