"""
Shows results: text for people, tables, JSON for programs. Nothing is decided here.

Results go to standard output, warnings and errors to standard error. Colours and boxes are for terminals only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ocihooks.errors import WARNING, Diagnostic, OCIHooksError, printable

PROGRAM = "ocihooks"


def write(text: str = "", *, err: bool = False) -> None:
    """Print *text*; once nobody reads any more, the rest is dropped silently."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
        os.close(nowhere)


def write_json(document: Any) -> None:
    """Print *document* as the one JSON text of a ``--json`` output."""
    write(json.dumps(document, indent=2))


def complain(error: OCIHooksError) -> None:
    """Print all problems of *error* on standard error."""
    write(error.render(PROGRAM), err=True)


def remark(problems: Iterable[Diagnostic]) -> None:
    """Print *problems*, which are not the result itself, on standard error."""
    for problem in problems:
        write(finding_lines(problem), err=True)


def finding_lines(problem: Diagnostic) -> str:
    """A finding as ``ocihooks: FILE: POINTER: message`` and perhaps a line with a hint."""
    warning = f"{WARNING}: " if problem.severity == WARNING else ""
    hint = f"\nhint: {printable(problem.hint)}" if problem.hint else ""
    return f"{PROGRAM}: {warning}{problem}{hint}"


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def in_colour() -> bool:
    """Whether output may have colours: on a terminal that knows them, unless NO_COLOR is set."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str | None, *, bold: bool = False) -> str:
    """*text* in a colour, where there are colours."""
    return click.style(text, fg=colour, bold=bold or None) if in_colour() and (colour or bold) else text


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    Rows below headers: a box that fits the terminal, elsewhere aligned columns that are never cut.

    A dash stands in empty cells, so that fields can be counted.
    """
    return _boxed(headers, rows) if on_terminal() else columns([headers, *rows], empty="-")


def columns(rows: Sequence[Sequence[str]], indent: str = "", *, empty: str = "") -> str:
    """Aligned columns, two blanks between them; *empty* stands in empty cells."""
    shown = [[printable(cell) or empty for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def _boxed(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(no_color=not in_colour(), highlight=False)
    box = Table(*headers)
    for column in box.columns:
        column.overflow = "fold"
    for row in rows:
        box.add_row(*(Text(printable(cell) or "-") for cell in row))
    with console.capture() as captured:
        console.print(box)
    return captured.get().rstrip("\n")
