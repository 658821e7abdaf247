"""ocihooks-runtime(8) against the code: limits, files and members that are refused."""

from __future__ import annotations

import re

import pytest
from tests.docs.manpages import DIRECTORY, items, plain, section, unescaped

from ocihooks.document import MAX_BYTES, MAX_DEPTH, UNIQUE_MEMBERS, parse_config
from ocihooks.errors import DocumentError
from ocihooks.hooksd.directories import DEFAULT_DIR, MAX_FILES, OVERRIDE_DIR
from ocihooks.hooksd.lint import TIMEOUT_MAX
from ocihooks.hooksd.patterns import MAX_MEMORY_BYTES, MAX_TEXT_BYTES
from ocihooks.install.install import DEFAULT_NAME, DEFAULT_PREFIX
from ocihooks.install.record import record_file
from ocihooks.places import CACHE_DIR, RECORDS_FILE, SETTINGS_FILE
from ocihooks.trust import MAX_FILE_BYTES
from ocihooks.wrapper.switch import switch_file

PAGE = DIRECTORY / "ocihooks-runtime.8"

MIB = 1 << 20


def test_limits() -> None:
    """The limits on the page are those of the code."""
    lines = section(PAGE, "Limits")
    listed = [(unescaped(line[4:]), lines[number + 1]) for number, line in enumerate(lines) if line.startswith(".It ")]
    limits = [
        (MAX_BYTES // MIB, "MiB"),
        (MAX_DEPTH, "levels"),
        (MAX_FILE_BYTES // MIB, "MiB"),
        (MAX_FILES, "files"),
        (MAX_MEMORY_BYTES // MIB, "MiB"),
        (MAX_TEXT_BYTES // MIB, "MiB"),
    ]
    assert [name for name, _ in listed] == [*(f"{size:,} {unit}" for size, unit in limits), f"1 to {TIMEOUT_MAX} s"]


def test_files() -> None:
    """The files on the page are where the code has them."""
    listed = {name.removeprefix("Pa ") for name in items(section(PAGE, "FILES"))}
    assert listed == {
        f"{DEFAULT_PREFIX}/bin/{DEFAULT_NAME}",
        record_file(DEFAULT_PREFIX, DEFAULT_NAME),
        CACHE_DIR,
        "$XDG_RUNTIME_DIR/ocihooks",
        RECORDS_FILE,
        SETTINGS_FILE,
        switch_file(SETTINGS_FILE),
        DEFAULT_DIR,
        OVERRIDE_DIR,
    }


def members_on_the_page() -> list[str]:
    """The members of config.json that the page says have to be there once."""
    text = plain(section(PAGE, "Limits"))
    match = re.search(r"letter case, for ([\w , ]+) and the members", text)
    assert match
    return [name.strip() for name in match[1].split(",")]


def test_members_that_are_refused() -> None:
    """The members that may be there only once are those on the page."""
    assert sorted(members_on_the_page()) == sorted({*UNIQUE_MEMBERS, "args"})


TWICE = {
    "hooks": '{"hooks": {}, "hooks": {}}',
    "process": '{"process": {}, "process": {}}',
    "args": '{"process": {"args": ["a"], "args": ["b"]}}',
    "annotations": '{"annotations": {}, "annotations": {}}',
    "mounts": '{"mounts": [], "mounts": []}',
    "root": '{"root": {}, "root": {}}',
    "a member of a mount": '{"mounts": [{"type": "a", "type": "b"}]}',
    "a member of a hook": '{"hooks": {"poststop": [{"path": "/a", "path": "/b"}]}}',
    "two annotations of the same name": '{"annotations": {"a": "1", "a": "2"}}',
}


@pytest.mark.parametrize("name", TWICE)
def test_repeated_member_is_refused(name: str) -> None:
    """What the page says is refused when it is there twice, is."""
    with pytest.raises(DocumentError, match="more than once"):
        parse_config(TWICE[name].encode(), "config.json")


@pytest.mark.parametrize("name", ["hooks", "process", "args", "annotations", "mounts", "root"])
def test_other_letter_case_is_refused(name: str) -> None:
    """The same goes for another letter case."""
    document = f'{{"{name.upper()}": {{}}}}' if name != "args" else '{"process": {"ARGS": []}}'
    with pytest.raises(DocumentError, match="letter case"):
        parse_config(document.encode(), "config.json")
