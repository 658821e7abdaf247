"""
``container-hooks``: a hook that does nothing; by its name in a config.json a container is known that has its hooks.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NAME = "container-hooks"
_HELP = f"""usage: {NAME}

A hook that does nothing but read its standard input to the end.
container-hooks-runtime adds no hooks to a container that has this one.
"""


def main(_installation: object = None, _load: object = None) -> "NoReturn":
    """Be the program: read the container's state, since a runtime may wait until somebody has."""
    words = sys.argv[1:]
    if words[:1] in (["--help"], ["-h"]):
        _write(_HELP)
    elif words[:1] == ["--version"]:
        from ocihooks.version import __version__

        _write(f"{NAME} {__version__}\n")
    else:
        _drain()
    posix._exit(0)  # noqa: SLF001  (os._exit is this function)


def _drain() -> None:
    try:
        while posix.read(0, 65536):
            pass
    except OSError:
        return


def _write(text: str) -> None:
    try:
        posix.write(1, text.encode())
    except OSError:
        return
