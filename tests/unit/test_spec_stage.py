"""The six stages as the runtime-spec describes them."""

from __future__ import annotations

import pytest

from ocihooks import injection
from ocihooks.spec.stage import STAGES, Stage, stage_hint

# name, mount namespace of the hook, namespace of its path, operation, whether a failure ends the container
TABLE = [
    ("prestart", "runtime", "runtime", "create", True),
    ("createRuntime", "runtime", "runtime", "create", True),
    ("createContainer", "container", "runtime", "create", True),
    ("startContainer", "container", "container", "start", True),
    ("poststart", "runtime", "runtime", "start", False),
    ("poststop", "runtime", "runtime", "delete", False),
]


@pytest.mark.parametrize(("name", "namespace", "path", "operation", "stops"), TABLE, ids=[row[0] for row in TABLE])
def test_table(name: str, namespace: str, path: str, operation: str, stops: bool) -> None:
    """Each stage has the properties that the spec gives it."""
    stage = Stage(name)
    assert (stage.namespace, stage.path_namespace) == (namespace, path)
    assert (stage.operation, stage.failure_stops) == (operation, stops)


def test_order() -> None:
    """The stages are in the order in which they run, here and on the warm path."""
    assert tuple(row[0] for row in TABLE) == STAGES
    assert injection.STAGES == STAGES


def test_deprecated() -> None:
    """Only prestart is deprecated."""
    assert [stage for stage in Stage if stage.deprecated] == [Stage.PRESTART]


@pytest.mark.parametrize("name", ["createruntime", "PRESTART", "", "precreate", "prestart "])
def test_unknown(name: str) -> None:
    """Names are case-sensitive, and extension stages are none of the spec."""
    with pytest.raises(ValueError, match="is not a valid Stage"):
        Stage(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("createruntime", 'did you mean "createRuntime"? stages are case-sensitive', id="letter-case"),
        pytest.param(" poststop ", 'did you mean "poststop"? stages are case-sensitive', id="blanks"),
        pytest.param("createRuntme", 'did you mean "createRuntime"?', id="misspelt"),
        pytest.param("create_container", 'did you mean "createContainer"?', id="underscore"),
        pytest.param("pre-create", 'did you mean "precreate"?', id="extension-stage"),
        pytest.param("boot", f"known stages: {', '.join(STAGES)}", id="unknown"),
        pytest.param("", f"known stages: {', '.join(STAGES)}", id="empty"),
    ],
)
def test_hint(name: str, hint: str) -> None:
    """The stage that is probably meant is named, or else all of them."""
    assert stage_hint(name, ("precreate",)) == hint


def test_text() -> None:
    """A stage is its name."""
    assert str(Stage.POSTSTOP) == "poststop"
    assert {"poststop": 1}[Stage.POSTSTOP] == 1
