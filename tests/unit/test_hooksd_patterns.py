"""Patterns are RE2, searched anywhere, in linear time, in text of limited length."""

from __future__ import annotations

import time

import pytest

from ocihooks.hooksd.patterns import MAX_TEXT_BYTES, Pattern, PatternError, TextTooLongError

CATASTROPHIC = {
    # name: pattern, what the text repeats, whether it is found
    "star-of-star": ("^(a*)*b", "a", False),
    "plus-of-plus": ("^(a+)+$", "a", True),
    "three-pluses": ("(x+x+)+y", "x", False),
    "same-alternatives": ("^(a|a)*$", "a", True),
    "overlapping-alternatives": ("^(a|aa)+$", "a", True),
    "any-or-a": ("^(.|a)*b$", "a", False),
    "many-dot-stars": (".*.*.*.*.*=", "a", False),
    "dot-stars-between": ("^.*a.*a.*a.*a.*b$", "a", False),
    "fifty-optional": (f"^{'a?' * 50}{'a' * 50}$", "a", False),
    "counted-twice": ("^(a{0,30}){0,30}b$", "a", False),
    "counted-dot-star": ("(.*a){20}b", "a", False),
    "almost-a-name": ("^(([a-z])+.)+[A-Z]([a-z])+$", "a", False),
    "almost-an-address": (r"^([a-z0-9])(([\-.]|[_]+)?([a-z0-9]+))*(@){1}[a-z0-9]+\.([a-z]{2,3})$", "a", False),
    "spaces": (r"^\s+$|x\s+y|\s+z", " ", True),
    "fields": ("^(.*?,){11}P", "1,", False),
    "words": (r"^(\w+\s?)*;$", "a ", False),
    "unicode": (r"^(\pL+)*1$", "\u00e9", False),
    "fold-case": ("(?i)(k+)+x", "K", False),
    "exponential-states": ("(a|b)*a(a|b){100}c", "abaab", False),
    "large-counts": ("(a{1,100}){1,9}b", "a", False),
}


@pytest.mark.parametrize("name", CATASTROPHIC)
def test_linear_time(name: str) -> None:
    """A pattern that takes a backtracking engine forever is decided within a second on the longest text."""
    source, piece, found = CATASTROPHIC[name]
    text = piece * (MAX_TEXT_BYTES // len(piece.encode()))
    pattern = Pattern(source)
    pattern.compile()
    started = time.monotonic()
    assert pattern.search(text) is found
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        pytest.param("", "", True, id="empty-in-empty"),
        pytest.param("", "x", True, id="empty-in-any"),
        pytest.param("b", "abc", True, id="anywhere"),
        pytest.param("^b", "a\nb", False, id="caret-is-the-text's-begin"),
        pytest.param("a$", "a\n", False, id="dollar-is-the-text's-end"),
        pytest.param(r"\d", "\u0664", False, id="digits-are-ascii"),
        pytest.param(r"\w", "\u00e9", False, id="words-are-ascii"),
        pytest.param(r"\s", "\v", False, id="vertical-tab-is-no-space"),
        pytest.param(".", "\n", False, id="dot-is-no-newline"),
        pytest.param("^.$", "\u20ac", True, id="dot-is-a-character"),
        pytest.param("(?i)k", "\u212a", True, id="kelvin-sign-folds-to-k"),
        pytest.param("(?i)\u0131", "i", False, id="dotless-i-does-not-fold"),
        pytest.param(r"\pL", "\u00e9", True, id="unicode-class"),
        pytest.param(r"\Qa.b\E", "a.b", True, id="quoted"),
        pytest.param("a\0b", "xa\0bx", True, id="nul"),
        pytest.param("^\ufffd\ufffd$", "\udcff\udcfe", True, id="each-bad-byte-is-a-replacement-character"),
        pytest.param("(?P<n>a)|(?P<n>b)", "b", True, id="two-groups-of-one-name"),
    ],
)
def test_search(source: str, text: str, found: bool) -> None:
    """The pattern language is RE2's, on text, not bytes."""
    assert Pattern(source).search(text) is found


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("(", id="open-group"),
        pytest.param("a(?=b)", id="look-ahead"),
        pytest.param(r"(a)\1", id="back-reference"),
        pytest.param("a{1001}", id="too-many-repeats"),
        pytest.param("((a{100}){100}){100}", id="too-large"),
        pytest.param("(?P<a-b>x)", id="group-name"),
        pytest.param("\ud800", id="lone-surrogate"),
    ],
)
def test_bad_pattern(source: str) -> None:
    """What is not valid RE2 is refused with a reason, when compiled as when searched."""
    for use in (Pattern.compile, lambda pattern: pattern.search("x")):
        with pytest.raises(PatternError, match=r"\w"):
            use(Pattern(source))


def test_longest_text() -> None:
    """Text is measured in bytes: the longest is searched to its end, one more byte is refused with the numbers."""
    longest = "\u20ac" * (MAX_TEXT_BYTES // 3) + "x"
    assert len(longest.encode()) == MAX_TEXT_BYTES
    assert Pattern("x$").search(longest)
    with pytest.raises(TextTooLongError, match="1048577 bytes, more than the 1048576"):
        Pattern("x").search(longest + "x")


def test_equality() -> None:
    """Patterns of the same text are the same, compiled or not."""
    pattern = Pattern("a")
    pattern.compile()
    assert pattern == Pattern("a") != Pattern("b")
    assert len({pattern, Pattern("a"), Pattern("b")}) == 2
    assert pattern != "a"
    assert repr(pattern) == "Pattern('a')"
