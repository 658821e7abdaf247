"""`ocihooks schema`: the JSON schemas of rule files, which tests/conformance compares with the readers."""

from __future__ import annotations

import json

import pytest
from tests.cli.place import Run

from ocihooks.cli.schema import VERSIONS, schema_text


@pytest.mark.parametrize("version", ["", *VERSIONS])
def test_printed(version: str, ocihooks: Run) -> None:
    """The command prints the schema, that of the present version where none is named."""
    finished = ocihooks("schema", *([version] if version else []))
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.json() == json.loads(schema_text(version or "1.0.0"))
    assert finished.json()["$id"] == f"urn:ocihooks:rule:{version or '1.0.0'}"


@pytest.mark.parametrize("words", [["2.0.0"], ["rule"], ["1.0.0", "0.1.0"]], ids=["unknown", "word", "two"])
def test_bad_usage(words: list[str], ocihooks: Run) -> None:
    """There are no others, and there is one at a time."""
    finished = ocihooks("schema", *words)
    assert (finished.status, finished.stdout) == (2, "")
    assert finished.stderr.endswith('hint: run "ocihooks schema --help"\n')
