"""What an engine tells the NRI plugin of a container."""

from __future__ import annotations

from ocihooks.nri.messages import label_of, new_container_of
from ocihooks.nri.wire import WireError


def nri(data: bytes) -> str:
    """A request of which all can be read, or one error; its container has a printable label in both cases."""
    assert label_of(data).isprintable()
    try:
        container = new_container_of(data)
        mounts, env, linux = container.mounts(), container.env(), container.linux()
    except WireError as error:
        reason = str(error)
    else:
        assert container.label.isprintable()
        return f"{len(mounts)} mounts, {len(env)} variables, {len(linux['devices'])} devices"
    assert reason.isprintable()
    return "broken"
