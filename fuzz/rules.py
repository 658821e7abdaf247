"""Rule files: read, compiled, and asked about containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.refusals import findings
from ocihooks.compiled.compile import compile_rules
from ocihooks.compiled.ruleset import MEMBERS, RuleSet
from ocihooks.compiled.store import pack_rules
from ocihooks.errors import MatchError, only_errors
from ocihooks.hooksd.directories import Rule
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.matching import Container, decide
from ocihooks.hooksd.readers import read_document
from ocihooks.settings import Settings

if TYPE_CHECKING:
    from ocihooks.hooksd.matching import Conditions

FILE = "/rules/10.json"

CONTAINERS = (
    Container(args=("/bin/sh", "-c"), annotations={"com.example.gpu": "true", "a": "b"}, has_bind_mounts=True),
    Container(args=("sh",), annotations={"": "é\n\ufffd", "k\u212a": "A" * 100}),
    Container(args=None, annotations={}),
    Container(args=(), annotations={}),
)


def rule(data: bytes) -> str:
    """Refused with findings, or a rule that its compiled form agrees with about every container."""
    reading = Reading(FILE)
    config = read_document(data, reading, ("precreate",))
    verdict = findings(reading.problems, FILE) if reading.problems else "clean"
    assert (config is None) == bool(only_errors(reading.problems))
    if config is None:
        return verdict
    config.to_json()
    rules = compile_rules([Rule(name="10.json", file=FILE, config=config, status="active")], Settings(), ())
    members, packed = pack_rules(rules)
    known = dict(zip(MEMBERS, members, strict=True))
    keys, needs = known["needs"]
    compiled = RuleSet((known["rules"], memoryview(packed), keys, needs), **known)
    for container in CONTAINERS:
        found = compiled.candidates(container)
        answers = [answer(found[0].when, container) if found else "no", answer(config.when, container)]
        assert answers[0] == answers[1], answers
    return verdict


def answer(when: Conditions, container: Container) -> str:
    """What *when* says of *container*: yes, no, or the code of an error."""
    try:
        return "yes" if decide(when, container).matched else "no"
    except MatchError as error:
        return error.code
