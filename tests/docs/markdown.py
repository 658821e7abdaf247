"""Markdown as this project writes it: lines of prose, fenced blocks with a language, tables and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]

DOCUMENTS = (
    *(PROJECT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
)
"""All Markdown that people read."""

_FENCE = re.compile(r"^(`{3,})\s*(\w*)\s*$")
_COMMENT = re.compile(r"^<!--\s*(.*?)\s*-->$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """
    A fenced block.

    Attributes:
        document: The file that it stands in.
        line: Number of the line behind the opening fence.
        language: The word behind the fence; "" where there is none.
        remark: The HTML comment right in front of it; "" where there is none.
        text: The lines, with their ends.
    """

    document: Path
    line: int
    language: str
    remark: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.document)}:{self.line}"


def name_of(document: Path) -> str:
    """The path of *document* in the project."""
    return str(document.relative_to(PROJECT))


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of *document*."""
    found: list[Block] = []
    fence, remark, start, body = "", "", 0, [""]
    language = ""
    for number, line in enumerate(document.read_text().splitlines(), 1):
        match = _FENCE.match(line)
        if fence and line.strip() == fence:
            text = "".join(f"{item}\n" for item in body)
            found.append(Block(document=document, line=start, language=language, remark=remark, text=text))
            fence, remark = "", ""
        elif fence:
            body.append(line)
        elif match:
            fence, language, start, body = match[1], match[2], number + 1, []
        elif comment := _COMMENT.match(line):
            remark = comment[1]
        elif line:
            remark = ""
    assert not fence, f"{document}: the last block has no end"
    return found


def line_of(document: Path, text: str) -> int:
    """
    The number of the line of *document* that is *text*.

    Raises:
        ValueError: There is none.
    """
    return document.read_text().splitlines().index(text) + 1


def prose(document: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of *document* outside of fenced blocks."""
    fence = ""
    for number, line in enumerate(document.read_text().splitlines(), 1):
        match = _FENCE.match(line)
        if fence and line.strip() == fence:
            fence = ""
        elif match and not fence:
            fence = match[1]
        elif not fence:
            yield number, line


def links(document: Path) -> Iterator[tuple[int, str]]:
    """The targets of the links in *document*, with the numbers of their lines."""
    for number, line in prose(document):
        yield from ((number, target) for target in _LINK.findall(line))


def anchors(document: Path) -> set[str]:
    """What the headings of *document* are called in links."""
    headings = [line.lstrip("#").strip() for _, line in prose(document) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tables(document: Path) -> dict[str, list[list[str]]]:
    """The rows of each table, without its two head lines, by the heading that it stands below."""
    found: dict[str, list[list[str]]] = {}
    heading, rows = "", 0
    for _, line in prose(document):
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
        rows = rows + 1 if line.startswith("|") else 0
        if rows > 2:
            cells = [cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")]
            found.setdefault(heading, []).append([cell.replace("\0", "|") for cell in cells])
    return found
