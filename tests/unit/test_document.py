"""Reading config.json strictly, and splicing new hooks into its text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ocihooks.document import (
    MAX_BYTES,
    MAX_DEPTH,
    Config,
    JSONNumber,
    check_hooks,
    dumps,
    parse_config,
    parse_document,
    with_member,
)
from ocihooks.errors import DocumentError
from ocihooks.faults import type_name
from ocihooks.injection import STAGES
from ocihooks.testing.configs import make_config

FILE = "/b/config.json"

HOOKS = {"createRuntime": [{"path": "/bin/h"}]}


def parse(text: str | bytes) -> Config:
    return parse_config(text if isinstance(text, bytes) else text.encode(), FILE)


def refusal(text: str | bytes) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert caught.value.file == FILE
    return caught.value


class TestReading:
    """What rules ask about a configuration."""

    def test_members(self) -> None:
        """Arguments, annotations, mounts and hooks are found where the spec puts them."""
        config = parse(
            '{"process":{"args":["sh","-c"]},"annotations":{"a/b":"c"},"mounts":[{"destination":"/x"}],'
            '"hooks":{"poststop":[{"path":"/p"}]}}'
        )
        assert config.args == ("sh", "-c")
        assert config.annotations == {"a/b": "c"}
        assert config.mounts == [{"destination": "/x"}]
        assert config.hooks == {"poststop": [{"path": "/p"}]}
        assert config.signature is None

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("{}", id="missing"),
            pytest.param('{"process":null,"annotations":null,"mounts":null,"hooks":null}', id="null"),
        ],
    )
    def test_nothing(self, text: str) -> None:
        """Missing and null members mean the same: no process, no annotations, no mounts, no hooks."""
        config = parse(text)
        assert (config.args, config.annotations, config.mounts, config.hooks) == (None, {}, [], None)

    @pytest.mark.parametrize("process", ["{}", '{"args":null}', '{"args":[]}'])
    def test_no_arguments(self, process: str) -> None:
        """A process without arguments is told from a configuration without a process."""
        assert parse(f'{{"process":{process}}}').args == ()

    def test_escaped_names(self) -> None:
        """A member is known whatever its spelling in escapes."""
        assert parse('{"\\u0068ook\\u0073":{"poststop":[]}}').hooks == {"poststop": []}

    @pytest.mark.parametrize("text", ["-0", "1e400", "1.0", "1E+2", "9" * 5000], ids=lambda text: text[:8])
    def test_numbers_keep_their_text(self, text: str) -> None:
        """A number is its text: nothing is rounded, shortened or too large."""
        value = parse(f'{{"n":{text}}}').members["n"]
        assert isinstance(value, JSONNumber)
        assert dumps(value) == text

    def test_variants_elsewhere(self) -> None:
        """Names in other letter cases matter only where hooks depend on them."""
        config = parse('{"linux":{"Hooks":1,"hooks":2,"hooks":3},"annotations":{"a":"","A":""},"HOSTNAME":"x"}')
        assert config.annotations == {"a": "", "A": ""}

    def test_realistic(self) -> None:
        """A configuration as engines write it is read as the standard library reads it."""
        document = make_config(rootfs="rootfs", args=["é", "\U0001f600"], annotations={"k": "v"}, hooks=HOOKS)
        config = parse(json.dumps(document))
        assert config.hooks == HOOKS
        assert list(config.args or ()) == document["process"]["args"]
        assert [mount["destination"] for mount in config.mounts] == [m["destination"] for m in document["mounts"]]


SYNTAX = [
    pytest.param("", "the file is empty", "line 1 column 1", id="empty"),
    pytest.param(" \n\t", "the file is empty", "line 2 column 2", id="blank"),
    pytest.param('\ufeff{"a":1}', "starts with a byte order mark", "line 1 column 1", id="bom"),
    pytest.param("{", "not JSON: expecting property name", "line 1 column 2", id="open"),
    pytest.param('{"a"', "not JSON: expecting ':'", "line 1 column 5", id="name-only"),
    pytest.param('{"a":', "not JSON: expecting value", "line 1 column 6", id="no-value"),
    pytest.param('{"a":1', "not JSON: expecting ','", "line 1 column 7", id="cut"),
    pytest.param('{"a":1\n "b":2}', "not JSON: expecting ','", "line 2 column 2", id="no-comma"),
    pytest.param('{"a":1}x', "not JSON: extra data", "line 1 column 8", id="trailing-text"),
    pytest.param('{"a":1}{}', "not JSON: extra data", "line 1 column 8", id="second-object"),
    pytest.param('{"a":1}\0', "not JSON: extra data", "line 1 column 8", id="trailing-nul"),
    pytest.param('{"a":1}\u00a0', "not JSON: extra data", "line 1 column 8", id="trailing-no-break-space"),
    pytest.param('{"a":"x', "not JSON: unterminated string", "line 1 column 6", id="open-string"),
    pytest.param('{"a":"\t"}', "not JSON: invalid control character", "line 1 column 7", id="control-character"),
    pytest.param('{"a":"\\x"}', "not JSON: invalid \\escape", "line 1 column 7", id="escape"),
    pytest.param('{"a":[1}}', "not JSON: expecting ','", "line 1 column 8", id="bracket"),
    pytest.param('{"a":01}', "not JSON: expecting ','", "line 1 column 7", id="leading-zero"),
    pytest.param("{'a':1}", "not JSON: expecting property name", "line 1 column 2", id="single-quotes"),
    pytest.param('{"a":1 /* b */}', "not JSON: expecting ','", "line 1 column 8", id="comment"),
    pytest.param('{"a":' + "9" * 5000 + ',"b":}', "not JSON: expecting value", "line 1 column 5011", id="huge-number"),
    pytest.param('{"a":NaN}', "not JSON: NaN is no value", "line 1 column 6", id="nan"),
    pytest.param(
        '{"NaN":"NaN \\" NaN",\n"b":[1,NaN]}', "not JSON: NaN is no value", "line 2 column 8", id="nan-strings"
    ),
    pytest.param('{"a":-Infinity}', "not JSON: -Infinity is no value", "line 1 column 6", id="infinity"),
    pytest.param("[]", "expected an object, found an array", None, id="array"),
    pytest.param("null", "expected an object, found null", None, id="null"),
    pytest.param("1e3", "expected an object, found a number", None, id="number"),
    pytest.param('"{}"', "expected an object, found a string", None, id="string"),
    pytest.param("true", "expected an object, found true or false", None, id="true"),
]


class TestSyntax:
    """Text that is no JSON object."""

    @pytest.mark.parametrize(("text", "message", "place"), SYNTAX)
    def test_refused(self, text: str, message: str, place: str | None) -> None:
        """The message says what is wrong, where, and what mends it."""
        error = refusal(text)
        assert error.message.startswith(message)
        assert (error.code, error.pointer) == ("json_syntax", place)
        assert error.hint

    @pytest.mark.parametrize("text", ['{"a":1,}', '{"a":1,,"b":2}', "{,}", '{"a":1, }'])
    def test_commas(self, text: str) -> None:
        """Commas without a member are refused with a place."""
        error = refusal(text)
        assert (error.code, (error.pointer or "")[:7]) == ("json_syntax", "line 1 ")

    @pytest.mark.parametrize(
        ("data", "place"),
        [
            pytest.param(b'{"a":"\xff"}', "line 1 column 7", id="byte"),
            pytest.param(b'{\n"\xc3\xa9":"\xc3"}', "line 2 column 6", id="cut-letter"),
            pytest.param(b'{"a":"\xed\xa0\x80"}', "line 1 column 7", id="surrogate"),
            pytest.param(b'{"a":"\xc0\xaf"}', "line 1 column 7", id="overlong"),
            pytest.param('{"a":1}'.encode("utf-16"), "line 1 column 1", id="utf-16"),
        ],
    )
    def test_not_utf8(self, data: bytes, place: str) -> None:
        """Other encodings are refused with the place of the first wrong byte."""
        error = refusal(data)
        assert error.message.startswith("not UTF-8: ")
        assert (error.code, error.pointer, error.hint) == ("not_utf8", place, "write it in UTF-8")

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-be"])
    def test_wide_encodings(self, encoding: str) -> None:
        """Encodings that the standard library would guess are refused."""
        assert refusal('{"a":1}'.encode(encoding)).code == "json_syntax"


def nested(depth: int, *, inside_hooks: bool) -> str:
    """A document of exactly *depth* levels."""
    if not inside_hooks:
        return '{"x":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    inner = '{"y":' * (depth - 4) + "1" + "}" * (depth - 4)
    return '{"hooks":{"poststop":[{"path":"/p","x":' + inner + "}]}}"


@pytest.fixture
def usual_recursion_limit() -> Iterator[None]:
    """The room for recursion that every interpreter starts with."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


class TestLimits:
    """Size and depth."""

    @pytest.mark.usefixtures("usual_recursion_limit")
    @pytest.mark.parametrize("inside_hooks", [True, False], ids=["hooks", "elsewhere"])
    def test_depth(self, inside_hooks: bool) -> None:
        """The deepest document that is read can be given hooks and written, whatever the interpreter's own limit."""
        config = parse(nested(MAX_DEPTH, inside_hooks=inside_hooks))
        value = config.hooks or HOOKS
        again = parse(with_member(config, "hooks", value))
        assert again.hooks == value
        assert again.members == config.members | {"hooks": value}

    @pytest.mark.parametrize("inside_hooks", [True, False], ids=["hooks", "elsewhere"])
    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 50_000])
    def test_too_deep(self, depth: int, inside_hooks: bool) -> None:
        """One level more, or many, are refused."""
        error = refusal(nested(depth, inside_hooks=inside_hooks))
        assert (error.code, error.message) == ("too_deep", f"nested deeper than {MAX_DEPTH} levels")

    def test_brackets_in_strings(self) -> None:
        """Brackets inside strings are no nesting, whatever the escapes around them."""
        text = json.dumps({"a": '\\"[{' * 2000, "b": ["\\"], "[" * 1500: 1})
        assert parse(text).members["a"] == '\\"[{' * 2000

    def test_many_brackets(self) -> None:
        """Wide documents are not deep ones."""
        assert len(parse(json.dumps({"a": [[]] * 5000})).members["a"]) == 5000

    def test_size(self) -> None:
        """A document of the largest size is read, one byte more is refused."""
        text = '{"a":"' + "x" * (MAX_BYTES - 8) + '"}'
        assert len(parse(text).members["a"]) == MAX_BYTES - 8
        error = refusal(text + " ")
        assert (error.code, error.message) == ("too_large", f"larger than the {MAX_BYTES} bytes that are read")

    def test_many_members(self) -> None:
        """A hundred thousand members with one repeated are no reason to be slow."""
        members = ",".join(f'"m{number}":""' for number in range(100_000))
        error = refusal('{"annotations":{' + members + ',"m5":""}}')
        assert (error.code, error.pointer) == ("repeated_member", "/annotations/m5")


REPEATED = [
    pytest.param('{"hooks":{},"a":1,"hooks":{}}', "/hooks", id="hooks"),
    pytest.param('{"hooks":{},"\\u0068ooks":{}}', "/hooks", id="escaped"),
    pytest.param('{"process":{},"process":{}}', "/process", id="process"),
    pytest.param('{"anything":1,"anything":1}', "/anything", id="any-top-level"),
    pytest.param('{"process":{"args":[],"args":[]}}', "/process/args", id="args"),
    pytest.param('{"annotations":{"a/b":"","a/b":""}}', "/annotations/a~1b", id="annotation"),
    pytest.param('{"mounts":[{"type":"bind","type":"tmpfs"}]}', "/mounts/0/type", id="mount-type"),
    pytest.param('{"hooks":{"poststop":[],"poststop":[]}}', "/hooks/poststop", id="stage"),
    pytest.param('{"hooks":{"poststop":[{"path":"/a","path":"/b"}]}}', "/hooks/poststop/0/path", id="path"),
    pytest.param('{"hooks":{"poststop":[{"path":"/a","env":[],"env":[]}]}}', "/hooks/poststop/0/env", id="env"),
]

VARIANTS = [
    pytest.param('{"Hooks":{}}', "/Hooks", id="capital"),
    pytest.param('{"HOOKS":{},"hooks":{}}', "/HOOKS", id="beside"),
    pytest.param('{"hoo\u212as":{}}', "/hoo\u212as", id="kelvin-sign"),
    pytest.param('{"hook\u017f":{}}', "/hook\u017f", id="long-s"),
    pytest.param('{"hook\\u017f":{}}', "/hook\u017f", id="long-s-escaped"),
    pytest.param('{"Process":{}}', "/Process", id="process"),
    pytest.param('{"ANNOTATIONS":{}}', "/ANNOTATIONS", id="annotations"),
    pytest.param('{"Mounts":[]}', "/Mounts", id="mounts"),
    pytest.param('{"Root":{}}', "/Root", id="root"),
    pytest.param('{"process":{"Args":[]}}', "/process/Args", id="args"),
    pytest.param('{"mounts":[{},{"Options":["bind"]}]}', "/mounts/1/Options", id="mount-options"),
    pytest.param('{"hooks":{"createruntime":[]}}', "/hooks/createruntime", id="stage"),
    pytest.param('{"hooks":{"po\u017ftstop":[]}}', "/hooks/po\u017ftstop", id="stage-long-s"),
    pytest.param('{"hooks":{"poststop":[{"path":"/a","Env":[]}]}}', "/hooks/poststop/0/Env", id="env"),
]

TYPES = [
    pytest.param('{"hooks":[]}', "/hooks", "an object, found an array", id="hooks"),
    pytest.param('{"hooks":{"poststop":{}}}', "/hooks/poststop", "an array, found an object", id="stage"),
    pytest.param('{"hooks":{"poststop":[null]}}', "/hooks/poststop/0", "an object, found null", id="hook"),
    pytest.param(
        '{"hooks":{"poststop":[{"path":1}]}}', "/hooks/poststop/0/path", "a string, found a number", id="path"
    ),
    pytest.param(
        '{"hooks":{"poststop":[{"path":null}]}}', "/hooks/poststop/0/path", "a string, found null", id="path-null"
    ),
    pytest.param(
        '{"hooks":{"poststop":[{"path":"","args":true}]}}',
        "/hooks/poststop/0/args",
        "an array, found true or false",
        id="hook-args",
    ),
    pytest.param(
        '{"hooks":{"poststop":[{"path":"","env":["",7]}]}}',
        "/hooks/poststop/0/env/1",
        "a string, found a number",
        id="hook-env",
    ),
    pytest.param(
        '{"hooks":{"poststop":[{"path":"","timeout":"5"}]}}',
        "/hooks/poststop/0/timeout",
        "a number, found a string",
        id="hook-timeout",
    ),
    pytest.param('{"process":"sh"}', "/process", "an object, found a string", id="process"),
    pytest.param('{"process":{"args":"sh"}}', "/process/args", "an array, found a string", id="args"),
    pytest.param('{"process":{"args":["a",1.5]}}', "/process/args/1", "a string, found a number", id="arg"),
    pytest.param('{"annotations":["a"]}', "/annotations", "an object, found an array", id="annotations"),
    pytest.param('{"annotations":{"a~b/c":{}}}', "/annotations/a~0b~1c", "a string, found an object", id="annotation"),
    pytest.param('{"annotations":{"a":null}}', "/annotations/a", "a string, found null", id="annotation-null"),
    pytest.param('{"mounts":{}}', "/mounts", "an array, found an object", id="mounts"),
    pytest.param('{"mounts":[{},"x"]}', "/mounts/1", "an object, found a string", id="mount"),
    pytest.param('{"mounts":[{"options":true}]}', "/mounts/0/options", "an array, found true or false", id="options"),
]


class TestAmbiguity:
    """Documents that runtimes read differently."""

    @pytest.mark.parametrize(("text", "place"), REPEATED)
    def test_repeated(self, text: str, place: str) -> None:
        """A member that hooks depend on must not be there twice, since runc takes the last one and crun the first."""
        error = refusal(text)
        assert (error.code, error.pointer) == ("repeated_member", place)
        assert error.hint == "runtimes disagree about which one counts; keep one"

    @pytest.mark.parametrize(("text", "place"), VARIANTS)
    def test_letter_case(self, text: str, place: str) -> None:
        """A member that runc would take for one of ours, and crun would not, is refused."""
        error = refusal(text)
        assert (error.code, error.pointer) == ("member_case", place)
        assert (error.hint or "").startswith("runc would read it, crun would not")

    @pytest.mark.parametrize("name", ["hook", "hookss", "\uff48ooks", "hooks ", "hoòks", "hooK\u0307s"])
    def test_other_names(self, name: str) -> None:
        """Names that no runtime takes for one of ours are left alone."""
        assert parse(json.dumps({name: 1})).hooks is None

    @pytest.mark.parametrize(("text", "place", "message"), TYPES)
    def test_types(self, text: str, place: str, message: str) -> None:
        """A member of the wrong type is named with what was expected and what was found."""
        error = refusal(text)
        assert (error.code, error.pointer, error.message) == ("json_type", place, f"expected {message}")
        assert error.hint

    def test_hook_without_path(self) -> None:
        """A hook has to name its program."""
        error = refusal('{"hooks":{"poststop":[{"path":"/a"},{}]}}')
        assert (error.code, error.pointer) == ("missing_property", "/hooks/poststop/1")
        assert error.hint

    @pytest.mark.parametrize("members", ["", ',"args":null,"env":null,"timeout":null', ',"timeout":-1,"x":[1]'])
    def test_good_hooks(self, members: str) -> None:
        """Hooks that the runtimes understand are not ours to judge."""
        assert parse('{"hooks":{"poststop":[{"path":"p"' + members + "}]}}").hooks

    def test_unknown_stage(self) -> None:
        """A stage that is none of the spec is kept as it is, since runtimes ignore it."""
        assert parse('{"hooks":{"afterParty":[7]}}').hooks == {"afterParty": ["7"]}


SPLICES = [
    pytest.param("{}", '{"hooks":H}', id="empty"),
    pytest.param(" {\n } \n", ' {\n "hooks":H} \n', id="empty-with-blanks"),
    pytest.param('{"a":1}', '{"a":1,"hooks":H}', id="absent"),
    pytest.param('{ "a" : 1 \n}\n', '{ "a" : 1,"hooks":H \n}\n', id="absent-with-blanks"),
    pytest.param('{"hooks":{"x":[1, 2]},"b":2}', '{"hooks":H,"b":2}', id="first"),
    pytest.param('{"a":1,"hooks" : null ,"b":2}', '{"a":1,"hooks" : H ,"b":2}', id="middle-null"),
    pytest.param('{"a":{"hooks":1},"hooks":{}}', '{"a":{"hooks":1},"hooks":H}', id="last-with-decoy"),
    pytest.param('{"a":"\\"hooks\\":{}","hooks":{}}', '{"a":"\\"hooks\\":{}","hooks":H}', id="decoy-in-string"),
    pytest.param('{"\\u0068ooks":{}}', '{"\\u0068ooks":H}', id="escaped-name"),
]


class TestSplicing:
    """Setting one member of the text."""

    @pytest.mark.parametrize(("before", "after"), SPLICES)
    def test_bytes(self, before: str, after: str) -> None:
        """Only the bytes of the value differ, or a member is added behind the last one."""
        value = '{"createRuntime":[{"path":"/bin/h"}]}'
        assert with_member(parse_document(before.encode(), FILE), "hooks", HOOKS).decode() == after.replace("H", value)

    def test_ascii(self) -> None:
        """What is written is ASCII, and what was there keeps its bytes."""
        document = parse_document('{"é":"\U0001f600 \\ud83d\\ude00"}'.encode(), FILE)
        after = with_member(document, "hooks", {"é": "\U0001f600\x7f\ud800"})
        assert after.decode() == '{"é":"\U0001f600 \\ud83d\\ude00","hooks":{"\\u00e9":"\\ud83d\\ude00\\u007f\\ud800"}}'

    @pytest.mark.parametrize("value", [[], {}, None, True, False, "", '\\"\n\0', 0, -5, [[1], {"a": [None]}], ("a",)])
    def test_values(self, value: Any) -> None:
        """What is written is read back as it was by the standard library."""
        expected = list(value) if isinstance(value, tuple) else value
        assert json.loads(dumps(value)) == expected

    @pytest.mark.parametrize("value", [1.5, {1}, b"x", object()], ids=lambda value: type(value).__name__)
    def test_no_json(self, value: Any) -> None:
        """What has no JSON form is an error of the caller."""
        with pytest.raises(TypeError, match=f"{type(value).__name__} has no JSON form"):
            dumps([value])


class TestHooksObjects:
    """The check that static hook files share."""

    def test_place(self) -> None:
        """The error names the place below the pointer that the caller gives."""
        members = parse_document(b'{"poststart":[{}]}', "static.json").members
        with pytest.raises(DocumentError) as caught:
            check_hooks(members, "static.json", "", STAGES)
        assert str(caught.value) == 'static.json: /poststart/0: missing required member "path"'

    @pytest.mark.parametrize(
        ("text", "name"),
        [("null", "null"), ("true", "true or false"), ("1", "a number"), ('""', "a string"), ("[]", "an array")],
    )
    def test_type_names(self, text: str, name: str) -> None:
        """Values are called as JSON calls them."""
        assert type_name(parse_document(f'{{"a":{text}}}'.encode(), FILE).members["a"]) == name
        assert type_name(json.loads(text)) == name

    def test_type_name_of_objects(self) -> None:
        """An object is an object, whether a member is repeated or not."""
        members = parse_document(b'{"a":{},"b":{"x":1,"x":2}}', FILE).members
        assert (type_name(members["a"]), type_name(members["b"])) == ("an object", "an object")
