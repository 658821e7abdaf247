"""The command line program `ocihooks`: one module per command, imported when it runs."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the program with the command line of this process."""
    try:
        for stream in (sys.stdout, sys.stderr):
            # A path or pattern that the terminal's character set lacks is shown escaped.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        from ocihooks.cli.run import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
