"""config.json: read, matched, spliced, and read again."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from fuzz.refusals import refused
from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.ruleset import RuleSet
from ocihooks.document import Config, parse_config, with_member
from ocihooks.dropins.once import parse_tolerantly
from ocihooks.errors import DocumentError, MatchError
from ocihooks.hooksd.config import HookConfig, When
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.patterns import Pattern
from ocihooks.injector.files import InjectorFile
from ocihooks.settings import Settings
from ocihooks.spec.hook import Hook
from ocihooks.wrapper.plan import plan_for
from ocihooks.wrapper.static import parse_static_hooks

FILE = "/b/config.json"
SHALLOW = 200
"""Brackets up to which the standard library is asked, too, whose own limit is lower than ours."""

CONDITIONS = (
    When(always=True),
    When(has_bind_mounts=True),
    When(annotations=((Pattern("^a"), Pattern(".*")),)),
    When(annotations=((Pattern("(x|y)+"), Pattern("1$")),)),
    When(commands=(Pattern("sh$"), Pattern("^/bin"))),
)
"""One rule for each of these."""


def config(data: bytes) -> str:
    """Refused, or: what is added is there, all else keeps its bytes, and adding it twice is adding it once."""
    try:
        document = parse_config(data, FILE)
    except DocumentError as error:
        return refused(error, FILE)
    agrees_with_standard_library(data, document)
    try:
        plan = plan_for(document, rules())
    except MatchError as error:
        return error.code
    assert plan.hooks is not None, "a rule that always matches added nothing"
    spliced = with_member(document, "hooks", plan.hooks)
    start, end = document.spans.get("hooks", (document.end, document.end))
    assert spliced.startswith(document.text[:start].encode()), "bytes in front of hooks changed"
    assert spliced.endswith(document.text[end:].encode()), "bytes behind hooks changed"
    again = parse_config(spliced, FILE)
    others = {name: value for name, value in again.members.items() if name != "hooks"}
    assert others == {name: value for name, value in document.members.items() if name != "hooks"}
    assert plan_for(again, rules()).hooks is None, "twice is not once"
    return f"{len(plan.injection.additions)} rules"


def agrees_with_standard_library(data: bytes, document: Config) -> None:
    """What we read of a document is what the standard library reads."""
    if data.count(b"[") + data.count(b"{") <= SHALLOW:
        expected = json.loads(data.decode(), parse_int=str, parse_float=str, parse_constant=_refuse)
        assert list(document.members) == list(expected)
        assert document.annotations == (expected.get("annotations") or {})
        assert document.args == _args(expected.get("process"))


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} was read")


def _args(process: Any) -> tuple[str, ...] | None:
    return None if process is None else tuple(process.get("args") or ())


@cache
def rules() -> RuleSet:
    """Rules with all kinds of conditions, whose programs need not be there, since they are the container's."""
    found = [
        Rule(
            name=f"{number}.json",
            file=f"/rules/{number}.json",
            status="active",
            config=HookConfig(hook=Hook(path="/hook"), when=when, stages=("startContainer",)),
        )
        for number, when in enumerate(CONDITIONS, 1)
    ]
    return compile_rules(found, Settings(sandbox=True), (), (InjectorFile("/i.json", "TOOLS", ()),))


def tolerant(data: bytes) -> str:
    """Refused, or read with the last of repeated members, after which nothing is repeated."""
    try:
        document = parse_tolerantly(parse_config, data, FILE, any_case=True)
    except DocumentError as error:
        return refused(error, FILE)
    assert parse_config(document.text.encode(), FILE).members == document.members
    return "once" if document.text.encode() == data else "rewritten"


def static(data: bytes) -> str:
    """Refused, or hooks of stages that there are."""
    try:
        hooks = parse_static_hooks(data, FILE)
    except DocumentError as error:
        return refused(error, FILE)
    return f"{len(hooks)} stages"
