"""What is told of a failure: ours as they are, all others as one sentence."""

from __future__ import annotations

import sys
from types import TracebackType

import pytest

from ocihooks.errors import Diagnostic, OCIHooksError, RulesError
from ocihooks.wrapper.arguments import parse
from ocihooks.wrapper.failures import as_failure, tell

CREATE = parse(["create", "--bundle", "/b", "c1"])
STATE = parse(["state", "c1"])

CODE = """
def inner():
    raise {error}

def outer():
    inner()

outer()
"""


def raised(error: str, file: str) -> Exception:
    """The exception that code of *file* raises in its third line, two calls deep."""
    try:
        exec(compile(CODE.format(error=error), file, "exec"), {})
    except Exception as caught:  # noqa: BLE001
        return caught
    raise AssertionError(error)


class TestAsFailure:
    """Any exception as one of ours."""

    def test_ours(self) -> None:
        """An error of ours is told as it is."""
        error = RulesError("no", file="/a.json")
        assert as_failure(error) is error

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            pytest.param("ValueError('bad')", "ValueError: bad", id="value"),
            pytest.param("KeyError('x')", "KeyError: 'x'", id="key"),
            pytest.param(
                "PermissionError(13, 'Permission denied')", "PermissionError: access is not allowed", id="system"
            ),
        ],
    )
    @pytest.mark.parametrize("file", ["/usr/lib/package/plan.py", "plan.py"])
    def test_place(self, error: str, said: str, file: str) -> None:
        """A fault of ours is told with the file and line that raised it, without the file's directory."""
        failure = as_failure(raised(error, file))
        assert failure.message == f"internal error at plan.py:3: {said}"
        assert failure.code == "internal"

    def test_no_place(self) -> None:
        """An exception that nobody raised has no place."""
        assert as_failure(ValueError("bad")).message == "internal error at unknown place: ValueError: bad"

    def test_one_place(self) -> None:
        """An exception that was raised where it is caught has that place."""
        error = ValueError("bad")
        frame = sys._getframe()
        error.__traceback__ = TracebackType(None, frame, frame.f_lasti, 5)
        assert as_failure(error).message.startswith("internal error at test_wrapper_failures.py:5: ")

    def test_library(self) -> None:
        """A library that isn't there is told with the interpreter that misses it, and what mends it."""
        failure = as_failure(raised("ModuleNotFoundError('gone', name='re2')", "/x.py"))
        assert failure.message == f"{sys.executable} can't import re2: gone"
        assert (failure.code, failure.hint) == (
            "import_failed",
            "if the interpreter was upgraded, install ocihooks for it and run ocihooks install again",
        )


class TestTell:
    """What is said, and to whom."""

    def test_no_container(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Of a create, the first sentence says that there is no container; problems and hints stay."""
        problems = [Diagnostic("wrong", file="/a", hint="mend it"), Diagnostic("bad", file="/b")]
        tell(OCIHooksError(problems=problems), CREATE, "w")
        assert capfd.readouterr().err == "w: /a: wrong; container not created\nhint: mend it\nw: /b: bad\n"
        assert problems[0].message == "wrong"

    def test_other_operations(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Of other operations nothing is said about containers."""
        tell(RulesError("wrong", file="/a"), STATE, "w")
        assert capfd.readouterr().err == "w: /a: wrong\n"
