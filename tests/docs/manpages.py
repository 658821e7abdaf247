"""Manual pages in mdoc, read as far as the tests need it: sections, lists and literal displays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.markdown import PROJECT

DIRECTORY = PROJECT / "docs/man"

PAGES = tuple(sorted(DIRECTORY.glob("*.[1-8]")))

_ESCAPES = {"e": "\\", "-": "-", "&": "", "(ha": "^", "(ti": "~", "(aq": "'", "(dq": '"', "(ga": "`", "(rs": "\\"}
_ESCAPE = re.compile(r"\\(\(..|.)")


def unescaped(text: str) -> str:
    """*text* as it is shown; an escape that no page needs so far is an error."""
    return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], text)


def lines(page: Path) -> list[str]:
    """The lines of *page*."""
    return page.read_text().splitlines()


def section(page: Path, title: str) -> list[str]:
    """The lines of the section or subsection *title*, without its heading; those of its subsections belong to it."""
    found: list[str] = []
    kind = ""
    for line in lines(page):
        if kind and line.startswith((".Sh ", f".{kind} ")):
            break
        if kind:
            found.append(line)
        elif re.match(r"\.S[hs] ", line) and unescaped(line[4:]) == title:
            kind = line[1:3]
    assert kind, f"{page.name}: no section {title}"
    return found


def subsections(page: Path, title: str) -> dict[str, list[str]]:
    """The subsections of the section *title*, each with its lines."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in section(page, title):
        if line.startswith(".Ss "):
            current = found.setdefault(unescaped(line[4:]), [])
        else:
            current.append(line)
    return found


def items(content: list[str]) -> dict[str, list[str]]:
    """The items of the outermost lists in *content*, each by the words behind ``.It`` with the lines below it."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    depth = 0
    for line in content:
        if line.startswith(".El"):
            depth -= 1
            current = current if depth else []
        if line.startswith(".It ") and depth == 1:
            current = found.setdefault(unescaped(line[4:]), [])
            continue
        if depth:
            current.append(line)
        if line.startswith(".Bl"):
            depth += 1
    return found


def displays(page: Path) -> Iterator[str]:
    """The texts of the literal displays of *page*, as they are shown."""
    body: list[str] | None = None
    for line in lines(page):
        if line.startswith(".Bd -literal"):
            body = []
        elif line.startswith(".Ed") and body is not None:
            yield "".join(f"{unescaped(item)}\n" for item in body)
            body = None
        elif body is not None:
            body.append(line)


def plain(content: list[str]) -> str:
    """The words of *content* on one line, without macros such as ``.Ic``."""
    words = [re.sub(r"^\.\w\w ?", "", line) for line in content]
    return unescaped(" ".join(word for word in words if word))
