"""The state of a container, from JSON and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocihooks.errors import DocumentError
from ocihooks.spec.state import State, Status

MINIMAL = {"ociVersion": "1.0.2", "id": "c1", "status": "created", "bundle": "/b"}
KNOWN = (*MINIMAL, "pid", "annotations")

documents = st.builds(
    lambda known, other: other | known,
    st.fixed_dictionaries(
        {
            "ociVersion": st.text(),
            "id": st.text(),
            "status": st.sampled_from([*Status]).map(str) | st.text(min_size=1),
            "bundle": st.text(),
        },
        optional={"pid": st.integers(), "annotations": st.dictionaries(st.text(), st.text())},
    ),
    st.dictionaries(st.text().filter(lambda name: name not in KNOWN), st.none() | st.integers() | st.text()),
)


@given(documents)
def test_round_trip(document: dict[str, Any]) -> None:
    """Reading and writing gives the same object, members of single runtimes included."""
    assert State.from_json(document).to_json() == document


def test_order() -> None:
    """Members are written in the order of the spec, those of others behind them."""
    state = State.from_json({"root": "/r", "annotations": {}, "bundle": "/b", "pid": 0} | MINIMAL)
    assert list(state.to_json()) == ["ociVersion", "id", "status", "pid", "bundle", "annotations", "root"]


@pytest.mark.parametrize("status", list(Status), ids=str)
def test_known_status(status: Status) -> None:
    """The four of the spec are members of the enumeration."""
    assert State.from_json(MINIMAL | {"status": status.value}).status is status


def test_other_status() -> None:
    """A runtime's own word is kept as it is."""
    state = State.from_json(MINIMAL | {"status": "starting"})
    assert (state.status, isinstance(state.status, Status)) == ("starting", False)


@pytest.mark.parametrize("name", ["pid", "annotations"])
def test_null(name: str) -> None:
    """Null counts as not given."""
    state = State.from_json(MINIMAL | {name: None})
    assert getattr(state, name) is None
    assert state.to_json() == MINIMAL


def test_pid_zero() -> None:
    """A pid of 0, which crun gives, is told from none."""
    assert State.from_json(MINIMAL | {"pid": 0}).to_json()["pid"] == 0


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        pytest.param({"id": 1}, "/id", "expected a string, found an integer 1", id="id"),
        pytest.param({"status": ""}, "/status", 'expected a status such as "created", found ""', id="empty-status"),
        pytest.param({"status": None}, "/status", "expected a string, found null", id="null-status"),
        pytest.param({"pid": "1"}, "/pid", 'expected an integer, found a string "1"', id="pid"),
        pytest.param({"pid": True}, "/pid", "expected an integer, found true", id="pid-true"),
        pytest.param({"annotations": []}, "/annotations", "expected an object, found an array []", id="annotations"),
        pytest.param(
            {"annotations": {"a/b~c": 1}},
            "/annotations/a~1b~0c",
            "expected a string, found an integer 1",
            id="annotation",
        ),
        pytest.param({"bundle": []}, "/bundle", "expected a string, found an array []", id="bundle"),
    ],
)
def test_wrong_types(change: dict[str, Any], place: str, message: str) -> None:
    """What is wrong is named with its place."""
    with pytest.raises(DocumentError) as caught:
        State.from_json(MINIMAL | change)
    assert (caught.value.pointer, caught.value.message) == (place, message)


@pytest.mark.parametrize("name", MINIMAL)
def test_missing(name: str) -> None:
    """Each required member is asked for by name."""
    with pytest.raises(DocumentError) as caught:
        State.from_json({other: value for other, value in MINIMAL.items() if other != name})
    assert (caught.value.pointer, caught.value.message) == ("/", f'missing required member "{name}"')


def test_no_object() -> None:
    """Something else than an object is refused."""
    with pytest.raises(DocumentError, match="expected an object, found a string"):
        State.from_json("{}")
