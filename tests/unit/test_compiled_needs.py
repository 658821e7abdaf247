"""The text that a rule needs is in every container that the rule matches."""

from __future__ import annotations

import random

import pytest
from tests.unit.pattern_cases import make_pattern, make_texts

from ocihooks.compiled.needs import need_of, needed
from ocihooks.compiled.plain import compile_pattern
from ocihooks.errors import MatchError
from ocihooks.hooksd.config import When
from ocihooks.hooksd.matching import Container, decide
from ocihooks.hooksd.patterns import Pattern

NEEDED = {
    "": "",
    "^$": "",
    ".*": "",
    "^a$": "a",
    r"^com\.example\.gpu$": "com.example.gpu",
    "com.example": "com",
    r"^com\.[a-z]+": "com.",
    "tools?": "tool",
    "tool*": "too",
    "tool+": "tool",
    "tool{0,2}": "too",
    "^*abc": "",
    "abc(d|e)": "abc",
    "abc(d": "abc",  # no pattern, but the need is never asked for
    "a|b": "",
    r"a\|b": "a|b",
    r"a\|b[c]": "",  # a bracket might hide something, so nobody looks closer
    "(a)|b": "",
    "(a|b)c": "",
    "abc[|]d": "",
    "(?i)abc": "",
    "abc(?i)d": "",
    r"\Qa\E": "",
    r"abc\Q|\E": "",
    r"abc\d": "abc",
    r"abc\x64": "abc",
    r"\babc": "",
    "ab.*": "ab",
    ".*ab": "ab",
    "^ab.*$": "ab",
    "é+": "é",
}


@pytest.mark.parametrize(("source", "text"), NEEDED.items(), ids=[ascii(source) for source in NEEDED])
def test_needed(source: str, text: str) -> None:
    """The literal text at the beginning of a pattern, as far as it can't be absent."""
    assert needed(compile_pattern(source)) == text


@pytest.mark.parametrize(("seed", "count"), [(1, 5_000), pytest.param(2, 30_000, marks=pytest.mark.slow)])
def test_every_text_that_is_found_has_it(seed: int, count: int) -> None:
    """Where RE2 finds a pattern in a text, what the pattern needs is a part of the text."""
    rng = random.Random(seed)
    found = useful = 0
    for _ in range(count):
        source = make_pattern(rng)
        text_needed, pattern = needed(compile_pattern(source)), Pattern(source)
        useful += bool(text_needed)
        for text in (*make_texts(rng, source), text_needed, f"x{text_needed}", text_needed * 2):
            if pattern.search(text):
                found += 1
                assert text_needed in text, (source, text)
    assert found > count
    assert useful > count / 4, "too few patterns need anything"


def patterns(*sources: str) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, sources))


def pairs(*sources: tuple[str, str]) -> tuple[tuple[Pattern, Pattern], ...]:
    return tuple((Pattern(key), Pattern(value)) for key, value in sources)


WHENS = {
    "nothing": (When(), ""),
    "always": (When(always=True), ""),
    "bind mounts": (When(has_bind_mounts=True), ""),
    "annotation key": (When(annotations=pairs(("^key$", ".*"))), "key"),
    "annotation value": (When(annotations=pairs((".*", "value"))), "value"),
    "the longest": (When(annotations=pairs(("^a$", "bcd"), ("ef", "g"))), "bcd"),
    "annotation and more": (When(always=True, has_bind_mounts=True, annotations=pairs(("key", ""))), "key"),
    "annotation and commands": (When(annotations=pairs(("key", "")), commands=patterns("command")), "key"),
    "no annotation is known": (When(annotations=pairs(("", "a|b")), commands=patterns("command")), ""),
    "commands": (When(commands=patterns("^/bin/sh$")), "/bin/sh"),
    "commands that share a text": (When(commands=patterns("^/bin/sh$", "^/usr/bin/sh$", "/bin/sh")), "/bin/sh"),
    "commands that don't": (When(commands=patterns("^/bin/sh$", "bash")), ""),
    "commands with others": (When(commands=patterns("sh"), always=True), ""),
    "commands with bind mounts": (When(commands=patterns("sh"), has_bind_mounts=True), ""),
    "no commands": (When(commands=()), ""),
    "any of one annotation": (When(any_of=True, annotations=pairs(("", "value"))), "value"),
    "any of two annotations": (When(any_of=True, annotations=pairs(("", "value"), ("", "value"))), ""),
    "any of commands": (When(any_of=True, commands=patterns("ash", "bash")), "ash"),
    "any of both": (When(any_of=True, commands=patterns("sh"), annotations=pairs(("", "sh"))), ""),
    "any of bind mounts": (When(any_of=True, has_bind_mounts=True, commands=patterns("sh")), ""),
    "any of always": (When(any_of=True, always=True, commands=patterns("sh")), ""),
}


@pytest.mark.parametrize(("when", "need"), WHENS.values(), ids=WHENS)
def test_need_of_conditions(when: When, need: str) -> None:
    """A text that every container has which meets the conditions; empty where that can't be said."""
    assert need_of(when) == need


def make_when(rng: random.Random, sources: list[str]) -> When:
    """Conditions of any kind."""

    def some(count: int) -> tuple[Pattern, ...] | None:
        return None if rng.random() < 0.4 else patterns(*(rng.choice(sources) for _ in range(rng.randint(0, count))))

    keys, values = some(2), some(2)
    return When(
        always=rng.choice((None, None, None, True, False)),
        has_bind_mounts=rng.choice((None, None, None, True, False)),
        annotations=None if keys is None else tuple(zip(keys, values or keys, strict=False)),
        commands=some(3),
        any_of=rng.random() < 0.4,
    )


@pytest.mark.parametrize(("seed", "count"), [(1, 10_000), pytest.param(2, 80_000, marks=pytest.mark.slow)])
def test_every_container_that_matches_has_it(seed: int, count: int) -> None:
    """The need is part of a key, a value or the command of every container that matches, or can't be decided."""
    rng = random.Random(seed)
    matched = useful = 0
    for _ in range(count // 10):
        sources = [make_pattern(rng) for _ in range(3)]
        texts = [text for source in sources for text in make_texts(rng, source)]
        for _ in range(10):
            when = make_when(rng, sources)
            need = need_of(when)
            useful += bool(need)
            container = make_container(rng, texts)
            if not matches(when, container):
                continue
            matched += 1
            seen = [*container.annotations, *container.annotations.values(), *(container.args or ())[:1]]
            assert any(need in text for text in seen) or not need, (when, need, container.annotations, container.args)
    assert matched > count / 10
    assert useful > count / 10


def make_container(rng: random.Random, texts: list[str]) -> Container:
    """A container with some of *texts*; it has a command, since a process without one is an error of its own."""
    args = None if rng.random() < 0.2 else (rng.choice(texts),)
    annotations = {rng.choice(texts): rng.choice(texts) for _ in range(rng.choice((0, 1, 1, 2)))}
    return Container(args=args, annotations=annotations, has_bind_mounts=rng.random() < 0.3)


def matches(when: When, container: Container) -> bool:
    try:
        return decide(when, container).matched
    except MatchError:
        return True
