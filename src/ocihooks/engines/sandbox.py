"""Which containers are sandboxes: the pause containers that CRI engines keep for each pod."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MARKS = {
    "io.kubernetes.cri.container-type": "sandbox",  # containerd
    "io.kubernetes.cri-o.ContainerType": "sandbox",  # CRI-O
    "io.kubernetes.docker.type": "podsandbox",  # cri-dockerd
}
"""Annotations by which engines mark them."""


def is_sandbox(annotations: "Mapping[str, str]") -> bool:
    """Whether a container with these annotations is the sandbox of a pod."""
    return any(annotations.get(name) == value for name, value in MARKS.items())
