"""Command lines of engines, as the wrapper in Python reads them."""

from __future__ import annotations

import os

from ocihooks.wrapper.arguments import CHANGING, Call, changes_container, parse

FLAVOURS = ("runc", "crun", "")


def split(data: bytes) -> list[str]:
    """The words of a line, which have NULs between them, as Python has them."""
    return [os.fsdecode(word) for word in data.split(b"\0")]


def words(data: bytes) -> str:
    """Any line is read; one that means the same to both runtimes is certain, and one that doesn't is doubted."""
    calls = {flavour: parse(split(data), flavour) for flavour in FLAVOURS}
    both = calls[""]
    certain = {(call.operation, call.bundle, call.config) for call in calls.values() if is_certain(call)}
    if is_certain(both) and both.operation in CHANGING:
        assert len(certain) == 1, certain
    for call in calls.values():
        repr(call)
        assert call.doubt is None or call.doubt.isprintable(), call.doubt
    return "certain" if len(certain) == 1 else "uncertain"


def is_certain(call: Call) -> bool:
    """Whether the runtime surely reads the configuration that *call* names."""
    return changes_container(call) and not call.refused and call.doubt is None
