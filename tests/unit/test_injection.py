"""Putting hooks into a hooks object: once is enough, order is kept, and what others wrote stays theirs."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocihooks.document import JSONNumber, parse_document, with_member
from ocihooks.injection import DEFAULT_PATH, STAGES, Additions, equals, merged, rule_entry, rule_of
from ocihooks.spec.hook import Hook

OURS = "/etc/hooks.d"
THEIRS = "/srv/hooks.d"

Entry = dict[str, Any]

FIVE = JSONNumber("5")
"""A number as it comes from a document."""


def entry(path: str, **members: Any) -> Entry:
    """A hook that somebody else put into a configuration."""
    return {"path": path, **members}


def additions(*rules: tuple[str, str, Hook], directory: str = OURS, **members: Any) -> Additions:
    """What the rules in one directory ask for."""
    placed = [(stage, f"{directory}/{name}", hook) for stage, name, hook in rules]
    return Additions(rules=placed, directories=(directory,), **members)


def once(hooks: dict[str, Any] | None, wanted: Additions) -> dict[str, Any]:
    """The hooks object after adding."""
    result = merged(hooks, wanted)
    return dict(hooks or {}) if result is None else result


def written(hooks: dict[str, Any]) -> dict[str, Any]:
    """*hooks* as they are after writing and reading config.json."""
    document = with_member(parse_document(b"{}", "c"), "hooks", hooks)
    members: dict[str, Any] = parse_document(document, "c").members["hooks"]
    return members


def paths(hooks: dict[str, Any] | None, stage: str = "createRuntime") -> list[str]:
    """The programs of one stage, in order."""
    return [hook["path"] for hook in (hooks or {}).get(stage) or ()]


A = ("createRuntime", "a.json", Hook(path="/a"))
B = ("createRuntime", "b.json", Hook(path="/b", args=("b", "x"), env=("E=1",), timeout=5))


class TestEntries:
    """What a rule adds."""

    def test_defaults(self) -> None:
        """Arguments and environment are never left out, so that no runtime fills in the container's own."""
        assert rule_entry(Hook(path="/a"), "/d/a.json", "poststop") == {
            "path": "/a",
            "args": ["/a"],
            "env": [DEFAULT_PATH, "OCIHOOKS_RULE=/d/a.json", "OCIHOOKS_STAGE=poststop"],
        }

    @pytest.mark.parametrize("empty", [Hook(path="/a", args=(), env=()), Hook(path="/a")], ids=["empty", "missing"])
    def test_empty_lists(self, empty: Hook) -> None:
        """Empty lists count as missing."""
        assert rule_entry(empty, "/d/a.json", "poststop")["args"] == ["/a"]
        assert rule_entry(empty, "/d/a.json", "poststop")["env"][0] == DEFAULT_PATH

    def test_given(self) -> None:
        """What a rule says is handed on as it stands, with the marks behind it."""
        assert rule_entry(B[2], "/d/b.json", "poststop") == {
            "path": "/b",
            "args": ["b", "x"],
            "env": ["E=1", "OCIHOOKS_RULE=/d/b.json", "OCIHOOKS_STAGE=poststop"],
            "timeout": 5,
        }

    @pytest.mark.parametrize(
        ("hook", "rule"),
        [
            pytest.param(entry("/a", env=["OCIHOOKS_RULE=/d/a.json"]), "/d/a.json", id="ours"),
            pytest.param(entry("/a", env=["OCIHOOKS_RULE=/x", "OCIHOOKS_RULE=/y", "Z=1"]), "/y", id="last"),
            pytest.param(entry("/a", env=["XOCIHOOKS_RULE=/x"]), None, id="other-name"),
            pytest.param(entry("/a", env=[]), None, id="empty"),
            pytest.param(entry("/a", env=None), None, id="null"),
            pytest.param(entry("/a"), None, id="missing"),
            pytest.param(None, None, id="nothing"),
        ],
    )
    def test_rule_of(self, hook: Any, rule: str | None) -> None:
        """Our entries are known by the mark in their environment."""
        assert rule_of(hook) == rule


class TestAdding:
    """One rule, one configuration."""

    @pytest.mark.parametrize("hooks", [None, {}, {"createRuntime": None}, {"createRuntime": []}], ids=str)
    def test_first(self, hooks: dict[str, Any] | None) -> None:
        """A configuration without hooks gets them."""
        assert merged(hooks, additions(A)) == {"createRuntime": [rule_entry(A[2], f"{OURS}/a.json", "createRuntime")]}

    @pytest.mark.parametrize(
        ("prepend", "order"), [(False, ["/x", "/y", "/a", "/b"]), (True, ["/a", "/b", "/x", "/y"])]
    )
    def test_position(self, prepend: bool, order: list[str]) -> None:
        """Ours go behind or in front of those that are there, in the order of the rules."""
        hooks = {"createRuntime": [entry("/x"), entry("/y")]}
        assert paths(merged(hooks, additions(A, B, prepend=prepend))) == order

    def test_nothing_to_add(self) -> None:
        """Nothing to add is told from something added."""
        assert merged({"createRuntime": [entry("/x")]}, additions()) is None
        assert merged(None, additions()) is None

    def test_others_stay(self) -> None:
        """Other stages, unknown stages and unknown members stay as they were, in place."""
        hooks = {"later": 7, "poststop": [entry("/x", extra={"a": 1})], "createRuntime": []}
        result = merged(hooks, additions(A))
        assert list(result or {}) == ["later", "poststop", "createRuntime"]
        assert {name: (result or {})[name] for name in ("later", "poststop")} == {
            "later": 7,
            "poststop": [entry("/x", extra={"a": 1})],
        }

    def test_input_is_kept(self) -> None:
        """The object that was handed in is not changed."""
        hooks = {"createRuntime": [entry("/x")]}
        merged(hooks, additions(A))
        assert hooks == {"createRuntime": [entry("/x")]}

    def test_one_rule_twice_at_one_stage(self) -> None:
        """A rule of prestart and createRuntime runs twice, as it always did, and stays at that."""
        result = once(None, additions(A, A))
        assert paths(result) == ["/a", "/a"]
        assert merged(result, additions(A, A)) is None


class TestReplacing:
    """A configuration that went through us before."""

    def test_changed_rule(self) -> None:
        """The entry of a rule that says something else now is replaced."""
        hooks = once({"createRuntime": [entry("/x")]}, additions(A, B))
        changed = ("createRuntime", "a.json", Hook(path="/new"))
        assert paths(merged(hooks, additions(changed, B))) == ["/x", "/new", "/b"]

    def test_vanished_rule(self) -> None:
        """The entry of a rule that is gone, or matches no more, is removed."""
        hooks = once({"createRuntime": [entry("/x")]}, additions(A, B))
        assert paths(merged(hooks, additions(B))) == ["/x", "/b"]
        assert merged(once(None, additions(A)), additions()) == {"createRuntime": []}

    def test_moved_rule(self) -> None:
        """A rule that names another stage leaves the old one."""
        moved = merged(once(None, additions(A)), additions(("poststop", "a.json", A[2])))
        assert (paths(moved), paths(moved, "poststop")) == ([], ["/a"])

    def test_timeout(self) -> None:
        """A number that was read from a document is the number of the rule."""
        hooks = written(once(None, additions(B)))
        assert merged(hooks, additions(B)) is None
        longer = ("createRuntime", "b.json", Hook(path="/b", args=("b", "x"), env=("E=1",), timeout=6))
        assert (merged(hooks, additions(longer)) or {})["createRuntime"][0]["timeout"] == 6

    @pytest.mark.parametrize("directory", ["/etc/hooks.d/", "/etc/hooks.d//", "/"])
    def test_spelling_of_directories(self, directory: str) -> None:
        """A directory with slashes behind it is the same directory."""
        placed = [("createRuntime", os.path.join(directory, "a.json"), Hook(path="/a"))]
        wanted = Additions(rules=placed, directories=(directory,))
        hooks = once(None, wanted)
        assert merged(hooks, wanted) is None
        assert merged(hooks, Additions(directories=(directory,))) == {"createRuntime": []}

    @pytest.mark.parametrize("prepend", [False, True], ids=["append", "prepend"])
    def test_another_wrapper(self, prepend: bool) -> None:
        """Wrappers with other directories leave each other's entries alone."""
        mine, other = additions(A, prepend=prepend), additions(B, directory=THEIRS, prepend=prepend)
        hooks = once(once(None, mine), other)
        assert sorted(paths(hooks)) == ["/a", "/b"]
        assert merged(hooks, mine) is None
        assert merged(hooks, other) is None
        assert paths(merged(hooks, additions())) == ["/b"]

    @pytest.mark.parametrize("directory", ["/etc/hooks", "/etc/hooks.d/sub", "/hooks.d"])
    def test_similar_directories(self, directory: str) -> None:
        """A directory above, below or of the same name is another one."""
        hooks = once(None, additions(A))
        assert merged(hooks, Additions(directories=(directory,))) is None


class TestForeignEntries:
    """Engines that read the same directories."""

    @pytest.mark.parametrize(
        "foreign",
        [
            pytest.param(entry("/b", args=["b", "x"], env=["E=1"], timeout=5), id="same"),
            pytest.param(entry("/b", args=["b", "x"], env=["E=1"], timeout=FIVE), id="number-of-a-document"),
        ],
    )
    def test_equal(self, foreign: Entry) -> None:
        """An entry that equals the rule's hook counts as present."""
        assert merged({"createRuntime": [foreign]}, additions(B)) is None

    def test_equal_with_defaults(self) -> None:
        """Missing arguments mean the path, missing and empty lists are the same."""
        for foreign in (entry("/a"), entry("/a", args=["/a"], env=[]), entry("/a", args=[], env=None, timeout=None)):
            assert merged({"createRuntime": [foreign]}, additions(A)) is None

    @pytest.mark.parametrize(
        "foreign",
        [
            pytest.param(entry("/b2", args=["b", "x"], env=["E=1"], timeout=5), id="path"),
            pytest.param(entry("/b", args=["b"], env=["E=1"], timeout=5), id="args"),
            pytest.param(entry("/b", args=["b", "x"], env=["E=2"], timeout=5), id="env"),
            pytest.param(entry("/b", args=["b", "x"], timeout=5), id="no-env"),
            pytest.param(entry("/b", args=["b", "x"], env=["E=1"]), id="no-timeout"),
            pytest.param(entry("/b", args=["b", "x"], env=["E=1"], timeout=50), id="timeout"),
        ],
    )
    def test_unequal(self, foreign: Entry) -> None:
        """An entry that asks for something else is no reason to leave the rule out."""
        assert not equals(foreign, B[2])
        assert len((merged({"createRuntime": [foreign]}, additions(B)) or {})["createRuntime"]) == 2

    def test_other_stage(self) -> None:
        """An equal entry at another stage does not count."""
        assert paths(merged({"prestart": [entry("/a")]}, additions(A))) == ["/a"]


RUN: dict[str, list[Entry]] = {"createRuntime": [entry("/s1"), entry("/s2", timeout=FIVE)], "poststop": [entry("/s3")]}


class TestStaticHooks:
    """Hooks of static hook files."""

    @pytest.mark.parametrize(
        ("prepend", "order"), [(False, ["/x", "/s1", "/s2", "/a"]), (True, ["/s1", "/s2", "/a", "/x"])]
    )
    def test_added(self, prepend: bool, order: list[str]) -> None:
        """They are copied as they stand, in front of the rules'."""
        result = once({"createRuntime": [entry("/x")]}, additions(A, static=[RUN], prepend=prepend))
        assert paths(result) == order
        assert RUN["createRuntime"][1] in result["createRuntime"]
        assert paths(result, "poststop") == ["/s3"]

    def test_run_is_there(self) -> None:
        """The same hooks in one run, wherever they stand, count as present."""
        hooks = {
            "createRuntime": [entry("/x"), *RUN["createRuntime"], entry("/y")],
            "poststop": [entry("/s3")],
        }
        assert merged(hooks, additions(static=[RUN])) is None

    @pytest.mark.parametrize(
        "present",
        [
            pytest.param([entry("/s1")], id="part"),
            pytest.param([entry("/s2", timeout=FIVE), entry("/s1")], id="other-order"),
            pytest.param([entry("/s1"), entry("/x"), entry("/s2", timeout=FIVE)], id="interrupted"),
            pytest.param([entry("/s1"), entry("/s2", timeout=JSONNumber("6"))], id="other-timeout"),
        ],
    )
    def test_no_run(self, present: list[Entry]) -> None:
        """Hooks that only look alike are no reason to leave them out."""
        hooks = {"createRuntime": present, "poststop": [entry("/s3")]}
        result = once(hooks, additions(static=[RUN]))
        assert paths(result) == [hook["path"] for hook in present] + ["/s1", "/s2"]
        assert merged(result, additions(static=[RUN])) is None

    @pytest.mark.parametrize("prepend", [False, True], ids=["append", "prepend"])
    def test_rule_that_equals_a_static_hook(self, prepend: bool) -> None:
        """A rule's hook that a static file has, too, is there once, however often it is added."""
        wanted = additions(A, static=[{"createRuntime": [entry("/a")]}], prepend=prepend)
        result = once(None, wanted)
        assert paths(result) == ["/a"]
        assert merged(result, wanted) is None

    def test_static_file_copied_from_a_configuration(self) -> None:
        """Entries with our marks in a static file stay, with their rule and without."""
        static = once(None, additions(A))
        for wanted in (additions(static=[static]), additions(A, static=[static])):
            result = once(None, wanted)
            assert paths(result) == ["/a"]
            assert merged(result, wanted) is None

    def test_prepended_before_existing_ones(self) -> None:
        """Static hooks that come later go in front of ours, which stay where they are."""
        hooks = once({"createRuntime": [entry("/x")]}, additions(A, prepend=True))
        assert paths(merged(hooks, additions(A, static=[RUN], prepend=True))) == ["/s1", "/s2", "/a", "/x"]


stages = st.sampled_from(STAGES[1:3])
foreign_entries = st.builds(
    entry,
    st.sampled_from(["/a", "/b", "/x"]),
    env=st.sampled_from([[], ["E=1"], None]),
    timeout=st.sampled_from([FIVE, None]),
)
hooks_of_rules = st.builds(
    Hook,
    path=st.sampled_from(["/a", "/b"]),
    env=st.sampled_from([None, ("E=1",)]),
    timeout=st.sampled_from([None, 5]),
)
rules = st.lists(st.tuples(stages, st.sampled_from(["1.json", "2.json"]), hooks_of_rules), max_size=4)
static_files = st.lists(st.dictionaries(stages, st.lists(foreign_entries, max_size=2)), max_size=2)
wanted_additions = st.builds(
    lambda chosen, directory, static, prepend: additions(*chosen, directory=directory, static=static, prepend=prepend),
    rules,
    st.sampled_from([OURS, THEIRS]),
    static_files,
    st.booleans(),
)
histories = st.lists(wanted_additions, max_size=3)
foreign_hooks = st.dictionaries(st.sampled_from([*STAGES[1:3], "later"]), st.lists(foreign_entries, max_size=3))

LAW = settings(max_examples=150, deadline=None)


def after(hooks: dict[str, Any], history: list[Additions]) -> dict[str, Any]:
    """*hooks* after wrappers with other settings had them, some of them written and read in between."""
    for wanted in history:
        hooks = written(once(hooks, wanted))
    return hooks


class TestLaws:
    """What holds for every configuration."""

    @LAW
    @given(foreign_hooks, histories, wanted_additions, st.booleans())
    def test_twice_equals_once(
        self, hooks: dict[str, Any], history: list[Additions], wanted: Additions, stored: bool
    ) -> None:
        """Adding the same a second time changes nothing, written and read in between or not."""
        result = once(after(hooks, history), wanted)
        assert merged(written(result) if stored else result, wanted) is None

    @LAW
    @given(foreign_hooks, histories, wanted_additions)
    def test_order_is_kept(self, hooks: dict[str, Any], history: list[Additions], wanted: Additions) -> None:
        """What others put there keeps its order, with nothing between and nothing lost."""
        before = after(hooks, history)
        result = once(before, wanted)
        for stage in STAGES:
            foreign = [hook for hook in before.get(stage) or () if not is_from(hook, wanted.directories)]
            rest = [hook for hook in result.get(stage) or () if not is_from(hook, wanted.directories)]
            assert (rest[len(rest) - len(foreign) :] if wanted.prepend else rest[: len(foreign)]) == foreign

    @LAW
    @given(foreign_hooks, histories, wanted_additions)
    def test_every_rule_is_there(self, hooks: dict[str, Any], history: list[Additions], wanted: Additions) -> None:
        """Each rule's hook is there, ours are exactly those of the rules, and none lacks arguments or environment."""
        result = once(after(hooks, history), wanted)
        for stage in STAGES:
            present = result.get(stage) or []
            expected = [rule_entry(hook, file, place) for place, file, hook in wanted.rules if place == stage]
            ours = [hook for hook in present if is_from(hook, wanted.directories)]
            for place, file, hook in wanted.rules:
                if place == stage:
                    own = shown([rule_entry(hook, file, place)])
                    assert own[0] in shown(ours) or any(equals(other, hook) for other in present)
            assert all(hook in shown(expected) for hook in shown(ours))
            assert all(hook["args"] and hook["env"] for hook in ours)

    @LAW
    @given(foreign_hooks, rules, rules)
    def test_wrappers_in_a_chain(self, hooks: dict[str, Any], mine: Any, theirs: Any) -> None:
        """Two wrappers, one behind the other, come to rest after one pass."""
        first, second = additions(*mine), additions(*theirs, directory=THEIRS)
        result = once(once(hooks, first), second)
        assert merged(result, first) is None
        assert merged(result, second) is None


def is_from(hook: Entry, directories: tuple[str, ...]) -> bool:
    file = rule_of(hook)
    return file is not None and file.rpartition("/")[0] in directories


def shown(entries: list[Entry]) -> list[str]:
    """*entries* so that they can be compared, whether they were read or made."""
    return [json.dumps(item, sort_keys=True).replace('"5"', "5") for item in entries]
