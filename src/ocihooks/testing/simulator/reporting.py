"""What makes a simulated call fail, and how the caller gets to know: on standard error and in the ``--log`` file."""

from __future__ import annotations

import json
import os
import time


class CallError(Exception):
    """The call can't be done; the text is one sentence for the user."""


class Reporter:
    """
    Writes entries as runc does: to the log file where one was asked for, and to standard error.

    Args:
        log: Path of ``--log``; None: no log file.
        log_format: ``text`` or ``json``.
    """

    def __init__(self, log: str | None = None, log_format: str = "text") -> None:
        self._log = log
        self._format = log_format

    def error(self, message: str) -> None:
        """Report why the call fails."""
        self._report("error", message)

    def warning(self, message: str) -> None:
        """Report what the call passes over."""
        self._report("warning", message)

    def _report(self, level: str, message: str) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = f'time="{when}" level={level} msg={json.dumps(message)}\n'
        if self._log is not None:
            entry = json.dumps({"level": level, "msg": message, "time": when}) + "\n"
            try:
                write_line(self._log, entry if self._format == "json" else text)
            except OSError as error:
                write_out(2, f"can't write the log: {error}\n")
        write_out(2, text)


def write_line(path: str, line: str) -> None:
    """Append *line* to a file in one write, so that lines of parallel calls don't mix; a missing file is made."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)


def write_out(descriptor: int, text: str) -> None:
    """Write *text* to standard output or error; one that is closed or read-only is nobody's business."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        pass
