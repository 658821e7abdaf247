"""The pages of the programs that stand in for others, against the code."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

import pytest
from tests.docs.manpages import DIRECTORY, displays, items, plain, section, unescaped

from ocihooks.dropins.hook_file import bare_hooks, nested_hooks
from ocihooks.dropins.toolkit_cache import DEFAULT_FILE, DEFAULT_RUNTIMES
from ocihooks.dropins.toolkit_settings import FILE, KEYS, Key, parse_toolkit_settings

SETTINGS = DIRECTORY / "container-hooks.toml.5"
TOOLKIT = DIRECTORY / "container-hooks-runtime.8"


@pytest.mark.parametrize(("table", "keys"), KEYS.items(), ids=KEYS)
def test_keys(table: str, keys: Mapping[str, Key]) -> None:
    """The page has the keys of each table in their order, with value, default and meaning."""
    content = section(SETTINGS, f"The table [{table}]")
    documented = {name.removeprefix("Ic "): plain(words) for name, words in items(content).items()}
    assert list(documented) == list(keys)
    for name, key in keys.items():
        text = documented[name]
        assert text.startswith(key.meaning), name
        match = re.search(r" Value: (.*?)\. Default: (.*)\.$", text)
        assert match, name
        default = list(key.default) if isinstance(key.default, tuple) else key.default
        assert match.groups() == (key.expected, json.dumps(default)), name


def test_example_sets_every_key() -> None:
    """The example is valid, and sets each key to another value than its default."""
    (text,) = displays(SETTINGS)
    values = parse_toolkit_settings(text.encode(), "example.toml").values
    document = tomllib.loads(text)
    assert {table: list(keys) for table, keys in document.items()} == {
        table: list(keys) for table, keys in KEYS.items()
    }
    assert [
        (table, name)
        for table, keys in KEYS.items()
        for name, key in keys.items()
        if values[table][name] == key.default
    ] == []


def test_files() -> None:
    """The files on the pages are where the code has them."""
    hooks, log, level, runtimes = parse_toolkit_settings(b"", FILE).plain()
    assert [unescaped(name).removeprefix("Pa ") for name in items(section(TOOLKIT, "FILES"))] == [FILE, hooks, log]
    assert (level, runtimes) == ("info", DEFAULT_RUNTIMES)
    assert DEFAULT_FILE == FILE


def test_hook_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The hook files on the pages can be read in the form that each program wants."""
    file = tmp_path_factory.mktemp("page") / "hooks.json"
    examples = {page: [text for text in displays(DIRECTORY / page) if "runtimeArgs" not in text] for page in PAGES}
    for page, read in PAGES.items():
        for text in examples[page]:
            file.write_text(text)
            assert read(str(file)), page
    assert sum(map(len, examples.values())) == 3


PAGES = {"oci-add-hooks.8": nested_hooks, "container-hooks-runtime.8": bare_hooks, "container-hooks.8": bare_hooks}
"""The pages with hook files, and how their program reads them."""


@pytest.mark.parametrize("page", ["oci-add-hooks.8", "container-hooks-runtime.8"])
def test_engine_configuration(page: str) -> None:
    """The engine's configuration on the page is JSON with one runtime."""
    (text,) = [text for text in displays(DIRECTORY / page) if "runtimeArgs" in text]
    assert len(json.loads(text)["runtimes"]) == 1
