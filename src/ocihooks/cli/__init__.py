"""The command line program `ocihooks`: one module per command, imported when it runs."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

ENVIRONMENT = 3


def main() -> NoReturn:
    """Run the program with the command line of this process."""
    try:
        for stream in (sys.stdout, sys.stderr):
            # A path or pattern that the terminal's character set lacks is shown escaped.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        from ocihooks.cli.run import run

        status = _flushed(run(sys.argv[1:]))
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _flushed(status: int) -> int:
    """The exit status once all output is written: 3 where it can't be, as on a full disk."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if status < ENVIRONMENT:
            sys.stderr.write(f"ocihooks: output can't be written: {os.strerror(error.errno or 0).lower()}\n")
        return max(status, ENVIRONMENT)
    return status
