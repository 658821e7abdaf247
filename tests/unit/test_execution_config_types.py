"""The types of a configuration's members: every one is checked, and everything else is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ocihooks.document import parse_document
from ocihooks.execution.config_types import BOOLEAN, CONFIG, EACH, STRING, Shape, misfits


def faults(config: object) -> list[str]:
    return list(misfits(parse_document(json.dumps(config).encode(), "config.json").members))


def example(shape: Shape) -> Any:
    """A value that has everything that *shape* lists."""
    if isinstance(shape, dict):
        return {name.replace(EACH, "any"): example(inner) for name, inner in shape.items()}
    if isinstance(shape, list):
        return [example(shape[0])]
    return shape.stop - 1 if isinstance(shape, range) else {STRING: "x", BOOLEAN: True}[shape]


def leaves(shape: Shape, pointer: str = "") -> Iterator[tuple[str, Shape]]:
    if isinstance(shape, dict):
        for name, inner in shape.items():
            yield from leaves(inner, f"{pointer}/{name.replace(EACH, 'any')}")
    elif isinstance(shape, list):
        yield from leaves(shape[0], f"{pointer}/0")
    else:
        yield pointer, shape


def put(config: dict[str, Any], pointer: str, value: object) -> dict[str, Any]:
    *way, last = pointer.split("/")[1:]
    place: Any = config
    for name in way:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[int(last) if isinstance(place, list) else last] = value
    return config


LEAVES = dict(leaves(CONFIG))


def test_a_configuration_with_every_member_is_fine() -> None:
    """The largest value of every member fits."""
    assert faults(example(CONFIG)) == []
    assert len(LEAVES) > 150


@pytest.mark.parametrize("pointer", LEAVES)
def test_every_member_has_one_type(pointer: str) -> None:
    """Of a text, a number, a truth value, an array and an object exactly one fits each member; null always does."""
    values: tuple[object, ...] = ("x", 1, True, [], {})
    wrong = [faults(put(example(CONFIG), pointer, value)) for value in values]
    assert sorted(map(len, wrong)) == [0, 1, 1, 1, 1]
    assert all(fault[0].startswith(f"{pointer}: expected ") for fault in wrong if fault)
    assert faults(put(example(CONFIG), pointer, None)) == []


INTEGERS = {pointer: shape for pointer, shape in LEAVES.items() if isinstance(shape, range)}


@pytest.mark.parametrize(("pointer", "shape"), INTEGERS.items(), ids=INTEGERS)
def test_whole_numbers_have_their_range(pointer: str, shape: range) -> None:
    """Both ends of the range fit, their neighbours outside don't."""
    numbers = (shape.start - 1, shape.start, shape.stop - 1, shape.stop)
    counts = [len(faults(put(example(CONFIG), pointer, number))) for number in numbers]
    assert counts == [1, 0, 0, 1]


@pytest.mark.parametrize("text", ["1.0", "1e2", "1E2", "-0.5", "1" * 5000])
def test_whole_numbers_are_written_as_such(text: str) -> None:
    """A fraction or an exponent is no whole number, whatever its value; a number of any length does no harm."""
    members = parse_document(f'{{"process":{{"oomScoreAdj":{text}}}}}'.encode(), "").members
    assert list(misfits(members)) == [
        f"/process/oomScoreAdj: expected a whole number from {-(2**63)} to {2**63 - 1}, found a number {text[:40]}"
    ]


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        pytest.param({"process": []}, "/process: expected an object, found an array of 0", id="array-for-object"),
        pytest.param({"mounts": {"a": 1}}, "/mounts: expected an array, found an object of 1", id="object-for-array"),
        pytest.param(
            {"hostname": ["\u001b"]}, "/hostname: expected a string, found an array of 1", id="content-not-shown"
        ),
        pytest.param({"root": {"readonly": "\u001b" * 99}}, '"\\u001b', id="text-quoted-and-cut"),
    ],
)
def test_what_was_found_is_told_shortly(config: dict[str, Any], fault: str) -> None:
    """The message says what was expected and what was found, quoted and cut."""
    (found,) = faults(config)
    assert fault in found
    assert len(found) < 400


def test_unknown_members_may_be_anything() -> None:
    """What the table does not know is not judged, at any depth."""
    assert faults({"x": {"uid": -1}, "process": {"x": [1]}, "linux": {"resources": {"x": 1.5}}, "windows": 1}) == []
