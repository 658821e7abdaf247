"""The files that `ocihooks new` writes: a hook program, its rule file and its test."""

from __future__ import annotations

import json
import keyword
import os
import re
import sys
from string import Template

from ocihooks.errors import UsageError, quoted
from ocihooks.injection import DEFAULT_PATH

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")

_TAKEN = frozenset(["ocihooks", "pytest"])

_PROGRAM = Template('''\
"""A hook for containers with the annotation com.example.$name=yes."""

import ocihooks


@ocihooks.hook(stages=["$stage"], when={"annotations": {r"^com\\.example\\.$name$$": "^yes$$"}}, timeout=10)
def $function(call: ocihooks.HookCall) -> None:
    """Tell which container it is; raise an error here, and it is what users see."""
    print(f"$name: container {call.state.id} of bundle {call.state.bundle}")


if __name__ == "__main__":
    $function.main()
''')

_TEST = Template('''\
"""Tests of the hook $name; run them with pytest."""

import json
from pathlib import Path

from $function import $function

HERE = Path(__file__).resolve().parent


def test_rule_file():
    """The rule file is the one that the hook prints with --rule."""
    rule = json.loads((HERE / "$name.json").read_text())
    assert rule == $function.rule(python=rule["hook"]["path"])


def test_container_with_the_annotation(oci_bundle, run_stage):
    """It runs for a container with the annotation, and names it."""
    bundle = oci_bundle(annotations={"com.example.$name": "yes"})
    (hook,) = run_stage("$stage", bundle, hooks_dirs=[HERE]).hooks
    assert hook.outcome == "succeeded", hook.message
    assert str(bundle.directory) in hook.stdout.decode()


def test_other_container(oci_bundle, run_stage):
    """It does not run for other containers."""
    assert run_stage("$stage", oci_bundle(), hooks_dirs=[HERE]).hooks == ()
''')


def files_of(name: str, stage: str, directory: str) -> dict[str, str]:
    """
    The texts of all files by path.

    Args:
        name: Of the hook, the rule file and the annotation that asks for it.
        stage: Where the hook runs.
        directory: Absolute path of the directory that they are for.

    Raises:
        UsageError: A module or an annotation can't have that name.
    """
    function = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(function) or function in sys.stdlib_module_names | _TAKEN:
        hint = "use lower-case letters, digits and single hyphens, a letter first, and no name of a module of Python's"
        raise UsageError(f"{quoted(name, 80)} can't be the name of a hook", hint=hint)
    words = {"name": name, "function": function, "stage": stage}
    program = os.path.join(directory, f"{function}.py")
    return {
        program: _PROGRAM.substitute(words),
        os.path.join(directory, f"{name}.json"): _rule(name, stage, program),
        os.path.join(directory, f"test_{function}.py"): _TEST.substitute(words),
    }


def _rule(name: str, stage: str, program: str) -> str:
    """The rule file, as the program itself prints it."""
    args = [sys.executable, "-I", program]
    rule = {
        "version": "1.0.0",
        "hook": {"path": args[0], "args": args, "env": [DEFAULT_PATH], "timeout": 10},
        "when": {"annotations": {rf"^com\.example\.{name}$": "^yes$"}},
        "stages": [stage],
    }
    return json.dumps(rule, indent=2) + "\n"
