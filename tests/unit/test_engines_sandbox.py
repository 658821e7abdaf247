"""Which containers are the pause containers of pods."""

from __future__ import annotations

import pytest

from ocihooks.engines.sandbox import MARKS, is_sandbox


@pytest.mark.parametrize(("name", "value"), MARKS.items())
def test_marked(name: str, value: str) -> None:
    """Each engine's mark is known, whatever other annotations there are."""
    assert is_sandbox({"a": "b", name: value})


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({}, id="none"),
        pytest.param({"io.kubernetes.cri.container-type": "container"}, id="containerd-container"),
        pytest.param({"io.kubernetes.cri-o.ContainerType": "container"}, id="crio-container"),
        pytest.param({"io.kubernetes.cri.container-type": "Sandbox"}, id="letter-case"),
        pytest.param({"io.kubernetes.cri.sandbox-id": "sandbox"}, id="other-annotation"),
        pytest.param({"io.kubernetes.docker.type": "container"}, id="docker-container"),
    ],
)
def test_not_marked(annotations: dict[str, str]) -> None:
    """All other containers are none."""
    assert not is_sandbox(annotations)
