"""
docs/explanation/supervision.md shows what users are told about supervised hooks, to the letter.

``OCIHOOKS_UPDATE_PAGES=1`` writes the page instead of comparing it.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

import pytest
from tests.docs.markdown import PROJECT, blocks
from tests.engines.conftest import Scene
from tests.engines.features import BENEATH, BY_NAME, BY_PATH, CRUN, CTR, DOCKER, RUNC
from tests.engines.test_messages import VERSIONS, shown
from tests.integration.wrappers import Installations

from ocihooks.testing.runtimes import find_runtime

PAGE = PROJECT / "docs/explanation/supervision.md"

FAILS, HANGS = "supervised hook fails", "supervised hook hangs"

HOOKS: dict[str, dict[str, Any]] = {
    FAILS: {"path": "/bin/sh", "args": ["sh", "-c", "echo no licence left >&2; exit 7"]},
    HANGS: {"path": "/bin/sh", "args": ["sh", "-c", "echo asking >&2; sleep 600"], "timeout": 1},
}

ON_CRUN = f"{DOCKER} on crun"

CASES = {
    f"{name}: {case}": (DOCKER if name == ON_CRUN else name, "crun" if name == ON_CRUN else BENEATH[name], case)
    for case in HOOKS
    for name in (DOCKER, ON_CRUN, CTR, BY_PATH, BY_NAME, RUNC, CRUN)
}
"""By what stands above the transcript: the engine, the runtime below the wrapper, and what happens."""


@pytest.mark.runtime
@pytest.mark.parametrize(("engine", "runtime", "case"), CASES.values(), indirect=["engine"], ids=CASES)
def test_messages(
    scene: Scene, engine_installations: Installations, request: pytest.FixtureRequest, runtime: str, case: str
) -> None:
    """What the user sees is what the page shows."""
    product, version = scene.engine.product, scene.engine.version
    if not version.startswith(f"{VERSIONS[product]}."):
        pytest.skip(f"the page is about {product} {VERSIONS[product]}, this is {version}")
    records = scene.wrapper.directory / "cache/records.jsonl"
    if runtime != BENEATH[scene.engine.name]:
        scene = replace(scene, wrapper=engine_installations.wrapper(find_runtime(runtime).path))
        scene.engine.use(scene.wrapper.script)
    scene.wrapper.write_settings(supervise="on", records=str(records))
    scene.wrapper.write_rule("10-licence.json", hook=HOOKS[case])
    text = shown(scene, scene.engine.run("nginx", container=scene.engine.new_name()))
    text = text.replace(str(scene.wrapper.directory / "prefix"), "/usr/local")
    remark = request.node.callspec.id
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
    assert sorted(block.remark for block in blocks(PAGE) if block.language == "console") == sorted(CASES)
