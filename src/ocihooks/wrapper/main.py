"""
The runtime wrapper: engines call it in place of runc or crun.

Only create, run and restore read a config.json, so all other operations become the runtime at once, before any of our
files is read. This module and what it imports at the top are the wrapper's warm path.
"""

import os
import sys

from ocihooks.errors import OCIHooksError, UnavailableError
from ocihooks.wrapper.arguments import Call, parse
from ocihooks.wrapper.become import become, check_runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from ocihooks.wrapper.installation import Installation
else:
    import _signal  # what signal is made of, without enum


def main(installation: "Installation") -> "NoReturn":
    """Read the command line, prepare the container if this is to be one, and become the runtime."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C ends us as it would end the runtime: without a word
    words = sys.argv[1:]
    call = parse(words, installation.flavour)
    try:
        if call.changes_container and not call.refused:
            check_runtime(installation.runtime, installation.script)
            _prepare(call, installation)
        become(installation.runtime, words, own=installation.script)
    except OCIHooksError as error:
        _report(error, call, installation)
    os._exit(1)


def _prepare(call: Call, installation: "Installation") -> None:
    if call.doubt:
        raise UnavailableError(
            call.doubt,
            code="doubt",
            hint="name the bundle with --bundle DIR before the id; for an option of a newer runtime, update ocihooks",
        )
    try:
        from ocihooks.wrapper.create import prepare

        prepare(call, installation)
    except OCIHooksError:
        raise
    except ImportError as error:
        raise _foreign_interpreter(error) from error
    except Exception as error:  # whatever it is: one sentence, no traceback, and no container
        raise _internal(error) from error


def _foreign_interpreter(error: ImportError) -> OCIHooksError:
    """What to do when a library is not there, as after an upgrade of the interpreter."""
    return UnavailableError(
        f"{sys.executable} can't import {error.name}: {error}",
        code="import_failed",
        hint="if the interpreter was upgraded, install ocihooks for it and run ocihooks install again",
    )


def _internal(error: BaseException) -> OCIHooksError:
    """A fault of our own as one sentence: no traceback ever reaches a container's output."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "unknown place"
    return OCIHooksError(
        f"internal error at {where}: {type(error).__name__}: {error}",
        code="internal",
        hint='please report this; "ocihooks disable" lets containers start without hooks meanwhile',
    )


def _report(error: OCIHooksError, call: Call, installation: "Installation") -> None:
    from ocihooks.wrapper.report import report

    report(_not_created(error) if call.changes_container else error, call, installation.name)


def _not_created(error: OCIHooksError) -> OCIHooksError:
    """*error* with its first sentence saying what became of the container."""
    first, *others = error.problems
    first = first.but()
    first.message = f"{first.message}; container not created"
    return OCIHooksError(problems=[first, *others])
