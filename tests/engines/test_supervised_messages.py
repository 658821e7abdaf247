"""
docs/explanation/supervision.md shows what users are told about supervised hooks, to the letter.

``OCIHOOKS_UPDATE_PAGES=1`` writes the page instead of comparing it.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from tests.docs.markdown import PROJECT, blocks
from tests.engines.conftest import Scene
from tests.engines.features import BY_NAME, BY_PATH, CRUN, RUNC
from tests.engines.test_messages import VERSIONS, shown

PAGE = PROJECT / "docs/explanation/supervision.md"

FAILS, HANGS = "supervised hook fails", "supervised hook hangs"

HOOKS: dict[str, dict[str, Any]] = {
    FAILS: {"path": "/bin/sh", "args": ["sh", "-c", "echo no licence left >&2; exit 7"]},
    HANGS: {"path": "/bin/sh", "args": ["sh", "-c", "echo asking >&2; sleep 600"], "timeout": 1},
}

CASES = [(RUNC, FAILS), (CRUN, FAILS), (BY_PATH, FAILS), (BY_NAME, FAILS), (RUNC, HANGS), (CRUN, HANGS)]


@pytest.mark.runtime
@pytest.mark.parametrize(("engine", "case"), CASES, indirect=["engine"], ids=map(": ".join, CASES))
def test_messages(scene: Scene, case: str) -> None:
    """What the user sees is what the page shows."""
    product, version = scene.engine.product, scene.engine.version
    if not version.startswith(f"{VERSIONS[product]}."):
        pytest.skip(f"the page is about {product} {VERSIONS[product]}, this is {version}")
    records = scene.wrapper.directory / "cache/records.jsonl"
    scene.wrapper.write_settings(supervise="on", records=str(records))
    scene.wrapper.write_rule("10-licence.json", hook=HOOKS[case])
    text = shown(scene, scene.engine.run("nginx", container=scene.engine.new_name()))
    text = text.replace(str(scene.wrapper.directory / "prefix"), "/usr/local")
    remark = f"{scene.engine.name}: {case}"
    if os.environ.get("OCIHOOKS_UPDATE_PAGES"):
        update(remark, text)
    assert {block.remark: block.text for block in blocks(PAGE)}[remark] == text
    assert '"outcome":"failed"' in records.read_text()


def update(remark: str, text: str) -> None:
    """Write *text* into the block of the page that has the *remark*."""
    pattern = rf"(<!-- {re.escape(remark)} -->\n```console\n).*?(```\n)"
    page, count = re.subn(pattern, lambda match: f"{match[1]}{text}{match[2]}", PAGE.read_text(), flags=re.DOTALL)
    assert count == 1, f"{PAGE.name} has no block with the remark {remark!r}"
    PAGE.write_text(page)


def test_page_is_complete() -> None:
    """The page has a transcript for each case, and no other."""
    assert sorted(block.remark for block in blocks(PAGE) if block.language == "console") == sorted(
        f"{engine}: {case}" for engine, case in CASES
    )
