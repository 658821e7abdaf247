"""
The program in which Atheris runs one target: ``python -m fuzz.python_program TARGET [OPTION OF LIBFUZZER...]``.

Our modules are instrumented while they are imported, so nothing of ours may be imported before.
"""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Run until an option or a finding ends it."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["ocihooks", "fuzz.careless"]):
        from fuzz.targets import READERS

    target = READERS[name]

    def one(data: bytes) -> None:
        target(data)

    atheris.Setup(sys.argv, one, enable_python_coverage=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
