"""Which branches of our readers an input reaches, and how few inputs reach as many as all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import ocihooks
from fuzz.targets import Target

Step = tuple[str, int, int]
"""From one line of a file to the next one that was executed."""

PACKAGE = ocihooks.__file__.rpartition("/")[0]


def reached(target: Target, data: bytes) -> frozenset[Step]:
    """The steps of our package that *target* takes for *data*, and its verdict as one more."""
    steps: set[Step] = set()

    def follow(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:  # noqa: ARG001
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        last = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001
            nonlocal last
            steps.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        verdict = target(data)
    finally:
        sys.settrace(before)
    return frozenset({*steps, (verdict, 0, 0)})


def fewest(target: Target, inputs: Iterable[bytes]) -> tuple[bytes, ...]:
    """Some of *inputs* that together reach what all of them reach; short ones rather than long ones."""
    left = {data: reached(target, data) for data in sorted(set(inputs), key=len)}
    wanted: frozenset[Step] = frozenset().union(*left.values())
    chosen = []
    while wanted:
        best = max(left, key=lambda data: (len(left[data] & wanted), -len(data)))
        chosen.append(best)
        wanted -= left.pop(best)
    return tuple(chosen)
