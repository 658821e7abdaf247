"""
What engines and people are told when a call can't go on.
"""

import sys

from ocihooks.errors import OCIHooksError, UnavailableError, os_reason
from ocihooks.wrapper.arguments import changes_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocihooks.wrapper.arguments import Call


def tell(error: Exception, call: "Call", name: str) -> None:
    """Say where the engine looks for it that the program *name* can't go on."""
    from ocihooks.wrapper.report import report

    failure = as_failure(error)
    report(_not_created(failure) if changes_container(call) else failure, call, name)


def as_failure(error: Exception) -> OCIHooksError:
    """*error* as one of ours: a library that can't be imported, or a fault of our own as one sentence."""
    if isinstance(error, OCIHooksError):
        return error
    return _foreign_interpreter(error) if isinstance(error, ImportError) else _internal(error)


def _foreign_interpreter(error: ImportError) -> OCIHooksError:
    """What to do when a library is not there, as after an upgrade of the interpreter."""
    return UnavailableError(
        f"{sys.executable} can't import {error.name}: {error}",
        code="import_failed",
        hint="if the interpreter was upgraded, install ocihooks for it and run ocihooks install again",
    )


def _internal(error: Exception) -> OCIHooksError:
    """No traceback ever reaches a container's output."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else "unknown place"
    reason = os_reason(error) if isinstance(error, OSError) else str(error)
    return OCIHooksError(
        f"internal error at {where}: {type(error).__name__}: {reason}",
        code="internal",
        hint='please report this; "ocihooks disable" lets containers start without hooks meanwhile',
    )


def _not_created(error: OCIHooksError) -> OCIHooksError:
    """*error* with its first sentence saying what became of the container."""
    first, *others = error.problems
    first = first.but()
    first.message = f"{first.message}; container not created"
    return OCIHooksError(problems=[first, *others])
