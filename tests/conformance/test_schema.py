"""The published JSON schemas of rule files against the readers, on every recorded file that is JSON."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ocihooks.cli.schema import VERSIONS, schema_text
from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.readers import READERS, read_document
from ocihooks.injection import FILTER_STAGE
from ocihooks.spec.stage import STAGES

CASES = Path(__file__).with_name("hooks_read.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """
    A recorded rule file.

    Attributes:
        case: Id of its case.
        text: What is in it.
        document: The text as a JSON parser of any editor sees it.
        extension_stages: Stages that the case allows besides those of the runtime-spec.
    """

    case: str
    text: str
    document: Any
    extension_stages: tuple[str, ...]

    def is_valid(self) -> bool:
        """The verdict of the schema for its version; that of files without one is the old one."""
        version = self.document.get("version") if isinstance(self.document, dict) else None
        return bool(VALIDATORS["1.0.0" if version and version != "0.1.0" else "0.1.0"].is_valid(self.document))

    def is_read(self) -> bool:
        """The verdict of the readers."""
        return read_document(self.text.encode(), Reading(self.case), (*self.extension_stages, FILTER_STAGE)) is not None


VALIDATORS = {version: jsonschema.Draft202012Validator(json.loads(schema_text(version))) for version in VERSIONS}

MEMBERS = frozenset(
    name
    for validator in VALIDATORS.values()
    for part in (validator.schema, *validator.schema["properties"].values())
    for name in part.get("properties", ())
)
"""All members that a rule file can have."""


class Repeated(dict[str, Any]):
    """An object that has a member twice, or in two letter cases."""


def parsed(text: str) -> Any:
    """*text* as JSON; ValueError where it is none in the strict sense, with NaN for example."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name.casefold() for name, _ in pairs]
        return (dict if len(set(names)) == len(names) else Repeated)(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=members)


def recorded() -> Iterator[File]:
    """The recorded files that are JSON in UTF-8."""
    for line in CASES.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        content = case["input"].get("content") or {}
        try:
            data = base64.b64decode(content["b64"]) if "b64" in content else content["text"].encode()
            text = data.decode()
            document = parsed(text)
        except (KeyError, ValueError, RecursionError):
            continue
        yield File(
            case=case["id"],
            text=text,
            document=document,
            extension_stages=tuple(case["input"].get("extension_stages") or ()),
        )


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in *value*."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def in_another_spelling(file: File) -> bool:
    """Whether a member has its name in other letters, which readers take and a schema can't name."""
    spelt = {name.lower(): name for name in MEMBERS}
    names = {name for each in objects(file.document) for name in each}
    folded = {name: name.replace("\u212a", "k").replace("\u017f", "s").lower() for name in names}
    return any(spelt.get(folded[name], name) != name for name in names)


def has_bad_pattern(file: File) -> bool:
    """Whether a pattern is not valid RE2."""
    reading = Reading(file.case)
    read_document(file.text.encode(), reading, (*file.extension_stages, FILTER_STAGE))
    return any(problem.code == "bad_pattern" for problem in reading.problems)


CLASSES: Mapping[str, Callable[[File], bool]] = {
    "members in another letter case": in_another_spelling,
    "repeated members": lambda file: any(isinstance(each, Repeated) for each in objects(file.document)),
    "patterns that are not valid": has_bad_pattern,
    "whole numbers written with a fraction or exponent": lambda file: bool(
        re.search(r'"timeout"\s*:\s*-?[0-9.]+([eE.]|$)', file.text)
    ),
    "extension stages of the reader's caller": lambda file: bool(file.extension_stages),
}
"""What a schema can't tell: for each class, whether a file belongs to it."""


def test_same_verdict() -> None:
    """Schema and readers agree on every file in which there is nothing that a schema can't tell."""
    counts: Counter[bool] = Counter()
    for file in recorded():
        if not any(belongs(file) for belongs in CLASSES.values()):
            assert file.is_valid() == file.is_read(), (file.case, file.text)
            counts[file.is_read()] += 1
    assert min(counts[True], counts[False]) > 100


@pytest.mark.parametrize("name", CLASSES)
def test_class_is_needed(name: str) -> None:
    """Each class has recorded files of which a schema has to say something else than the readers."""
    others = [belongs for other, belongs in CLASSES.items() if other != name]
    assert [
        file.case
        for file in recorded()
        if CLASSES[name](file) and not any(belongs(file) for belongs in others) and file.is_valid() != file.is_read()
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_schema_itself(version: str) -> None:
    """A schema is valid, tells what each member means, and has the stages of the runtime-spec and ours."""
    schema = VALIDATORS[version].schema
    VALIDATORS[version].check_schema(schema)
    assert schema["$id"] == f"urn:ocihooks:rule:{version}"
    for part in objects(schema.get("properties")):
        for about in (part.get("properties") or {}).values():
            assert about["description"].endswith(".")
    enums = [part["enum"] for part in objects(schema) if "prestart" in part.get("enum", ())]
    assert enums == [[*STAGES, FILTER_STAGE]]


def test_versions() -> None:
    """There is a schema for each version that the readers know."""
    assert set(VERSIONS) == set(READERS) - {""}
