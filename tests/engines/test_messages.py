"""
docs/reference/messages.md shows what users of each engine are told, to the letter.

``OCIHOOKS_UPDATE_PAGES=1`` writes the page instead of comparing it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs.markdown import PROJECT, blocks
from tests.engines.conftest import Scene
from tests.engines.cri import CRI
from tests.engines.features import BENEATH, ENGINES

from ocihooks.testing.engines.engine import IMAGE, RUNTIME_NAME
from ocihooks.testing.engines.host import Finished

PAGE = PROJECT / "docs/reference/messages.md"

VERSIONS = {"docker": "20.10", "containerd": "1.6", "podman": "4.3", "buildah": "1.28", "runc": "1.1", "crun": "1.8"}
"""What the page was written with; others may say it in other words."""

CASES: dict[str, dict[str, Any]] = {
    "failing hook": {
        "hook": {
            "path": "/usr/bin/env",
            "args": ["env", "sh", "-c", "cat > /dev/null; echo no licence left >&2; exit 7"],
        },
    },
    "unreadable rule": {"hook": {"path": "/bin/true"}, "stages": ["createruntime"]},
}
"""The rule of each case."""

MASKS = (
    (r'time="[^"]*" level=error msg="error waiting for container: context canceled"\n', ""),  # docker run, now and then
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"ocihooks-[0-9a-f]{16}", "web"),
    (r'time="[^"]*"', 'time="TIME"'),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\bbuildah\d+", "buildahN"),
    (r"bundle\d+", "bundle"),
)
"""What differs from run to run."""


def shown(scene: Scene, finished: Finished) -> str:
    """*finished* as a terminal shows it, with the places that people would have."""
    said = finished.stderr if finished.stderr.endswith("\n") else f"{finished.stderr}\n"
    if isinstance(scene.engine, CRI):
        return masked(scene, said)
    command = " ".join([os.path.basename(finished.argv[0]), *finished.argv[1:]])
    return masked(scene, f"# {command}\n{said}# echo $?\n{finished.status}\n")


def masked(scene: Scene, text: str) -> str:
    """*text* without what differs from run to run and from machine to machine."""
    wrapper = scene.wrapper
    places = {
        str(wrapper.hooks_dirs[0]): "/etc/containers/oci/hooks.d",
        str(wrapper.script): "/usr/local/bin/ocihooks-runtime",
        os.path.basename(wrapper.script): "ocihooks-runtime",
        RUNTIME_NAME: "ocihooks-runtime",
        IMAGE: "busybox",
    }
    runtime = getattr(scene.engine, "runtime", None)
    if runtime is not None:
        text = text.replace(f"--root {runtime.root} ", "").replace(str(runtime.directory), "/root")
    for place, usual in places.items():
        text = text.replace(place, usual)
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    return text


@pytest.fixture
def engine_of_the_page(scene: Scene) -> Scene:
    """Each engine, if it is of the version that the page is about, with the runtime below it."""
    product, version = scene.engine.product, scene.engine.version
    if not version.startswith(f"{VERSIONS[product]}."):
        pytest.skip(f"the page is about {product} {VERSIONS[product]}, this is {version}")
    return scene


@pytest.mark.runtime
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_messages(engine_of_the_page: Scene, case: str) -> None:
    """What the user sees is what the page shows."""
    scene = engine_of_the_page
    scene.wrapper.write_rule("10-licence.json", **CASES[case])
    text = shown(scene, scene.engine.run("nginx", container=scene.engine.new_name()))
    remark = f"{scene.engine.name}: {case}"
    if os.environ.get("OCIHOOKS_UPDATE_PAGES"):
        update(remark, text)
    assert {block.remark: block.text for block in blocks(PAGE)}[remark] == text


def update(remark: str, text: str) -> None:
    """Write *text* into the block of the page that has the *remark*."""
    pattern = rf"(<!-- {re.escape(remark)} -->\n```console\n).*?(```\n)"
    page, count = re.subn(pattern, lambda match: f"{match[1]}{text}{match[2]}", PAGE.read_text(), flags=re.DOTALL)
    assert count == 1, f"{PAGE.name} has no block with the remark {remark!r}"
    PAGE.write_text(page)


def test_page_is_complete() -> None:
    """The page has a block for each engine and each case, and no other."""
    expected = {f"{engine}: {case}" for engine in ENGINES for case in CASES}
    assert {block.remark for block in blocks(PAGE)} == expected


def test_page_names_runtimes() -> None:
    """The page says which runtime is below each engine."""
    lines = dict(table())
    assert lines == {name: BENEATH[name] for name in ENGINES}


def table() -> Iterator[tuple[str, str]]:
    """The rows of the page's table of engines."""
    for line in PAGE.read_text().splitlines():
        match = re.fullmatch(r"\| (.+?) \| (runc|crun) .*\|", line)
        if match:
            yield match[1], match[2]
