"""The table of diagnostics: every code that the source uses and no other, with examples that are really printed."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.place import TRUE, Place, Run

import ocihooks
from ocihooks.diagnostics import KINDS, Kind

SOURCE = Path(ocihooks.__file__).parent
BY_CODE: dict[str, Kind] = {kind.code: kind for kind in KINDS}

_CODE = re.compile(r"[a-z]+[a-z0-9]*(_[a-z0-9]+)*")
_CALLS = ("error", "warn", "problem", "_note")
"""Methods whose first argument is a code."""


def words_of(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may give; what an f-string leaves open is a *."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words_of(node.body)
        yield from words_of(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)


def codes_in(tree: ast.AST) -> Iterator[str]:
    """The codes that a module uses: arguments and variables called code, and first arguments of the methods above."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in ("code", "missing"):
                    yield from words_of(keyword.value)
            if isinstance(node.func, ast.Attribute) and node.func.attr in _CALLS and node.args:
                yield from words_of(node.args[0])
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
            yield from words_of(node.value)
        elif isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg in ("code", "missing"):
                    yield from words_of(default)


def used_codes() -> set[str]:
    """All codes in the source, those of f-strings as patterns."""
    modules = [path for path in SOURCE.rglob("*.py") if path.name != "diagnostics.py"]
    found = {code for path in modules for code in codes_in(ast.parse(path.read_text()))}
    return {code for code in found if _CODE.fullmatch(code.replace("*", "x"))}


def test_table_and_source_agree() -> None:
    """Every code of the source is in the table, and the table has no others."""
    patterns = [re.compile(code.replace("*", "[a-z_]+")) for code in used_codes()]
    known = set(BY_CODE)
    unknown = {pattern.pattern for pattern in patterns if not any(pattern.fullmatch(code) for code in known)}
    unused = {code for code in known if not any(pattern.fullmatch(code) for pattern in patterns)}
    assert (unknown, unused) == (set(), set())


def test_table_is_in_order() -> None:
    """The table is sorted, each code is there once, and each row is whole sentences."""
    codes = [kind.code for kind in KINDS]
    assert codes == sorted(set(codes))
    for kind in KINDS:
        assert kind.sentence.endswith(".")
        assert kind.remedy.endswith(".")
        assert kind.example
        assert "\n" not in kind.example


def rule(**members: Any) -> str:
    """A rule of schema 1.0.0 with these members."""
    document = {"version": "1.0.0", "hook": {"path": TRUE}, "when": {"always": True}, "stages": ["poststop"]}
    return json.dumps(document | members)


RULES: dict[str, str] = {
    "bad_pattern": rule(when={"commands": ["("]}),
    "conflicting_properties": f'{{"hook": "{TRUE}", "stage": ["poststop"], "stages": ["poststop"]}}',
    "empty_annotations": f'{{"hook": "{TRUE}", "stages": ["poststop"], "annotations": []}}',
    "joined_annotations": f'{{"hook": "{TRUE}", "stages": ["poststop"], "annotations": ["(a)", "b"]}}',
    "json_syntax": '{"stages": ["poststop" }',
    "json_type": rule(stages="prestart"),
    "member_case": rule(Stages=["poststop"]).replace('"stages": ["poststop"], ', ""),
    "missing_program": rule(hook={"path": "/opt/audit/hook"}),
    "missing_property": rule(hook={}),
    "missing_version": rule().replace('"version": "1.0.0", ', ""),
    "never_met": rule(when={"hasBindMounts": False}),
    "no_condition": rule(when={}),
    "no_stages": rule(stages=[]),
    "null_item": rule(hook={"path": TRUE, "args": [None]}),
    "odd_env": rule(hook={"path": TRUE, "env": ["DEBUG"]}),
    "odd_timeout": rule(hook={"path": TRUE, "timeout": 0}),
    "prestart": rule(stages=["prestart"]),
    "relative_path": rule(hook={"path": "bin/hook"}),
    "repeated_member": rule().replace('"stages"', '"stages": [], "stages"'),
    "repeated_stage": rule(stages=["poststop", "poststop"]),
    "replaced_text": rule(hook={"path": TRUE, "args": ["\ud800"]}),
    "unanchored_command": rule(when={"commands": ["sh"]}),
    "unknown_member": rule(when={"always": True, "command": ["x"]}),
    "unknown_stage": rule(stages=["createruntime"]),
    "unknown_version": rule(version="2.0.0"),
    "unreachable_program": rule(hook={"path": "/etc/passwd/hook"}),
    "too_large": " " * ((1 << 20) + 1),
}
"""A rule file for each kind of finding about rule files."""

SETTINGS: dict[str, bytes] = {
    "not_utf8": b"\xff",
    "repeated_key": b'[ocihooks]\non-invalid = "fail"\non_invalid = "fail"\n',
    "toml_syntax": b"[ocihooks]\nposition\n",
    "unknown_key": b"[ocihooks]\nhook-dirs = []\n",
    "wrong_type": b'ocihooks = "x"\n',
    "wrong_value": b'[ocihooks]\nposition = "first"\n',
}
"""A settings file for each kind of finding about settings."""


def assert_found(code: str, document: dict[str, Any]) -> None:
    """There is a finding of this code with the message and severity of the table."""
    kind = BY_CODE[code]
    found = [finding for finding in document["findings"] if finding["code"] == code]
    assert kind.example in [finding["message"] for finding in found], document["findings"]
    assert all(finding["severity"] in kind.severity for finding in found)


@pytest.mark.parametrize("code", RULES)
def test_rules(code: str, place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints about a rule file."""
    place.write("a/10-x.json", RULES[code])
    assert_found(code, ocihooks("check", "a/10-x.json", "--json").json())


@pytest.mark.parametrize("code", SETTINGS)
def test_settings(code: str, place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints about a settings file."""
    (place.root / "x.toml").write_bytes(SETTINGS[code])
    assert_found(code, ocihooks("check", "x.toml", "--json").json())


def _policy_for_nobody(place: Place) -> None:
    place.configure('[ocihooks.rules."10-gpu"]\non-invalid = "warn"')


def _not_executable(place: Place) -> None:
    place.rule("a/10-x.json", path="/etc/passwd")


def _writable(place: Place) -> None:
    place.rule("a/10-x.json").chmod(0o666)


def _widths(place: Place) -> None:
    place.rule("a/10-a.json")
    place.rule("a/9-b.json")


def _static(place: Place) -> None:
    place.configure('static-hooks = ["{DIR}/none.json"]')


def _no_env(place: Place) -> None:
    place.configure('static-hooks = ["{DIR}/static.json"]')
    place.write("static.json", '{"createContainer": [{"path": "/bin/true"}]}')


MACHINES: dict[str, Callable[[Place], object]] = {
    "empty_env": _no_env,
    "missing_directory": lambda place: (place.root / "a").rmdir(),
    "missing_file": _static,
    "mixed_widths": _widths,
    "near_miss_name": lambda place: place.write("a/10-gpu.json~", ""),
    "odd_program": _not_executable,
    "unknown_rule": _policy_for_nobody,
    "untrusted": _writable,
}
"""What to do to a machine for each kind of finding about one."""


@pytest.mark.parametrize("code", MACHINES)
def test_machines(code: str, place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints about the machine."""
    MACHINES[code](place)
    assert_found(code, ocihooks("check", "SETTINGS", "--json").json())


def test_deep_config(place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints about a config.json that nests too deep."""
    place.write("config.json", '{"a": ' + "[" * 2000 + "]" * 2000 + "}")
    assert_found("too_deep", ocihooks("check", "config.json", "--json").json())


def test_name_without_suffix(place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints about a name that is far from a rule's."""
    place.write("rules", rule())
    assert_found("not_json_name", ocihooks("check", "rules", "--json").json())


def test_switch(place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints while the kill switch is on."""
    ocihooks("disable", "SETTINGS")
    os.utime(place.root / "etc/disabled", (1767323045, 1767323045))
    assert_found("switched_off", ocihooks("check", "SETTINGS", "--json").json())


def test_letter_case(place: Place, ocihooks: Run) -> None:
    """The example of the table is what check prints about names that differ in letter case, but for the directory."""
    place.rule("a/A.json")
    place.rule("b/a.json")
    finished = ocihooks("check", "SETTINGS")
    message = BY_CODE["same_letters"].example.replace("/etc/containers/oci/hooks.d", "{DIR}/a")
    assert f"ocihooks: warning: {{DIR}}/b/a.json: {message}\n" in finished.stdout


def test_no_process_args(place: Place, ocihooks: Run) -> None:
    """The example of the table is what explain prints about a process without arguments."""
    place.rule("a/1.json", when={"commands": ["^x$"]})
    place.bundle(args=[])
    assert BY_CODE["no_process_args"].example in ocihooks("explain", "SETTINGS", "bundle").stdout
