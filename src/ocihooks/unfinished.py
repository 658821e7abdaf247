"""
Files that are empty for the moment, since somebody is just writing them in place.

An empty rule file is a mask, and empty settings are all defaults, so a file that is being rewritten would take hooks
from containers without a word. Nobody can know what is coming, so one that stays empty is refused until it has been
so for a while.
"""

from __future__ import annotations

import posix
import time

from ocihooks.errors import UntrustedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

YOUNG_S = 2.0
"""How long an empty file that was changed may be about to be written."""

_PAUSES_S = (0.005, 0.01, 0.02, 0.04)


class Patience:
    """The waiting of one reading: its files together are waited for less than a tenth of a second."""

    __slots__ = ("_pauses",)

    def __init__(self) -> None:
        self._pauses = iter(_PAUSES_S)

    def read(self, file: str, read: Callable[[str], bytes]) -> bytes:
        """
        What *read* gives for *file*, which is empty only where that is meant.

        Raises:
            UntrustedError: It is empty, and was changed a moment ago.
            OSError: It has gone meanwhile; or what *read* raises.
        """
        while not (data := read(file)) and _is_in_doubt(file):
            pause = next(self._pauses, None)
            if pause is None:
                message = (
                    f"is empty and was changed less than {YOUNG_S:.0f} seconds ago, so it may be just being written"
                )
                hint = "if it is meant to be empty, try again in a moment; write files elsewhere and rename them"
                raise UntrustedError(message, code="unfinished", file=file, hint=hint)
            time.sleep(pause)
        return data


def _is_in_doubt(file: str) -> bool:
    """
    Whether *file*, which was empty, may get content in a moment, or has got it by now; never so for /dev/null.

    A time in the future counts as one in the past, so a clock that was wrong does not matter for long.
    """
    status = posix.stat(file)
    is_young = abs(time.time() - status.st_mtime) < YOUNG_S
    return status.st_mode & 0o170000 == 0o100000 and (status.st_size > 0 or is_young)
