"""
Makes programs that need nothing but an interpreter: ``python tools/programs.py DIRECTORY PROGRAM...``.

Each is one file: a first line with the interpreter that runs this, and an archive of the package, which the interpreter
reads. So it can be copied anywhere, and the checkout may go.
"""

from __future__ import annotations

import io
import py_compile
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src/ocihooks"
ROOMS = (
    *("compiled", "document.py", "dropins", "engines", "errors.py", "execution", "faults.py", "hooksd", "__init__.py"),
    *("injection.py", "injector", "notjson.py", "places.py", "quoting.py", "reading.py", "records", "replace.py"),
    *("settings.py", "spec", "trust.py", "version.py", "wrapper"),
)
"""What is needed of the package."""

MAIN = """\
import os
import sys

from ocihooks.dropins.start import be

be({name!r}, os.path.abspath(sys.argv[0]))
"""


def archive(name: str) -> bytes:
    """The archive of the program *name*: sources, and beside them what this interpreter makes of them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as made, tempfile.TemporaryDirectory() as scratch:
        made.writestr("__main__.py", MAIN.format(name=name))
        for source in sorted(source for room in ROOMS for source in sources(PACKAGE / room)):
            place = f"ocihooks/{source.relative_to(PACKAGE)}"
            compiled = py_compile.compile(str(source), cfile=f"{scratch}/compiled", dfile=place, doraise=True)
            made.write(source, place)
            made.write(str(compiled), f"{place}c")
    return stream.getvalue()


def sources(room: Path) -> list[Path]:
    """The modules of a room; none if there is no such room."""
    return list(room.rglob("*.py")) if room.is_dir() else [path for path in (room,) if path.exists()]


def main() -> None:
    """Make the programs that are named."""
    directory = Path(sys.argv[1])
    directory.mkdir(mode=0o755, exist_ok=True)
    interpreter = Path(sys.executable).resolve()
    for name in sys.argv[2:]:
        program = directory / name
        program.unlink(missing_ok=True)
        program.write_bytes(f"#!{interpreter} -IS\n".encode() + archive(name))
        program.chmod(0o755)


if __name__ == "__main__":
    main()
