"""Patterns that are plain text in disguise answer as RE2 does."""

from __future__ import annotations

import random

import pytest
from tests.unit.pattern_cases import make_pattern, make_texts

from ocihooks.compiled.plain import compile_pattern
from ocihooks.compiled.search import ANYTHING, EXACT, PART, PREFIX, RE2, SUFFIX, Search
from ocihooks.hooksd.patterns import Pattern

FORMS = {
    "": (ANYTHING, ""),
    "^": (ANYTHING, ""),
    "$": (ANYTHING, ""),
    ".*": (ANYTHING, ""),
    "^.*": (ANYTHING, ""),
    ".*$": (ANYTHING, ""),
    ".*.*": (ANYTHING, ""),
    "^$": (EXACT, ""),
    "^a$": (EXACT, "a"),
    r"^com\.example\.gpu$": (EXACT, "com.example.gpu"),
    r"^/usr/bin/tool$": (EXACT, "/usr/bin/tool"),
    r"^\^\$\\\/\-\_$": (EXACT, r"^$\/-_"),
    "^a": (PREFIX, "a"),
    "^a.*": (PREFIX, "a"),
    "a$": (SUFFIX, "a"),
    ".*a$": (SUFFIX, "a"),
    "a": (PART, "a"),
    ".*a.*": (PART, "a"),
    r"\.*": (RE2, r"\.*"),
    r"a\\.*": (PART, "a\\"),
    r"a\$": (PART, "a$"),
    r"a\\$": (SUFFIX, "a\\"),
    "é": (PART, "é"),
    "^.*a": (RE2, "^.*a"),
    "^a.*$": (RE2, "^a.*$"),
    "^.*$": (RE2, "^.*$"),
    ".*?a": (RE2, ".*?a"),
    "com.example": (RE2, "com.example"),
    "a|b": (RE2, "a|b"),
    "(a)": (RE2, "(a)"),
    "(?i)a": (RE2, "(?i)a"),
    "a+": (RE2, "a+"),
    "a{2}": (RE2, "a{2}"),
    "[a]": (RE2, "[a]"),
    r"\d": (RE2, r"\d"),
    r"\Qa\E": (RE2, r"\Qa\E"),
    r"\Aa": (RE2, r"\Aa"),
    r"\n": (RE2, r"\n"),
    "a]": (RE2, "a]"),
}


@pytest.mark.parametrize(("source", "form"), FORMS.items(), ids=[ascii(source) for source in FORMS])
def test_form(source: str, form: tuple[int, str]) -> None:
    """Each pattern gets the cheapest form that surely means the same."""
    assert compile_pattern(source) == form


@pytest.mark.parametrize(("seed", "count"), [(1, 5_000), pytest.param(2, 50_000, marks=pytest.mark.slow)])
def test_answers_as_re2(seed: int, count: int) -> None:
    """Whatever the form, the answer for a text is that of RE2."""
    rng = random.Random(seed)
    kinds = dict.fromkeys((ANYTHING, EXACT, PREFIX, SUFFIX, PART, RE2), 0)
    for _ in range(count):
        source = make_pattern(rng)
        compiled = compile_pattern(source)
        kinds[compiled[0]] += 1
        if compiled[0] == RE2:
            assert compiled == (RE2, source)
            continue
        search, pattern = Search(compiled, source), Pattern(source)
        for text in make_texts(rng, source):
            assert search.search(text) == pattern.search(text), (source, text)
    assert min(kinds.values()) > count / 100, "the patterns are not of all kinds"


def test_a_pattern_that_needs_re2_is_searched_by_it() -> None:
    """The form for RE2 answers as RE2, and refuses texts that are too long for it."""
    search = Search(compile_pattern("^a+b?$"), "^a+b?$")
    assert [search.search(text) for text in ("aab", "", "ba")] == [True, False, False]
    with pytest.raises(ValueError, match="more than the 1048576 that are searched"):
        search.search("a" * (1 << 20) + "b")


def test_the_source_is_kept_for_messages() -> None:
    """A compiled pattern knows the text of its rule file."""
    assert Search(compile_pattern("^a$"), "^a$").source == "^a$"
