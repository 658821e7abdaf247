"""The page about mutation tests: it shows the results that were kept, and why each survivor may live."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
MODULES = tomllib.loads((PROJECT / "mutation/modules.toml").read_text())
RESULTS = {file.stem: json.loads(file.read_text()) for file in (PROJECT / "mutation/results").glob("*.json")}


def test_is_made_from_the_results() -> None:
    """The page is what its program prints."""
    made = subprocess.run([sys.executable, PROJECT / "mutation/page.py"], capture_output=True, text=True, check=True)
    assert (PROJECT / "docs/mutation.md").read_text() == made.stdout


def test_modules_are_there() -> None:
    """Every module that can be tried exists, and so do its tests; every result is one of them."""
    for module in MODULES.values():
        assert (PROJECT / module["source"]).is_file()
        for test in module["tests"]:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}" in (PROJECT / file).read_text(), test
    assert RESULTS.keys() <= {name.replace("/", "-") for name in MODULES}


def test_every_survivor_has_a_reason() -> None:
    """Somebody has looked at each change that no test notices."""
    survivors = [(name, one) for name, result in RESULTS.items() for one in result["survivors"]]
    assert survivors
    assert [f"{name}:{one['line']}: {one['is']}" for name, one in survivors if len(one["why"]) < 10] == []
