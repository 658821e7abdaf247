"""ocihooks-injector(5) against the code that reads injector files."""

from __future__ import annotations

import json

import pytest
from tests.docs.manpages import DIRECTORY, displays, items, plain, section, subsections, unescaped

from ocihooks.injector.before import SHOWN_OPTIONS
from ocihooks.injector.files import AUTO, EVERYWHERE, EXTRAS, FLAG, LISTS, WAYS, parse_injector_file
from ocihooks.injector.files import DIRECTORY as USUAL
from ocihooks.injector.forms import MEMBERS

PAGE = DIRECTORY / "ocihooks-injector.5"


def names(title: str) -> list[str]:
    """The names that a list of the section MEMBERS, or of a part of it, explains."""
    found = subsections(PAGE, "MEMBERS").get(title) or section(PAGE, title)
    return [name.removeprefix("Ic ") for name in items(found)]


def test_members() -> None:
    """The page has the members of a file and of an entry, all of them and no others."""
    assert [name for name in names("MEMBERS") if name not in MEMBERS or name == "optional"][: len(LISTS) + 4] == [
        FLAG,
        *LISTS,
        *EXTRAS,
    ]
    assert tuple(names("Entries")) == MEMBERS


def test_example() -> None:
    """The example can be read, and has an entry of each form."""
    (text,) = [text for text in displays(PAGE) if "activation_flag" in text]
    file = parse_injector_file(text.encode(), "example.json")
    assert (file.flag, file.way, len(file.env)) == ("WITH_GPU", AUTO, 1)
    assert [(entry.kind, entry.optional) for entry in file.entries][:2] == [("devices", False), ("devices", True)]
    assert all(entry.source != entry.destination for entry in file.entries if entry.kind != "devices")


def test_filter() -> None:
    """The rule of the filter is JSON that names the command as the program has it."""
    (text,) = [text for text in displays(PAGE) if "precreate" in text]
    assert json.loads(text)["hook"]["args"] == ["ocihooks", "injector", "filter", "--dir", USUAL]


@pytest.mark.parametrize("way", WAYS)
def test_ways(way: str) -> None:
    """Each way is explained."""
    assert f'"{way}"' in plain(section(PAGE, "MEMBERS"))


def test_options() -> None:
    """The options of mounts are told, and the usual directory is that of the code."""
    text = plain(section(PAGE, "BEFORE CREATE"))
    assert all(option in text for option in SHOWN_OPTIONS if option != "bind")
    assert [unescaped(name).removeprefix("Pa ") for name in items(section(PAGE, "FILES"))] == [USUAL]
    assert all(path.startswith("/dev/") for path in EVERYWHERE)
