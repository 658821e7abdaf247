"""What a container is to gain: order, policies, engines' own mounts, sandboxes, static hooks and filters."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ocihooks.document import parse_config
from ocihooks.errors import DocumentError, MatchError, RulesError, UntrustedError
from ocihooks.injection import DEFAULT_PATH, RULE_MARK
from ocihooks.settings import RuleSettings, Settings
from ocihooks.wrapper.plan import Plan, container_of, make_plan

ID = "0123456789abcdef" * 4
SANDBOX = {"io.kubernetes.cri.container-type": "sandbox"}


class Place:
    """Hooks directories, programs and static hook files of one test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hooks = directory / "hooks.d"
        self.hooks.mkdir(mode=0o755)

    def program(self, name: str) -> str:
        path = self.directory / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return str(path)

    def rule(self, name: str, *stages: str, when: Any = None, **hook: Any) -> None:
        hook = {"path": self.program(name), **hook}
        document = {
            "version": "1.0.0",
            "hook": hook,
            "when": {"always": True} if when is None else when,
            "stages": stages or ("createRuntime",),
        }
        self.write(self.hooks / f"{name}.json", document)

    def static(self, name: str, **stages: list[str]) -> str:
        file = self.directory / name
        return self.write(file, {stage: [{"path": path} for path in paths] for stage, paths in stages.items()})

    @staticmethod
    def write(file: Path, document: Any) -> str:
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        file.chmod(0o644)
        return str(file)

    def plan(self, config: dict[str, Any] | None = None, **settings: Any) -> Plan:
        document = {"ociVersion": "1.0.2", "process": {"args": ["sh"]}, **(config or {})}
        parsed = parse_config(json.dumps(document).encode(), "config.json")
        return make_plan(parsed, Settings(hooks_dirs=(str(self.hooks),), **settings))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """No rules, no static hooks."""
    return Place(tmp_path)


def names(plan: Plan, stage: str = "createRuntime") -> list[str]:
    """The programs of one stage by their file names, in order."""
    return [os.path.basename(entry["path"]) for entry in (plan.hooks or {}).get(stage) or ()]


class TestOrder:
    """Which hook stands where."""

    HOOKS = {"hooks": {"createRuntime": [{"path": "/x/old"}]}}  # noqa: RUF012  (nobody changes it)

    def test_appended(self, place: Place) -> None:
        """Static hooks and then those of rules stand behind those that are there; rules are in order of their names."""
        for name in ("b", "A", "c"):
            place.rule(name)
        static = (place.static("s1.json", createRuntime=["/s/1"]), place.static("s2.json", createRuntime=["/s/2"]))
        assert names(place.plan(self.HOOKS, static_hooks=static)) == ["old", "1", "2", "A", "b", "c"]

    def test_prepended(self, place: Place) -> None:
        """Or in front of them."""
        place.rule("b")
        place.rule("a")
        static = (place.static("s.json", createRuntime=["/s/1"]),)
        plan = place.plan(self.HOOKS, static_hooks=static, position="prepend")
        assert names(plan) == ["1", "a", "b", "old"]

    def test_stages(self, place: Place) -> None:
        """A hook goes to each of its stages, prestart being createRuntime."""
        place.rule("a", "poststop", "prestart")
        plan = place.plan()
        assert {stage: names(plan, stage) for stage in plan.hooks or ()} == {"createRuntime": ["a"], "poststop": ["a"]}

    def test_nothing(self, place: Place) -> None:
        """Nothing to add is told as such."""
        place.rule("a", when={"annotations": {"^wanted$": "."}})
        plan = place.plan(self.HOOKS)
        assert (plan.hooks, plan.filters, plan.skipped, plan.warnings, plan.sandbox) == (None, (), (), (), False)

    def test_entry(self, place: Place) -> None:
        """A rule's entry has arguments, environment and marks."""
        place.rule("a", args=["a", "b"], timeout=7)
        (entry,) = (place.plan().hooks or {})["createRuntime"]
        file = f"{place.hooks}/a.json"
        assert entry == {
            "path": f"{place.directory}/a",
            "args": ["a", "b"],
            "env": [DEFAULT_PATH, f"{RULE_MARK}{file}", "OCIHOOKS_STAGE=createRuntime"],
            "timeout": 7,
        }

    def test_default_timeout(self, place: Place) -> None:
        """Hooks without a timeout get that of the settings."""
        place.rule("a")
        place.rule("b", timeout=3)
        hooks = place.plan(default_timeout=9).hooks or {}
        assert [entry["timeout"] for entry in hooks["createRuntime"]] == [9, 3]
        assert "timeout" not in (place.plan().hooks or {})["createRuntime"][0]

    def test_filters(self, place: Place) -> None:
        """Filters are told apart, in the order of their rules."""
        place.rule("b", "precreate")
        place.rule("a", "precreate", "poststop")
        plan = place.plan()
        assert [rule.name for rule in plan.filters] == ["a.json", "b.json"]
        assert (names(plan, "poststop"), list(plan.hooks or ())) == (["a"], ["poststop"])

    def test_twice(self, place: Place) -> None:
        """A configuration that has it all already gets nothing."""
        place.rule("a", timeout=5)
        static = (place.static("s.json", createRuntime=["/s/1"]),)
        for position in ("append", "prepend"):
            once = place.plan(self.HOOKS, static_hooks=static, position=position, default_timeout=3).hooks
            again = place.plan({"hooks": once}, static_hooks=static, position=position, default_timeout=3)
            assert again.hooks is None


class TestMatching:
    """What rules are asked about."""

    def test_annotations_and_command(self, place: Place) -> None:
        """Annotations, command and mounts are those of the configuration."""
        place.rule("a", when={"annotations": {"^k/x$": "^v$"}, "commands": ["^sh$"], "hasBindMounts": True})
        mount = {"destination": "/data", "type": "bind", "source": "/srv"}
        assert names(place.plan({"annotations": {"k/x": "v"}, "mounts": [mount]})) == ["a"]
        assert names(place.plan({"annotations": {"k/x": "w"}, "mounts": [mount]})) == []
        assert names(place.plan({"annotations": {"k/x": "v"}})) == []

    def test_engines_mounts(self, place: Place) -> None:
        """Mounts that an engine makes for every container are no bind mounts of a user."""
        place.rule("a", when={"hasBindMounts": True})
        engines = {
            "destination": "/etc/hosts",
            "type": "bind",
            "source": f"/var/lib/docker/containers/{ID}/hosts",
        }
        users = engines | {"source": "/srv/hosts"}
        assert names(place.plan({"mounts": [engines]})) == []
        assert names(place.plan({"mounts": [engines, users]})) == ["a"]

    def test_no_process(self, place: Place) -> None:
        """A configuration without a process has no command to compare."""
        place.rule("a", when={"commands": ["sh"]})
        place.rule("b", when={"always": True, "commands": ["sh"]})
        assert names(place.plan({"process": None})) == ["b"]

    @pytest.mark.parametrize("policy", ["fail", "ignore"])
    def test_undecidable(self, policy: Any, place: Place) -> None:
        """A rule that can't be decided refuses the container, whatever the policy, and is named."""
        place.rule("a", when={"commands": ["sh"]})
        with pytest.raises(MatchError, match=r"rule .*/a\.json: process.args is empty") as caught:
            place.plan({"process": {"args": []}}, on_invalid=policy)
        assert caught.value.pointer == "/process/args"

    @pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\\", "\\u0041", "é\U0001f600"], ids=ascii)
    def test_half_pairs(self, text: str) -> None:
        """Half surrogate pairs, which patterns can't be asked about, count as replacement characters."""
        data = json.dumps({"annotations": {text: text}, "process": {"args": [text]}}).encode()
        container = container_of(parse_config(data, "c"))
        shown = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
        assert (container.args, container.annotations) == ((shown,), {shown: shown})

    @pytest.mark.parametrize(
        ("members", "pointer"),
        [
            pytest.param({"process": {"args": ["sh", "a\0b"]}}, "/process/args/1", id="argument"),
            pytest.param({"annotations": {"x": "", "a": "b\0"}}, "/annotations/a", id="annotation"),
            pytest.param({"annotations": {"a\0~/b": ""}}, "/annotations/a\0~0~1b", id="name"),
        ],
    )
    def test_nul(self, members: dict[str, Any], pointer: str) -> None:
        """A text that ends at a NUL character for crun, and not for runc, is refused where rules can ask about it."""
        with pytest.raises(DocumentError) as caught:
            container_of(parse_config(json.dumps(members).encode(), "c"))
        assert (caught.value.code, caught.value.pointer) == ("nul_character", pointer)

    def test_no_nul(self) -> None:
        """The same letters behind a backslash are no NUL character, and elsewhere in the document one hurts nobody."""
        container = container_of(parse_config(b'{"annotations":{"a":"\\\\u0000"},"x":"\\u0000"}', "c"))
        assert container.annotations == {"a": "\\u0000"}

    @pytest.mark.parametrize("text", ["\ud800", "x\udc00"], ids=ascii)
    def test_half_pairs_and_patterns(self, text: str, place: Place) -> None:
        """A container can't dodge a rule, or break it, with half a surrogate pair."""
        place.rule("a", when={"annotations": {"(?i)^K": "."}})
        assert names(place.plan({"annotations": {"k": text}})) == ["a"]


class TestSandbox:
    """Pause containers of pods."""

    def test_left_alone(self, place: Place) -> None:
        """They get no hooks of rules, and rules that can't be read don't stop them."""
        place.rule("a")
        plan = place.plan({"annotations": SANDBOX})
        assert (plan.sandbox, plan.hooks) == (True, None)
        place.write(place.hooks / "b.json", "{")
        assert place.plan({"annotations": SANDBOX}).hooks is None
        with pytest.raises(RulesError):
            place.plan()

    def test_asked_for(self, place: Place) -> None:
        """Unless the settings say so."""
        place.rule("a")
        plan = place.plan({"annotations": SANDBOX}, sandbox=True)
        assert (plan.sandbox, names(plan)) == (True, ["a"])

    def test_static(self, place: Place) -> None:
        """Static hooks are for every container."""
        static = (place.static("s.json", createRuntime=["/s/1"]),)
        assert names(place.plan({"annotations": SANDBOX}, static_hooks=static)) == ["1"]


POLICIES = [
    pytest.param({"on_invalid": "warn"}, id="all-warn"),
    pytest.param({"on_invalid": "ignore"}, id="all-ignore"),
    pytest.param({"rules": {"bad.json": RuleSettings(on_invalid="warn")}}, id="one-warns"),
    pytest.param({"rules": {"bad.json": RuleSettings(on_invalid="ignore")}}, id="one-ignored"),
    pytest.param(
        {"on_invalid": "warn", "rules": {"bad.json": RuleSettings(on_invalid="ignore")}}, id="one-ignored-of-warn"
    ),
]

UNUSABLE = [
    pytest.param({"path": "/nonexistent/program"}, "missing_program", id="missing"),
    pytest.param({"path": "/etc/passwd"}, "odd_program", id="not-executable"),
    pytest.param({"path": "/etc"}, "odd_program", id="directory"),
    pytest.param({"path": "bin/true"}, "relative_path", id="relative"),
    pytest.param({"path": "/bin/true", "timeout": 0}, "odd_timeout", id="timeout-zero"),
    pytest.param({"path": "/bin/true", "timeout": 3601}, "odd_timeout", id="timeout-long"),
    pytest.param({"path": "/bin/true", "timeout": -5}, "odd_timeout", id="timeout-negative"),
]


class TestPolicies:
    """Rules that match and can't be used."""

    @pytest.mark.parametrize(("hook", "code"), UNUSABLE)
    def test_fail(self, hook: dict[str, Any], code: str, place: Place) -> None:
        """By default the container is refused, with file, place and remedy."""
        place.rule("good")
        place.rule("bad", **hook)
        with pytest.raises(RulesError) as caught:
            place.plan()
        error = caught.value
        assert (error.file, error.code) == (f"{place.hooks}/bad.json", code)
        assert str(error.pointer).startswith("/hook/")
        assert error.hint

    @pytest.mark.parametrize(("hook", "code"), UNUSABLE)
    def test_no_match(self, hook: dict[str, Any], code: str, place: Place) -> None:
        """A rule that doesn't match may name what it likes."""
        place.rule("bad", when={"annotations": {"^x$": "."}}, **hook)
        assert place.plan().hooks is None

    @pytest.mark.parametrize("policies", POLICIES)
    @pytest.mark.parametrize(("hook", "code"), UNUSABLE)
    def test_tolerated(self, hook: dict[str, Any], code: str, policies: dict[str, Any], place: Place) -> None:
        """Where it is tolerated, the container starts with the other hooks; what is left out is told, or not."""
        place.rule("good")
        place.rule("bad", **hook)
        plan = place.plan(**policies)
        assert names(plan) == ["good"]
        assert [rule.name for rule in plan.skipped] == ["bad.json"]
        own = policies.get("rules", {}).get("bad.json", RuleSettings())
        ignored = "ignore" in (own.on_invalid, policies.get("on_invalid"))
        told = [problem for problem in plan.warnings if problem.code == code and problem.severity == "warning"]
        assert bool(told) == (not ignored)

    def test_stronger_rule(self, place: Place) -> None:
        """A rule can be required though others are not."""
        place.rule("bad", path="/nonexistent/program")
        with pytest.raises(RulesError, match="does not exist"):
            place.plan(on_invalid="ignore", rules={"bad.json": RuleSettings(on_invalid="fail")})

    def test_untrusted_program(self, place: Place) -> None:
        """A program that others could replace is not run."""
        place.rule("bad")
        os.chmod(place.directory / "bad", 0o777)
        with pytest.raises(RulesError, match="everybody may write it") as caught:
            place.plan()
        assert caught.value.hint == f"chmod o-w {place.directory}/bad"
        assert place.plan(on_invalid="warn").hooks is None

    def test_program_of_the_container(self, place: Place) -> None:
        """A program of startContainer lives in the container."""
        place.rule("a", "startContainer", path="/app/hook")
        assert names(place.plan(), "startContainer") == ["hook"]

    def test_filter(self, place: Place) -> None:
        """The program of a filter has to be there, too."""
        place.rule("a", "precreate", path="/nonexistent/program")
        with pytest.raises(RulesError, match="does not exist"):
            place.plan()
        assert place.plan(on_invalid="ignore").filters == ()

    def test_all_at_once(self, place: Place) -> None:
        """All rules that can't be used are told."""
        place.rule("a", path="x")
        place.rule("b", path="/nonexistent", timeout=0)
        with pytest.raises(RulesError) as caught:
            place.plan()
        assert [problem.code for problem in caught.value.problems] == ["relative_path", "odd_timeout"]

    @pytest.mark.parametrize("content", ["{", json.dumps({"version": "1.0.0"}), "[]", "\x00"])
    def test_broken(self, content: str, place: Place) -> None:
        """A rule that can't be read refuses every container, since it might have matched."""
        place.rule("good")
        place.write(place.hooks / "bad.json", content)
        with pytest.raises(RulesError) as caught:
            place.plan()
        assert {problem.file for problem in caught.value.problems} == {f"{place.hooks}/bad.json"}
        assert all(problem.hint for problem in caught.value.problems)
        for policies in ({"on_invalid": "warn"}, {"rules": {"bad.json": RuleSettings(on_invalid="ignore")}}):
            assert names(place.plan(**policies)) == ["good"]


class TestStatic:
    """Static hook files."""

    def test_missing(self, place: Place) -> None:
        """A missing one refuses every container, whatever the policy for rules."""
        with pytest.raises(DocumentError, match="there is no such static hook file"):
            place.plan(static_hooks=(f"{place.directory}/none.json",), on_invalid="ignore")

    def test_untrusted(self, place: Place) -> None:
        """So does one that others could have written."""
        file = place.static("s.json", createRuntime=["/s/1"])
        os.chmod(file, 0o666)
        with pytest.raises(UntrustedError, match="everybody may write it"):
            place.plan(static_hooks=(file,))

    def test_as_it_stands(self, place: Place) -> None:
        """What stands in the file is copied, unknown members and odd numbers included."""
        text = '{"hooks":{"poststop":[{"path":"/s/1","timeout":5,"x":{"n":1e400,"t":"\\ud800"}}]}}'
        file = place.write(place.directory / "s.json", text)
        (entry,) = (place.plan(static_hooks=(file,)).hooks or {})["poststop"]
        assert entry == {"path": "/s/1", "timeout": "5", "x": {"n": "1e400", "t": "\ud800"}}

    def test_marker_of_ours(self, place: Place) -> None:
        """A static file that was copied from a configuration of ours does not double what a rule adds."""
        place.rule("a")
        file = place.write(place.directory / "s.json", place.plan().hooks)
        assert names(place.plan(static_hooks=(file,))) == ["a"]


class TestReuse:
    """Bundles that are used again."""

    def test_rule_is_gone(self, place: Place) -> None:
        """The entry of a rule that is gone, or that matches no more, is taken out."""
        place.rule("a")
        place.rule("b", when={"annotations": {"^x$": "."}})
        before = place.plan({"annotations": {"x": "1"}}).hooks
        assert names(place.plan({"hooks": before})) == ["a"]
        (place.hooks / "a.json").unlink()
        plan = place.plan({"hooks": before})
        assert (plan.hooks, names(plan)) == ({"createRuntime": []}, [])

    def test_another_wrapper(self, place: Place) -> None:
        """Entries of a wrapper with other directories stay."""
        foreign = {"path": "/o", "env": [f"{RULE_MARK}/other/hooks.d/a.json"]}
        place.rule("a")
        plan = place.plan({"hooks": {"createRuntime": [foreign]}})
        assert names(plan) == ["o", "a"]

    def test_engine_reads_the_same(self, place: Place) -> None:
        """An engine that has added the rule's hook itself did enough."""
        place.rule("a", env=["A=1"])
        native = {"path": f"{place.directory}/a", "env": ["A=1"]}
        assert place.plan({"hooks": {"createRuntime": [native]}}).hooks is None
