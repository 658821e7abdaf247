"""Exceptions, diagnostics, and how values of others are shown."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocihooks import errors
from ocihooks.errors import (
    CONTAINER_TEXT_LIMIT,
    Diagnostic,
    DocumentError,
    OCIHooksError,
    UnavailableError,
    UsageError,
    only_errors,
    os_reason,
    printable,
    quoted,
    reference_token,
)

FOUND = Diagnostic("it is wrong", code="odd", file="/f", pointer="/a/0", hint="mend it")


class TestQuoting:
    """Text of others in messages."""

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            pytest.param("a", '"a"', id="text"),
            pytest.param('"\\', '"\\"\\\\"', id="quotes"),
            pytest.param("\n\x1b[31m\x00\x7f", '"\\n\\u001b[31m\\u0000\\u007f"', id="control"),
            pytest.param("é\U0001f600\ud800", '"\\u00e9\\ud83d\\ude00\\ud800"', id="not-ascii"),
            pytest.param(None, "null", id="null"),
            pytest.param(True, "true", id="true"),
            pytest.param([1, "é"], '[1, "\\u00e9"]', id="list"),
            pytest.param({"a": 1.5}, '{"a": 1.5}', id="object"),
            pytest.param(b"x", "\"b'x'\"", id="no-json"),
        ],
    )
    def test_shown(self, value: Any, shown: str) -> None:
        """A value is shown as JSON in ASCII."""
        assert quoted(value) == shown

    @given(st.text())
    def test_one_line(self, text: str) -> None:
        """Whatever a text holds, it stays on one line, printable, and can be read back."""
        shown = quoted(text)
        assert shown.isprintable()
        assert json.loads(shown) == text

    def test_cut(self) -> None:
        """A long value is cut, and says how long it was."""
        assert quoted("x" * 10, 10) == '"xxxxxxxxxx"'
        assert quoted("x" * 11, 10) == '"xxxxxxxxxx"… (11 characters)'
        assert quoted([1] * 100, 7) == "[1, 1, … (300 characters)"
        assert len(quoted("x" * 10**6)) < CONTAINER_TEXT_LIMIT + 50

    @pytest.mark.parametrize("value", [10**5000, {(1,): 2}], ids=["huge-number", "odd-key"])
    def test_what_can_not_be_shown(self, value: Any) -> None:
        """What has no JSON form is no reason to fail while telling an error."""
        assert quoted(value) == f"something of type {type(value).__name__}"

    def test_deep(self) -> None:
        """Neither is what is nested deeper than can be written."""
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        assert quoted(value) == "something of type list"
        while value:
            value = value[0]

    @pytest.mark.parametrize(
        ("text", "shown"), [("/a b/é", "/a b/é"), ("a\nb", "a\\nb"), ("\x1b\x7f\ud800", "\\x1b\\x7f\\ud800"), ("", "")]
    )
    def test_printable(self, text: str, shown: str) -> None:
        """Paths are shown as they are, but for what would spoil a line."""
        assert printable(text) == shown

    @given(st.text())
    def test_always_printable(self, text: str) -> None:
        """Nothing gets through that isn't printable."""
        assert printable(text).isprintable()

    @pytest.mark.parametrize(("member", "token"), [("a", "a"), ("a/b", "a~1b"), ("~1", "~01"), ("", "")])
    def test_reference_token(self, member: str, token: str) -> None:
        """A member's name is a part of a JSON pointer as RFC 6901 says."""
        assert reference_token(member) == token


class TestReasons:
    """What the system said."""

    @pytest.mark.parametrize("number", sorted(errno.errorcode))
    def test_words(self, number: int) -> None:
        """No reason has the words from which engines choose another exit status, and each is one short phrase."""
        reason = os_reason(OSError(number, os.strerror(number)))
        assert "no such file or directory" not in reason.lower()
        assert "permission denied" not in reason.lower()
        assert reason.isprintable()
        assert reason == reason.lower()

    def test_usual(self) -> None:
        """The usual reasons are in words of ours."""
        assert os_reason(FileNotFoundError(errno.ENOENT, "x")) == "it does not exist"
        assert os_reason(PermissionError(errno.EACCES, "x")) == "access is not allowed"
        assert os_reason(OSError(errno.ENOSPC, "x")) == "no space left on device"

    def test_without_number(self) -> None:
        """An error without a number has a reason, too."""
        assert os_reason(OSError("odd"))


class TestDiagnostics:
    """One finding."""

    @pytest.mark.parametrize(
        ("diagnostic", "text"),
        [
            (FOUND, "/f: /a/0: it is wrong"),
            (Diagnostic("m", file="/f"), "/f: m"),
            (Diagnostic("m", pointer="/p"), "/p: m"),
            (Diagnostic("m"), "m"),
            (Diagnostic("a\nb", file="/f\x1b", pointer="/\ud800"), "/f\\x1b: /\\ud800: a\\nb"),
        ],
        ids=["all", "file", "pointer", "message", "hostile"],
    )
    def test_text(self, diagnostic: Diagnostic, text: str) -> None:
        """File, place and message make one printable line."""
        assert str(diagnostic) == text

    def test_json(self) -> None:
        """Programs get all members by name, in a fixed order."""
        assert FOUND.to_json() == {
            "severity": "error",
            "code": "odd",
            "file": "/f",
            "pointer": "/a/0",
            "message": "it is wrong",
            "hint": "mend it",
        }

    @pytest.mark.parametrize("diagnostic", [FOUND, Diagnostic("m"), FOUND.but(severity="warning")], ids=repr)
    def test_stored(self, diagnostic: Diagnostic) -> None:
        """A diagnostic comes back from the members that were stored."""
        members = diagnostic.to_json()
        names = ("severity", "code", "file", "pointer", "message", "hint")
        assert Diagnostic.from_members(tuple(members[name] for name in names)) == diagnostic

    def test_equality(self) -> None:
        """Diagnostics with the same members are the same."""
        assert FOUND.but() == FOUND
        assert hash(FOUND) == hash(FOUND.but())
        assert FOUND.but(severity="warning") != FOUND
        assert FOUND != "/f: /a/0: it is wrong"
        assert len({FOUND, FOUND.but(), Diagnostic("x")}) == 2

    def test_but(self) -> None:
        """A copy can have another severity; a hint is added only where there is none."""
        other = Diagnostic("m").but(severity="warning", hint="h")
        assert (other.severity, other.hint) == ("warning", "h")
        assert FOUND.but(hint="other").hint == "mend it"

    def test_only_errors(self) -> None:
        """Warnings can be left out."""
        assert only_errors([FOUND, FOUND.but(severity="warning")]) == (FOUND,)


class TestExceptions:
    """Errors carry diagnostics."""

    def test_one(self) -> None:
        """An error made of its parts has one problem, whose members are its own."""
        error = DocumentError("m", code="c", file="/f", pointer="/p", hint="h")
        assert (error.message, error.code, error.file, error.pointer, error.hint) == ("m", "c", "/f", "/p", "h")
        assert error.problems == (Diagnostic("m", code="c", file="/f", pointer="/p", hint="h"),)
        assert (str(error), error.args) == ("/f: /p: m", ("m",))

    def test_several(self) -> None:
        """An error with several problems shows them all, and its members are those of the first."""
        error = OCIHooksError(problems=[FOUND, Diagnostic("second")])
        assert (error.message, error.file) == ("it is wrong", "/f")
        assert str(error) == "/f: /a/0: it is wrong\nsecond"
        assert error.render("p") == "p: /f: /a/0: it is wrong\nhint: mend it\np: second"

    def test_hostile_hint(self) -> None:
        """A hint stays on its line."""
        assert OCIHooksError("m", hint="chmod o-w /a\nb").render("p") == "p: m\nhint: chmod o-w /a\\nb"

    def test_exit_statuses(self) -> None:
        """Wrong usage is 2, the environment 3, all else 1."""
        statuses = {kind: kind.exit_status for kind in all_errors()}
        assert statuses.pop(UsageError) == 2
        assert statuses.pop(UnavailableError) == 3
        assert set(statuses.values()) == {1}

    @pytest.mark.parametrize(
        "kind", [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    )
    def test_tree(self, kind: type[Exception]) -> None:
        """Every exception of the module is one of ours, but for one that nobody sees, and can be made of a message."""
        assert issubclass(kind, OCIHooksError) is (kind is not errors.DamagedError)
        assert str(kind("m")) == "m"


def all_errors() -> set[type[OCIHooksError]]:
    return {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, OCIHooksError)}
