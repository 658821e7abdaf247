"""ocihooks-settings(5) against the tables that the settings are read with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.docs.manpages import DIRECTORY, displays, items, plain, section

from ocihooks.settings import KEYS, RULE_KEYS, Key, RuleSettings, parse_settings
from ocihooks.trust import Trust
from ocihooks.wrapper.static import parse_static_hooks, read_static_hooks

PAGE = DIRECTORY / "ocihooks-settings.5"

TABLES = [("The table [ocihooks]", KEYS), ('The tables [ocihooks.rules."FILE.json"]', RULE_KEYS)]

each_table = pytest.mark.parametrize(("title", "keys"), TABLES, ids=["ocihooks", "rules"])


@each_table
def test_keys(title: str, keys: Mapping[str, Key]) -> None:
    """The page has the keys of the table, all of them and no others, with value, default and meaning."""
    documented = {name.removeprefix("Ic "): plain(content) for name, content in items(section(PAGE, title)).items()}
    assert set(documented) == set(keys)
    for name, key in keys.items():
        text = documented[name]
        assert text.startswith(key.meaning), name
        match = re.search(r" Value: (.*?)\. Default: (.*?)\.(?: |$)(?!json)", text)
        assert match, name
        assert match.groups() == (key.expected, key.default), name


@each_table
def test_order(title: str, keys: Mapping[str, Key]) -> None:
    """The keys stand in the order of the table."""
    assert [name.removeprefix("Ic ") for name in items(section(PAGE, title))] == list(keys)


def example(beginning: str) -> str:
    """The display that begins with *beginning*."""
    (text,) = [text for text in displays(PAGE) if text.startswith(beginning)]
    return text


def test_example_can_be_read() -> None:
    """The example is valid and sets every key, each to another value than its default."""
    settings = parse_settings(example("[ocihooks]").encode(), "example.toml")
    defaults = parse_settings(b"", "example.toml")
    for name in KEYS:
        attribute = name.replace("-", "_")
        assert getattr(settings, attribute) != getattr(defaults, attribute), name
    guard = settings.rules["10-guard.json"]
    assert {name.replace("-", "_") for name in RULE_KEYS} == set(RuleSettings.__slots__)
    for name in RuleSettings.__slots__:
        assert getattr(guard, name) not in (None, getattr(settings, name)), name


def test_example_explains_each_key() -> None:
    """A comment stands in front of each key of the example's first table."""
    before = ""
    for line in example("[ocihooks]").partition("[ocihooks.rules")[0].splitlines():
        if " = " in line:
            assert before.startswith("#"), line
        before = line


def test_static_hook_file(tmp_path: Path) -> None:
    """The static hook file on the page can be read, bare and under a hooks member."""
    text = example("{")
    bare = json.dumps(json.loads(text)["hooks"])
    assert parse_static_hooks(text.encode(), "a.json") == parse_static_hooks(bare.encode(), "b.json")
    file = tmp_path / "static.json"
    file.write_text(text)
    owners = {parent.stat().st_uid for parent in (file, *file.parents)}
    assert list(read_static_hooks(str(file), Trust(owners))) == ["createRuntime"]
