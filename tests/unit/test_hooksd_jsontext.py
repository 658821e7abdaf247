"""The JSON reader of rule files: its two parsers agree, its limits hold, its errors name the place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocihooks.hooksd.hardjson import _DeepParser, parse_shallow
from ocihooks.hooksd.jsontext import MAX_DEPTH, JSONTextError, Members, Number, parse, without_surrogates

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
PIECES = [*'{}[]:," \n\t0-1.eE\\', "true", "null", "NaN", "-Infinity", '"a"', '"\\ud800"', "\ufeff", "//", "\x00", "'"]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The text of a JSON document with some of its characters replaced, removed or inserted."""
    text = json.dumps(draw(VALUES), indent=draw(st.sampled_from((None, 1))), ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 2)))
        text = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[end:]
    return text


def encodable(text: str) -> bool:
    """Whether *text* can be the text of a file: it holds no half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def outcome(parser: Any, text: str) -> tuple[object, ...]:
    """What *parser* makes of *text*, types included."""
    try:
        return ("value", typed(parser(text)))
    except JSONTextError:
        return ("refused",)


def typed(value: object) -> object:
    """*value* in a form in which a number differs from its text, and an object from an array of pairs."""
    if isinstance(value, Members):
        return "object", [(name, typed(item)) for name, item in value]
    if isinstance(value, list):
        return "array", [typed(item) for item in value]
    return type(value).__name__, value


@settings(max_examples=300, deadline=None, database=None)
@given(mutated())
@example('{"a":1,"a":[]}')
@example("[1,]")
@example('{"a":1,}')
@example("[] []")
@example("NaN")
@example('{"a":NaN}')
@example('"\\ud83d\\ude00"')
@example('{"":{}}')
@example("  ")
@example("")
def test_parsers_agree(text: str) -> None:
    """The quick parser and the one for deep documents give what the standard one gives, and refuse what it refuses."""
    usual = outcome(parse_shallow, text)
    assert outcome(lambda text: _DeepParser(text).parse(), text) == usual
    assert outcome(lambda text: parse(text.encode("utf-8", "surrogatepass")), text) == usual or not encodable(text)


@settings(max_examples=150, deadline=None, database=None)
@given(VALUES)
def test_values_survive(value: object) -> None:
    """Whatever a document says is what is read: members in order, numbers as their text."""
    text = json.dumps(value)
    wanted = json.loads(text, object_pairs_hook=Members, parse_int=Number, parse_float=Number)
    assert typed(parse(text.encode())) == typed(wanted)


@settings(max_examples=150, deadline=None, database=None)
@given(st.binary(max_size=40) | mutated().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are read or refused with a place that lies in them."""
    line, column = place(data)
    lines = data.decode("utf-8", "ocihooks.replace-each-byte").split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1


def place(data: bytes) -> tuple[int, int]:
    """Line and column of the error, those of the beginning where there is none."""
    try:
        parse(data)
    except JSONTextError as error:
        return error.line, error.column
    return 1, 1


@pytest.mark.parametrize(
    ("opening", "middle", "closing"),
    [
        pytest.param("[", "", "]", id="arrays"),
        pytest.param('{"a":', "1", "}", id="objects"),
        pytest.param(' [ { "a" : ', "null", " } ] ", id="both-with-space"),
    ],
)
def test_depth(opening: str, middle: str, closing: str) -> None:
    """10,000 levels are read, one more is refused, with the limit in the message."""
    levels = opening.count("[") + opening.count("{")
    times = MAX_DEPTH // levels
    value = parse((opening * times + middle + closing * times).encode())
    assert depth(value) == MAX_DEPTH
    with pytest.raises(JSONTextError, match="nested deeper than 10000 levels") as caught:
        parse(("[" + opening * times + middle + closing * times + "]").encode())
    assert caught.value.line == 1


def depth(value: Any) -> int:
    """How many arrays and objects stand around the innermost value; no recursion, since it may be deep."""
    levels = 0
    while isinstance(value, list):
        levels += 1
        value = value[-1] if value else None
        value = value[1] if isinstance(value, tuple) else value
    return levels


def test_wide_documents() -> None:
    """More brackets than levels are allowed are no problem as long as they stand side by side."""
    assert parse(b"[" + b"[]," * MAX_DEPTH + b"[]]") == [[]] * (MAX_DEPTH + 1)


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        pytest.param(b"", 1, 1, "the file is empty", id="empty"),
        pytest.param(b" \n\t ", 1, 1, "the file is empty", id="blank"),
        pytest.param(b"\xef\xbb\xbf{}", 1, 1, "the file starts with a byte order mark", id="bom"),
        pytest.param(b'{\n  "a": 1,\n  b\n}', 3, 3, "not JSON: expecting property name", id="bare-name"),
        pytest.param(b'{"a": 1}\n}', 2, 1, 'extra data; found "}"', id="extra"),
        pytest.param(b'{"a": [1, 2', 1, 12, "the text ends here", id="cut"),
        pytest.param(b'{\n"a": NaN}', 2, 6, "NaN is not a JSON value", id="nan"),
        pytest.param(b'["NaN",\nNaN]', 2, 1, "NaN is not a JSON value", id="nan-behind-a-string"),
        pytest.param(b"[-Infinity]", 1, 2, "-Infinity is not a JSON value", id="infinity"),
        pytest.param(b'{"a": "x\ny"}', 1, 9, "invalid control character", id="control-character"),
        pytest.param(b"{// x\n}", 1, 2, 'found "/"', id="comment"),
        pytest.param(b"\n\n[1,]", 3, 4, "", id="trailing-comma"),
        pytest.param(b"{'a': 1}", 1, 2, "double quotes", id="single-quotes"),
    ],
)
def test_places(data: bytes, line: int, column: int, message: str) -> None:
    """An error says in plain words what is wrong, and the line and column, counted from 1."""
    with pytest.raises(JSONTextError) as caught:
        parse(data)
    assert (caught.value.line, caught.value.column) == (line, column), str(caught.value)
    assert message in str(caught.value)


def test_places_in_deep_documents() -> None:
    """The parser for deep documents names the place, too."""
    with pytest.raises(JSONTextError, match="expecting ',' delimiter") as caught:
        parse(b"[" * 5000 + b"\n" + b"[]," * 6000 + b"1 2" + b"]" * 5000)
    assert (caught.value.line, caught.value.column) == (2, 3 * 6000 + 3)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b'"a\xff\xfeb"', "a\ufffd\ufffdb", id="each-byte"),
        pytest.param(b'"\xe2\x82"', "\ufffd\ufffd", id="cut-character"),
        pytest.param(b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd", id="encoded-surrogate"),
        pytest.param(b'"\\ud83d\\ude00"', "\U0001f600", id="pair"),
        pytest.param(b'"\\ud83dx"', "\ufffdx", id="high-half"),
        pytest.param(b'"\\ude00\\ud83d"', "\ufffd\ufffd", id="wrong-order"),
        pytest.param('"\u20ac"'.encode(), "\u20ac", id="not-ascii"),
    ],
)
def test_replaced_text(data: bytes, text: str) -> None:
    """Bytes that are not UTF-8 and halves of surrogate pairs each become U+FFFD; everything else stays."""
    assert without_surrogates(parse(data)) == text


def test_repeated_members() -> None:
    """All members of an object are kept in the order of the text, repeated ones too."""
    assert parse(b'{"b":1,"a":2,"b":3}') == Members([("b", Number("1")), ("a", Number("2")), ("b", Number("3"))])
