"""What is found in rule files: each row is one document, the findings in it, and what the rule says nevertheless."""

from __future__ import annotations

import ast
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ocihooks.errors import Diagnostic, NotJSONNameError, RulesError
from ocihooks.hooksd import directories, fields, lint, readers
from ocihooks.hooksd.config import HookConfig
from ocihooks.hooksd.directories import read_hook_dir, survey
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.readers import read_document, read_hook

NEW: dict[str, Any] = {
    "version": "1.0.0",
    "hook": {"path": "/bin/true"},
    "when": {"always": True},
    "stages": ["createRuntime"],
}
OLD: dict[str, Any] = {"hook": "/bin/true", "stages": ["createRuntime"], "hasbindmounts": True}

Finding = tuple[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """
    One document.

    Attributes:
        id: Row of DECISIONS.md, or the part of the schema; what it shows.
        document: As JSON, as text or as bytes.
        errors: Code and pointer of each expected error, in order.
        warnings: The same for warnings.
        gives: What the rule says, by attribute; None where there is none.
        hint: A part of the first finding's hint.
    """

    id: str
    document: Any
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    gives: Mapping[str, object] = field(default_factory=dict)
    hint: str | None = None


def new(without: str = "", **members: Any) -> dict[str, Any]:
    """A document of schema 1.0.0 with other *members*, and without one."""
    return {name: value for name, value in (NEW | members).items() if name != without}


def hook(**members: Any) -> dict[str, Any]:
    return new(hook={"path": "/bin/true"} | members)


def when(**members: Any) -> dict[str, Any]:
    return new(when=members)


def old(without: str = "", **members: Any) -> dict[str, Any]:
    """A document of schema 0.1.0."""
    return {name: value for name, value in (OLD | members).items() if name != without}


def text(document: Mapping[str, Any], **members: str) -> str:
    """*document* with further members, repeated ones too, as they are written."""
    inner = json.dumps(document)[1:-1]
    return "{" + ", ".join([inner, *(f'"{name}": {value}' for name, value in members.items())]) + "}"


FINE = (
    Row(id="new-plain", document=NEW, gives={"hook.path": "/bin/true", "when.always": True, "when.any_of": False}),
    Row(id="old-plain", document=OLD, gives={"hook.args": None, "when.any_of": True, "when.has_bind_mounts": True}),
    Row(id="old-with-version", document=old(version="0.1.0"), gives={"version": "1.0.0"}),
    Row(id="underscore-is-a-comment", document=new(_comment="for the GPU nodes")),
    Row(id="extension-stage", document=new(stages=["precreate"]), gives={"stages": ("precreate",)}),
    Row(id="anchored-command", document=when(commands=["^/usr/bin/python3$"])),
    Row(id="bounds-of-timeout", document=hook(timeout=3600), gives={"hook.timeout": 3600}),
    Row(id="empty-env-value", document=hook(env=["A="]), gives={"hook.env": ("A=",)}),
    Row(id="null-is-not-given", document=hook(args=None, env=None, timeout=None), gives={"hook.args": None}),
    Row(id="every-stage", document=new(stages=["createContainer", "startContainer", "poststart", "poststop"])),
    Row(
        id="all-conditions",
        document=when(always=True, hasBindMounts=True, annotations={"^a$": "^b$"}, commands=["^/x$"]),
        gives={"when.has_bind_mounts": True},
    ),
)

LOADED = (
    Row(
        id="15-upper-case",
        document={"VERSION": "1.0.0", "HOOK": {"PATH": "/x"}, "WHEN": {"ALWAYS": True}, "STAGES": ["poststop"]},
        warnings=(
            ("member_case", "/version"),
            ("member_case", "/hook"),
            ("member_case", "/when"),
            ("member_case", "/stages"),
            ("member_case", "/hook/path"),
            ("member_case", "/when/always"),
        ),
        gives={"hook.path": "/x", "stages": ("poststop",)},
        hint='write "version"',
    ),
    Row(
        id="15-hasbindmounts-in-new",
        document=when(hasbindmounts=True),
        warnings=(("member_case", "/when/hasBindMounts"),),
        gives={"when.has_bind_mounts": True},
        hint='write "hasBindMounts"',
    ),
    Row(
        id="15-long-s-and-kelvin",
        document={"ver\u017fion": "1.0.0", "hoo\u212a": {"path": "/x"}, "when": {"always": True}, "stages": []},
        warnings=(("member_case", "/version"), ("member_case", "/hook"), ("no_stages", "/stages")),
    ),
    Row(
        id="15-full-width",
        document=new("hook") | {"\uff48ook": {"path": "/x"}},
        errors=(("missing_property", "/hook/path"),),
        warnings=(("unknown_member", "/\uff48ook"),),
    ),
    Row(
        id="15-dotless-i",
        document=new(when={"always": True, "hasB\u0131ndMounts": True}),
        warnings=(("unknown_member", "/when/hasB\u0131ndMounts"),),
        gives={"when.has_bind_mounts": None},
        hint='did you mean "hasBindMounts"?',
    ),
    Row(
        id="16-command",
        document=when(command=["^/bin/x$"]),
        warnings=(("unknown_member", "/when/command"), ("no_condition", "/when")),
        hint='did you mean "commands"?',
    ),
    Row(
        id="16-annotation",
        document=when(annotation={"a": "b"}),
        warnings=(("unknown_member", "/when/annotation"), ("no_condition", "/when")),
        hint='did you mean "annotations"?',
    ),
    Row(
        id="16-cmds",
        document=when(cmds=["^/bin/x$"]),
        warnings=(("unknown_member", "/when/cmds"), ("no_condition", "/when")),
        hint="known members here: always, hasBindMounts, annotations, commands",
    ),
    Row(
        id="16-needs-escape",
        document=NEW | {"a/b~c": 1},
        warnings=(("unknown_member", "/a~1b~0c"),),
        hint="known members here: version, hook, when, stages",
    ),
    Row(
        id="16-lone-surrogate",
        document=NEW | {"x\ud800": 1},
        warnings=(("unknown_member", "/x\ufffd"),),
    ),
    Row(
        id="17-no-version",
        document=new("version"),
        errors=(("json_type", "/hook"),),
        warnings=(("unknown_member", "/when"), ("missing_version", "/version")),
    ),
    Row(
        id="17-null-version",
        document=new(version=None),
        errors=(("json_type", "/hook"),),
        warnings=(("unknown_member", "/when"), ("missing_version", "/version")),
    ),
    Row(id="17-empty-version", document=old(version=""), gives={"when.any_of": True}),
    Row(
        id="17-unknown-version",
        document=new(version="2.0.0"),
        errors=(("unknown_version", "/version"),),
    ),
    Row(id="17-version-is-a-number", document=new(version=1), errors=(("json_type", "/version"),)),
    Row(
        id="18-last-value-wins",
        document=text(NEW, stages='["poststop"]'),
        warnings=(("repeated_member", "/stages"),),
        gives={"stages": ("poststop",)},
        hint="keep one",
    ),
    Row(
        id="18-objects-merge",
        document=text(when(always=True), when='{"commands": ["^/x$"]}'),
        warnings=(("repeated_member", "/when"),),
        gives={"when.always": True, "when.commands.0.source": "^/x$"},
    ),
    Row(
        id="18-maps-merge",
        document=text(when(annotations={"^a$": "1", "^b$": "1"}), when='{"annotations": {"^b$": "2"}}'),
        warnings=(("repeated_member", "/when"), ("repeated_member", "/when/annotations")),
        gives={"when.annotations.0.1.source": "1", "when.annotations.1.1.source": "2"},
    ),
    Row(
        id="18-null-clears-pointer",
        document=text(NEW, when='{"always": null, "hasBindMounts": true}'),
        warnings=(("repeated_member", "/when"), ("repeated_member", "/when/always")),
        gives={"when.always": None, "when.has_bind_mounts": True},
    ),
    Row(
        id="18-null-changes-no-text",
        document=text(NEW, hook='{"path": null}'),
        warnings=(("repeated_member", "/hook"), ("repeated_member", "/hook/path")),
        gives={"hook.path": "/bin/true"},
    ),
    Row(
        id="18-null-clears-stages",
        document=text(NEW, stages="null"),
        errors=(("missing_property", "/stages"),),
        warnings=(("repeated_member", "/stages"),),
    ),
    Row(
        id="19-null-in-repeated-list",
        document=text(hook(args=["/bin/true", "a"]), hook='{"args": [null]}'),
        warnings=(("repeated_member", "/hook"), ("repeated_member", "/hook/args"), ("null_item", "/hook/args/0")),
        gives={"hook.args": ("",)},
    ),
    Row(
        id="20-null-stage",
        document=new(stages=[None]),
        errors=(("unknown_stage", "/stages/0"),),
        warnings=(("null_item", "/stages/0"),),
    ),
    Row(
        id="20-null-pattern",
        document=when(annotations={"^a/b$": None}, commands=[None]),
        warnings=(("null_item", "/when/annotations/^a~1b$"), ("null_item", "/when/commands/0")),
        gives={"when.annotations.0.1.source": "", "when.commands.0.source": ""},
    ),
    Row(
        id="21-not-utf8",
        document=json.dumps(hook(args=["/bin/true", "@"])).encode().replace(b"@", b"a\xff"),
        warnings=(("replaced_text", "/hook/args/1"),),
        gives={"hook.args": ("/bin/true", "a\ufffd")},
        hint="save the file as UTF-8",
    ),
    Row(
        id="21-lone-surrogate",
        document=hook(path="/bin/\ud800"),
        warnings=(("replaced_text", "/hook/path"),),
        gives={"hook.path": "/bin/\ufffd"},
    ),
    Row(id="22-byte-order-mark", document="\ufeff" + json.dumps(NEW), errors=(("json_syntax", "line 1 column 1"),)),
    Row(id="22-comment", document='{\n// x\n"version": "1.0.0"}', errors=(("json_syntax", "line 2 column 1"),)),
    Row(id="22-trailing-comma", document='{"stages": [],}', errors=(("json_syntax", "line 1 column 15"),)),
    Row(id="22-nan", document=text(NEW, x="NaN"), errors=(("json_syntax", f"line 1 column {len(text(NEW)) + 7}"),)),
    Row(id="22-control-character", document='{"x": "a\tb"}', errors=(("json_syntax", "line 1 column 9"),)),
    Row(id="22-empty", document="", errors=(("json_syntax", "line 1 column 1"),)),
    Row(
        id="22-too-deep",
        document=text(NEW, x="[" * 10_000 + "]" * 10_000),
        errors=(("json_syntax", f"line 1 column {len(text(NEW)) + 7 + 9_999}"),),
    ),
    Row(
        id="22-deep",
        document=text(NEW, x="[" * 9_999 + "]" * 9_999),
        warnings=(("unknown_member", "/x"),),
    ),
    Row(id="22-array", document=[NEW], errors=(("json_type", "/"),)),
    Row(id="22-null", document=None, errors=(("missing_property", "/hook"), ("missing_property", "/stages"))),
    Row(
        id="23-fraction",
        document=text(hook(), hook='{"timeout": 1.0}'),
        errors=(("json_type", "/hook/timeout"),),
        warnings=(("repeated_member", "/hook"),),
    ),
    Row(
        id="23-exponent",
        document='{"version": "1.0.0", "hook": {"path": "/x", "timeout": 1e2}, "stages": []}',
        errors=(("json_type", "/hook/timeout"),),
    ),
    Row(id="23-text", document=hook(timeout="5"), errors=(("json_type", "/hook/timeout"),)),
    Row(id="23-true", document=hook(timeout=True), errors=(("json_type", "/hook/timeout"),)),
    Row(id="23-65-bits", document=hook(timeout=1 << 63), errors=(("json_type", "/hook/timeout"),)),
    Row(
        id="23-64-bits",
        document=hook(timeout=-(1 << 63)),
        warnings=(("odd_timeout", "/hook/timeout"),),
        gives={"hook.timeout": -(1 << 63)},
    ),
    Row(id="23-zero", document=hook(timeout=0), warnings=(("odd_timeout", "/hook/timeout"),)),
    Row(id="23-too-long", document=hook(timeout=3601), warnings=(("odd_timeout", "/hook/timeout"),)),
    Row(
        id="24-groups-are-joined",
        document=old(annotations=["(a", "b)"]),
        warnings=(("joined_annotations", "/annotations"),),
        gives={"when.annotations.0.1.source": "(a|b)", "when.annotations.0.0.source": ".*"},
        hint='"annotations": {"key": "value"}',
    ),
    Row(id="24-plain-texts", document=old(annotations=["a", "b"]), gives={"when.annotations.0.1.source": "a|b"}),
    Row(id="24-one-group", document=old(annotations=["(a)"]), gives={"when.annotations.0.1.source": "(a)"}),
    Row(
        id="24-bad-after-joining",
        document=old(annotations=["[a", "b"]),
        errors=(("bad_pattern", "/annotations"),),
        warnings=(("joined_annotations", "/annotations"),),
    ),
    Row(
        id="25-empty-list",
        document=old(annotations=[]),
        warnings=(("empty_annotations", "/annotations"),),
        gives={"when.annotations.0.1.source": ""},
    ),
    Row(
        id="26-both-empty",
        document=old(stage=[], stages=[]),
        errors=(("conflicting_properties", "/stage"),),
        hint='keep "stages"',
    ),
    Row(id="26-both-commands", document=old(cmd=["a"], cmds=["b"]), errors=(("conflicting_properties", "/cmd"),)),
    Row(
        id="26-both-annotations",
        document=old(annotation=["a"], annotations=["b"]),
        errors=(("conflicting_properties", "/annotation"),),
    ),
    Row(id="26-null-is-absent", document=old(stage=None), gives={"stages": ("createRuntime",)}),
    Row(id="26-short-names", document=old("stages", stage=["poststop"]), gives={"stages": ("poststop",)}),
    Row(
        id="27-no-condition",
        document=old("hasbindmounts"),
        warnings=(("no_condition", "/when"),),
        gives={"when.any_of": True},
    ),
    Row(id="27-false-is-ignored", document=old(hasbindmounts=False), gives={"when.has_bind_mounts": False}),
    Row(id="28-empty-arguments", document=old(arguments=[]), gives={"hook.args": ("/bin/true",)}),
    Row(id="28-arguments", document=old(arguments=["a"]), gives={"hook.args": ("/bin/true", "a"), "hook.env": None}),
    Row(id="28-no-hook", document=old("hook"), errors=(("missing_property", "/hook"),)),
    Row(id="28-empty-hook", document=old(hook=""), errors=(("missing_property", "/hook/path"),)),
    Row(id="28-no-stages", document=old("stages"), errors=(("missing_property", "/stages"),)),
    Row(
        id="28-hook-is-an-object",
        document=old(hook={}),
        errors=(("json_type", "/hook"),),
        warnings=(("missing_version", "/version"),),
    ),
)

OTHER = (
    Row(
        id="all-errors-at-once",
        document=new(hook={"args": "x"}, when={"commands": ["("]}, stages=["creatRuntime"]),
        errors=(
            ("json_type", "/hook/args"),
            ("missing_property", "/hook/path"),
            ("bad_pattern", "/when/commands/0"),
            ("unknown_stage", "/stages/0"),
        ),
    ),
    Row(
        id="stage-case",
        document=new(stages=["createruntime"]),
        errors=(("unknown_stage", "/stages/0"),),
        hint='did you mean "createRuntime"? stages are case-sensitive',
    ),
    Row(
        id="stage-misspelt",
        document=new(stages=["postStart", "createRuntme"]),
        errors=(("unknown_stage", "/stages/0"), ("unknown_stage", "/stages/1")),
        hint='did you mean "poststart"? stages are case-sensitive',
    ),
    Row(
        id="stage-unknown",
        document=new(stages=["boot"]),
        errors=(("unknown_stage", "/stages/0"),),
        hint="known stages: prestart, createRuntime",
    ),
    Row(id="bad-key-pattern", document=when(annotations={"(": "x"}), errors=(("bad_pattern", "/when/annotations/("),)),
    Row(id="bad-old-command", document=old(cmds=["a", "("]), errors=(("bad_pattern", "/cmds/1"),)),
    Row(id="when-is-a-list", document=new(when=[]), errors=(("json_type", "/when"),)),
    Row(id="stages-is-a-text", document=new(stages="poststop"), errors=(("json_type", "/stages"),)),
    Row(id="annotations-is-a-list", document=when(annotations=[]), errors=(("json_type", "/when/annotations"),)),
    Row(id="always-is-a-text", document=when(always="yes"), errors=(("json_type", "/when/always"),)),
    Row(
        id="no-stages",
        document=new("stages"),
        errors=(("missing_property", "/stages"),),
        hint="use some of prestart, createRuntime",
    ),
    Row(id="relative-path", document=hook(path="bin/x"), warnings=(("relative_path", "/hook/path"),)),
    Row(
        id="env-without-equals",
        document=hook(env=["A=1", "B", "=x"]),
        warnings=(("odd_env", "/hook/env/1"), ("odd_env", "/hook/env/2")),
    ),
    Row(id="empty-stages", document=new(stages=[]), warnings=(("no_stages", "/stages"),)),
    Row(
        id="prestart",
        document=new(stages=["poststop", "prestart"]),
        warnings=(("prestart", "/stages/1"),),
        hint='write "createRuntime"',
    ),
    Row(id="stage-twice", document=new(stages=["poststop", "poststop"]), warnings=(("repeated_stage", "/stages"),)),
    Row(
        id="prestart-and-createRuntime",
        document=new(stages=["prestart", "createRuntime"]),
        warnings=(("prestart", "/stages/0"), ("repeated_stage", "/stages")),
    ),
    Row(id="empty-when", document=new(when={}), warnings=(("no_condition", "/when"),), hint='"always": true'),
    Row(id="no-when", document=new("when"), warnings=(("no_condition", "/when"),)),
    Row(id="bind-mounts-false", document=when(hasBindMounts=False), warnings=(("never_met", "/when/hasBindMounts"),)),
    Row(
        id="unanchored-command",
        document=when(commands=["^/x$", "sh"]),
        warnings=(("unanchored_command", "/when/commands/1"),),
    ),
    Row(id="unanchored-old-command", document=old(cmds=["sh"]), warnings=(("unanchored_command", "/cmds/0"),)),
)

ROWS = FINE + LOADED + OTHER


def read(document: Any) -> tuple[HookConfig | None, list[Diagnostic]]:
    """The rule that *document* is, and all findings."""
    data = document if isinstance(document, bytes | str) else json.dumps(document)
    reading = Reading("x.json")
    rule = read_document(data if isinstance(data, bytes) else data.encode(), reading, ("precreate",))
    return rule, reading.problems


def attribute(rule: object, name: str) -> object:
    """An attribute of the rule by a name such as ``when.commands.0.source``."""
    for part in name.split("."):
        rule = rule[int(part)] if part.isdigit() else getattr(rule, part)  # type: ignore[index]
    return rule


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_document(row: Row) -> None:
    """A document has exactly the expected findings, and means what it should nevertheless."""
    rule, problems = read(row.document)
    found = {
        severity: tuple((p.code, p.pointer) for p in problems if p.severity == severity)
        for severity in ("error", "warning")
    }
    assert found == {"error": row.errors, "warning": row.warnings}, [str(problem) for problem in problems]
    assert (rule is None) == bool(row.errors)
    assert {name: attribute(rule, name) for name in row.gives} == row.gives
    assert {problem.file for problem in problems} <= {"x.json"}
    if row.hint:
        assert any(row.hint in (problem.hint or "") for problem in problems)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_messages_are_one_line(row: Row) -> None:
    """A finding is one printable line, whatever the file holds."""
    for problem in read(row.document)[1]:
        assert str(problem).isprintable()


WORDS = [
    pytest.param(
        hook(args=["a", 5]), "x.json: /hook/args/1: expected a string, found the number 5", id="type-of-an-item"
    ),
    pytest.param(hook(timeout="5"), 'an integer of at most 64 bits, found the string "5"', id="number-in-quotes"),
    pytest.param(new("version"), "/hook: expected a string, found an object", id="new-without-version"),
    pytest.param(new(version="1.0"), 'unknown schema version "1.0", expected "1.0.0" or "0.1.0"', id="version"),
    pytest.param(new(stages=["a\nb"]), r'x.json: /stages/0: unknown stage "a\nb"', id="stage-with-newline"),
    pytest.param(when(commands=["a(?<=b)"]), 'pattern "a(?<=b)" is not valid RE2: ', id="pattern"),
]


@pytest.mark.parametrize(("document", "words"), WORDS)
def test_words(document: Any, words: str) -> None:
    """Messages say the place, what was found and what was expected."""
    assert any(words in str(problem) for problem in read(document)[1]), read(document)[1]


def files(**contents: Any) -> Callable[[Path], str]:
    """A directory with files of these names; a callable makes its file itself, anything else is written as JSON."""

    def make(directory: Path) -> str:
        for name, content in contents.items():
            path = directory / f"{name}.json"
            if callable(content):
                content(path)
            else:
                path.write_text(json.dumps(content))
        return str(directory)

    return make


def missing_program(directory: Path) -> str:
    return files(a=hook(path=str(directory / "gone")))(directory)


PLACES = [
    pytest.param(lambda directory: str(directory / "gone"), ("missing_directory", "warning", None), id="no-directory"),
    pytest.param(lambda directory: "/dev/null", ("read_failed", "error", None), id="no-directory-but-a-file"),
    pytest.param(files(a=Path.mkdir), ("read_failed", "error", None), id="directory-instead-of-a-file"),
    pytest.param(files(a=os.mkfifo), ("read_failed", "error", None), id="fifo"),
    pytest.param(files(a=lambda path: path.symlink_to("/dev/zero")), ("read_failed", "error", None), id="device"),
    pytest.param(files(a=lambda path: path.symlink_to(path)), ("read_failed", "error", None), id="loop"),
    pytest.param(files(a=lambda path: path.symlink_to("x")), ("missing_file", "warning", None), id="dangling-link"),
    pytest.param(files(a="x"), ("json_type", "error", "/"), id="not-an-object"),
]


@pytest.mark.parametrize(("make", "finding"), PLACES)
def test_place(make: Callable[[Path], str], finding: tuple[str, str, str | None], tmp_path: Path) -> None:
    """What can't be read as a rule file or directory is one finding that names it; nobody waits for a FIFO."""
    place = make(tmp_path)
    rules, problems = survey([place])
    found = [*problems, *(problem for rule in rules for problem in rule.problems)]
    assert [(problem.code, problem.severity, problem.pointer) for problem in found] == [finding]
    assert found[0].file in (place, f"{place}/a.json")


PROGRAMS = [
    pytest.param("gone", "missing_program", id="missing"),
    pytest.param("file/x", "unreachable_program", id="below-a-file"),
    pytest.param("x\0y", "unreachable_program", id="nul"),
    pytest.param("y" * 300, "unreachable_program", id="long-name"),
]


@pytest.mark.parametrize(("program", "code"), PROGRAMS)
def test_unreachable_program(program: str, code: str, tmp_path: Path) -> None:
    """A program that can't be reached is an error of the rule's path, with the remedy."""
    (tmp_path / "file").touch()
    (tmp_path / "a.json").write_text(json.dumps(hook(path=f"{tmp_path}/{program}")))
    with pytest.raises(RulesError) as caught:
        read_hook_dir(tmp_path, strict=True)
    (problem,) = caught.value.problems
    assert (problem.code, problem.pointer, problem.file) == (code, "/hook/path", f"{tmp_path}/a.json")
    assert "mask the rule" in str(problem.hint)


MODES = [
    pytest.param(lambda path: path.mkdir(), ["odd_program"], id="directory"),
    pytest.param(lambda path: path.touch(0o644), ["odd_program"], id="not-executable"),
    pytest.param(lambda path: path.touch(0o755), [], id="executable"),
]


@pytest.mark.parametrize(("make", "codes"), MODES)
def test_odd_program(make: Callable[[Path], None], codes: list[str], tmp_path: Path) -> None:
    """A program that is there and can't be run as it is gets a warning."""
    make(tmp_path / "program")
    rule, _ = read(hook(path=str(tmp_path / "program")))
    assert rule is not None
    reading = Reading("x.json")
    lint.lint_program(rule, reading)
    assert [problem.code for problem in reading.problems] == codes


def test_name_without_json(tmp_path: Path) -> None:
    """A file whose name does not end in .json is no rule file, and is not even opened."""
    with pytest.raises(NotJSONNameError) as caught:
        read_hook(tmp_path / "a.JSON")
    assert (caught.value.code, caught.value.file) == ("not_json_name", f"{tmp_path}/a.JSON")


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with more rule files than the limit is refused as a whole; as many as the limit are fine."""
    monkeypatch.setattr(directories, "MAX_FILES", 2)
    files(a=NEW, b=NEW)(tmp_path)
    (tmp_path / "other").touch()
    assert len(survey([tmp_path])[0]) == 2
    files(c=NEW)(tmp_path)
    rules, problems = survey([tmp_path])
    assert rules == ()
    assert [(problem.code, problem.severity, problem.file) for problem in problems] == [
        ("too_many_files", "error", str(tmp_path))
    ]


def codes_in(module: ModuleType) -> set[str]:
    """The codes that *module* gives to findings: arguments of ``error`` and ``warn``, and whatever is called a code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("error", "warn") and node.args:
                values.append(node.args[0])
            values += [keyword.value for keyword in node.keywords if keyword.arg in ("code", "missing")]
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
            values.append(node.value)
        elif isinstance(node, ast.arguments):
            defaults = zip(node.kwonlyargs, node.kw_defaults, strict=True)
            values += [value for argument, value in defaults if value and argument.arg == "missing"]
        for value in values:
            found |= {str(part.value) for part in ast.walk(value) if isinstance(part, ast.Constant)}
    return found


def test_every_code_has_a_case() -> None:
    """Each code that reading gives to a finding occurs in the cases above, and they have no other."""
    in_code = set().union(*map(codes_in, (fields, lint, readers, directories)))
    in_cases = {code for row in ROWS for code, _ in row.errors + row.warnings}
    in_cases |= {str(case.values[1][0]) for case in PLACES} | {str(case.values[1]) for case in PROGRAMS}  # type: ignore[index]
    assert in_cases | {"odd_program", "not_json_name", "too_many_files"} == in_code


def test_every_warning_has_a_counterpart() -> None:
    """Each warning of a document's content has a document that lacks it and differs in little else: the fine ones."""
    in_rows = {code for row in ROWS for code, _ in row.warnings}
    assert codes_in(lint) - {"odd_program"} <= in_rows
    for row in FINE:
        assert read(row.document)[1] == [], row.id
