"""Puts libraries into a root: ``python put_once.py ROOT SOURCE:DESTINATION...``; run by tests as somebody else."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from ocihooks.errors import OCIHooksError
from ocihooks.injector.files import Entry, InjectorFile
from ocihooks.injector.inject import inject
from ocihooks.injector.target import Target


def main() -> int:
    """Put them in and tell what was told."""
    root, *pairs = sys.argv[1:]
    entries = []
    for index, pair in enumerate(pairs):
        source, _, destination = pair.partition(":")
        entries.append(Entry("libraries", source, destination, f"/libraries/{index}"))
    try:
        inject(Target(root), [InjectorFile("f.json", "X", tuple(entries))], print)
    except OCIHooksError as error:
        print(error.render("put"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
