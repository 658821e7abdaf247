"""Loading rules for containers: which findings stop them, by policy, and which files are trusted at all."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import ERROR, WARNING, Diagnostic
from ocihooks.hooksd.directories import MAX_FILES
from ocihooks.settings import RuleSettings, Settings
from ocihooks.spec.hook import Hook
from ocihooks.trust import MAX_FILE_BYTES, Trust, trust_here
from ocihooks.wrapper.rules import Loaded, load_rules
from ocihooks.wrapper.usable import POLICY_HINT, TIMEOUT_MAX, injectable_problems

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")

GOOD = {"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {"always": True}, "stages": ["createRuntime"]}


class Hooks:
    """Two hooks directories, and settings that name them."""

    def __init__(self, directory: Path) -> None:
        self.first, self.second = directory / "first", directory / "second"
        for path in (self.first, self.second):
            path.mkdir(mode=0o755)

    def write(self, name: str, content: str | dict[str, Any], directory: Path | None = None) -> Path:
        file = (directory or self.first) / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        file.chmod(0o644)
        return file

    def mask(self, name: str, *, age_s: float = 60) -> Path:
        """An empty file of that age."""
        file = self.write(name, "", self.second)
        os.utime(file, (time.time() - age_s,) * 2)
        return file

    def settings(self, **members: Any) -> Settings:
        return Settings(hooks_dirs=(str(self.first), str(self.second)), **members)

    def load(self, **members: Any) -> Loaded:
        return load_rules(self.settings(**members))


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    """Empty hooks directories."""
    return Hooks(tmp_path)


def names(loaded: Loaded) -> list[str]:
    return [rule.name for rule in loaded.rules if rule.status == "active"]


class TestGood:
    """Rules that can be used."""

    def test_order(self, hooks: Hooks) -> None:
        """Rules come in the order in which they run, later directories overriding earlier ones."""
        for name in ("b.json", "A.json", "c.json"):
            hooks.write(name, GOOD)
        winner = hooks.write("b.json", GOOD, hooks.second)
        loaded = hooks.load()
        assert names(loaded) == ["A.json", "b.json", "c.json"]
        assert loaded.rules[1].file == str(winner)
        assert (loaded.refused, loaded.tolerated) == ((), ())

    def test_mask(self, hooks: Hooks) -> None:
        """An empty file, or a link to /dev/null, takes a rule out."""
        for name in ("a.json", "b.json", "c.json"):
            hooks.write(name, GOOD)
        hooks.mask("a.json")
        (hooks.second / "b.json").symlink_to("/dev/null")
        loaded = hooks.load()
        assert (names(loaded), loaded.refused, loaded.tolerated) == (["c.json"], (), ())

    def test_watched_mask(self, hooks: Hooks) -> None:
        """Who looks again at every change takes an empty file for a mask at once."""
        hooks.write("a.json", GOOD)
        hooks.mask("a.json", age_s=0)
        loaded = load_rules(hooks.settings(), watched=True)
        assert (names(loaded), loaded.refused) == ([], ())

    @pytest.mark.parametrize("overrides", [True, False], ids=["overriding", "alone"])
    def test_file_that_is_being_written(self, hooks: Hooks, overrides: bool) -> None:
        """A file that is empty for a moment is no mask: nobody knows what is coming."""
        if overrides:
            hooks.write("a.json", GOOD)
        file = hooks.mask("a.json", age_s=0)
        (problem,) = hooks.load().refused
        assert (problem.file, problem.code) == (str(file), "unfinished")
        assert problem.message == "is empty and was changed less than 2 seconds ago, so it may be just being written"
        assert "try again in a moment" in str(problem.hint)
        tolerant = hooks.load(on_invalid="warn")
        assert (names(tolerant), tolerant.refused, tolerant.tolerated) == ([], (), (problem,))

    def test_missing_directory(self, hooks: Hooks) -> None:
        """A missing directory is fine, and told."""
        hooks.first.rmdir()
        loaded = hooks.load()
        assert (loaded.rules, loaded.refused) == ((), ())
        assert [problem.code for problem in loaded.tolerated] == ["missing_directory"]

    def test_descriptors(self, hooks: Hooks) -> None:
        """No descriptor stays open, be a directory named twice or not trusted, a file a link or a FIFO."""
        hooks.write("a.json", GOOD)
        (hooks.first / "link.json").symlink_to(hooks.write("b.json", GOOD, hooks.second))
        os.mkfifo(hooks.first / "fifo.json")
        (hooks.second / "none.json").symlink_to("/nonexistent")
        odd = hooks.second / "odd"
        odd.mkdir(mode=0o777)
        odd.chmod(0o777)
        directories = (str(hooks.first), str(odd), str(hooks.first), f"{hooks.second}/", "/nonexistent")
        before = os.listdir("/proc/self/fd")
        loaded = load_rules(Settings(hooks_dirs=directories))
        assert os.listdir("/proc/self/fd") == before
        assert names(loaded) == ["a.json", "b.json", "link.json"]
        assert [problem.file for problem in loaded.refused] == [str(odd), str(hooks.first / "fifo.json")]

    def test_filters(self, hooks: Hooks) -> None:
        """The stage of filters is known."""
        hooks.write("a.json", GOOD | {"stages": ["precreate"]})
        assert names(hooks.load()) == ["a.json"]

    def test_missing_program(self, hooks: Hooks) -> None:
        """Programs are looked at only when a rule matches."""
        hooks.write("a.json", GOOD | {"hook": {"path": "/nonexistent/program"}})
        assert (names(hooks.load()), hooks.load().refused) == (["a.json"], ())


BROKEN: list[Any] = [
    pytest.param(lambda hooks: hooks.write("x.json", "{"), "json_syntax", id="syntax"),
    pytest.param(lambda hooks: hooks.write("x.json", GOOD | {"stages": ["nope"]}), "unknown_stage", id="stage"),
    pytest.param(lambda hooks: hooks.write("x.json", GOOD | {"version": "2.0"}), "unknown_version", id="version"),
    pytest.param(
        lambda hooks: hooks.write("x.json", GOOD | {"when": {"commands": ["("]}}), "bad_pattern", id="pattern"
    ),
    pytest.param(lambda hooks: (hooks.first / "x.json").mkdir(), "untrusted", id="directory"),
    pytest.param(lambda hooks: os.mkfifo(hooks.first / "x.json", 0o600), "untrusted", id="fifo"),
    pytest.param(lambda hooks: (hooks.first / "x.json").symlink_to("x.json"), "untrusted", id="link-loop"),
    pytest.param(lambda hooks: hooks.write("x.json", GOOD).chmod(0o666), "untrusted", id="writable"),
    pytest.param(lambda hooks: hooks.write("x.json", " " * (MAX_FILE_BYTES + 1)), "too_large", id="too-large"),
]


class TestPolicies:
    """What is done about a rule that can't be read."""

    @pytest.mark.parametrize(("spoil", "code"), BROKEN)
    def test_fail(self, spoil: Callable[[Hooks], object], code: str, hooks: Hooks) -> None:
        """By default it stops all containers, and every finding has file and remedy."""
        hooks.write("good.json", GOOD)
        spoil(hooks)
        loaded = hooks.load()
        assert [problem.code for problem in loaded.refused] == [code]
        (problem,) = loaded.refused
        assert (problem.file, problem.severity) == (str(hooks.first / "x.json"), ERROR)
        assert problem.hint
        assert names(loaded) == ["good.json"]

    @pytest.mark.parametrize(
        "members", [{"on_invalid": "warn"}, {"rules": {"x.json": RuleSettings(on_invalid="warn")}}], ids=["all", "rule"]
    )
    @pytest.mark.parametrize(("spoil", "code"), BROKEN)
    def test_warn(self, spoil: Callable[[Hooks], object], code: str, members: Any, hooks: Hooks) -> None:
        """Where it is tolerated, the others go on, and it is told."""
        hooks.write("good.json", GOOD)
        spoil(hooks)
        loaded = hooks.load(**members)
        assert (names(loaded), loaded.refused) == (["good.json"], ())
        assert [problem.code for problem in loaded.tolerated] == [code]

    @pytest.mark.parametrize(
        "members",
        [{"on_invalid": "ignore"}, {"rules": {"x.json": RuleSettings(on_invalid="ignore")}}],
        ids=["all", "rule"],
    )
    @pytest.mark.parametrize(("spoil", "code"), BROKEN)
    def test_ignore(self, spoil: Callable[[Hooks], object], code: str, members: Any, hooks: Hooks) -> None:
        """Where it is to be ignored, nothing is told."""
        hooks.write("good.json", GOOD)
        spoil(hooks)
        loaded = hooks.load(**members)
        assert (names(loaded), loaded.refused, loaded.tolerated) == (["good.json"], (), ())

    def test_own_policy_counts(self, hooks: Hooks) -> None:
        """The policy of a rule is stronger than that of the settings, both ways."""
        hooks.write("x.json", "{")
        assert hooks.load(on_invalid="ignore", rules={"x.json": RuleSettings(on_invalid="fail")}).refused
        assert not hooks.load(on_invalid="fail", rules={"x.json": RuleSettings(on_invalid="ignore")}).refused
        assert hooks.load(on_invalid="fail", rules={"y.json": RuleSettings(on_invalid="ignore")}).refused

    def test_overridden_file(self, hooks: Hooks) -> None:
        """A broken file that another one overrides is not even read."""
        hooks.write("x.json", "{")
        hooks.write("x.json", GOOD, hooks.second)
        assert (names(hooks.load()), hooks.load().refused) == (["x.json"], ())

    def test_warnings(self, hooks: Hooks) -> None:
        """What is merely odd never stops anything."""
        hooks.write("x.json", GOOD | {"stages": ["prestart"], "annotation": []})
        loaded = hooks.load()
        assert loaded.refused == ()
        assert {problem.code for problem in loaded.tolerated} >= {"prestart"}
        assert {problem.severity for problem in loaded.tolerated} == {WARNING}

    def test_dangling_link(self, hooks: Hooks) -> None:
        """A link to nothing masks, and is told."""
        hooks.write("x.json", GOOD)
        (hooks.second / "x.json").symlink_to("nothing.json")
        loaded = hooks.load()
        assert (names(loaded), loaded.refused) == ([], ())
        assert [(p.code, p.severity) for p in loaded.tolerated] == [("missing_file", WARNING)]

    def test_all_at_once(self, hooks: Hooks) -> None:
        """All broken rules are named."""
        for name in ("a.json", "b.json"):
            hooks.write(name, "{")
        hooks.second.chmod(0o777)
        assert {str(problem.file).rpartition("/")[2] for problem in hooks.load().refused} == {
            "a.json",
            "b.json",
            "second",
        }


class TestDirectories:
    """Hooks directories."""

    @pytest.mark.parametrize("policy", ["fail", "warn", "ignore"])
    def test_untrusted(self, policy: Any, hooks: Hooks) -> None:
        """A directory that others can write to is left out as a whole, by the policy of the settings."""
        hooks.write("a.json", GOOD)
        hooks.write("b.json", GOOD, hooks.second)
        hooks.first.chmod(0o777)
        loaded = hooks.load(on_invalid=policy)
        assert names(loaded) == ["b.json"]
        told = {"fail": loaded.refused, "warn": loaded.tolerated, "ignore": ()}[policy]
        assert [problem.file for problem in told] == [str(hooks.first)][: len(told)]
        assert bool(told) == (policy != "ignore")
        assert len(loaded.refused) + len(loaded.tolerated) == len(told)

    def test_link_to_a_place_of_others(self, hooks: Hooks, tmp_path: Path) -> None:
        """A link is followed with all that is above what it leads to, which others must not be able to exchange."""
        odd = tmp_path / "odd"
        odd.mkdir()
        (hooks.first / "link.json").symlink_to(hooks.write("a.json", GOOD, odd))
        assert names(hooks.load()) == ["link.json"]
        odd.chmod(0o777)
        loaded = hooks.load()
        assert (names(loaded), [problem.code for problem in loaded.refused]) == ([], ["untrusted"])

    @pytest.mark.parametrize("mode", [0o602, 0o666])
    def test_file_that_others_can_write(self, mode: int, hooks: Hooks) -> None:
        """A file is refused, whoever of the others may write it."""
        hooks.write("a.json", GOOD).chmod(mode)
        assert [problem.code for problem in hooks.load().refused] == ["untrusted"]

    def test_file(self, hooks: Hooks) -> None:
        """A file in place of a directory is an error."""
        hooks.first.rmdir()
        hooks.first.touch()
        assert [problem.file for problem in hooks.load().refused] == [str(hooks.first)]

    def test_below_a_file(self, hooks: Hooks) -> None:
        """So is a directory that can't be reached."""
        (hooks.first / "file").touch()
        loaded = load_rules(Settings(hooks_dirs=(f"{hooks.first}/file/hooks.d",)))
        assert [problem.message for problem in loaded.refused] == ["can't be listed: not a directory"]

    @needs_root
    def test_trusted_group(self, hooks: Hooks) -> None:
        """A group that the settings trust may write directory and files."""
        file = hooks.write("a.json", GOOD)
        for path in (hooks.first, file):
            os.chown(path, 0, 2345)
            path.chmod(0o775)
        assert hooks.load().refused
        assert names(hooks.load(trusted_groups=(2345,))) == ["a.json"]

    def test_too_many(self, hooks: Hooks) -> None:
        """A directory has a largest number of rules."""
        for number in range(MAX_FILES + 1):
            (hooks.first / f"{number}.json").touch()
        loaded = hooks.load()
        assert [(problem.file, problem.code) for problem in loaded.refused] == [(str(hooks.first), "too_many_files")]


class MatchingRule:
    """What is asked about a rule that matches."""

    def __init__(self, stages: tuple[str, ...] = ("createRuntime",), **hook: Any) -> None:
        self.file = "/d/x.json"
        self.stages = stages
        self.hook = Hook(**{"path": "/bin/true", **hook})


def in_place(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the place of a file."""

    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


class TestUsable:
    """Hooks of rules that match."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Path:
        """A program that can be used."""
        path = tmp_path / "program"
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    @staticmethod
    def problems(rule: MatchingRule, trust: Trust | None = None) -> list[Diagnostic]:
        found = list(injectable_problems(rule, trust or trust_here()))
        assert all((problem.severity, problem.file) == (ERROR, "/d/x.json") for problem in found)
        return found

    def test_good(self, program: Path) -> None:
        """A program that root alone can write, with a sensible timeout, can be used."""
        for timeout in (None, 1, TIMEOUT_MAX):
            assert self.problems(MatchingRule(path=str(program), timeout=timeout)) == []

    @pytest.mark.parametrize("path", ["true", "./true", "~/true"])
    def test_relative(self, path: str) -> None:
        """A relative path means something else to each runtime."""
        (problem,) = self.problems(MatchingRule(path=path))
        assert (problem.code, problem.pointer) == ("relative_path", "/hook/path")
        assert problem.message == f'expected an absolute path, found "{path}"'

    @pytest.mark.parametrize("timeout", [0, -1, 3601, 10**30])
    def test_timeout(self, timeout: int) -> None:
        """Timeouts that runtimes disagree about are refused."""
        (problem,) = self.problems(MatchingRule(timeout=timeout))
        assert (problem.code, problem.pointer) == ("odd_timeout", "/hook/timeout")
        assert problem.message == f"expected 1 to 3600 seconds, found {timeout}"

    def test_both(self) -> None:
        """Both are told at once."""
        assert [problem.code for problem in self.problems(MatchingRule(path="x", timeout=0))] == [
            "relative_path",
            "odd_timeout",
        ]

    @pytest.mark.parametrize(
        ("spoil", "code", "message"),
        [
            pytest.param(Path.unlink, "missing_program", "it does not exist", id="missing"),
            pytest.param(lambda path: path.chmod(0o644), "odd_program", "is not executable", id="not-executable"),
            pytest.param(lambda path: path.chmod(0o777), "untrusted", "everybody may write it", id="writable"),
            pytest.param(
                lambda path: path.parent.chmod(0o777), "untrusted", "everybody may write", id="writable-directory"
            ),
            pytest.param(in_place(Path.mkdir), "odd_program", "is no regular file", id="directory"),
            pytest.param(in_place(os.mkfifo), "odd_program", "is no regular file", id="fifo"),
            pytest.param(
                in_place(lambda path: path.symlink_to(path)), "untrusted", "too many symbolic links", id="loop"
            ),
        ],
    )
    def test_program(self, spoil: Callable[[Path], object], code: str, message: str, program: Path) -> None:
        """A program that can't be used is named with the reason."""
        spoil(program)
        (problem,) = self.problems(MatchingRule(path=str(program)))
        assert (problem.code, problem.pointer) == (code, "/hook/path")
        assert problem.message.startswith(f'program "{program}"')
        assert message in problem.message

    @needs_root
    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(["-I", "{}"], id="option"),
            pytest.param(["{}", "/etc/passwd"], id="first"),
            pytest.param(["-W", "error", "{}", "x"], id="behind-a-value"),
            pytest.param(["-e", "{}"], id="short-option"),
            pytest.param(["+m", "{}"], id="option-off"),
            pytest.param(["-m", "{}"], id="job-control"),
            pytest.param(["--norc", "{}"], id="long-option"),
        ],
    )
    @pytest.mark.parametrize("writable", [True, False], ids=["writable", "sound"])
    def test_script(self, words: list[str], writable: bool, program: Path) -> None:
        """What an interpreter runs is looked at like a program: whoever writes it decides what root runs."""
        python = os.path.realpath("/bin/sh")
        program.chmod(0o646 if writable else 0o644)
        rule = MatchingRule(path=python, args=("sh", *(word.format(program) for word in words)))
        found = self.problems(rule)
        assert [(problem.code, problem.pointer) for problem in found] == [("untrusted", "/hook/args")] * writable
        assert all(problem.message.startswith(f'script "{program}": not used, since everybody') for problem in found)
        assert self.problems(MatchingRule(("startContainer",), path=python, args=rule.hook.args)) == []

    @needs_root
    def test_script_behind_the_path_of_its_interpreter(self, program: Path) -> None:
        """The first argument is the interpreter's name, and no script, also where it is a path."""
        program.chmod(0o646)
        (problem,) = self.problems(MatchingRule(path="/bin/sh", args=("/bin/sh", str(program))))
        assert (problem.code, problem.pointer) == ("untrusted", "/hook/args")

    @needs_root
    @pytest.mark.parametrize("words", [["-m"], []], ids=["job-control", "alone"])
    def test_script_of_sh(self, words: list[str], program: Path) -> None:
        """Only python has modules behind -m, and the letters that a script's name ends in are no options."""
        script = program.with_name("script.c")
        program.rename(script)
        script.chmod(0o646)
        (problem,) = self.problems(MatchingRule(path="/bin/sh", args=("sh", *words, str(script))))
        assert problem.message.startswith(f'script "{script}"')

    @pytest.mark.parametrize(
        ("path", "args"),
        [
            pytest.param("/bin/sh", ("sh", "-c", "/tmp/x; true"), id="text"),
            pytest.param(os.path.realpath(sys.executable), ("python", "-Im", "json.tool", "/tmp"), id="module"),
            pytest.param("/bin/sh", ("sh", "/none/x"), id="missing"),
            pytest.param("/bin/sh", ("sh", "/\0"), id="nul"),
            pytest.param("/bin/sh", ("sh", "relative"), id="relative"),
            pytest.param("/bin/true", ("true", "/tmp"), id="no-interpreter"),
        ],
    )
    def test_no_script(self, path: str, args: tuple[str, ...]) -> None:
        """Arguments that are no script, or none that is there, are left to the program."""
        assert self.problems(MatchingRule(path=path, args=args)) == []

    def test_path_below_a_file(self, program: Path) -> None:
        """A program that can't be reached is told from a missing one."""
        (problem,) = self.problems(MatchingRule(path=f"{program}/x"))
        assert (problem.code, problem.message.endswith("not a directory")) == ("unreachable_program", True)

    def test_nul(self) -> None:
        """A path with a NUL is nobody's program."""
        (problem,) = self.problems(MatchingRule(path="/bin/\0"))
        assert (problem.code, "NUL" in problem.message) == ("unreachable_program", True)

    @pytest.mark.parametrize(
        ("stages", "looked_at"),
        [
            pytest.param(("startContainer",), False, id="container"),
            pytest.param((), False, id="none"),
            pytest.param(("startContainer", "poststop"), True, id="both"),
            pytest.param(("createContainer",), True, id="createContainer"),
            pytest.param(("precreate",), True, id="filter"),
        ],
    )
    def test_program_in_the_container(self, stages: tuple[str, ...], looked_at: bool) -> None:
        """A program that lives in the container is not looked for on the host."""
        assert bool(self.problems(MatchingRule(stages, path="/nonexistent/program"))) == looked_at

    def test_link(self, program: Path) -> None:
        """A link to a program that can be used can be used."""
        link = program.parent / "link"
        link.symlink_to(program)
        assert self.problems(MatchingRule(path=str(link))) == []

    @needs_root
    def test_trust(self, program: Path) -> None:
        """Owners and groups that are trusted count for programs, too."""
        os.chown(program, 1234, 2345)
        program.chmod(0o775)
        assert self.problems(MatchingRule(path=str(program)), Trust((0,)))
        assert not self.problems(MatchingRule(path=str(program)), Trust((0, 1234), (2345,)))


def test_policy_hint() -> None:
    """The hint of a broken rule names all three remedies."""
    assert POLICY_HINT.startswith("mend it, mask it")
    assert 'on-invalid = "warn"' in POLICY_HINT
