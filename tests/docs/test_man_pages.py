"""All manual pages: valid mdoc, complete, and pointing at pages that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.docs.manpages import DIRECTORY, PAGES, lines, section

from ocihooks.errors import OCIHooksError, UnavailableError

EXPECTED = (
    "container-hooks-ctk.8",
    "container-hooks-runtime.8",
    "container-hooks.8",
    "container-hooks.toml.5",
    "oci-add-hooks.8",
    "oci-injector-hook.8",
    "ocihooks-injector.5",
    "ocihooks-rules.5",
    "ocihooks-runtime.8",
    "ocihooks-settings.5",
    "ocihooks.1",
)

FOREIGN = {"crun.1", "oci-hooks.5", "runc.8"}
"""Pages of other projects that ours refer to."""

each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


@pytest.fixture
def mandoc(unavailable: Callable[[OCIHooksError], NoReturn]) -> str:
    """The program that checks manual pages."""
    found = shutil.which("mandoc")
    if found is None:
        unavailable(UnavailableError("mandoc: not found on PATH", hint="apt-get install mandoc"))
    return found


def test_every_program_and_format_has_a_page() -> None:
    """There is one page for each program and each file format."""
    assert sorted(page.name for page in PAGES) == sorted(EXPECTED)


@each_page
def test_lint(mandoc: str, page: Path) -> None:
    """mandoc has no warning about the page."""
    checked = subprocess.run(
        [mandoc, "-T", "lint", "-W", "warning", str(page)], check=False, capture_output=True, text=True, timeout=60
    )
    assert checked.stdout + checked.stderr == ""


@each_page
def test_name_and_section(page: Path) -> None:
    """The title, the name and the file name say the same."""
    name, number = page.name.rsplit(".", 1)
    assert f".Dt {name.upper()} {number}" in lines(page)
    assert f".Nm {name}" in section(page, "NAME")


@each_page
def test_references(page: Path) -> None:
    """Each page that is referred to is ours and there, or a known one of another project."""
    for line in lines(page):
        if match := re.match(r"\.Xr (\S+) (\d)", line):
            name = f"{match[1]}.{match[2]}"
            assert name in FOREIGN or (DIRECTORY / name).exists(), line


@each_page
def test_files_of_the_documentation(page: Path) -> None:
    """Each file of the documentation that is named exists."""
    for name in re.findall(r"docs/[\w./-]+\w", page.read_text()):
        assert (DIRECTORY.parents[1] / name).exists(), name


@each_page
def test_one_sentence_a_line(page: Path) -> None:
    """New sentence, new line, as mdoc wants it."""
    crowded = [line for line in lines(page) if re.search(r"[a-z)][.?!] +[A-Z]", line)]
    assert crowded == []
