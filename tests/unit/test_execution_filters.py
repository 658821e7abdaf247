"""Handing a configuration through filters: what they read, what they may write, and what is reported."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest

from ocihooks.errors import DocumentError
from ocihooks.execution.difference import MAX_LINES, difference
from ocihooks.execution.errors import FilterOutputError, HookFailedError, HookNotRunnableError, HookTimeoutError
from ocihooks.execution.filters import apply_filters, filter_config
from ocihooks.spec.hook import Hook

CONFIG = {
    "ociVersion": "1.2.0",
    "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
    "hostname": "old",
    "x-unknown": {"deep": [1, 2.5, None]},
}


def sh(script: str) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script), env=("PATH=/usr/bin:/bin",))


def sed(expression: str) -> Hook:
    return Hook(path="/bin/sed", args=("sed", expression))


def writes(directory: Path, output: bytes) -> Hook:
    """A filter that writes *output*, whatever it reads."""
    (directory / "output").write_bytes(output)
    return sh(f"cat > /dev/null; cat {directory}/output")


def test_filters_form_a_chain() -> None:
    """Each filter gets what the one before it wrote, and the last one's word is the result; unknown members stay."""
    result = filter_config([sed("s/old/one/"), sed("s/one/two/")], CONFIG)
    assert result == CONFIG | {"hostname": "two"}


def test_without_filters_nothing_changes() -> None:
    """No filters, no change, and nothing to report."""
    report = apply_filters([], CONFIG)
    assert (report.config, report.changes) == (CONFIG, ())


def test_text_is_passed_byte_for_byte(tmp_path: Path) -> None:
    """The engine's text reaches the first filter, and a filter's text the next and the caller, untouched."""
    data = b' {"ociVersion" : "1.2.0","n":[1.10,1e400,-0,9007199254740993],\n "hostname": "\\u0041"}\n'
    copies = [sh(f"tee {tmp_path}/first"), sh(f"sed 's/A/B/; s/41/42/' | tee {tmp_path}/second"), sh("cat")]
    report = apply_filters(copies, data)
    assert (tmp_path / "first").read_bytes() == data
    assert (tmp_path / "second").read_bytes() == report.data == data.replace(b"41", b"42")
    assert [change.after == report.data for change in report.changes] == [False, True, True]


def test_dict_is_written_compactly_and_left_alone() -> None:
    """A dict is sent as UTF-8 without spaces, and never changed."""
    config = copy.deepcopy(CONFIG) | {"annotations": {"k": "é <&>"}}
    before = copy.deepcopy(config)
    report = apply_filters([sed("s/old/new/")], config)
    assert report.changes[0].before == json.dumps(before, ensure_ascii=False, separators=(",", ":")).encode()
    assert config == before


def test_numbers_keep_their_value() -> None:
    """Whole numbers of any size come back exactly."""
    assert filter_config([sh("cat")], {"ociVersion": "1", "big": 2**80, "half": 0.5})["big"] == 2**80


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        pytest.param(b"", "output_json_syntax", "nothing was written to standard output", id="nothing"),
        pytest.param(b" \n", "output_json_syntax", "nothing was written to standard output", id="space"),
        pytest.param(b'{\n "a": 1,\n}', "output_json_syntax", "line 3 column 1: not JSON", id="comma"),
        pytest.param(b'{"a": 1} x', "output_json_syntax", "line 1 column 10: not JSON: extra data", id="extra"),
        pytest.param(b'{"a": "\xff"}', "output_json_syntax", "line 1 column 8: not UTF-8", id="not-utf8"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', "output_json_syntax", "byte order mark", id="bom"),
        pytest.param(b'{"a": NaN}', "output_json_syntax", "NaN", id="nan"),
        pytest.param(b"[" * 5000, "output_json_syntax", "nested deeper than 1024 levels", id="deep"),
        pytest.param(b"null", "output_json_type", "expected an object, found null", id="null"),
        pytest.param(b"[]", "output_json_type", "expected an object, found an array", id="array"),
        pytest.param(b"{}", "output_json_type", "all that was there would be lost", id="empty-object"),
        pytest.param(b'{"hooks": {}, "hooks": {}}', "output_json_type", "/hooks: member", id="repeated"),
        pytest.param(b'{"Process": {}}', "output_json_type", "/Process: member", id="letter-case"),
        pytest.param(b'{"hooks": {"poststop": [{}]}}', "output_json_type", "/hooks/poststop/0: missing", id="hook"),
        pytest.param(
            b'{"ociVersion": 1}', "output_json_type", "/ociVersion: expected a string, found a number 1", id="type"
        ),
        pytest.param(
            b'{"process": {"user": {"uid": -1, "gid": 1.0}}, "mounts": [{"source": {}}]}',
            "output_json_type",
            "/process/user/uid: expected a whole number from 0 to 4294967295, found a number -1; "
            "/process/user/gid: expected a whole number from 0 to 4294967295, found a number 1.0; "
            "/mounts/0/source: expected a string, found an object of 0",
            id="types",
        ),
    ],
)
def test_output_that_is_no_configuration(tmp_path: Path, output: bytes, code: str, reason: str) -> None:
    """Whatever can't be a configuration is refused, naming filter and place, and the next filter doesn't run."""
    with pytest.raises(FilterOutputError) as caught:
        apply_filters([sh("cat"), writes(tmp_path, output), sh(f"touch {tmp_path}/ran; cat")], CONFIG)
    assert str(caught.value).startswith("/bin/sh: filter #1: its output is no configuration: ")
    assert reason in str(caught.value)
    assert (caught.value.code, caught.value.hook.path) == (code, "/bin/sh")
    assert caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_long_list_of_faults_is_cut(tmp_path: Path) -> None:
    """Five wrong types are named, the others counted."""
    output = json.dumps({"process": {"env": [1] * 9}}).encode()
    with pytest.raises(FilterOutputError, match=r"/process/env/4: .*; and 4 more"):
        apply_filters([writes(tmp_path, output)], CONFIG)


def test_filter_says_why_on_standard_error(tmp_path: Path) -> None:
    """What a filter wrote to standard error stands beside the fault, and in the report when all went well."""
    with pytest.raises(FilterOutputError, match='stderr: "no template"'):
        apply_filters([sh("echo no template >&2")], CONFIG)
    report = apply_filters([sh("echo fine >&2; cat")], CONFIG)
    assert report.changes[0].result.stderr == b"fine\n"


def test_empty_configuration_may_stay_empty() -> None:
    """A filter that was given nothing loses nothing."""
    assert filter_config([sh("cat")], {}) == {}


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        pytest.param(sh("sed s/old/new/; exit 3"), HookFailedError, id="fails-after-output"),
        pytest.param(Hook(path="/no/such"), HookNotRunnableError, id="missing"),
        pytest.param(Hook(path="/bin/sleep", args=("sleep", "60"), timeout=1), HookTimeoutError, id="timeout"),
    ],
)
def test_filter_that_fails_names_itself(hook: Hook, error: type[Exception]) -> None:
    """The second filter's failure is told as such, and the first one's work is not in the caller's configuration."""
    config = copy.deepcopy(CONFIG)
    with pytest.raises(error, match="filter #1: "):
        filter_config([sed("s/old/new/"), hook], config)
    assert config == CONFIG


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(b"{", "config.json: line 1 column 2", id="syntax"),
        pytest.param(b"null", "expected an object", id="null"),
        pytest.param({"a": object()}, "can't be written as JSON", id="no-json-type"),
        pytest.param({"a": float("inf")}, "can't be written as JSON", id="infinity"),
    ],
)
def test_configuration_that_is_none_starts_no_filter(
    tmp_path: Path, config: dict[str, Any] | bytes, reason: str
) -> None:
    """What is no configuration to begin with is refused before any filter runs."""
    with pytest.raises(DocumentError, match=reason):
        apply_filters([sh(f"touch {tmp_path}/ran; cat")], config)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "number", [pytest.param("1e400", id="huge-float"), pytest.param("1" * 5000, id="huge-integer")]
)
def test_number_that_python_cannot_hold(number: str) -> None:
    """A number too large for a dict is refused there, while the text is still to be had."""
    report = apply_filters([sh("cat")], f'{{"x":{number}}}'.encode())
    assert number in report.data.decode()
    with pytest.raises(DocumentError, match="can't be held as a dict"):
        _ = report.config


def test_output_limit_of_filters(tmp_path: Path) -> None:
    """Output beyond the limit is refused for its length, not for the syntax of what was kept."""
    with pytest.raises(FilterOutputError, match="longer than the 1000 bytes that are kept"):
        apply_filters([writes(tmp_path, b'{"a":"' + b"x" * 5000 + b'"}')], CONFIG, output_limit=1000)


def test_tail_of_output_is_not_taken_for_all_of_it(tmp_path: Path) -> None:
    """Output whose kept end happens to be a configuration is refused all the same."""
    with pytest.raises(FilterOutputError, match="longer than the 20 bytes that are kept"):
        apply_filters([writes(tmp_path, b" " * 80 + b'{"ociVersion":"1.1"}')], CONFIG, output_limit=20)


def test_deadline_holds_for_the_chain() -> None:
    """One deadline for all filters: the second is ended though it would have had time alone."""
    with pytest.raises(HookTimeoutError, match="filter #1"):
        apply_filters([sh("cat"), sh("sleep 60; cat")], CONFIG, deadline=time.monotonic() + 1.5)


def test_options_reach_the_filters(tmp_path: Path) -> None:
    """The working directory is that of the caller's choice."""
    report = apply_filters([sh('cat > /dev/null; echo "{\\"hostname\\":\\"$(pwd)\\"}"')], CONFIG, cwd=tmp_path)
    assert report.config == {"hostname": str(tmp_path)}


def test_report_shows_what_each_filter_changed() -> None:
    """The difference is that of the documents, pretty-printed: neither spaces nor the order of members count."""
    reorder = Hook(path="/usr/bin/jq", args=("jq", "-S", ".")) if Path("/usr/bin/jq").exists() else sh("sed 's/,/, /'")
    report = apply_filters([reorder, sed('s/"old"/"new"/')], CONFIG)
    unchanged, changed = [change.diff() for change in report.changes]
    assert unchanged == ()
    assert [line for line in changed if line[0] in "+-"] == [
        "--- before",
        "+++ after",
        '-  "hostname": "old",',
        '+  "hostname": "new",',
    ]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        pytest.param({}, {}, [], id="empty"),
        pytest.param({"a": []}, {"a": {}}, ['-  "a": []', '+  "a": {}'], id="empty-values"),
        pytest.param({"a": "\u001b[2Jé"}, {}, ["-{", '-  "a": "\\u001b[2J\\u00e9"', "-}", "+{}"], id="escaped"),
        pytest.param({"a": {"b": [1, None]}}, {"a": {"b": [1, True]}}, ["-      null", "+      true"], id="nested"),
    ],
)
def test_difference(before: dict[str, Any], after: dict[str, Any], lines: list[str]) -> None:
    """Every kind of value has its line, and no control character is printed as it is."""
    assert [line for line in difference(before, after)[2:] if line[0] in "+-"] == lines


def test_large_difference_is_only_counted() -> None:
    """Documents that differ in thousands of lines are not compared line by line."""
    before = {"a": list(range(MAX_LINES * 2)), "z": 1}
    after = {"a": list(range(1, MAX_LINES * 3, 2)), "z": 1}
    assert difference(before, after)[2].startswith("@@ from line 3: 10000 lines became 7500")
    assert difference(before, before | {"z": 2})[-2:] == ('+  "z": 2', " }")


def test_deep_documents_are_compared() -> None:
    """Nesting as deep as the reader allows does not end in a recursion error."""
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    assert len(difference({"a": deep}, {"a": 1})) > 900
