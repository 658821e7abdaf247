"""All Markdown that people read: house style, links, and code blocks that are executed, parsed or excused."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from tests.docs.markdown import DOCUMENTS, PROJECT, Block, anchors, blocks, links, name_of, prose

from ocihooks.hooksd.fields import Reading
from ocihooks.hooksd.readers import read_document

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=map(name_of, DOCUMENTS))

INDEX = PROJECT / "docs/README.md"

PAGES = [document for document in DOCUMENTS if document.parent != PROJECT and document != INDEX]
"""Those at which nobody starts."""

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]

GENERATED = ("docs/reference/cli.md", "docs/reference/diagnostics.md")
"""Pages that the program prints from its own tables; the tests of the program compare them."""

LANGUAGES = ("console", "json", "toml", "python", "text", "")
"""What a block may hold; text, and what has no name, is shown and nothing else."""

# A sentence ends in a letter, a digit, a bracket or a quote, and the next one begins with a capital or code.
_NEXT_SENTENCE = re.compile(r"[\w)`\"*][.?!]\*{0,2} +[A-Z`*\"\[]")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|No)\. ")


@each_document
def test_one_sentence_a_line(document: Path) -> None:
    """A line of prose holds one sentence, so that changes show what they change; tables may hold more."""
    if name_of(document) in GENERATED:
        pytest.skip("the program prints it")
    crowded = [
        f"line {number}: {line}"
        for number, line in prose(document)
        if not line.startswith("|") and _NEXT_SENTENCE.search(_ABBREVIATION.sub("", line))
    ]
    assert crowded == []


@each_document
def test_links(document: Path) -> None:
    """A relative link leads to a file of the project, and its anchor to a heading there."""
    for number, target in links(document):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"line {number}: {target}"
        assert file.is_relative_to(PROJECT), f"line {number}: {target}"
        assert not anchor or anchor in anchors(file), f"line {number}: {target}"


@pytest.mark.parametrize("document", PAGES, ids=map(name_of, PAGES))
def test_every_page_can_be_found(document: Path) -> None:
    """Each page is linked from another document."""
    targets = {
        (other.parent / target.partition("#")[0]).resolve()
        for other in DOCUMENTS
        if other != document
        for _, target in links(other)
    }
    assert document in targets


@pytest.mark.parametrize("block", BLOCKS, ids=map(str, BLOCKS))
def test_block_is_true(block: Block) -> None:
    """A block says what language it holds, and JSON and TOML can be parsed; for commands there is test_commands.py."""
    assert block.language in LANGUAGES
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)


def test_rule_of_the_readme() -> None:
    """The rule that README.md shows has no findings."""
    (text,) = [block.text for block in BLOCKS if block.text.startswith("# cat /etc/containers/oci/hooks.d/")]
    rule = text[text.index("{") : text.rindex("}") + 1]
    reading = Reading("10-hello.json")
    assert read_document(rule.encode(), reading) is not None
    assert reading.problems == []


def test_source_names_existing_documents() -> None:
    """Where the source code refers to a page of the documentation, there is one."""
    named = {
        (file.name, name)
        for file in sorted((PROJECT / "src").rglob("*.py"))
        for name in re.findall(r"docs/[\w/-]+\.\w+", file.read_text())
    }
    assert [found for found in named if not (PROJECT / found[1]).exists()] == []


@pytest.mark.parametrize("document", sorted((PROJECT / "docs/how-to").glob("*.md")), ids=lambda path: path.name)
def test_how_to_ends_with_undo(document: Path) -> None:
    """The last section of a how-to tells how to undo it."""
    headings = [line for _, line in prose(document) if line.startswith("## ")]
    assert headings[-1] == "## Undo it"
