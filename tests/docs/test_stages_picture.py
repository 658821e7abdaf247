"""The picture in docs/explanation/stages.md is what the runtime-spec says about stages and namespaces."""

from __future__ import annotations

import re

from tests.docs.markdown import PROJECT, blocks

from ocihooks.spec.stage import Stage

(PICTURE,) = [block.text for block in blocks(PROJECT / "docs/explanation/stages.md") if block.remark == "picture"]

LINES = PICTURE.splitlines()

OPERATIONS = {"prestart": "create", "createRuntime": "create", "createContainer": "create", "startContainer": "start"}
OPERATIONS |= {"poststart": "start", "poststop": "delete"}
"""Between the beginnings of which operation and the next one a stage is; runtime-spec 1.3.0, runtime.md "Lifecycle"."""


def found(word: str) -> tuple[int, int]:
    """The one place of *word* in the picture, as line and column."""
    ((line, match),) = [
        (number, match) for number, text in enumerate(LINES) for match in re.finditer(rf"\b{word}\b", text)
    ]
    return line, match.start()


def test_order() -> None:
    """The stages stand below one another in their order, behind the wrapper's own."""
    lines = [found(name)[0] for name in ("precreate", *Stage)]
    assert lines == sorted(set(lines))


def test_namespaces() -> None:
    """Each stage stands in the column of the namespaces that it runs in."""
    columns = {"runtime": LINES[0].index("in the runtime's"), "container": LINES[0].index("in the container's")}
    assert {stage: found(stage)[1] for stage in Stage} == {stage: columns[stage.namespace] for stage in Stage}


def test_programs() -> None:
    """Where a hook runs in the container, the picture says on whose side its program lies."""
    whose = {"runtime": "program of the host", "container": "program of the container"}
    inside = [stage for stage in Stage if stage.namespace == "container"]
    assert [LINES[found(stage)[0] + 1].strip() for stage in inside] == [whose[stage.path_namespace] for stage in inside]


def test_operations() -> None:
    """Each stage stands beside or below the operation that it belongs to."""
    begins = {text.split()[0]: number for number, text in enumerate(LINES) if text and not text.startswith(" ")}
    assert list(begins) == ["wrapper", "create", "start", "delete"]
    seen = {
        stage: max((number, name) for name, number in begins.items() if number <= found(stage)[0])[1] for stage in Stage
    }
    assert seen == OPERATIONS
