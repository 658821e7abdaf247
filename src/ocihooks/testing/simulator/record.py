"""What a simulated runtime was given when it was called, as one line of JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from .commandline import Invocation
from .reporting import write_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# CPython ignores these two when it starts, so whether they were ignored before has to be told from outside.
_CHANGED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Received:
    """
    What changes between the call and Python code, as it was before.

    Attributes:
        argv: The program as it was started, and its arguments.
        environment: ``NAME=value`` entries in their order; bytes that are no UTF-8 are lone surrogates.
        ignored_before: The mask of ignored signals before Python started; None: not known.
    """

    __slots__ = ("argv", "environment", "ignored_before")

    def __init__(self, *, argv: Sequence[str], environment: Sequence[str], ignored_before: int | None = None) -> None:
        self.argv = argv
        self.environment = environment
        self.ignored_before = ignored_before


def as_received(argv: Sequence[str]) -> Received:
    """What a Python that was started directly still knows."""
    with open("/proc/self/environ", "rb") as file:
        entries = file.read().split(b"\0")[:-1]
    return Received(argv=argv, environment=[entry.decode("utf-8", "surrogateescape") for entry in entries])


def write_record(
    file: str, received: Received, invocation: Invocation | None, *, read_stdin: bool, copy_config: bool
) -> None:
    """
    Append one line about this call to *file*.

    Args:
        invocation: None: the command line was not understood, so there is no bundle to look at.
        read_stdin: Whether to read standard input to its end.
        copy_config: Whether to keep the text of config.json beside its hash.
    """
    process = _process_status()
    ignored = int(process["SigIgn"], 16)
    if received.ignored_before is not None:
        for number in _CHANGED_BY_PYTHON:
            bit = 1 << (number - 1)
            ignored = ignored & ~bit | received.ignored_before & bit
    document = {
        "argv": list(received.argv),
        "environment": list(received.environment),
        "cwd": os.getcwd(),
        "descriptors": _descriptors(),
        "ignored_signals": _signal_names(ignored),
        "blocked_signals": _signal_names(int(process["SigBlk"], 16)),
        "umask": process["Umask"],
        "pid": os.getpid(),
        "parent_pid": os.getppid(),
        "stdin": sys.stdin.buffer.read().decode("utf-8", "surrogateescape") if read_stdin else None,
    }
    write_line(file, json.dumps(document | _config_seen(invocation, copy_config=copy_config)) + "\n")


def _process_status() -> dict[str, str]:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def _descriptors() -> dict[str, str]:
    """Inherited descriptors above 2 and what they are; our own ones are closed on exec and so tell themselves apart."""
    found = {}
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the descriptor of the listing itself
    return found


def _signal_names(mask: int) -> list[str]:
    numbers = [number for number in range(1, 65) if mask >> (number - 1) & 1]
    known = {member.value: member.name for member in signal.Signals}
    return [known.get(number, str(number)) for number in numbers]


def _config_seen(invocation: Invocation | None, *, copy_config: bool) -> dict[str, Any]:
    """The bundle's config.json at this moment; None where there is none."""
    seen: dict[str, Any] = {"config_sha256": None, "config": None}
    if invocation is None or invocation.operation not in ("create", "run"):
        return seen
    try:
        with open(os.path.join(invocation.bundle, "config.json"), "rb") as file:
            content = file.read()
    except OSError:
        return seen
    import hashlib

    seen["config_sha256"] = hashlib.sha256(content).hexdigest()
    if copy_config:
        seen["config"] = content.decode("utf-8", "surrogateescape")
    return seen
