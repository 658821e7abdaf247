"""
The programs as pip puts them into an environment's bin: they start themselves again without site and environment.

An interpreter that was started with ``-I -S`` loads nothing that the caller's environment or working directory names.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NOWHERE = "/dev/null"
"""Where these programs keep what they could keep between calls: only installed ones have a place for that."""


def oci_add_hooks() -> "NoReturn":
    """The program oci-add-hooks."""
    _start_again("oci-add-hooks")


def container_hooks_runtime() -> "NoReturn":
    """The program container-hooks-runtime."""
    _start_again("container-hooks-runtime")


def container_hooks() -> "NoReturn":
    """The program container-hooks."""
    _start_again("container-hooks")


def container_hooks_ctk() -> "NoReturn":
    """The program container-hooks-ctk."""
    _start_again("container-hooks-ctk")


def oci_injector_hook() -> "NoReturn":
    """The program oci-injector-hook."""
    _start_again("oci-injector-hook")


def _start_again(program: str) -> "NoReturn":
    from ocihooks.wrapper.become import become

    own = os.path.abspath(sys.argv[0])
    become(sys.executable, ["-IS", os.path.abspath(__file__), program, own, *sys.argv[1:]], own=own)


def _main() -> "NoReturn":
    """Be the program that the first word names; the second is its path."""
    program, own = sys.argv[1:3]
    del sys.argv[1:3]
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    be(program, own)


def be(program: str, own: str) -> "NoReturn":
    """Be the *program* whose file is *own*, in an interpreter without site and environment."""
    from ocihooks.wrapper.installation import Installation

    installation = Installation(name=program, script=own, runtime="", cache_dir=NOWHERE)
    if program == "oci-add-hooks":
        from ocihooks.dropins.add_hooks import main
    elif program == "container-hooks-runtime":
        from ocihooks.dropins.toolkit_runtime import main
    elif program == "container-hooks-ctk":
        from ocihooks.dropins.ctk import main as be_tool

        be_tool()
    elif program == "oci-injector-hook":
        from ocihooks.dropins.injector_hook import main as inject

        inject(installation)
    else:
        from ocihooks.dropins.marker import main as be_marker

        be_marker()
    main(installation)


if __name__ == "__main__":
    _main()
