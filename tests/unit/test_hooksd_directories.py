"""Hooks directories: which file counts, what masks it, in which order rules run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ocihooks.errors import HookError, RulesError
from ocihooks.hooksd.directories import Rule, order, overridden_problems, program_problems, read_hook_dir, survey
from ocihooks.hooksd.readers import read_hook


def rule(path: str = "/bin/true", stage: str = "poststop") -> str:
    """A rule file without fault; *path* tells it from others."""
    return json.dumps({"version": "1.0.0", "hook": {"path": path}, "when": {"always": True}, "stages": [stage]})


@pytest.fixture
def usr(tmp_path: Path) -> Path:
    """The directory of packages, which has one rule."""
    directory = tmp_path / "usr"
    directory.mkdir()
    (directory / "a.json").write_text(rule("/bin/old"))
    return directory


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """The administrator's directory, which overrides; it's empty."""
    directory = tmp_path / "etc"
    directory.mkdir()
    return directory


def summary(rules: tuple[Rule, ...]) -> list[tuple[str, str, str | None]]:
    """Name, status and program of each rule."""
    return [(rule.name, rule.status, rule.hook.path if rule.hook else None) for rule in rules]


def test_override(usr: Path, etc: Path) -> None:
    """A file counts instead of those of the same name in earlier directories, and says which."""
    (etc / "a.json").write_text(rule("/bin/new"))
    rules, problems = survey([usr, etc])
    assert summary(rules) == [("a.json", "active", "/bin/new")]
    assert rules[0].overrides == (f"{usr}/a.json",)
    assert problems == ()
    assert summary(survey([etc, usr])[0]) == [("a.json", "active", "/bin/old")]


def test_overrides_nearest_first(usr: Path, etc: Path, tmp_path: Path) -> None:
    """With three files of one name, the overridden ones are listed from the nearest to the farthest."""
    for directory in (etc, tmp_path):
        (directory / "a.json").write_text(rule())
    rules, _ = survey([usr, etc, tmp_path])
    assert (rules[0].file, rules[0].overrides) == (f"{tmp_path}/a.json", (f"{etc}/a.json", f"{usr}/a.json"))


def test_directory_twice(usr: Path) -> None:
    """A directory given twice counts once."""
    rules, _ = survey([usr, usr])
    assert [(rule.file, rule.overrides) for rule in rules] == [(f"{usr}/a.json", ())]


@pytest.mark.parametrize("kind", ["empty", "dev-null"])
def test_mask(kind: str, usr: Path, etc: Path) -> None:
    """An empty file or a link to /dev/null masks the rule of its name, without a finding."""
    if kind == "empty":
        (etc / "a.json").touch()
    else:
        (etc / "a.json").symlink_to("/dev/null")
    rules, problems = survey([usr, etc])
    assert summary(rules) == [("a.json", "masked", None)]
    assert rules[0].problems + problems + overridden_problems(rules) == ()
    assert (rules[0].stages, rules[0].when.always) == ((), None)


def test_mask_is_overridden(usr: Path, etc: Path) -> None:
    """A mask in an earlier directory masks nothing in a later one, and is no fault."""
    (etc / "a.json").touch()
    rules, _ = survey([etc, usr])
    assert summary(rules) == [("a.json", "active", "/bin/old")]
    assert overridden_problems(rules) == ()


def test_blank_file_is_no_mask(usr: Path, etc: Path) -> None:
    """A file with nothing but white space is a broken rule, not a mask."""
    (etc / "a.json").write_text("\n")
    rules, _ = survey([usr, etc])
    assert summary(rules) == [("a.json", "invalid", None)]
    assert [problem.code for problem in rules[0].problems] == ["json_syntax"]


def test_dangling_link(usr: Path, etc: Path) -> None:
    """A link to nothing masks, too, but with a warning that names both ends and what it masks."""
    (etc / "a.json").symlink_to("gone")
    (etc / "b.json").symlink_to("gone")
    rules, _ = survey([usr, etc])
    assert summary(rules) == [("a.json", "masked", None), ("b.json", "masked", None)]
    assert [str(problem) for rule in rules for problem in rule.problems] == [
        f'{etc}/a.json: links to "gone", which is missing, so it masks {usr}/a.json',
        f'{etc}/b.json: links to "gone", which is missing, so there is no such rule',
    ]


def test_broken_override(usr: Path, etc: Path) -> None:
    """A broken file does not fall back to the one that it overrides: the rule is invalid."""
    (etc / "a.json").write_text("{")
    assert summary(survey([usr, etc])[0]) == [("a.json", "invalid", None)]


def test_broken_and_overridden(usr: Path, etc: Path) -> None:
    """A broken file that is overridden does no harm, and can be asked for."""
    (usr / "a.json").write_text("{")
    (etc / "a.json").write_text(rule("/bin/new"))
    rules, problems = survey([usr, etc])
    assert (summary(rules), problems) == ([("a.json", "active", "/bin/new")], ())
    assert [(problem.code, problem.file) for problem in overridden_problems(rules)] == [
        ("json_syntax", f"{usr}/a.json")
    ]


def test_other_names(usr: Path) -> None:
    """Only names that end in .json count, in lower case; hidden ones count, too, and directories in their place do."""
    for name in ("b.JSON", "c.json~", "d.json.bak", "e"):
        (usr / name).write_text("{")
    for name in (".json", ".f.json"):
        (usr / name).write_text(rule())
    (usr / "sub").mkdir()
    (usr / "g.json").mkdir()
    rules, _ = survey([usr])
    assert [(rule.name, rule.status) for rule in rules] == [
        (".f.json", "active"),
        (".json", "active"),
        ("a.json", "active"),
        ("g.json", "invalid"),
    ]
    assert [str(problem) for problem in rules[-1].problems] == [f"{usr}/g.json: can't be read: is a directory"]


def test_directory_that_can_not_be_listed(usr: Path, tmp_path: Path) -> None:
    """A missing directory is a warning, anything else in its place an error; the other directories count."""
    rules, problems = survey([tmp_path / "gone", usr / "a.json", "", "a\0b", usr])
    assert [rule.name for rule in rules] == ["a.json"]
    assert [(problem.file, problem.code, problem.severity) for problem in problems] == [
        (f"{tmp_path}/gone", "missing_directory", "warning"),
        (f"{usr}/a.json", "read_failed", "error"),
        ("a\0b", "read_failed", "error"),
    ]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["10-a.json", "9-b.json"], id="text-not-numbers"),
        pytest.param(["a.json", "B.json", "c.json"], id="case-does-not-count"),
        pytest.param(["A.json", "a.json"], id="exact-name-breaks-the-tie"),
        pytest.param(["b.json", "\u0130.json", "j.json"], id="dotted-capital-i-is-i"),
        pytest.param(["i.json", "\u0130.json"], id="i-and-dotted-capital-i"),
        pytest.param(["\u0130j.json", "i\u0307.json"], id="dotted-capital-i-is-one-letter"),
        pytest.param(["\u03b1\u03a3.json", "\u03b1\u03c3.json", "\u03b1\u03c3\u03c2.json"], id="sigma-is-never-final"),
        pytest.param(["\u03b1\u03c2.json", "\u03b1\u03a3.json"], id="final-sigma-before-sigma"),
        pytest.param(["K.json", "k.json", "\u212a.json", "l.json"], id="kelvin-sign-is-k"),
        pytest.param(["z.json", "\u00c4.json", "\u00e4.json"], id="umlauts-last"),
        pytest.param(["a-.json", "a.json", "a0.json"], id="punctuation"),
        pytest.param(["\U0001f600.json", os.fsdecode(b"\xff.json")], id="not-utf8"),
    ],
)
def test_order(names: list[str], tmp_path: Path) -> None:
    """Rules run in the order of their names, each letter lower-cased by itself; directories do not matter."""
    directories = [tmp_path / "0", tmp_path / "1"]
    for directory in directories:
        directory.mkdir()
    for index, name in enumerate(reversed(names)):
        (directories[index % 2] / name).write_text(rule())
    assert sorted(names, key=order) == names
    assert [rule.name for rule in survey(directories)[0]] == names


def test_names_that_differ_only_in_case(usr: Path, etc: Path) -> None:
    """Only exactly the same name overrides."""
    (etc / "A.json").write_text(rule("/bin/new"))
    assert [name for name, _, _ in summary(survey([usr, etc])[0])] == ["A.json", "a.json"]


def test_own_reader(usr: Path) -> None:
    """A caller's own function reads the files, and only those that count; what it refuses is the rule's finding."""
    (usr / "b.json").write_text(rule())
    asked: list[str] = []

    def read(file: str) -> bytes:
        asked.append(file)
        if file.endswith("b.json"):
            raise HookError("not trusted", code="untrusted", file=file)
        return rule("/bin/other").encode()

    rules, _ = survey([usr], read_file=read)
    assert asked == [f"{usr}/a.json", f"{usr}/b.json"]
    assert summary(rules) == [("a.json", "active", "/bin/other"), ("b.json", "invalid", None)]
    assert [problem.code for problem in rules[1].problems] == ["untrusted"]


@pytest.mark.parametrize("left", [b"", None], ids=["emptied", "gone"])
def test_file_that_goes_meanwhile(left: bytes | None, usr: Path, etc: Path) -> None:
    """A file deleted after its directory was listed counts as deleted: the one that it overrode counts again."""
    for directory in (usr, etc):
        (directory / "b.json").write_text(rule("/bin/b"))
    (etc / "a.json").write_text(rule("/bin/new"))

    def delete_and_read(file: str) -> bytes:
        if file.startswith(str(etc)):
            os.unlink(file)
            if left is not None:
                return left
        return Path(file).read_bytes()

    statuses = {None: "active", b"": "masked"}
    rules, _ = survey([usr, etc], read_file=delete_and_read)
    assert [(rule.name, rule.status) for rule in rules] == [("a.json", statuses[left]), ("b.json", statuses[left])]
    assert [problem for rule in rules for problem in rule.problems] == []


def test_only_file_goes_meanwhile(usr: Path) -> None:
    """A file deleted after its directory was listed leaves no rule, and a warning that says so."""

    def delete_and_read(file: str) -> bytes:
        os.unlink(file)
        return Path(file).read_bytes()

    (gone,) = survey([usr], read_file=delete_and_read)[0]
    assert gone.config is None
    assert [(problem.code, problem.severity) for problem in gone.problems] == [("missing_file", "warning")]
    assert "has gone since its directory was listed" in str(gone.problems[0])


def test_survey_looks_at_no_program(usr: Path) -> None:
    """A survey leaves programs alone; whoever wants to know asks for each rule."""
    rules, _ = survey([usr])
    assert [problem.code for problem in program_problems(rules[0])] == ["missing_program"]
    (usr / "a.json").touch()
    (usr / "a.json").write_bytes(b"")
    assert program_problems(survey([usr])[0][0]) == ()


def test_link_to_a_rule(usr: Path, etc: Path) -> None:
    """A link counts under its own name, with what stands where it leads."""
    (etc / "b.json").symlink_to(usr / "a.json")
    assert summary(survey([etc])[0]) == [("b.json", "active", "/bin/old")]


def test_read_hook_dir(usr: Path) -> None:
    """Rules are collected by name; one whose program is missing is left out and reported."""
    (usr / "b.json").write_text(rule())
    into = {"c.json": read_hook(usr / "b.json")}
    rules = read_hook_dir(usr, into=into)
    assert (list(rules), list(into)) == (["b.json"], ["c.json", "b.json"])
    assert [(problem.code, problem.file) for problem in rules.problems] == [("missing_program", f"{usr}/a.json")]


def test_read_hook_dir_strict(usr: Path) -> None:
    """With strict, a missing program is an error; the other rules are handed over nevertheless."""
    (usr / "b.json").write_text(rule())
    into: dict[str, object] = {}
    with pytest.raises(RulesError) as caught:
        read_hook_dir(usr, into=into, strict=True)  # type: ignore[arg-type]
    assert (caught.value.code, list(into)) == ("missing_program", ["b.json"])


def test_read_hook_dir_reports_all(usr: Path) -> None:
    """All faults of all files are reported at once, in the order of the names."""
    (usr / "b.json").write_text("{")
    (usr / "c.json").write_text(rule(stage="nope"))
    (usr / "d.json").symlink_to("gone")
    with pytest.raises(RulesError) as caught:
        read_hook_dir(usr, extension_stages=["precreate"])
    assert [problem.code for problem in caught.value.problems] == [
        "missing_program",
        "json_syntax",
        "unknown_stage",
        "missing_file",
    ]


def test_read_hook_dir_missing(tmp_path: Path) -> None:
    """A missing directory is an error here."""
    with pytest.raises(RulesError) as caught:
        read_hook_dir(tmp_path / "gone")
    assert (caught.value.code, caught.value.file) == ("missing_directory", f"{tmp_path}/gone")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
