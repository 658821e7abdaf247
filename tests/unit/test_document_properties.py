"""The laws of reading and splicing, for generated documents with all the freedom that JSON text has."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocihooks.document import Config, parse_config, parse_document, with_member
from ocihooks.errors import DocumentError
from ocihooks.injection import STAGES

FILE = "/b/config.json"

MANY = 4_000
"""Examples of each law in the slow test."""

a_few = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


class Text(str):
    """A number as its text, unlike any string."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and str(self) == str(other)

    __hash__ = str.__hash__


def loads(text: str | bytes) -> Any:
    """What the standard library reads, numbers as their text."""
    return json.loads(text, parse_int=Text, parse_float=Text, parse_constant=refuse)


def refuse(name: str) -> None:
    raise ValueError(name)


def plain(value: Any) -> Any:
    """*value* in the form in which `loads` gives it, from what we read or from what we wrote."""
    return loads(json.dumps(value)) if not isinstance(value, str) else value


def words(letters: str, shortest: int, longest: int) -> st.SearchStrategy[str]:
    """All words of these letters, each at the cost of one choice, since documents have many."""
    return st.sampled_from(["".join(word) for n in range(shortest, longest + 1) for word in product(letters, repeat=n)])


blanks = words(" \t\n\r", 0, 3)
paddings = st.sampled_from(
    [f"{before}{{}}{after}" for before, after in product(("", *" \t\n\r", "\n\r\t", "  "), repeat=2)]
)
digits = words("0123456789", 1, 3)
numbers = st.one_of(
    st.sampled_from(["-0", "0", "1.0", "1e400", "-1E-400", "5", "1" + "0" * 400, "0.1e+1", "-0.0"]),
    st.builds("{}{}{}".format, st.sampled_from(["", "-"]), st.sampled_from("123456789"), digits),
    st.builds("0.{}e{}".format, digits, digits),
)
escapes = st.one_of(
    st.sampled_from(["\\n", "\\/", '\\"', "\\\\", "\\b", "\\u0000", "\\u2028", "\\ud83d\\ude00", "\\ud800", "\\udfff"]),
    st.integers(0, 0xFFFF).map("\\u{:04x}".format),
    st.integers(0, 0xFFFF).map("\\u{:04X}".format),
)
letters = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters='"\\'), max_size=4)
strings = st.lists(st.one_of(letters, escapes), max_size=4).map(lambda parts: f'"{"".join(parts)}"')
decoys = st.sampled_from(['"hooks"', '"Hooks"', '"process"', '"hook\\u017f"', '"{\\"hooks\\":{}}"', '"[[[["', '"}"'])
names = st.one_of(strings, decoys)
scalars = st.one_of(numbers, strings, decoys, st.sampled_from(["null", "true", "false"]))


def padded(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(str.format, paddings, parts)


def arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(padded(items), min_size=1, max_size=4).map(",".join)
    return st.one_of(blanks, lists).map("[{}]".format)


def objects(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.builds("{}:{}".format, padded(names), padded(items))
    return st.one_of(blanks, st.lists(members, min_size=1, max_size=4).map(",".join)).map("{{{}}}".format)


values = st.recursive(scalars, lambda items: arrays(items) | objects(items), max_leaves=12)

RESERVED = ("hooks", "process", "annotations", "mounts", "root")


def folded(name: str) -> str:
    return name.replace("\u017f", "s").replace("\u212a", "k").lower()


own_names = strings.filter(lambda text: folded(json.loads(text)) not in RESERVED)
own_members = st.lists(st.tuples(own_names, values), max_size=4, unique_by=lambda member: json.loads(member[0]))
hook_texts = st.builds('{{"path":{},{}:{}}}'.format, strings, strings.map(lambda text: '"x' + text[1:]), values)
hooks_texts = st.one_of(
    st.just("null"),
    st.dictionaries(st.sampled_from(STAGES), st.lists(hook_texts, max_size=2).map(",".join)).map(
        lambda stages: "{" + ",".join(f'"{name}": [{items}]' for name, items in stages.items()) + "}"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """
    A document in three pieces.

    Attributes:
        head: All before the value of ``hooks``, or before the place where the member is to go.
        hooks: The value; empty where there is none.
        tail: All behind it.
    """

    head: str
    hooks: str
    tail: str

    @property
    def data(self) -> bytes:
        return (self.head + self.hooks + self.tail).encode()


@st.composite
def documents(draw: st.DrawFn) -> Generated:
    """A configuration with ``hooks`` in the front, in the middle, at the end, or nowhere."""
    members = [f"{draw(padded(st.just(name)))}:{draw(blanks)}{value}" for name, value in draw(own_members)]
    at = draw(st.none() | st.integers(0, len(members)))
    start, end = draw(blanks) + "{", "}" + draw(blanks)
    if at is None:
        body = ",".join(text + draw(blanks) for text in members[:-1])
        head = start + "".join([body, "," if len(members) > 1 else "", *members[-1:]])
        return Generated(head=head if members else start + draw(blanks), hooks="", tail=draw(blanks) + end)
    name = draw(st.sampled_from(['"hooks"', '"\\u0068ooks"']))
    head = start + "".join(text + draw(blanks) + "," for text in members[:at]) + f"{draw(padded(st.just(name)))}:"
    tail = "".join(draw(blanks) + "," + text for text in members[at:]) + draw(blanks) + end
    return Generated(head=head + draw(blanks), hooks=draw(hooks_texts), tail=tail)


entries = st.fixed_dictionaries(
    {"path": st.text()}, optional={"args": st.lists(st.text()), "env": st.lists(st.text()), "timeout": st.integers()}
)
new_hooks = st.dictionaries(st.sampled_from(STAGES), st.lists(entries, max_size=2))


@a_few
@given(documents(), new_hooks)
def test_splice_then_parse_equals_parse_then_set(document: Generated, hooks: dict[str, Any]) -> None:
    """Reading the spliced text gives the document as it was, with the new hooks set."""
    config = parse_config(document.data, FILE)
    spliced = with_member(config, "hooks", hooks)
    assert loads(spliced) == loads(document.data) | {"hooks": plain(hooks)}
    again = parse_config(spliced, FILE)
    assert {name: value for name, value in again.members.items() if name != "hooks"} == {
        name: value for name, value in config.members.items() if name != "hooks"
    }


@a_few
@given(documents(), new_hooks)
def test_other_bytes_stay(document: Generated, hooks: dict[str, Any]) -> None:
    """All bytes outside ``hooks`` are what they were; nothing but the member is added where there was none."""
    head, tail = document.head.encode(), document.tail.encode()
    spliced = with_member(parse_config(document.data, FILE), "hooks", hooks)
    if document.hooks:
        assert spliced.startswith(head)
        assert spliced.endswith(tail)
        assert loads(spliced[len(head) : len(spliced) - len(tail)]) == plain(hooks)
    else:
        at = spliced.rindex(b'"hooks":')
        length = len(spliced) - len(document.data)
        comma = spliced[at - 1 : at] if loads(document.data) else b""
        assert comma in (b"", b",")
        start = at - len(comma)
        assert spliced[:start] + spliced[start + length :] == document.data
        assert loads(spliced[start + len(comma) : start + length].removeprefix(b'"hooks":')) == plain(hooks)


@a_few
@given(documents())
def test_reading_is_lossless(document: Generated) -> None:
    """Writing back the hooks that were read changes nothing but their form, and keeps the text of their numbers."""
    config = parse_config(document.data, FILE)
    assert loads(with_member(config, "hooks", config.members.get("hooks"))) == loads(document.data) | {
        "hooks": loads(document.hooks) if document.hooks else None
    }


@a_few
@given(documents())
def test_splicing_twice(document: Generated) -> None:
    """Setting the same value again changes no byte."""
    once = with_member(parse_config(document.data, FILE), "hooks", {"poststop": [{"path": "/p", "timeout": 5}]})
    assert with_member(parse_config(once, FILE), "hooks", parse_config(once, FILE).hooks) == once


@a_few
@given(padded(values))
def test_agreement_on_valid_documents(text: str) -> None:
    """What the standard library reads as an object with unlike members is read, and read as the same."""
    expected = json.loads(text, object_pairs_hook=Pairs, parse_int=Text, parse_float=Text, parse_constant=refuse)
    members = [name for name, _ in expected] if isinstance(expected, Pairs) else []
    if not isinstance(expected, Pairs) or len(set(members)) < len(members):
        with pytest.raises(DocumentError, match=r"expected an object, found|more than once"):
            parse_document(text.encode(), FILE)
        return
    document = parse_document(text.encode(), FILE)
    assert list(document.members) == [name for name, _ in expected]
    assert strip(document.members) == strip(loads(text))
    for name, (start, end) in document.spans.items():
        assert strip(loads(document.text[start:end])) == strip(document.members[name])


class Pairs(list[tuple[str, Any]]):
    """An object of the document with all of its members."""


def strip(value: Any) -> Any:
    """*value* in plain types; a number as a pair, so that it is unlike any string."""
    if isinstance(value, dict):
        return {name: strip(item) for name, item in value.items()}
    if isinstance(value, list):
        return [strip(item) for item in value]
    return ("number", str(value)) if isinstance(value, str) and type(value) is not str else value


@a_few
@given(st.binary(max_size=40) | st.text('{}[]:,"\\ \n01eE.+-tfn\u00e9', max_size=25).map(str.encode))
def test_agreement_on_any_bytes(data: bytes) -> None:
    """Bytes are accepted only where the standard library accepts them as UTF-8; the rest is our error."""
    document: Config | None = None
    try:
        document = parse_config(data, FILE)
    except DocumentError as error:
        place = error.file
    if document is None:
        assert place == FILE
    else:
        assert strip(document.members) == strip(loads(data.decode()))


@pytest.mark.parametrize("text", ['{"a":1}', '{ "a" : [ 1 , { } ] }', "{}"])
def test_every_prefix(text: str) -> None:
    """A document that was cut anywhere is refused with its place."""
    for length in range(len(text)):
        with pytest.raises(DocumentError) as caught:
            parse_config(text[:length].encode(), FILE)
        assert (caught.value.code, caught.value.pointer is None) == ("json_syntax", False)


LAWS = (
    (test_splice_then_parse_equals_parse_then_set, (documents(), new_hooks)),
    (test_other_bytes_stay, (documents(), new_hooks)),
    (test_reading_is_lossless, (documents(),)),
    (test_splicing_twice, (documents(),)),
    (test_agreement_on_valid_documents, (padded(values),)),
)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "strategies"), LAWS, ids=lambda value: getattr(value, "__name__", "documents"))
def test_many(
    law: Any, strategies: tuple[st.SearchStrategy[Any], ...], record_property: Callable[[str, object], None]
) -> None:
    """Each law holds for thousands of documents, too."""
    settings(a_few, max_examples=MANY)(given(*strategies)(law.hypothesis.inner_test))()
    record_property("amount", f"{MANY:,} made-up documents")
