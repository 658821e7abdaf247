"""Static hook files: what they may hold, and that the rest is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ocihooks.document import MAX_DEPTH
from ocihooks.errors import DocumentError, OCIHooksError, UntrustedError
from ocihooks.injection import STAGES
from ocihooks.trust import MAX_FILE_BYTES, trust_here
from ocihooks.wrapper.static import parse_static_hooks, read_static_hooks

FILE = "/etc/ocihooks/static.json"


def parse(text: str) -> dict[str, Any]:
    return parse_static_hooks(text.encode(), FILE)


class TestForms:
    """A hooks object, bare or under a member."""

    HOOKS = '{"createRuntime":[{"path":"/a","args":["a"],"timeout":5,"x":{"y":1}}],"poststop":[]}'

    @pytest.mark.parametrize(
        "text",
        [HOOKS, f'{{"hooks":{HOOKS}}}', f'{{"ociVersion":"1","hooks":{HOOKS},"process":7}}'],
        ids=["bare", "under", "config"],
    )
    def test_read(self, text: str) -> None:
        """Both forms mean the same; a whole config.json may serve, too."""
        assert parse(text) == {
            "createRuntime": [{"path": "/a", "args": ["a"], "timeout": "5", "x": {"y": "1"}}],
            "poststop": [],
        }

    @pytest.mark.parametrize("text", ["{}", '{"hooks":{}}', '{"poststop":null}'])
    def test_empty(self, text: str) -> None:
        """A file may have no hooks."""
        assert not any(parse(text).values())

    @pytest.mark.parametrize("stage", STAGES)
    def test_stages(self, stage: str) -> None:
        """Each stage of the runtime-spec is known."""
        assert parse(f'{{"{stage}":[{{"path":"/a"}}]}}') == {stage: [{"path": "/a"}]}


REFUSED = [
    pytest.param("", "json_syntax", None, id="empty"),
    pytest.param("[]", "json_syntax", None, id="array"),
    pytest.param('{"poststop":[{"path":"/a"}]', "json_syntax", "line 1 column 28", id="cut"),
    pytest.param('{"hooks":null}', "json_type", "/hooks", id="hooks-null"),
    pytest.param('{"hooks":[]}', "json_type", "/hooks", id="hooks-array"),
    pytest.param('{"poststop":{}}', "json_type", "/poststop", id="stage-object"),
    pytest.param('{"hooks":{"poststop":["/a"]}}', "json_type", "/hooks/poststop/0", id="hook-string"),
    pytest.param('{"poststop":[{"path":"/a","env":"A=1"}]}', "json_type", "/poststop/0/env", id="env-string"),
    pytest.param('{"poststop":[{"args":["a"]}]}', "missing_property", "/poststop/0", id="no-path"),
    pytest.param('{"afterstart":[]}', "unknown_stage", "/afterstart", id="unknown-stage"),
    pytest.param('{"hooks":{"PostStop":[]}}', "unknown_stage", "/hooks/PostStop", id="stage-case"),
    pytest.param('{"Hooks":{}}', "unknown_stage", "/Hooks", id="member-case"),
    pytest.param('{"poststop":[],"hooks":{}}', "unknown_stage", "/hooks", id="both-forms"),
    pytest.param('{"poststop":[],"poststop":[]}', "repeated_member", "/poststop", id="stage-twice"),
    pytest.param('{"hooks":{"poststop":[],"poststop":[]}}', "repeated_member", "/hooks/poststop", id="inner-twice"),
    pytest.param('{"poststop":[{"path":"/a","Path":"/b"}]}', "member_case", "/poststop/0/Path", id="path-case"),
    pytest.param('{"a":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", "too_deep", None, id="deep"),
]


class TestRefusals:
    """What is no static hook file."""

    @pytest.mark.parametrize(("text", "code", "place"), REFUSED)
    def test_refused(self, text: str, code: str, place: str | None) -> None:
        """The error names file and place, and has a remedy."""
        with pytest.raises(DocumentError) as caught:
            parse(text)
        error = caught.value
        assert (error.file, error.code) == (FILE, code)
        assert error.pointer == place or (code == "json_syntax" and place is None)
        assert error.hint

    def test_all_unknown_stages(self) -> None:
        """All unknown stages are told at once."""
        with pytest.raises(DocumentError) as caught:
            parse('{"a":[],"poststop":[],"b/c":[]}')
        assert [problem.pointer for problem in caught.value.problems] == ["/a", "/b~1c"]


class TestFiles:
    """Reading them."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A good file."""
        file = tmp_path / "static.json"
        file.write_text('{"poststop":[{"path":"/a"}]}')
        return file

    def refusal(self, file: Path) -> OCIHooksError:
        with pytest.raises(OCIHooksError) as caught:
            read_static_hooks(str(file), trust_here())
        assert caught.value.file == str(file)
        return caught.value

    def test_good(self, file: Path) -> None:
        """A file that only root can write is read."""
        assert read_static_hooks(str(file), trust_here()) == {"poststop": [{"path": "/a"}]}

    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is refused, with both remedies."""
        error = self.refusal(tmp_path / "none.json")
        assert (error.code, error.message) == ("missing_file", "there is no such static hook file")
        assert error.hint == "make the file, or take it out of static-hooks in the settings"

    def test_untrusted(self, file: Path) -> None:
        """A file that others could write is not used."""
        file.chmod(0o666)
        error = self.refusal(file)
        assert (type(error), error.hint) == (UntrustedError, f"chmod o-w {file}")

    def test_fifo(self, file: Path) -> None:
        """A FIFO in its place makes nobody wait."""
        file.unlink()
        os.mkfifo(file, 0o600)
        assert self.refusal(file).message == "expected a regular file"

    def test_below_a_file(self, file: Path) -> None:
        """A path that leads through a file says so."""
        assert self.refusal(file / "x.json").message == "can't be read: not a directory"

    def test_too_large(self, file: Path) -> None:
        """A file has a largest size."""
        file.write_bytes(b"{" + b" " * MAX_FILE_BYTES + b"}")
        assert self.refusal(file).code == "too_large"
