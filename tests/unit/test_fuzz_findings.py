"""What fuzzers and documents at the limits have found, each with a test of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import pytest
from fuzz.engines import containerd, containers_conf, crio, docker
from fuzz.injector import library

from ocihooks.engines import json_text, toml_text
from ocihooks.engines.errors import EngineError
from ocihooks.wrapper.arguments import parse


@pytest.fixture
def usual_depth() -> Iterator[None]:
    """The depth of calls with which an interpreter begins; some of our readers raise it for deep documents."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("value", ["0", '"/a"', "true", "{}", "[1]"])
@pytest.mark.parametrize("name", ["hooks_dir", "runtime_supports_json"])
def test_arrays_that_are_none(name: str, value: str) -> None:
    """Whatever Podman's file has where an array of strings belongs is refused with its place, not a traceback."""
    assert containers_conf(f"[engine]\n{name} = {value}\n".encode()) == "engine_layout"


BRACKETS = "[" * 450 + "]" * 450
TABLE = '[crio.runtime]\ndefault_runtime = "r"\n[crio.runtime.runtimes.r'


@pytest.mark.parametrize(
    ("read", "text"),
    [
        pytest.param(docker, '{"x":' + BRACKETS + "}", id="docker"),
        pytest.param(docker, '{"x":' + '{"a":' * 950 + "1" + "}" * 950 + "}", id="docker-objects"),
        pytest.param(crio, f"{TABLE}{'.a' * 450}]\n", id="crio-header"),
        pytest.param(crio, f"{TABLE}]\n{'.'.join('a' * 600)} = 1\n", id="crio-dotted-key"),
        pytest.param(containerd, f"x = {BRACKETS}\n", id="containerd"),
    ],
)
@pytest.mark.usefixtures("usual_depth")
def test_deep_engine_files(read: Callable[[bytes], str], text: str) -> None:
    """An engine's file that is nested deeper than our functions can follow is refused, not a traceback."""
    assert read(text.encode()) == "engine_syntax"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        pytest.param(json_text.parse, '{"x":' * 99 + "{%s}" + "}" * 99, id="json"),
        pytest.param(toml_text.parse, "[" + ".".join("a" * 98) + "]\nb = {%s}\n", id="toml"),
    ],
)
def test_deepest_engine_files(read: Callable[[str, str], object], text: str) -> None:
    """The deepest that is read has a hundred levels, and the message says so."""
    within, beyond = ('"c": 1', '"c": {}') if read is json_text.parse else ("c = 1", "c = {}")
    read(text % within, "/f")
    with pytest.raises(EngineError) as caught:
        read(text % beyond, "/f")
    assert (str(caught.value), caught.value.code) == ("/f: nested deeper than 100 levels", "engine_syntax")


RUNC = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]"


@pytest.mark.parametrize(
    ("read", "table", "value"),
    [
        pytest.param(crio, f"{TABLE}]", "1979-05-27", id="date"),
        pytest.param(crio, f"{TABLE}]", "[{y = 07:32:00}]", id="time-within"),
        pytest.param(containerd, RUNC, "1979-05-27T07:32:00Z", id="containerd"),
    ],
)
def test_dates_in_handlers(read: Callable[[bytes], str], table: str, value: str) -> None:
    """A date in the table that a handler is made from is refused, since an undo record can't keep it."""
    assert read(f"{table}\nx = {value}\n".encode()) == "engine_layout"
    assert read(f"{table}\nx = '{value}'\n".encode()) == "configured"


def test_half_a_pair_in_engine_files() -> None:
    """Half a surrogate pair in what a handler is made from stays an escape; other letters are written as they are."""
    entry = '{"runtimeType":"io.containerd.runc.v2","options":{"BinaryName":"/r","x":"\\ud800"}}'
    assert docker(f'{{"runtimes":{{"r":{entry}}},"default-runtime":"r"}}'.encode()) == "configured"
    assert json_text.set_member('{"b": 1}', ["a"], ["\ud800", "é"]) == '{"b": 1, "a": ["\\ud800", "\\u00e9"]}'
    assert json_text.set_member('{"b": 1}', ["a"], "é") == '{"b": 1, "a": "é"}'


@pytest.mark.parametrize(
    ("words", "doubt"),
    [
        pytest.param(["create", *(f"--new{i}" for i in range(1000)), "id"], True, id="create"),
        pytest.param([*(f"--new{i}" for i in range(1000)), "create", "id"], True, id="before-create"),
        pytest.param([*(f"--new{i}" for i in range(1000)), "start", "id"], None, id="before-start"),
    ],
)
def test_many_unknown_options(words: list[str], doubt: bool | None) -> None:
    """A thousand options that nobody knows are doubted once, instead of being read in every combination."""
    started = time.thread_time()
    call = parse(words, "")
    assert time.thread_time() - started < 1
    assert call.operation in ("create", "start")
    if doubt:
        assert call.doubt == "the command line has too many options that ocihooks doesn't know"


@pytest.mark.parametrize("size", range(9), ids=str)
def test_beginnings_of_libraries(size: int) -> None:
    """A library that was cut within its first bytes has no name, and is no static program."""
    assert library((b"\x7fELF\2\1\1\0" * 2)[:size]) == "dynamic, unnamed"
