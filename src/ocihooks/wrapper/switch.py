"""
The kill switch: while a file named ``disabled`` lies beside the settings, containers start without our hooks.
"""

from __future__ import annotations

import os

from ocihooks.trust import check_trusted, explained, trust_here

NAME = "disabled"


def switch_file(settings_file: str) -> str:
    """Where the switch of an installation with these settings is."""
    return os.path.join(os.path.dirname(settings_file), NAME)


def is_disabled(settings_file: str) -> bool:
    """
    Whether the switch is on.

    Raises:
        UntrustedError: Somebody other than root could have put it there.
    """
    file = switch_file(settings_file)
    if not os.path.lexists(file):
        return False
    try:
        check_trusted(file, trust_here())
    except FileNotFoundError:  # "ocihooks enable" was quicker
        return False
    except OSError as error:
        raise explained(file, error) from None
    return True
