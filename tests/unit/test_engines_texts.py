"""Changing single keys of JSON and TOML texts: only what was asked for changes, and it goes again without a trace."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocihooks.engines import json_text, toml_text
from ocihooks.engines.edits import Done, Edit, look_up, make, same, undo
from ocihooks.engines.errors import EngineError

NAMES = st.sampled_from(["a", "b c", "d.e", 'q"u', "runtimes", "ä", "x-1", ""])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
JSON = st.dictionaries(NAMES, VALUES, max_size=4)
HANDLER = {"path": "/usr/local/bin/ocihooks-runtime"}


@given(
    document=JSON,
    indent=st.sampled_from([None, 0, 1, 2, 4, "\t"]),
    crlf=st.booleans(),
    path=st.lists(NAMES, min_size=1, max_size=3),
)
def test_json(document: dict[str, Any], indent: Any, crlf: bool, path: list[str]) -> None:
    """A member that was set is there, all others are as before, and undoing it gives the former document back."""
    text = json.dumps(document, indent=indent)
    if crlf:
        text = text.replace("\n", "\r\n")
    edit = Edit(path=tuple(path), value=HANDLER)
    if look_up(document, edit.path, ...) is not ...:
        return
    try:
        changed, done = make("json", text, [edit], "f")
    except EngineError:
        places = [look_up(document, tuple(path[:depth]), {}) for depth in range(len(path))]
        assert not all(isinstance(place, dict) for place in places)
        return
    assert same(look_up(json.loads(changed), edit.path), HANDLER)
    assert same(json.loads(undo("json", changed, [Done.from_json(done[0].to_json())], "f")), document)
    if crlf and "\n" in text:
        assert "\n" not in changed.replace("\r\n", "")


LINES = st.lists(
    st.sampled_from(
        [
            "# a comment",
            "",
            "a = 1",
            "  b = [ 1, # one\n  2,\n]",
            'c.d = "x # no comment"',
            "'e f' = '''\n[no.header]\n'''",
            'g = """a\\"""b""" # c',
            "h = { i = 1, j = [ '}' ] }",
            "k = 1979-05-27 07:32:00",
            "[t]",
            "  [t.u]",
            '[t."v w".x]',
            "[[y]]",
            "[[y.z]]",
            "[t2] # c",
        ]
    ),
    unique=True,
    max_size=12,
)
PATHS = st.sampled_from([("n",), ("t", "n"), ("t", "u", "n"), ("t", "v w", "n"), ("t2", "n"), ("t3", "t4", "n")])


@given(lines=LINES, path=PATHS, value=st.sampled_from(["x", True, ["p", "q"], {"r": 1, "o": {"S": True}}]))
def test_toml(lines: list[str], path: tuple[str, ...], value: Any) -> None:
    """
    A key or table that was set is there, all others are as before, and undoing it gives the very text back.

    A table beside dotted keys may be refused, as long as nothing is changed.
    """
    text = "\n".join([*lines, ""])
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    edit = Edit(path=path, value=value)
    try:
        changed, done = make("toml", text, [edit], "f")
    except EngineError as error:
        if "c.d" in text and "dotted keys" in str(error):
            return
        raise
    assert same(look_up(tomllib.loads(changed), path), value)
    back = undo("toml", changed, [Done.from_json(done[0].to_json())], "f")
    assert same(tomllib.loads(back), document)
    assert back.split() == text.split()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("x = []\n", 'x = ["i"]\n', id="empty"),
        pytest.param("x = ['a'] # c\n", "x = ['a', \"i\"] # c\n", id="one-line"),
        pytest.param('x = [\n  "a",\n]\n', 'x = [\n  "a",\n  "i",\n]\n', id="lines-with-comma"),
        pytest.param('x = [\n  "a"\n]\n', 'x = [\n  "a",\n  "i"\n]\n', id="lines-without-comma"),
        pytest.param('x = [\n  "a", # c, d\n]\n', 'x = [\n  "a", # c, d\n  "i",\n]\n', id="comment"),
    ],
)
def test_item(before: str, after: str) -> None:
    """An item goes to the end of an array in the way in which the others are written, and leaves no trace."""
    assert toml_text.append_item(before, ("x",), "i") == after
    assert toml_text.remove_item(after, ("x",), "i") == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "line 1 column 2: not JSON: expecting property name", id="cut"),
        pytest.param('{"a": 1,\n "b": }', "line 2 column 7: not JSON: expecting value", id="no-value"),
        pytest.param("[]", "expected an object, found an array", id="array"),
        pytest.param('{"a": 1, "a": 2}', 'not JSON: member "a" is there twice', id="repeated"),
        pytest.param('{"a": NaN}', "not JSON: NaN is no number of JSON", id="nan"),
        pytest.param("\ufeff{}", "not JSON: unexpected UTF-8 BOM", id="bom"),
        pytest.param("[" * 100_000, "nested too deep", id="deep"),
        pytest.param('{"a": ' + "1" * 5000 + "}", "not JSON: ", id="long-number"),
    ],
)
def test_no_json(text: str, message: str) -> None:
    """What is no JSON object is refused with the place."""
    with pytest.raises(EngineError) as caught:
        json_text.parse(text, "/etc/docker/daemon.json")
    assert str(caught.value).startswith("/etc/docker/daemon.json: ")
    assert message in str(caught.value)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("version = \n", "line 1 column 11: not TOML: invalid value", id="no-value"),
        pytest.param("a = 1\na = 2\n", "not TOML: cannot overwrite a value", id="repeated"),
        pytest.param("a = " + "[" * 100_000, "not TOML: nested too deep", id="deep"),
        pytest.param("a = " + "1" * 5000, "not TOML: nested too deep, or a number that is too long", id="long-number"),
    ],
)
def test_no_toml(text: str, message: str) -> None:
    """What is no TOML is refused with the place."""
    with pytest.raises(EngineError) as caught:
        toml_text.parse(text, "/etc/containerd/config.toml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("plugins = { cri = {} }\n", id="inline"),
        pytest.param("plugins.cri.containerd.x = 1\n", id="dotted"),
        pytest.param("[plugins]\ncri = { containerd = {} }\n", id="inline-below"),
    ],
)
def test_not_extendable(text: str) -> None:
    """Tables that can't be extended without rewriting them are refused with the remedy."""
    edit = Edit(path=("plugins", "cri", "containerd", "default_runtime_name"), value="x")
    with pytest.raises(EngineError) as caught:
        make("toml", text, [edit], "f")
    assert caught.value.code == "engine_layout"
    assert caught.value.pointer == "plugins.cri.containerd.default_runtime_name"
    assert caught.value.hint is not None
