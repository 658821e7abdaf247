"""The hook object and the hooks member of the runtime-spec, from JSON and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocihooks.errors import DocumentError
from ocihooks.spec.hook import Hook, Hooks
from ocihooks.spec.members import JSON_TYPES, expect, json_type
from ocihooks.spec.stage import STAGES, Stage

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(), items, max_size=3),
    max_leaves=5,
)
unknown_members = st.dictionaries(
    st.text().filter(lambda name: name not in ("path", "args", "env", "timeout")), json_values
)
hook_documents = st.builds(
    lambda known, other: other | known,
    st.fixed_dictionaries(
        {"path": st.text()},
        optional={"args": st.lists(st.text()), "env": st.lists(st.text()), "timeout": st.integers()},
    ),
    unknown_members,
)


class TestHook:
    """One hook."""

    def test_members(self) -> None:
        """All members of the spec are read."""
        document = {"path": "/a", "args": ["a", "b"], "env": ["A=1"], "timeout": 5}
        assert Hook.from_json(document) == Hook(path="/a", args=("a", "b"), env=("A=1",), timeout=5)

    @given(hook_documents)
    def test_round_trip(self, document: dict[str, Any]) -> None:
        """Reading and writing gives the same object, members that the spec does not define included."""
        assert Hook.from_json(document).to_json() == document
        assert Hook.from_json(json.loads(json.dumps(document))) == Hook.from_json(document)

    @pytest.mark.parametrize("name", ["args", "env", "timeout"])
    def test_null(self, name: str) -> None:
        """Null counts as not given, and is not written back."""
        hook = Hook.from_json({"path": "/a", name: None})
        assert getattr(hook, name) is None
        assert hook.to_json() == {"path": "/a"}

    def test_empty_lists(self) -> None:
        """An empty list is told from a missing one."""
        hook = Hook.from_json({"path": "/a", "args": [], "env": []})
        assert (hook.args, hook.env) == ((), ())
        assert hook.to_json() == {"path": "/a", "args": [], "env": []}

    @pytest.mark.parametrize(
        ("document", "place", "message"),
        [
            pytest.param([], "/", "expected an object, found an array []", id="array"),
            pytest.param(None, "/", "expected an object, found null", id="null"),
            pytest.param({}, "/", 'missing required member "path"', id="no-path"),
            pytest.param({"path": None}, "/path", "expected a string, found null", id="null-path"),
            pytest.param({"path": 1}, "/path", "expected a string, found an integer 1", id="number-path"),
            pytest.param({"path": "/a", "args": "a"}, "/args", 'expected an array, found a string "a"', id="args"),
            pytest.param(
                {"path": "/a", "args": ["a", 2]}, "/args/1", "expected a string, found an integer 2", id="arg"
            ),
            pytest.param({"path": "/a", "env": {}}, "/env", "expected an array, found an object {}", id="env"),
            pytest.param({"path": "/a", "env": [None]}, "/env/0", "expected a string, found null", id="env-item"),
            pytest.param(
                {"path": "/a", "timeout": 1.5}, "/timeout", "expected an integer, found a number 1.5", id="float"
            ),
            pytest.param({"path": "/a", "timeout": True}, "/timeout", "expected an integer, found true", id="true"),
            pytest.param(
                {"path": "/a", "timeout": "5"}, "/timeout", 'expected an integer, found a string "5"', id="text"
            ),
        ],
    )
    def test_errors(self, document: Any, place: str, message: str) -> None:
        """What is wrong is named with its place."""
        with pytest.raises(DocumentError) as caught:
            Hook.from_json(document)
        assert (caught.value.pointer, caught.value.message) == (place, message)

    def test_place_of_errors(self) -> None:
        """Places are below the pointer that the caller gives."""
        for document, place in (({"path": 1}, "/hooks/poststop/3/path"), ({}, "/hooks/poststop/3")):
            with pytest.raises(DocumentError) as caught:
                Hook.from_json(document, "/hooks/poststop/3")
            assert caught.value.pointer == place

    def test_hostile_values(self) -> None:
        """Values are shown escaped and cut."""
        with pytest.raises(DocumentError) as caught:
            Hook.from_json({"path": ["\n\x1b" * 1000]})
        assert len(caught.value.message) < 150
        assert caught.value.message.isprintable()

    def test_frozen(self) -> None:
        """A hook can't be changed."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            Hook(path="/a").path = "/b"  # type: ignore[misc]


class TestHooks:
    """All hooks of a configuration."""

    @given(
        st.dictionaries(st.sampled_from(STAGES), st.lists(hook_documents, max_size=2)),
        st.dictionaries(st.text().filter(lambda name: name not in STAGES), json_values, max_size=2),
    )
    def test_round_trip(self, stages: dict[str, Any], other: dict[str, Any]) -> None:
        """Reading and writing gives the same object, unknown stages included."""
        hooks = Hooks.from_json(other | stages)
        assert hooks.to_json() == other | stages
        assert list(hooks.stages) == [stage for stage in Stage if stage.value in stages]

    @pytest.mark.parametrize("document", [None, {}, {"poststop": None}])
    def test_nothing(self, document: Any) -> None:
        """Null counts as empty, for the object and for a stage."""
        assert Hooks.from_json(document) == Hooks()
        assert Hooks.from_json(document).to_json() == {}

    @pytest.mark.parametrize(
        ("document", "place"),
        [
            pytest.param([], "/hooks", id="array"),
            pytest.param({"poststop": {}}, "/hooks/poststop", id="stage"),
            pytest.param({"poststop": [None]}, "/hooks/poststop/0", id="hook"),
            pytest.param(
                {"poststop": [{"path": "/a"}, {"path": "/a", "env": [1]}]}, "/hooks/poststop/1/env/0", id="env"
            ),
        ],
    )
    def test_errors(self, document: Any, place: str) -> None:
        """Errors name the place in the configuration."""
        with pytest.raises(DocumentError) as caught:
            Hooks.from_json(document)
        assert caught.value.pointer == place


class TestMembers:
    """Reading single members."""

    @pytest.mark.parametrize(("kind", "name"), JSON_TYPES.items(), ids=lambda value: str(value).replace(" ", "-"))
    def test_names(self, kind: type, name: str) -> None:
        """Every JSON type has its name in messages."""
        assert json_type(kind()) == name

    def test_unknown_type(self) -> None:
        """Values that are no JSON at all have a name, too."""
        assert json_type(object()) == "an unknown value"

    @pytest.mark.parametrize("value", [True, False])
    def test_bool_is_no_integer(self, value: bool) -> None:
        """True is not one."""
        assert expect(value, bool, "/x") is value
        with pytest.raises(DocumentError, match=r"expected an integer, found (true|false)"):
            expect(value, int, "/x")
